"""From an origin to a connected socket: resolve, judge, dial, verify. Floor 3.

Theory of operation.
1. A name is resolved through a cache with a short life, so that a changed record is seen within
   `dns_ttl_s`; literals are not resolved.
2. The guard judges every address of the answer before any is dialled, cached answers included.
3. Addresses are tried in the resolver's order; each gets an equal share of the time that is left, so that
   one black hole does not eat the whole limit.
4. Nothing is connected by name: the address judged is the address dialled, and the peer is compared after.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from turnout.errors import ProviderUnreachable, TimeoutConnect
from turnout.transport.guard import Guard, Origin
from turnout.transport.tls import tls_context

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves (host, port) to addresses as text, best first. Raises OSError."""

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)

_MAX_NAMES = 1024
"""Cached names; far above the number of upstreams anyone configures, so reaching it just starts over."""


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Names to addresses, remembered for a short time."""

    __slots__ = ("_known", "_lookup", "_ttl_s")

    def __init__(self, lookup: Lookup = system_lookup, *, ttl_s: float = 30.0) -> None:
        self._lookup = lookup
        self._ttl_s = ttl_s
        self._known: dict[str, tuple[float, Sequence[str]]] = {}

    async def resolve(self, origin: Origin) -> Sequence[str]:
        """Return the addresses of an origin's host, at least one. Raises `ProviderUnreachable`."""
        if origin.literal is not None:
            return (origin.host,)
        now = asyncio.get_running_loop().time()
        known = self._known.get(origin.host)
        if known is not None and known[0] > now:
            return known[1]
        try:
            addresses = await self._lookup(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            raise ProviderUnreachable(f"{origin.host}: name not resolved ({_reason(error)})") from error
        if not addresses:
            raise ProviderUnreachable(f"{origin.host}: the name has no address")
        if len(self._known) >= _MAX_NAMES:
            self._known.clear()
        self._known[origin.host] = (now + self._ttl_s, addresses)
        return addresses


class Dialer:
    """Opens guarded connections."""

    __slots__ = ("_context", "_resolver", "guard")

    def __init__(self, guard: Guard, resolver: Resolver, context: ssl.SSLContext | None = None) -> None:
        self.guard = guard
        self._resolver = resolver
        self._context = context

    async def dial(
        self, origin: Origin, make: Callable[[], _Protocol], connect_by: float | None
    ) -> _Protocol:
        """Connect and return the protocol made by `make`, TLS established.

        Args:
            origin: Where to; already admitted by the guard.
            make: Protocol factory, called once per address tried.
            connect_by: Loop time at which to give up; None = never.

        Raises `Forbidden`, `ProviderUnreachable`, `TimeoutConnect`.
        """
        try:
            async with asyncio.timeout_at(connect_by):
                addresses = await self.addresses(origin)
        except TimeoutError:
            raise TimeoutConnect(f"{origin.host}: name not resolved within the connect limit") from None
        failure: Exception | None = None
        for index, address in enumerate(addresses):
            by = _share(connect_by, len(addresses) - index)
            try:
                async with asyncio.timeout_at(by):
                    return await self._connect(origin, address, make)
            except OSError as error:  # TimeoutError, ssl.SSLError and refusals
                failure = error
        raise unreachable(origin, failure) from failure

    async def addresses(self, origin: Origin) -> Sequence[str]:
        """Return the judged addresses of an origin. Raises `Forbidden`, `ProviderUnreachable`."""
        addresses = await self._resolver.resolve(origin)
        self.guard.check(origin, addresses)
        return addresses

    async def _connect(self, origin: Origin, address: str, make: Callable[[], _Protocol]) -> _Protocol:
        loop = asyncio.get_running_loop()
        context = self._tls() if origin.scheme == "https" else None
        name = origin.host if context is not None else None
        transport, protocol = await loop.create_connection(
            make, address, origin.port, ssl=context, server_hostname=name
        )
        try:
            self.guard.peer(origin, address, transport.get_extra_info("peername"))
        except BaseException:
            transport.abort()
            raise
        return protocol

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls_context()
        return self._context


def unreachable(origin: Origin, failure: Exception | None) -> ProviderUnreachable | TimeoutConnect:
    """Return the taxonomy's word for why no address of an origin could be connected."""
    where = f"{origin.host}:{origin.port}"
    if isinstance(failure, TimeoutError):
        return TimeoutConnect(f"{where}: no connection within the connect limit")
    if isinstance(failure, ssl.SSLError):
        return ProviderUnreachable(f"{where}: TLS failed ({_reason(failure)})")
    return ProviderUnreachable(f"{where}: no connection ({_reason(failure)})")


def _share(connect_by: float | None, n_left: int) -> float | None:
    if connect_by is None:
        return None
    now = asyncio.get_running_loop().time()
    return now + (connect_by - now) / n_left


def _reason(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
