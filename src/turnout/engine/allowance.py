"""How many extra calls hedging may make: a share of the requests, a few at once. Floor 4.

Theory of operation. A bucket of at most `BURST` tokens, full at the start. Every request of the route adds
`SHARE`, every hedge that actually starts takes one. So over any n requests at most SHARE * n + BURST extra
calls are made, and an upstream that turns slow as a whole is not sent twice the load (Dean and Barroso,
The Tail at Scale, 2013, "hedged requests"). Requests are counted by their number in the route: a request that
is not hedged costs nothing here.
"""

SHARE = 0.1
"""Extra calls per request."""
BURST = 5.0


class Allowance:
    """The extra calls of one route."""

    __slots__ = ("_seen", "_tokens")

    def __init__(self) -> None:
        self._tokens = BURST
        self._seen = 0

    def earn(self, n_requests: int) -> None:
        """Take in that the route has had so many requests."""
        if n_requests > self._seen:
            self._tokens = min(BURST, self._tokens + SHARE * (n_requests - self._seen))
            self._seen = n_requests

    @property
    def has_room(self) -> bool:
        """Whether one more extra call may be made."""
        return self._tokens >= 1

    def take(self) -> bool:
        """Take the token of one extra call; False when there is none."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
