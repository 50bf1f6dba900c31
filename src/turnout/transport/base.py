"""The seam between the engine and the network. Floor 3.

A transport carries an `HttpRequest` to an upstream and hands back a `Response` whose head has arrived
and whose body is still to be read. Every failure is a class of the taxonomy; nothing else escapes.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from turnout.types.http import Headers, HttpRequest, Timeouts

if TYPE_CHECKING:
    from turnout.transport.upgrade import Upgraded

Authorise = Callable[[HttpRequest], Headers]
"""Returns the credential headers for a request; bound to the vendor's hosts (S-10)."""


@runtime_checkable
class Prepared(Protocol):
    """An `Authorise` that must have something at hand before it is called: a token that is fetched."""

    def __call__(self, request: HttpRequest) -> Headers:
        """Return the credential headers for a request."""
        ...

    async def prepare(self, transport: "Transport") -> None:
        """Have a valid credential at hand. Costs nothing while the one at hand is good for a while.

        Raises `ProviderAuth` when it is refused, and what `Transport.send` raises.
        """
        ...


class Response(Protocol):
    """An answer whose status and headers are known. Must be closed; read by one task."""

    @property
    def status(self) -> int:
        """The final status; interim ones (1xx) are never seen."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; values of repeated headers joined with ', '."""
        ...

    async def read(self) -> bytes:
        """Return the whole (rest of the) body, decoded. At most the transport's body limit.

        Raises what `chunk` raises.
        """
        ...

    async def chunk(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the clean end.

        Raises `TimeoutIdle`, `TimeoutTotal`, `ProviderBadResponse` (over a limit, damaged) and
        `StreamInterrupted` (connection closed before the end), after handing out what came before.
        """
        ...

    def close(self) -> None:
        """Release the connection: to the pool when the body came to its end, else by closing it.

        Idempotent.
        """
        ...


@runtime_checkable
class Straight(Protocol):
    """A response that can hand on what arrives without waking who reads."""

    straight: Callable[[bytes], bool] | None
    """Asked with what arrived while `chunk` waits. True = it was taken; False = nothing happened, `chunk`
    returns it. Let go of when the response ends."""


class Transport(Protocol):
    """Carries requests. One object per process; safe for concurrent use on one event loop."""

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> Response:
        """Send and wait for the head of the answer.

        Raises `ProviderUnreachable` (also when the connection closes before the head is complete),
        `TimeoutConnect`, `TimeoutTtft`, `TimeoutTotal`, `ProviderBadResponse`, `Forbidden` (address guard,
        credential of another host). Cancellation closes the connection before it returns.
        """
        ...

    async def close(self) -> None:
        """Close every idle connection and refuse new requests."""
        ...


@runtime_checkable
class Upgrades(Protocol):
    """A transport that can also open WebSockets."""

    async def upgrade(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None, max_message: int
    ) -> "Upgraded":
        """Ask for a WebSocket and wait for the answer; the limits of idling and of total time do not apply.

        Args:
            request: A `GET` with an `https` or `http` address.
            timeouts: Of connecting and of the answer's head.
            authorise: What presents the credential; None = nothing does.
            max_message: Bytes of one message; a longer one ends the connection.

        Raises what `Transport.send` raises, and `UnsupportedParameter` where the library is missing.
        """
        ...
