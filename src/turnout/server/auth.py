"""Who is at the gate. Floor 6.

Keys are compared by digest under a pepper made at start: a presented value is hashed whole, so neither its
prefix nor its length tells anything (S-01, S-07, S-09). An address that keeps guessing is told to wait; a
valid key is never turned away for it.
"""

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable

from turnout.errors import InvalidRequest, LoopDetected, RateLimited, Unauthenticated
from turnout.server.settings import GatewayKey
from turnout.types.principal import ANONYMOUS, Principal

MOST_FAILURES = 20
"""Per address and minute (SECURITY.md section 7)."""
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000
_MAX_KEY = 512
_MAX_HOPS = 3


class Failures:
    """Failed authentications by address."""

    __slots__ = ("_by_address", "_clock")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_address: dict[str, deque[float]] = {}
        """The latest failures, oldest first; the address that failed longest ago comes first."""

    def note(self, address: str) -> float | None:
        """Count a failure; return how long the address has to wait, None = not yet."""
        now = self._clock()
        at = self._by_address.pop(address, None) or deque(maxlen=MOST_FAILURES)
        self._by_address[address] = at
        if len(self._by_address) > _MOST_ADDRESSES:
            del self._by_address[next(iter(self._by_address))]
        if len(at) == MOST_FAILURES and now - at[0] < WINDOW_S:
            return at[0] + WINDOW_S - now
        at.append(now)
        return None


class Gate:
    """Turns presented keys into a principal."""

    __slots__ = ("_failures", "_known", "_pepper")

    def __init__(self, keys: tuple[GatewayKey, ...], failures: Failures | None = None) -> None:
        self._pepper = secrets.token_bytes(32)
        self._failures = failures
        """None = addresses are not counted: behind a proxy they are all the proxy's."""
        self._known = {self._digest(key.secret.reveal()): key.principal for key in keys}

    def principal(self, presented: tuple[str, ...], address: str = "") -> Principal:
        """Return who presents these credentials.

        Raises:
            Unauthenticated: Keys are configured and none matches.
            RateLimited: The address has failed too often.
            InvalidRequest: Two carriers hold different credentials.
        """
        if not self._known:
            return ANONYMOUS
        if len(set(presented)) > 1:
            raise InvalidRequest("credentials in several headers differ", code="conflicting_credentials")
        if presented and 0 < len(presented[0]) <= _MAX_KEY:
            found = self._known.get(self._digest(presented[0]))
            if found is not None:
                return found
        wait_s = None if self._failures is None else self._failures.note(address)
        if wait_s is not None:
            raise RateLimited("too many failed authentications from this address", retry_after_s=wait_s)
        if not presented or not presented[0]:
            raise Unauthenticated("no key: send a Turnout key as `Authorization: Bearer …`")
        raise Unauthenticated("the key is not valid here")

    def named(self, key_id: str | None) -> Principal:
        """Return who a key's id stands for; None = the caller of a gateway without keys.

        Raises:
            Unauthenticated: No such key is configured.
        """
        if not self._known and not key_id:
            return ANONYMOUS
        for principal in self._known.values():
            if principal.key_id == key_id:
                return principal
        raise Unauthenticated("the key that handed this in is not valid here any more")

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._pepper, key.encode("utf-8", "surrogateescape"), hashlib.sha256)


def pass_on(hops: str | None, instance: str) -> bytes:
    """Return the list of gateways a request has passed, this one added (S-18).

    Raises `LoopDetected` when this one, or too many, were passed already.
    """
    if hops is None:
        return instance.encode()
    passed = [hop.strip() for hop in hops.split(",")]
    if instance in passed or len(passed) > _MAX_HOPS:
        raise LoopDetected("the request already passed through this gateway")
    return ",".join([*passed, instance]).encode("ascii", "replace")
