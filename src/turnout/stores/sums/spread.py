"""How durations were spread: a histogram with fixed buckets that adds up. Floor 3.

Theory of operation.
1. Bucket `i` holds what lies in `SMALLEST_S * GAMMA**i` up to `GAMMA` times that. Every value of a bucket is
   within the relative error `ERROR` of its representative, and so is every quantile of any sum of histograms
   (Masson, Rim, Lee: DDSketch, VLDB 2019, section 2.1). What is shorter or longer than all buckets counts in
   the first or last one.
2. A histogram is one integer: a lane of `LANE` bits per bucket. Adding two is adding two integers, and 2**40
   values fit into a lane, so that none runs over into the next.
3. Stored, it is the number of its first lane that holds something, in one byte, and what follows: one value
   takes two bytes.
"""

from bisect import bisect_right
from functools import cache
from itertools import accumulate
from math import isfinite, log
from struct import Struct
from typing import Final

SMALLEST_S: Final = 0.001
GAMMA: Final = 1.1
N_BUCKETS: Final = 150
"""Up to 1,600 seconds."""
ERROR: Final = (GAMMA - 1) / (GAMMA + 1)
"""0.048: a quantile told as 1.00 s is between 0.952 s and 1.048 s."""
LANE: Final = 40
_MASK: Final = (1 << LANE) - 1
_SCALE: Final = 1 / log(GAMMA)
_ONES: Final = tuple(1 << (LANE * bucket) for bucket in range(N_BUCKETS))
_MIDDLE: Final = 2 * GAMMA / (GAMMA + 1)
"""Of a bucket that begins at 1: as far, relatively, from both of its ends."""
_MIDDLES: Final = tuple(float(f"{SMALLEST_S * GAMMA**bucket * _MIDDLE:.4g}") for bucket in range(N_BUCKETS))


def one(duration_s: float | None) -> int:
    """Return the histogram of one duration; of none where there is none."""
    if duration_s is None or not isfinite(duration_s):
        return 0
    if duration_s <= SMALLEST_S:
        return 1
    return _ONES[min(int(log(duration_s / SMALLEST_S) * _SCALE), N_BUCKETS - 1)]


def packed(spread: int) -> bytes | None:
    """Write a histogram; None = it holds nothing."""
    if not spread:
        return None
    first = ((spread & -spread).bit_length() - 1) // LANE
    rest = spread >> (first * LANE)
    return bytes((first,)) + rest.to_bytes((rest.bit_length() + 7) // 8, "little")


def unpacked(data: bytes | None) -> int:
    """Read what `packed` wrote."""
    return int.from_bytes(data[1:], "little") << (data[0] * LANE) if data else 0


def quantiles(spread: int, shares: tuple[float, ...]) -> tuple[float | None, ...]:
    """Return the durations below which these shares of all lie, in seconds; `shares` rises."""
    if not spread:
        return (None,) * len(shares)
    first = ((spread & -spread).bit_length() - 1) // LANE
    rest = spread >> (first * LANE)
    n = -(-rest.bit_length() // LANE)
    halves = _lanes(n).unpack(rest.to_bytes(n * LANE // 8, "little"))
    upto = list(accumulate(low | high << 32 for low, high in zip(halves[::2], halves[1::2], strict=True)))
    last = upto[-1] - 1
    found = (first + min(bisect_right(upto, share * last), n - 1) for share in shares)
    return tuple(_MIDDLES[bucket] for bucket in found)


@cache
def _lanes(n: int) -> Struct:
    """Return what reads so many lanes, each as its lower four bytes and its highest one."""
    return Struct("<" + "IB" * n)
