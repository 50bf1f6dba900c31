"""The generator of one request's draws: cheap to seed, as most requests draw once or twice. Floor 4.

Seeding the standard generator fills 624 words and costs 5 µs, a third of what a whole decision may cost. This
one has 64 bits of state. Equal seeds give equal draws, which is all that a replay asks of it.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), SplitMix64.
"""

from random import Random
from typing import Final

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_UNIT: Final = 2.0**-53


class Lot(Random):
    """`Random` over SplitMix64. Every method of `Random` works; its state cannot be read or set."""

    def __init__(self, seed: int) -> None:  # super().__init__ would do the very seeding that this spares
        self._state = seed & _MASK
        self.gauss_next = None

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return (self._next() >> 11) * _UNIT

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of `k` random bits."""
        found, have = 0, 0
        while have < k:
            found = found << 64 | self._next()
            have += 64
        return found >> (have - k)

    def _next(self) -> int:
        state = self._state = (self._state + _GOLDEN) & _MASK
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & _MASK
        return state ^ state >> 31
