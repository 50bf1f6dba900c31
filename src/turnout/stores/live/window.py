"""Two counters over a sliding window: how many, and how many of a special kind. Floor 3."""


class Window:
    """Counts events and hits of the last `length_s` seconds, in `n_slots` slots that expire one by one.

    Attributes:
        n: Events inside the window, as of the last call.
        hits: Hits inside the window, as of the last call.
    """

    __slots__ = ("_at", "_end", "_hits", "_n", "_slot", "_slot_s", "hits", "n")

    def __init__(self, length_s: float, n_slots: int) -> None:
        self._slot_s = length_s / n_slots
        self._n = [0] * n_slots
        self._hits = [0] * n_slots
        self._at = 0
        self._slot = 0
        """Number of the slot at `_at`, counted from clock reading 0."""
        self._end = 0.0
        """Clock reading at which that slot is full; an earlier reading never moves the ring back."""
        self.n = 0
        self.hits = 0

    def count(self, now: float) -> None:
        """Count one event."""
        if now >= self._end:
            self.roll(now)
        self.n += 1
        self._n[self._at] += 1

    def hit(self, now: float) -> None:
        """Count one hit. An event that is also a hit is counted by both calls."""
        if now >= self._end:
            self.roll(now)
        self.hits += 1
        self._hits[self._at] += 1

    def roll(self, now: float) -> None:
        """Forget what left the window."""
        if now < self._end:
            return
        size = len(self._n)
        slot = max(int(now / self._slot_s), self._slot)
        for _ in range(min(slot - self._slot, size)):
            self._at = (self._at + 1) % size
            self.n -= self._n[self._at]
            self.hits -= self._hits[self._at]
            self._n[self._at] = self._hits[self._at] = 0
        self._slot = slot
        self._end = (slot + 1) * self._slot_s

    def forgive(self) -> None:
        """Forget the hits, and none of the events."""
        self._hits = [0] * len(self._hits)
        self.hits = 0

    def clear(self) -> None:
        """Forget everything."""
        size = len(self._n)
        self._n = [0] * size
        self._hits = [0] * size
        self.n = self.hits = 0
