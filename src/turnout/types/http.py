"""HTTP messages as values: what codecs make and transports carry. Floor 0."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

Headers = Sequence[tuple[bytes, bytes]]
"""Lower-case names, in order. Values hold no CR, LF or NUL."""


class HttpRequest(Struct, frozen=True):
    """One call to an upstream, complete."""

    method: str
    url: str
    """Absolute, without user-info."""
    headers: Headers
    """Without Host, Content-Length, Connection and credentials: the transport owns those."""
    body: bytes = b""


class HttpResponse(Struct, frozen=True):
    """One answer of an upstream, complete."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names; values of repeated headers joined with ', '."""
    body: bytes


class Timeouts(Struct, frozen=True):
    """Limits of one attempt, in seconds; None = no limit of this kind."""

    connect_s: float | None = 10.0
    first_byte_s: float | None = 60.0
    """From the request's last byte to the answer's first byte."""
    idle_s: float | None = 60.0
    """Between two reads of the answer."""
    total_s: float | None = 600.0
    """From the attempt's start to the answer's last byte."""
