"""Who a presented key stands for, from memory. Floor 5.

Theory of operation.

1. Keys of the desk are held by digest. A presented text that is not well formed is nobody's, and costs no
   digest; any other costs one digest for each accepted pepper and one look-up, however many keys there are.
2. Nothing here asks a store: an outsider can cause no query (S-01).
3. What is held is replaced whole. A key that is disabled or revoked, or whose organisation, project, team or
   customer is disabled or gone, is not in it. One that expires is asked by the clock each time.
4. A personal token is held beside keys, with the lower of its role and its holder's; it may administer only.
5. A key found under a pepper that is not the newest is noted with its digest under the newest, and whoever
   follows the desk writes that there (`moved`): a rotated pepper is left behind by use.
"""

import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from turnout.govern.holdings import Holdings
from turnout.govern.pepper import Peppers
from turnout.govern.rules import lower
from turnout.govern.token import is_well_formed
from turnout.types.account import Key, Kind, Token, User
from turnout.types.principal import Principal

ADMIN_ONLY: Final = ("admin",)
"""Endpoints of a key whose role is another than `call`: it administers, and calls nothing (section 6)."""


MOST_MOVED: Final = 1000
"""Keys that wait for their new digest; further ones are noted when they come again."""


class _Known(Struct, frozen=True):
    digest: bytes
    principal: Principal
    expires: float
    """Unix seconds; infinite for most."""


class Directory:
    """Keys of the desk, in memory.

    Args:
        peppers: What presented keys are digested under.
        now: Unix seconds.

    Attributes:
        moved: Key or token id -> the newest pepper's id and the digest under it, to be written at the desk.
        has_keys: Whether any key was ever issued that may call, so that callers must show one. It stays so
            when the last of them ends: a gateway never opens because its keys were revoked.
    """

    __slots__ = ("_by_digest", "_by_id", "_disabled", "_macs", "_now", "_peppers", "has_keys", "moved")

    def __init__(self, peppers: Peppers, now: Callable[[], float] = time.time) -> None:
        self._peppers = peppers
        self._macs = [(pepper, pepper.mac()) for pepper in peppers.accepted]
        self._now = now
        self._by_digest: dict[bytes, _Known] = {}
        self._by_id: dict[str, _Known] = {}
        self._disabled: frozenset[tuple[Kind, str]] = frozenset()
        self.has_keys = False
        self.moved: dict[str, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, text: str) -> Principal | None:
        """Return who presents this key; None = it is not valid."""
        if not self._by_digest or not is_well_formed(text):
            return None
        for pepper, mac in self._macs:
            digest = mac.digest(text)
            known = self._by_digest.get(digest)
            if known is not None and hmac.compare_digest(known.digest, digest):
                if self._now() >= known.expires:
                    return None
                if pepper is not self._peppers.newest:
                    self._note_move(known, text)
                return known.principal
        return None

    def _note_move(self, known: _Known, text: str) -> None:
        name = known.principal.key_id or ""
        if len(self.moved) < MOST_MOVED and name not in self.moved:
            newest = self._peppers.newest
            self.moved[name] = newest.id, newest.digest(text).hex()

    def named(self, key_id: str) -> Principal | None:
        """Return who a key's id stands for, as long as the key works."""
        known = self._by_id.get(key_id)
        return None if known is None or self._now() >= known.expires else known.principal

    def admits(self, principal: Principal) -> bool:
        """Tell whether nothing that a configured key belongs to is disabled at the desk."""
        return not self._disabled or self._disabled.isdisjoint(_owners(principal))

    def take(self, holdings: Holdings, peppers: Peppers | None = None) -> None:
        """Hold another revision of the desk from now on; under other peppers, where they are given."""
        if peppers is not None:
            self._peppers = peppers
            self._macs = [(pepper, pepper.mac()) for pepper in peppers.accepted]
        found = [_known(key, holdings.texts) for key in holdings.keys if _works(key, holdings)]
        users = {user.id: user for user in holdings.users if not user.disabled}
        found += [held for token in holdings.tokens if (held := _held(token, users, holdings)) is not None]
        self._by_digest = {known.digest: known for known in found}
        self._by_id = {known.principal.key_id or "": known for known in found}
        self._disabled = holdings.disabled
        self.has_keys = any(key.role == "call" for key in holdings.keys)


def _works(key: Key, holdings: Holdings) -> bool:
    return bool(key.digest) and not key.disabled and holdings.active.issuperset(_owners(key))


def _held(token: Token, users: Mapping[str, User], holdings: Holdings) -> _Known | None:
    """Return a personal token as it is held; None = it does not work."""
    user = users.get(token.user)
    # Who moved to another organisation does not take along what was made for the one before.
    if not token.digest or user is None or user.organisation != token.organisation:
        return None
    role = lower(token.role, user.role)
    of = token.organisation
    if role == "none" or (of is not None and ("organisation", of) not in holdings.active):
        return None
    principal = Principal(role=role, key_id=token.id, user=user.id, organisation=of, endpoints=ADMIN_ONLY)
    return _Known(bytes.fromhex(token.digest), principal, token.expires.timestamp())


def _owners(of: Key | Principal) -> Iterable[tuple[Kind, str]]:
    named: tuple[tuple[Kind, str | None], ...] = (
        ("organisation", of.organisation),
        ("project", of.project),
        ("team", of.team),
        ("customer", of.customer),
    )
    return [(kind, name) for kind, name in named if name is not None]


def _known(key: Key, texts: frozenset[str]) -> _Known:
    principal = Principal(
        stores_text=key.project is None or key.project in texts,
        role=key.role,
        key_id=key.id,
        organisation=key.organisation,
        project=key.project,
        team=key.team,
        customer=key.customer,
        names_customers=key.names_customers,
        tags=key.tags,
        allow=key.models,
        default_route=key.default_route,
        routes=key.routes,
        endpoints=key.endpoints if key.role == "call" else ADMIN_ONLY,
        networks=key.networks,
    )
    expires = float("inf") if key.expires is None else key.expires.timestamp()
    return _Known(bytes.fromhex(key.digest), principal, expires)
