"""What a call takes now: the median of the latest few. Floor 3.

Theory of operation. Quantiles over minutes tell what is usual; they notice a change only when half of what
they hold came after it. Choosing the fastest needs what holds at this instant:

1. The last `SPAN_S` seconds before the latest value count, but never more than the latest `MOST` values:
   a busy deployment is known within a fraction of a second.
2. At least the latest `LEAST` values count, however old: a deployment that only exploration asks is known by
   these. So few can be wrong either way. Too fast a number corrects itself with the calls it attracts; too
   slow a one lasts until exploration comes back, which is why `LEAST` is small.
3. The median is reckoned again when an eighth of the values are new: at once while there are few, and not for
   every call of a busy deployment.
"""

from collections import deque

LEAST, MOST = 3, 32
SPAN_S = 10.0
SLACK = 8


class Recent:
    """Median of the latest values."""

    __slots__ = ("_median", "_new", "_values")

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=MOST)
        self._median: float | None = None
        self._new = 0
        """Values since it was reckoned."""

    def add(self, value: float, now: float) -> None:
        """Take in one value."""
        self._values.append((now, value))
        self._new += 1

    def median(self) -> float | None:
        """Return the median; None without values."""
        values = self._values
        if self._new * SLACK >= len(values) > 0:
            oldest = values[-1][0] - SPAN_S
            while len(values) > LEAST and values[0][0] < oldest:
                values.popleft()
            ordered = sorted([value for _, value in values])
            self._median = ordered[(len(ordered) - 1) // 2]
            self._new = 0
        return self._median
