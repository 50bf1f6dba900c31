"""Sign-in: `/auth/{login,callback,session,me,ways,logout}`. Floor 6.

Theory of operation.

1. `login` sends the browser to the provider; `callback` takes it back, exchanges the code, and begins a
   session. Whatever goes wrong there is a page that names no more than what the person can do about it.
2. `session` begins one with a key that administers, or a personal token; who guesses is told to wait, by the
   same count as everywhere (SECURITY.md section 7).
3. A new session gets a new cookie, and the one that the browser had is ended: none is carried over.
4. `me` says who one is and hands out the token that writes must carry; a page of another origin cannot read
   the answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

from turnout.build import Built
from turnout.codecs.strict import convert, parse
from turnout.config.oidc import OidcConfig
from turnout.errors import ConfigError, Forbidden, InvalidRequest, NotFound, TurnoutError, Unauthenticated
from turnout.govern import keys, sessions, users
from turnout.govern.office import Office
from turnout.govern.rules import Actor
from turnout.server.admin.call import failure_body
from turnout.server.http import JSON_TYPE, RawHeaders, respond
from turnout.server.login import claims, cookies, pages, pending
from turnout.server.login.provider import Provider, open_provider
from turnout.server.login.signed import Sessions, SignedIn, is_same_origin, local_owner, may_sign_in
from turnout.server.visit import Visit
from turnout.transport.base import Transport
from turnout.types.account import Act
from turnout.types.json import Json
from turnout.types.principal import Principal

_N_RANDOM: Final = 32
_MOST_CODE: Final = 2048


class KeyShown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session is begun with."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]
    """A Turnout key that administers, or a personal token."""


class Gates(NamedTuple):
    """What the gateway lends."""

    identify: Callable[[str, str], Principal]
    """Returns whose key a text is, called from an address. Raises `Unauthenticated`, `RateLimited`."""
    read: Callable[[Visit], Awaitable[bytes]]
    keyless: Callable[[], bool]
    """Whether no key exists that could be shown."""


class Auth:
    """Sign-in at one gateway.

    Args:
        built: Whose configuration holds.
        office: The desk's; None while there is none.
        signed: Who is behind a cookie.
        gates: What the gateway lends.
    """

    def __init__(
        self, built: Built, office: Callable[[], Office | None], signed: Sessions, gates: Gates
    ) -> None:
        self._built = built
        self._office = office
        self.sessions = signed
        self._gates = gates
        self._provider: Provider | None = None
        self._transport: Transport | None = None
        self._served: Mapping[tuple[str, str], Callable[[Visit], Awaitable[None]]] = {
            ("GET", "login"): self._login,
            ("GET", "callback"): self._callback,
            ("POST", "session"): self._begin,
            ("GET", "me"): self._me,
            ("GET", "ways"): self._ways,
            ("POST", "logout"): self._end,
        }

    async def visit(self, visit: Visit) -> None:
        """Serve a visit under `/auth/`."""
        serve = self._served.get((visit.scope["method"], visit.path_rest))
        page = serve in (self._login, self._callback)
        try:
            if serve is None:
                raise NotFound(f"no such endpoint: {visit.scope['method'][:16]} {visit.scope['path'][:200]}")
            await serve(visit)
        except ConfigError as error:
            await self._fail(visit, NotFound("; ".join(error.problems)[:500]), page=page)
        except TurnoutError as error:
            await self._fail(visit, error, page=page)

    async def close(self) -> None:
        """Let go of connections to the provider."""
        if self._transport is not None:
            await self._transport.close()

    async def ready(self) -> None:
        """Check that what is configured can be used. Raises `ConfigError`."""
        if self._oidc is not None:
            await self._provider_of(self._oidc)

    @property
    def _oidc(self) -> OidcConfig | None:
        return self._built.config.admin.oidc

    async def _login(self, visit: Visit) -> None:
        office, oidc = self._desk(), self._oidc
        if oidc is None:
            raise NotFound("no provider is configured here: sign in with a key or a personal token")
        wished = _query(visit).get("next", "/")
        begun = pending.begin(office.random(_N_RANDOM), office.now().timestamp(), wished)
        where = await (await self._provider_of(oidc)).address(begun)
        secure = self.sessions.secure
        cookie = cookies.write(
            cookies.PENDING, pending.seal(begun, office.peppers), secure=secure, max_age_s=pending.LIFE_S
        )
        headers = [(b"location", where.encode("ascii")), (b"referrer-policy", b"no-referrer"), cookie]
        await respond(visit.send, 302, [*headers, *_common(visit)], b"")

    async def _callback(self, visit: Visit) -> None:
        office, oidc = self._desk(), self._oidc
        if oidc is None:
            raise NotFound("no provider is configured here")
        try:
            cookie, goes_on = await self._signed_by(visit, office, oidc)
        except TurnoutError as error:
            if not isinstance(error, Forbidden):  # those are on record
                stranger = Actor(id="stranger", role="none", address=visit.address)
                with suppress(Forbidden):
                    await office.deny(stranger, "login", "", error.message)
            raise
        await respond(
            visit.send, 200, [*pages.HEADERS, *_ids(visit), *cookie, self._forgotten()], pages.onward(goes_on)
        )

    async def _signed_by(self, visit: Visit, office: Office, oidc: OidcConfig) -> tuple[RawHeaders, str]:
        """Return the cookie of who signed in at the provider, and where they go on."""
        query, now = _query(visit), office.now().timestamp()
        kept = cookies.read(visit.scope, cookies.PENDING, secure=self.sessions.secure)
        begun = pending.unseal(kept, office.peppers, now) if kept else None
        if begun is None or not pending.same(query.get("state", ""), begun.state):
            raise InvalidRequest("this sign-in was not begun in this browser, or took too long; begin again")
        if query.get("iss", oidc.issuer) != oidc.issuer:
            raise InvalidRequest("the answer comes from another provider; begin again")
        code = query.get("code", "")
        if "error" in query or not 0 < len(code) <= _MOST_CODE:
            raise Unauthenticated("the provider did not let you in")
        provider = await self._provider_of(oidc)
        said = await provider.claims(code, begun, now)
        document = await users.signed_in(office, claims.identity_of(said, oidc), visit.address)
        user = users.read_user(document)
        cookie = await self._begun(visit, office, user=user.id, key=None, generation=user.generation)
        return [cookie], begun.goes_on

    async def _begin(self, visit: Visit) -> None:
        office = self._desk()
        if visit.inbound.content_type.partition(";")[0].strip().lower() != "application/json":
            raise InvalidRequest("content-type must be application/json", param="content-type")
        if not is_same_origin(visit):
            raise Forbidden("a page of another site signs nobody in")
        shown = convert(parse(await self._gates.read(visit)), KeyShown)
        principal = self._gates.identify(shown.key, visit.address)
        may_sign_in(principal)
        act = Act(
            at=office.now(),
            actor=principal.user or principal.key_id or "",
            role=principal.role,
            address=visit.address,
            action="login",
            object=f"{'key' if principal.user is None else 'token'}/{principal.key_id}",
            organisation=principal.organisation,
        )
        await office.desk.note(act)
        cookie = await self._begun(visit, office, user=None, key=principal.key_id, generation=0)
        told: dict[str, Json] = {"object": "session", "role": principal.role}
        await self._ok(visit, {**told, "organisation": principal.organisation}, [cookie])

    async def _begun(
        self, visit: Visit, office: Office, *, user: str | None, key: str | None, generation: int
    ) -> tuple[bytes, bytes]:
        """Begin a session in place of the one that the browser has; return its cookie."""
        before = cookies.read(visit.scope, cookies.SESSION, secure=self.sessions.secure)
        if before:
            await sessions.end(office, before)
        limits = self._built.config.admin.session
        made = await sessions.begin(office, limits, user=user, key=key, generation=generation)
        return cookies.write(
            cookies.SESSION, made.reveal(), secure=self.sessions.secure, max_age_s=limits.absolute_s
        )

    async def _me(self, visit: Visit) -> None:
        ways: dict[str, Json] = {"provider": None if self._oidc is None else self._oidc.name}
        if not self.sessions.has_cookie(visit):
            owner = local_owner(visit) if self._gates.keyless() else None
            if owner is None:
                raise Unauthenticated("not signed in")
            await self._ok(visit, {**_who(owner), **ways, "name": "", "expires": None, "csrf": None})
            return
        signed = await self.sessions.signed_in(visit)
        name = await self._name(signed)
        csrf, expires = sessions.csrf_token(signed.cookie), signed.session.expires.isoformat()
        await self._ok(visit, {**_who(signed.actor), **ways, "name": name, "expires": expires, "csrf": csrf})

    async def _name(self, signed: SignedIn) -> str:
        """Return what whoever signed in is called; "" = nothing says."""
        desk, user = self._desk().desk, signed.actor.user
        if user is None:
            document = await desk.get("key", signed.session.key or "")
            return "" if document is None else keys.read_key(document).name
        document = await desk.get("user", user)
        found = None if document is None else users.read_user(document)
        return "" if found is None else found.name or found.email

    async def _ways(self, visit: Visit) -> None:
        """Tell how one signs in here, and whether it is worth asking who one is already."""
        provider = None if self._oidc is None else self._oidc.name
        known = self.sessions.has_cookie(visit) or (self._gates.keyless() and local_owner(visit) is not None)
        await self._ok(visit, {"object": "ways", "provider": provider, "key": True, "known": known})

    async def _end(self, visit: Visit) -> None:
        signed = await self.sessions.signed_in(visit)
        await self.sessions.check_page(visit, signed)
        office, actor = self._desk(), signed.actor
        await office.desk.note(
            Act(
                at=office.now(),
                actor=actor.id,
                role=actor.role,
                address=actor.address,
                action="logout",
                organisation=actor.organisation,
            )
        )
        await sessions.end(office, signed.cookie)
        oidc = self._oidc
        left = oidc is not None and signed.session.user is not None
        where = await (await self._provider_of(oidc)).farewell() if left and oidc is not None else None
        gone = cookies.write(cookies.SESSION, "", secure=self.sessions.secure, max_age_s=0)
        await self._ok(visit, {"object": "session.ended", "provider_logout": where}, [gone])

    async def _provider_of(self, oidc: OidcConfig) -> Provider:
        """Return what asks the configured provider; another one after a reload."""
        if self._provider is None or self._provider.config != oidc:
            provider, transport = open_provider(self._built.config, oidc)
            old, self._provider, self._transport = self._transport, provider, transport
            if old is not None:
                await old.close()
        return self._provider

    def _desk(self) -> Office:
        office = self._office()
        if office is None:
            raise NotFound("there is no desk at this gateway; its operator can add the section `desk`")
        return office

    def _forgotten(self) -> tuple[bytes, bytes]:
        return cookies.write(cookies.PENDING, "", secure=self.sessions.secure, max_age_s=0)

    async def _ok(self, visit: Visit, body: Json, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        headers = [JSON_TYPE, *_common(visit), *more]
        await respond(visit.send, 200, headers, msgspec.json.encode(body))

    async def _fail(self, visit: Visit, error: TurnoutError, *, page: bool) -> None:
        visit.error = error
        status = error.row.status
        if page:
            headers = [*pages.HEADERS, *_ids(visit), self._forgotten()]
            await respond(visit.send, status, headers, pages.refused(error.message, visit.request_id))
            return
        headers = [JSON_TYPE, *_common(visit)]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        await respond(visit.send, status, headers, failure_body(error))


def _who(actor: Actor) -> dict[str, Json]:
    return {
        "object": "me",
        "id": actor.id,
        "user": actor.user,
        "role": actor.role,
        "organisation": actor.organisation,
    }


def _query(visit: Visit) -> dict[str, str]:
    """Return the parameters of the address. Raises `InvalidRequest` for one that is given twice."""
    try:
        found = parse_qs(
            visit.scope["query_string"].decode("ascii"), max_num_fields=32, keep_blank_values=True
        )
    except ValueError:
        raise InvalidRequest("the query cannot be read") from None
    if any(len(values) > 1 for values in found.values()):
        raise InvalidRequest("a parameter of the query is given twice")
    return {name: values[0] for name, values in found.items()}


def _ids(visit: Visit) -> RawHeaders:
    name = visit.request_id.encode()
    return [(b"x-turnout-request-id", name), (b"x-request-id", name)]


def _common(visit: Visit) -> RawHeaders:
    return [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), *_ids(visit)]
