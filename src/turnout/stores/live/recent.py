"""What a call takes now: the median of the latest few, and of those still waited for. Floor 3.

Theory of operation. Quantiles over minutes tell what is usual; they notice a change only when half of what
they hold came after it. Choosing the fastest needs what holds at this instant:

1. The last `SPAN_S` seconds before the latest value count, but never more than the latest `MOST` values:
   a busy deployment is known within a fraction of a second.
2. At least the latest `LEAST` values count, however old: a deployment that only exploration asks is known by
   these. So few can be wrong either way. Too fast a number corrects itself with the calls it attracts; too
   slow a one lasts until exploration comes back, which is why `LEAST` is small.
3. A call that has been waited for longer than the median is known to take at least that long, and counts as a
   value that large: a deployment that has become slow is known before the first slow answer is there. The
   same holds for one that was given up. Calls waited for less say nothing yet.
4. Where nothing is waited for, and no more than `LEAST` values are there, the second fastest of them would
   have to be seen twice before anybody follows. So the latest alone counts if it is the fastest: it attracts
   one call, and while that is under way the median holds again. What was luck costs one call.
5. The median is reckoned again when an eighth of the values are new: at once while there are few, and not for
   every call of a busy deployment.
"""

from collections import deque
from collections.abc import Hashable
from itertools import islice

LEAST, MOST = 3, 32
SPAN_S = 10.0
SLACK = 8


class Recent:
    """Median of the latest values.

    Attributes:
        values: When each came, and what it is.
        waiting: Calls without a value yet -> when they started, oldest first.
    """

    __slots__ = ("_new", "_ordered", "values", "waiting")

    def __init__(self) -> None:
        self.values: deque[tuple[float, float]] = deque(maxlen=MOST)
        self.waiting: dict[Hashable, float] = {}
        self._ordered: list[float] = []
        self._new = 0
        """Values since they were put in order."""

    def wait(self, call: Hashable, since: float) -> None:
        """Take in that a call is waited for."""
        self.waiting[call] = since

    def leave(self, call: Hashable, now: float) -> None:
        """Take in that a call is not waited for any more; if it took longer than is usual, that is known."""
        since = self.waiting.pop(call, None)
        if since is not None:
            median = self.median()
            if median is not None and now - since > median:
                self.add(now - since, now)

    def add(self, value: float, now: float, call: Hashable = None) -> None:
        """Take in one value, and that its call is not waited for any more."""
        self.waiting.pop(call, None)
        self.values.append((now, value))
        self._new += 1

    def median(self) -> float | None:
        """Return the median of the values; None without values."""
        ordered = self._in_order()
        return ordered[(len(ordered) - 1) // 2] if ordered else None

    def estimate(self, now: float) -> float | None:
        """Return what a call would take now; None without values."""
        if not self.values:
            return None
        ordered = self._in_order()
        n = len(ordered)
        middle = (n - 1) // 2
        if not self.waiting:
            latest = self.values[-1][1]
            return latest if n <= LEAST and latest <= ordered[0] else ordered[middle]
        limit = now - ordered[middle]
        overdue = 0
        for since in islice(self.waiting.values(), 2 * MOST):
            if since >= limit:
                break
            overdue += 1
        if not overdue:
            return ordered[middle]
        at = (n + overdue - 1) // 2
        if at < n:
            return ordered[at]
        waits = [now - since for since in islice(self.waiting.values(), overdue)]
        return max(ordered[-1], waits[overdue - 1 - (at - n)])

    def _in_order(self) -> list[float]:
        values = self.values
        if self._new * SLACK >= len(values) > 0:
            oldest = values[-1][0] - SPAN_S
            while len(values) > LEAST and values[0][0] < oldest:
                values.popleft()
            self._ordered = sorted([value for _, value in values])
            self._new = 0
        return self._ordered
