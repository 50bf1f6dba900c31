"""Who is at the gate. Floor 6.

Keys are compared by digest under a pepper: a presented value is hashed whole, so neither its prefix nor its
length tells anything (S-01, S-07, S-09). Configured keys are looked for under a pepper made at start, those
of the desk in its directory; no store is asked. An address that keeps guessing is told to wait; a valid key
is never turned away for it.
"""

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import NoReturn

from turnout.errors import Forbidden, InvalidRequest, LoopDetected, RateLimited, Unauthenticated
from turnout.govern.directory import ADMIN_ONLY, Directory
from turnout.server.settings import GatewayKey
from turnout.types.principal import ANONYMOUS, Principal

MOST_FAILURES = 20
"""Per address and minute (SECURITY.md section 7)."""
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000
_MAX_KEY = 512
Denied = Callable[[Principal, str, str, str], None]
"""Takes who was refused, their address, the action and the reason."""
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

    __slots__ = ("_closed", "_directory", "_failures", "_known", "_mac")

    def __init__(
        self,
        keys: tuple[GatewayKey, ...],
        failures: Failures | None = None,
        directory: Directory | None = None,
    ) -> None:
        self._mac = hmac.new(secrets.token_bytes(32), digestmod=hashlib.sha256)
        """Under the pepper: to copy it costs less than to take the pepper in anew for each key."""
        self._failures = failures
        """None = addresses are not counted: behind a proxy they are all the proxy's."""
        self._known = {self._digest(key.secret.reveal()): key.principal for key in keys}
        self._closed = any(key.principal.endpoints != ADMIN_ONLY for key in keys)
        self._directory = directory
        """Keys of the desk; None = there is none."""

    @property
    def is_closed(self) -> bool:
        """Whether callers must show a key: there is one that may call, or ever was at the desk."""
        return self._closed or (self._directory is not None and self._directory.has_keys)

    def principal(self, presented: tuple[str, ...], address: str = "") -> Principal:
        """Return who presents these credentials.

        Raises:
            Unauthenticated: Keys are configured and none matches.
            RateLimited: The address has failed too often.
            InvalidRequest: Two carriers hold different credentials.
        """
        if self._directory is None and not self._closed and not self._known:
            return ANONYMOUS
        if len(set(presented)) > 1:
            raise InvalidRequest("credentials in several headers differ", code="conflicting_credentials")
        if presented and 0 < len(presented[0]) <= _MAX_KEY:
            found = self._find(presented[0])
            if found is not None:
                return found
        if self.is_closed:
            self._refuse(presented, address)
        return ANONYMOUS

    def identify(self, text: str, address: str) -> Principal:
        """Return whose key or personal token a text is, even where callers need none.

        Raises:
            Unauthenticated: It is nobody's.
            RateLimited: The address has failed too often.
        """
        found = self._find(text) if 0 < len(text) <= _MAX_KEY else None
        if found is None:
            self._refuse((text,), address)
        return found

    def _refuse(self, presented: tuple[str, ...], address: str) -> NoReturn:
        wait_s = None if self._failures is None else self._failures.note(address)
        if wait_s is not None:
            raise RateLimited("too many failed authentications from this address", retry_after_s=wait_s)
        if not presented or not presented[0]:
            raise Unauthenticated("no key: send a Turnout key as `Authorization: Bearer …`")
        raise Unauthenticated("the key is not valid here")

    def _find(self, text: str) -> Principal | None:
        directory = self._directory
        found = self._known.get(self._digest(text)) if self._known else None
        if directory is None:
            return found
        if found is None:
            return directory.find(text)
        return found if directory.admits(found) else None

    def named(self, key_id: str | None) -> Principal:
        """Return who a key's id stands for; None = the caller of a gateway without keys.

        Raises:
            Unauthenticated: No such key works.
        """
        if not self.is_closed and not key_id:
            return ANONYMOUS
        directory = self._directory
        if key_id and directory is not None:
            found = directory.named(key_id)
            if found is not None:
                return found
        for principal in self._known.values():
            if principal.key_id == key_id and (directory is None or directory.admits(principal)):
                return principal
        raise Unauthenticated("the key that handed this in is not valid here any more")

    def _digest(self, key: str) -> bytes:
        mac = self._mac.copy()
        mac.update(key.encode("utf-8", "surrogateescape"))
        return mac.digest()


def check_url(query: bytes) -> None:
    """Refuse a key in the URL. Raises `InvalidRequest`."""
    if query and any(part.startswith(b"key=") for part in query.split(b"&")):
        raise InvalidRequest("a key in the URL reaches logs; send it in a header", param="key")


def check_use(principal: Principal, endpoint: str, address: str | None) -> None:
    """Let a key be used only for what, and from where, it is meant. Raises `Forbidden`.

    Args:
        principal: Whose key.
        endpoint: Closed word: chat, embeddings, models, explain, recommend, background, admin.
        address: The client's; None = the request was let in before, and waited.

    Behind a proxy the address is the proxy's own: a key with networks is then refused, unless the proxy is in
    one of them.
    """
    if principal.endpoints and endpoint not in principal.endpoints:
        raise Forbidden(f"this key may not use {endpoint}")
    if principal.networks and address is not None and not _is_in(principal.networks, address):
        raise Forbidden("this key may not be used from this address")


@lru_cache(maxsize=4096)
def _is_in(networks: tuple[str, ...], address: str) -> bool:
    try:
        at = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(at, "ipv4_mapped", None) or at
    return any(mapped in ip_network(network) for network in networks)


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
