"""Who is behind a cookie, and whether a page of ours sent the request. Floor 6.

Theory of operation.

1. A session stands for a person or for a key, and is asked for that at each request: a person who was
   disabled, signed out or given another role, and a key that was revoked, are out with the next one (S-08).
2. What writes must come from a page of this gateway: the token that follows from the cookie stands in
   `x-turnout-csrf`, and where the browser says where the request comes from (`Origin`, `Sec-Fetch-Site`),
   it comes from here. A cookie is `SameSite=Strict` besides.
3. A cookie counts where no key is shown, for the admin API and sign-in. The data plane never reads it.
4. While no key exists anywhere and nobody can sign in, whoever calls from the machine itself is its owner, as
   at the command line: the `Host` must name the machine, so that no page in a browser can be led here by a
   name of its own, and a page that sends the request must be one of ours.
"""

import hmac
import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from turnout.build import Built
from turnout.errors import Forbidden, Unauthenticated
from turnout.govern import sessions, users
from turnout.govern.office import Office
from turnout.govern.rules import Actor, actor_of
from turnout.server.auth import check_use
from turnout.server.login import cookies
from turnout.server.visit import Visit
from turnout.types.account import Session
from turnout.types.principal import Principal

LOCAL: Final = frozenset({"127.0.0.1", "::1"})
_NAMES: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")


class SignedIn(NamedTuple):
    """Who acts by a session."""

    actor: Actor
    session: Session
    cookie: str


class Sessions:
    """The sessions of a gateway.

    Args:
        built: Whose configuration says how long they last, and whether there is TLS.
        office: The desk's; None while there is none.
        named: Returns who a key's id stands for. Raises `Unauthenticated`.
    """

    def __init__(
        self, built: Built, office: Callable[[], Office | None], named: Callable[[str], Principal]
    ) -> None:
        self._built = built
        self._office = office
        self._named = named

    @property
    def secure(self) -> bool:
        """Whether browsers reach this gateway over TLS."""
        server = self._built.config.server
        return server.tls is not None or server.behind_proxy

    def has_cookie(self, visit: Visit) -> bool:
        """Tell whether a cookie of ours came along, and no key."""
        return not visit.inbound.keys and bool(cookies.read(visit.scope, cookies.SESSION, secure=self.secure))

    async def actor(self, visit: Visit) -> Actor:
        """Return who acts; a request that writes must come from a page of ours.

        Raises:
            Unauthenticated: There is no session, or it ended.
            Forbidden: The request may come from elsewhere; on record.
        """
        signed = await self.signed_in(visit)
        if visit.scope["method"] not in ("GET", "HEAD"):
            await self.check_page(visit, signed)
        return signed.actor

    async def signed_in(self, visit: Visit) -> SignedIn:
        """Return who has a session. Raises `Unauthenticated`."""
        cookie = cookies.read(visit.scope, cookies.SESSION, secure=self.secure)
        office = self._office()
        limits = self._built.config.admin.session
        session = None if office is None else await sessions.find(office, limits, cookie)
        if office is None or session is None:
            raise Unauthenticated("not signed in, or not any more")
        actor = await self._whose(office, session, visit.address)
        return SignedIn(actor, session, cookie)

    async def check_page(self, visit: Visit, signed: SignedIn) -> None:
        """Refuse a write that no page of ours need have sent. Raises `Forbidden`."""
        shown = (visit.inbound.csrf or "").encode()
        is_ours = hmac.compare_digest(shown, sessions.csrf_token(signed.cookie).encode())
        if is_ours and is_same_origin(visit):
            return
        office = self._office()
        assert office is not None
        why = "the request may come from another site: x-turnout-csrf is missing or wrong"
        await office.deny(signed.actor, "request.forged", "", why)

    async def _whose(self, office: Office, session: Session, address: str) -> Actor:
        if session.user is None:
            principal = self._named(session.key or "")
            check_use(principal, "admin", address)
            return actor_of(principal, address)
        document = await office.desk.get("user", session.user)
        user = None if document is None else users.read_user(document)
        if user is None or user.disabled or user.role == "none" or user.generation != session.generation:
            raise Unauthenticated("not signed in any more")
        if user.organisation is not None and not await users.is_open(office, user.organisation):
            raise Unauthenticated("not signed in any more")
        return Actor(
            id=user.id,
            role=user.role,
            organisation=user.organisation,
            address=address,
            user=user.id,
            via="session",
        )


def local_owner(visit: Visit) -> Actor | None:
    """Return the owner that, without keys, whoever is on the machine itself is; None = they are not."""
    by_name = _NAMES.fullmatch(header(visit, b"host"))
    if visit.address not in LOCAL or not by_name or not is_same_origin(visit):
        return None
    return Actor(id="local", role="owner", address=visit.address)


def is_same_origin(visit: Visit) -> bool:
    """Tell whether nothing says that a page from elsewhere sent this."""
    names = [name for name, _ in visit.scope["headers"]]
    if names.count(b"origin") > 1 or names.count(b"sec-fetch-site") > 1:
        return False
    if header(visit, b"sec-fetch-site") not in ("", "same-origin", "none"):
        return False
    origin = header(visit, b"origin")
    host = header(visit, b"host").lower()
    return not origin or (bool(host) and urlsplit(origin).netloc.lower() == host)


def header(visit: Visit, wanted: bytes) -> str:
    """Return a header that came once; "" = it did not."""
    found = [value for name, value in visit.scope["headers"] if name == wanted]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def may_sign_in(principal: Principal) -> None:
    """Let a key that administers begin a session. Raises `Forbidden`."""
    if principal.role in ("none", "call", "scrape"):
        raise Forbidden("this key administers nothing; sign in with one that does, or a personal token")
