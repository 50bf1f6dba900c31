"""The seam between the engine and the network. Floor 3.

A transport carries an `HttpRequest` to an upstream and hands back a `Response` whose head has arrived
and whose body is still to be read. Every failure is a class of the taxonomy; nothing else escapes.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from turnout.types.http import Headers, HttpRequest, Timeouts

Authorise = Callable[[HttpRequest], Headers]
"""Returns the credential headers for a request; bound to the vendor's hosts (S-10)."""


class Response(Protocol):
    """An answer whose status and headers are known. Must be closed."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names."""

    async def read(self) -> bytes:
        """Return the whole (rest of the) body, decoded. At most the transport's body limit."""
        ...

    async def chunk(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the clean end.

        Raises `TimeoutIdle`, `TimeoutTotal`-free classes of the provider domain, `StreamInterrupted` on an early end.
        """
        ...

    def close(self) -> None:
        """Release the connection: to the pool when the body was read to its end, else by closing it. Idempotent."""
        ...


class Transport(Protocol):
    """Carries requests. One object per process; safe for concurrent use on one event loop."""

    async def send(self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None) -> Response:
        """Send and wait for the head of the answer.

        Raises `ProviderUnreachable`, `TimeoutConnect`, `TimeoutTtft`, `ProviderBadResponse`, `Forbidden` (address guard).
        Cancellation closes the connection before it returns.
        """
        ...

    async def close(self) -> None:
        """Close every idle connection and refuse new requests."""
        ...
