"""Streaming quantiles of the last minutes: histograms with logarithmic buckets. Floor 3.

Theory of operation.
1. A value falls into bucket `floor(log(value) / log(GAMMA))`. Every value of a bucket is within the
   relative error (GAMMA-1)/(GAMMA+1) = ALPHA of the bucket's representative, so every quantile is too.
   (Masson, Rim, Lee: DDSketch, VLDB 2019, section 2.1.) Buckets exist only where values fell.
2. Values are kept per minute; a minute older than the window is forgotten whole.
3. Inserting touches the current minute only. Reading merges the minutes, and keeps the merge until
   enough came in to matter: with `n` values merged, n/16 more. So reading is cheap under load, and exact
   in the sense of (1) for the values merged.
4. Two sketches add up bucket by bucket, minute by minute, if they read the same clock: numbers of several
   processes of a machine can be merged.
"""

from bisect import bisect_right
from math import log

ALPHA = 0.02
GAMMA = (1 + ALPHA) / (1 - ALPHA)
SCALE = 1 / log(GAMMA)
SHIFT = 1000
"""Added to every bucket number so that it is positive and `int` rounds down: covers values above 1e-17."""
SMALLEST = 1e-9
"""Smaller values, zero included, count as this one."""
SLACK = 16
"""A summary may miss one in so many of the values."""


class Sketch:
    """Quantiles over the last `n_windows` windows of `window_s` seconds.

    Attributes:
        windows: Number of the window, counted from clock reading 0 -> bucket -> count.
        merged: How many values the latest summary rests on; -1 = a minute was forgotten or added since.
        new: Values since then.
        pair: The latest summary. It is what `summary` returns while nothing is new and the minute lasts.
    """

    __slots__ = (
        "_current",
        "_end",
        "_keys",
        "_slot",
        "_sums",
        "merged",
        "n_windows",
        "new",
        "pair",
        "window_s",
        "windows",
    )

    def __init__(self, window_s: float = 60.0, n_windows: int = 5) -> None:
        self.window_s = window_s
        self.n_windows = n_windows
        self.windows: dict[int, dict[int, int]] = {}
        self._current: dict[int, int] = {}
        self._slot = -1
        self._end = 0.0
        """Clock reading at which the current minute ends."""
        self.new = 0
        self.merged = 0
        self._keys: list[int] = []
        self._sums: list[int] = []
        self.pair: tuple[float | None, float | None] = (None, None)

    def add(self, value: float, now: float) -> None:
        """Take in one value (> 0)."""
        if now >= self._end:
            self._roll(now)
        bucket = int(log(value) * SCALE + SHIFT) if value > SMALLEST else 0
        current = self._current
        current[bucket] = current.get(bucket, 0) + 1
        self.new += 1

    def count(self, now: float) -> int:
        """Return how many values are inside the window."""
        self._refresh(now, exact=True)
        return self.merged

    def quantile(self, q: float, now: float) -> float | None:
        """Return the value at rank `floor(q * (n - 1))`, within 2 %; None without values."""
        self._refresh(now, exact=True)
        return self._at(q)

    def summary(self, now: float) -> tuple[float | None, float | None]:
        """Return median and 95 % quantile, of nearly all values (see 3)."""
        if now >= self._end or (self.new and self.new * SLACK >= self.merged) or self.merged < 0:
            self._refresh(now, exact=False)
        return self.pair

    def merge(self, other: "Sketch") -> None:
        """Add what another sketch of the same clock and window length holds."""
        if other.window_s != self.window_s:
            raise ValueError(f"cannot merge windows of {other.window_s} s into windows of {self.window_s} s")
        for slot, counts in other.windows.items():
            mine = self.windows.setdefault(slot, {})
            for bucket, n in counts.items():
                mine[bucket] = mine.get(bucket, 0) + n
        if self.windows:
            self._enter(max(self.windows))

    def _roll(self, now: float) -> None:
        slot = int(now / self.window_s)
        if slot > self._slot:
            self._enter(slot)
        self._end = (self._slot + 1) * self.window_s

    def _enter(self, slot: int) -> None:
        self._slot = slot
        self._end = (slot + 1) * self.window_s
        self._current = self.windows.setdefault(slot, {})
        for old in [each for each in self.windows if each <= slot - self.n_windows]:
            del self.windows[old]
        self.merged = -1

    def _refresh(self, now: float, *, exact: bool) -> None:
        if now >= self._end:
            self._roll(now)
        if self.merged < 0 or (self.new and (exact or self.new * SLACK >= self.merged)):
            self._merge_windows()

    def _merge_windows(self) -> None:
        merged: dict[int, int] = {}
        for counts in self.windows.values():
            if merged:
                for bucket, n in counts.items():
                    merged[bucket] = merged.get(bucket, 0) + n
            else:
                merged = dict(counts)
        self._keys = sorted(merged)
        self._sums = []
        total = 0
        for bucket in self._keys:
            total += merged[bucket]
            self._sums.append(total)
        self.merged = total
        self.new = 0
        self.pair = (self._at(0.5), self._at(0.95))

    def _at(self, q: float) -> float | None:
        if not self._keys:
            return None
        bucket = self._keys[bisect_right(self._sums, int(q * (self.merged - 1)))]
        return float(2 * GAMMA ** (bucket - SHIFT + 1) / (GAMMA + 1)) if bucket else SMALLEST
