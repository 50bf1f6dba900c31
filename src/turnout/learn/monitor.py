"""Whether a promise still holds, asked again after every observation. Floor 2.

Theory of operation (ROUTING.md section 5.4).

1. `LossWatch` bets that the mean loss is above epsilon: its wealth is the mean over 16 bettors, each staking
   a fixed share of what it owns. Where the mean loss is at most epsilon that is a non-negative
   supermartingale, so it reaches 1/level with probability at most `level`, however often one looks.
2. `ShiftWatch` compares how predicted gaps are spread with how they were spread when the thresholds were
   made, over whole windows of requests: the population stability index.
3. `Difference` is an interval for the mean difference of two models' quality, valid at every step at once.
4. No numpy and no clock: one step costs some twenty multiplications, and the state is a handful of numbers.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (arXiv 2010.09686),
section 3 for the predictable plug-in interval and section 4 for the mixture.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

LEVEL: Final = 0.01
"""Chance of a false alarm over the whole life of a certificate."""
N_BETTORS: Final = 16
LEAST_STAKE: Final = 0.01
WINDOW: Final = 1_000
"""Requests over which a spread is compared: fewer differ by chance."""
MOST_SHIFT: Final = 0.25
"""Population stability index above which the traffic counts as another one."""
LOSS_ALARM: Final = "loss_alarm"
SHIFT_ALARM: Final = "gap_shift"


def stakes(epsilon: float) -> tuple[float, ...]:
    """Return the bettors' shares, evenly spaced in their logarithms; the largest loses half on a win of 1."""
    low, high = math.log(LEAST_STAKE), math.log(0.5 / (1 + epsilon))
    return tuple(math.exp(low + (high - low) * i / (N_BETTORS - 1)) for i in range(N_BETTORS))


class LossWatch:
    """Evidence that the mean loss is above epsilon.

    Attributes:
        epsilon: What was promised.
        n: Observations so far.
        total: Sum of their losses.
        wealth: Log of what each bettor owns.
    """

    __slots__ = ("_stakes", "epsilon", "n", "total", "wealth")

    def __init__(self, epsilon: float) -> None:
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon is {epsilon}; expected above 0 and below 1")
        self.epsilon = epsilon
        self.n = 0
        self.total = 0.0
        self.wealth = [0.0] * N_BETTORS
        self._stakes = stakes(epsilon)

    def take(self, loss: float) -> None:
        """Take in one loss: reference score minus the score of what was answered, within [-1, 1]."""
        if not -1 <= loss <= 1:
            raise ValueError(f"loss is {loss}; expected within -1 and 1")
        self.n += 1
        self.total += loss
        excess = loss - self.epsilon
        self.wealth = [
            w + math.log1p(stake * excess) for w, stake in zip(self.wealth, self._stakes, strict=True)
        ]

    @property
    def log_evidence(self) -> float:
        """Log of the mean wealth; an alarm from log(1 / LEVEL) on."""
        top = max(self.wealth)
        return top + math.log(sum(math.exp(w - top) for w in self.wealth) / N_BETTORS)

    @property
    def alarms(self) -> bool:
        """Whether the promise is refuted."""
        return self.log_evidence >= -math.log(LEVEL)


