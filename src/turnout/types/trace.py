"""Where a request stands in a distributed trace (W3C Trace Context). Floor 0."""

from msgspec import Struct

_ODD = 0x9E37_79B9_7F4A_7C15
"""Any odd number: its multiples are all different."""
_MASK = (1 << 64) - 1


class Trace(Struct, frozen=True, kw_only=True):
    """The trace of one request, and the request's own span in it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 of them: the gateway's span for the request; where nothing is recorded, the caller's."""
    parent_id: str | None = None
    """The caller's span; None = the trace begins here."""
    sampled: bool
    """Whether whoever comes later is asked to record."""
    recorded: bool = True
    """Whether spans of this request are exported; else the caller's context is only passed on."""
    state: str | None = None
    """The caller's `tracestate`, as it came."""

    def span_of(self, n: int) -> str:
        """Return the span id of the n-th call to an upstream: made from the request's, not kept."""
        if not self.recorded:
            return self.span_id
        return f"{(int(self.span_id, 16) + n * _ODD) & _MASK or 1:016x}"

    def headers(self, n: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return what tells an upstream which trace its n-th call belongs to."""
        flags = "01" if self.sampled else "00"
        parent = (b"traceparent", f"00-{self.trace_id}-{self.span_of(n)}-{flags}".encode())
        return (parent,) if not self.state else (parent, (b"tracestate", self.state.encode("latin-1")))