class ShiftWatch:
    """How far the spread of predicted gaps has moved.

    Attributes:
        counts: Requests of the open window, by cell.
        index: Population stability index of the last whole window; None before there was one.
    """

    __slots__ = ("_bounds", "_expected", "counts", "index")

    def __init__(self, bounds: Sequence[float], shares: Sequence[float]) -> None:
        """Begin.

        Args:
            bounds: Upper ends of all cells but the last, rising.
            shares: Expected share of requests at or below each of them.
        """
        if len(bounds) != len(shares) or list(shares) != sorted(shares):
            raise ValueError("shares: expected one for each bound, rising")
        self._bounds = tuple(bounds)
        ends = (0.0, *shares, 1.0)
        self._expected = tuple(b - a for a, b in pairwise(ends))
        self.counts = [0] * len(self._expected)
        self.index: float | None = None

    def take(self, gap: float) -> bool:
        """Take in one predicted gap; return whether a window ended with it that has moved too far."""
        low, high = 0, len(self._bounds)
        while low < high:  # bisect_left, on a tuple of floats, without the import
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._bounds[middle] < gap else (low, middle)
        self.counts[low] += 1
        n = sum(self.counts)
        if n < WINDOW:
            return False
        self.index = shift(self._expected, self.counts)
        self.counts = [0] * len(self._expected)
        return self.index > MOST_SHIFT


def shift(expected: Sequence[float], counts: Sequence[int]) -> float:
    """Return the population stability index of counts against expected shares.

    Half a request is added to every cell, so that an empty one counts as rare and not as impossible.

    Args:
        expected: Share of each cell.
        counts: Requests in each cell.
    """
    n, k = sum(counts), len(counts)
    total = 0.0
    for share, count in zip(expected, counts, strict=True):
        then = (share * n + 0.5) / (n + 0.5 * k)
        now = (count + 0.5) / (n + 0.5 * k)
        total += (now - then) * math.log(now / then)
    return total


class Interval(Struct, frozen=True):
    """A mean with an interval that holds at every step at once."""

    mean: float
    low: float
    high: float


class Difference:
    """The mean difference of quality between two models, one of which answers each request by lot.

    Attributes:
        n: Requests so far.
    """

    __slots__ = ("_alpha", "_mean", "_penalty", "_scale", "_share", "_squares", "_stakes", "_sum", "n")

    def __init__(self, share: float, alpha: float = 0.05) -> None:
        """Begin.

        Args:
            share: Probability with which the first model answers.
            alpha: Chance that the interval ever misses.
        """
        if not 0 < share < 1 or not 0 < alpha < 1:
            raise ValueError(f"share is {share}, alpha {alpha}; expected both above 0 and below 1")
        self._share, self._alpha = share, alpha
        self._scale = max(1 / share, 1 / (1 - share))
        """Half the width of what one request can say."""
        self.n = 0
        self._mean, self._squares = 0.5, 0.25
        self._stakes = self._sum = self._penalty = 0.0

    def take(self, *, first: bool, score: float, expected: tuple[float, float]) -> None:
        """Take in one answer.

        Args:
            first: Whether the first model gave it.
            score: What it was worth.
            expected: Predicted score of each model, made before; (0, 0) is allowed and only widens.
        """
        said = expected[0] - expected[1]
        if first:
            said += (score - expected[0]) / self._share
        else:
            said -= (score - expected[1]) / (1 - self._share)
        self._take((said / self._scale + 1) / 2)

    def take_pair(self, difference: float) -> None:
        """Take in a difference observed on one request that both answered, within [-1, 1]."""
        self._take((difference / self._scale + 1) / 2)

    def _take(self, z: float) -> None:
        self.n += 1
        t = self.n
        variance = self._squares / t
        stake = min(0.5, math.sqrt(2 * math.log(2 / self._alpha) / (variance * t * math.log1p(t))))
        self._penalty += (z - self._mean) ** 2 * (-math.log1p(-stake) - stake)
        self._stakes += stake
        self._sum += stake * z
        mean = (self._mean * t + z) / (t + 1)
        self._squares += (z - mean) ** 2
        self._mean = mean

    @property
    def interval(self) -> Interval:
        """What is known by now."""
        if not self.n:
            return Interval(0.0, -1.0, 1.0)
        middle = self._sum / self._stakes
        half = (math.log(2 / self._alpha) + self._penalty) / self._stakes
        mean, low, high = ((2 * z - 1) * self._scale for z in (middle, middle - half, middle + half))
        return Interval(mean, max(-1.0, low), min(1.0, high))
