"""How alike two questions must be for one answer: the threshold, and what was shown about it. Floor 2.

Theory of operation (ROUTING.md section 5, with other losses).

1. A pair of questions is a look-up that has found its nearest. It is served where the cosine is at least the
   threshold and no rule of `learn.alike` objects; it is a false hit where the answers are not
   interchangeable.
2. Thresholds are quantiles of the cosines of other pairs, whose labels nobody reads, from the largest down.
   They are tested in that order, and testing stops at the first that cannot be shown to keep the promise
   (fixed-sequence testing): the error of the whole sequence stays at delta.
3. Two promises are known. `lookups`: of all look-ups, at most epsilon end in a false hit. `hits`: of all that
   is served, at most epsilon is false; the exact binomial bound over the pairs that are served.
4. What is assumed: pairs are exchangeable with what the cache will meet. That is why a threshold is fitted on
   a tenant's own pairs where there are some, and watched when it is in use.

Source: Angelopoulos et al., "Learn then Test" (arXiv 2110.01052); Clopper and Pearson 1934.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.alike import EDITION
from turnout.learn.base import Floats

SCHEMA: Final = "turnout.cache/1"
N_THRESHOLDS: Final = 50
LOWEST: Final = 0.5
"""No threshold is below it, whatever the pairs say."""
Of = Literal["lookups", "hits"]


class DataCard(Struct, frozen=True, kw_only=True):
    """The pairs something was shown on."""

    name: str
    sha256: str
    n: int
    n_same: int


class CacheCard(Struct, frozen=True, kw_only=True):
    """An artifact of `turnout calibrate cache`."""

    schema: str = SCHEMA
    encoder: str
    """Id of the encoder whose cosines are compared."""
    kind: str
    """Its name in the configuration."""
    edition: int = EDITION
    """Of the rules that object."""
    threshold: float | None
    """None: nothing could be shown, and nothing is served."""
    of: Of = "lookups"
    max_false_hits: float
    confidence: float
    n: int
    """Pairs that it was shown on."""
    n_hits: int
    n_false: int
    bound: float
    """Upper confidence bound of the false-hit rate, of what `of` says."""
    bound_hits: float
    """The same as a share of what is served, whatever was promised."""
    recall: float
    """Share of the interchangeable pairs that are served."""
    data: DataCard
    created: str


class Pairs(Struct, frozen=True, eq=False):
    """Pairs as numbers."""

    cosines: Floats
    objected: NDArray[np.bool_]
    same: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.cosines)

    def at(self, rows: "NDArray[np.intp] | slice") -> "Pairs":
        """Return some of them."""
        return Pairs(self.cosines[rows], self.objected[rows], self.same[rows])


class Shown(Struct, frozen=True, kw_only=True):
    """What one threshold does to some pairs."""

    threshold: float
    n: int
    n_same: int
    n_hits: int
    n_false: int
    bound: float
    """Of false hits among all look-ups."""
    bound_hits: float
    """Of false hits among what is served."""

    @property
    def recall(self) -> float:
        """Share of the interchangeable pairs that are served."""
        return (self.n_hits - self.n_false) / self.n_same if self.n_same else 0.0


def served(pairs: Pairs, threshold: float, delta: float) -> Shown:
    """Count what a threshold serves."""
    n_hits, n_false = _counts(pairs, threshold)
    return Shown(
        threshold=threshold,
        n=pairs.n,
        n_same=int(pairs.same.sum()),
        n_hits=n_hits,
        n_false=n_false,
        bound=upper_bound(n_false, pairs.n, delta) if pairs.n else 1.0,
        bound_hits=upper_bound(n_false, n_hits, delta) if n_hits else 1.0,
    )


def _counts(pairs: Pairs, threshold: float) -> tuple[int, int]:
    hits = (pairs.cosines >= threshold) & ~pairs.objected
    return int(hits.sum()), int((hits & ~pairs.same).sum())


def upper_bound(k: int, n: int, delta: float) -> float:
    """Return the exact upper confidence bound of a rate of which `k` of `n` were seen (Clopper-Pearson).

    As `calibrate.clopper_pearson_upper`, over arrays: counts here go into the thousands.
    """
    if k >= n:
        return 1.0
    at = np.arange(1, k + 1, dtype=np.float64)
    ways = np.concatenate([[0.0], np.cumsum(np.log(n - at + 1) - np.log(at))])
    successes = np.arange(k + 1, dtype=np.float64)
    low, high, needed = k / n, 1.0, math.log(delta)
    for _ in range(50):
        middle = (low + high) / 2
        chances = ways + successes * math.log(middle) + (n - successes) * math.log1p(-middle)
        top = float(chances.max())
        if top + math.log(float(np.exp(chances - top).sum())) > needed:
            low = middle
        else:
            high = middle
    return high


def thresholds(cosines: Sequence[float], n: int = N_THRESHOLDS) -> list[float]:
    """Return the thresholds to be tested, falling: quantiles of cosines, each once.

    Args:
        cosines: Of pairs that are not shown anything on, and that no rule objects to.
        n: Number of quantiles.
    """
    high = np.sort([each for each in cosines if math.isfinite(each) and each >= LOWEST])
    if not high.size:
        return []
    last = (np.arange(1, n + 1) * high.size + n - 1) // n - 1
    return sorted({round(float(each), 6) for each in high[last]}, reverse=True)


def calibrated(pairs: Pairs, grid: Sequence[float], epsilon: float, delta: float, of: Of) -> Shown | None:
    """Return the lowest threshold that keeps the promise, with what it does; None: none is shown to.

    Args:
        pairs: None of which the thresholds come from.
        grid: Falling.
        epsilon: Largest false-hit rate.
        delta: Probability that the promise is wrong.
        of: What the rate is a share of.
    """
    least = math.ceil(math.log(delta) / math.log1p(-epsilon))
    best: float | None = None
    for threshold in grid:
        n_hits, n_false = _counts(pairs, threshold)
        if of == "hits" and n_hits < least:
            continue  # so few show nothing, whatever they are; their labels are not read
        if upper_bound(n_false, pairs.n if of == "lookups" else n_hits, delta) > epsilon:
            break
        best = threshold
    return None if best is None else served(pairs, best, delta)


def read_card(data: bytes) -> CacheCard:
    """Read an artifact. Raises `ValueError` for what is none."""
    try:
        card = msgspec.json.decode(data, type=CacheCard)
    except msgspec.DecodeError as error:
        raise ValueError(f"no artifact of `turnout calibrate cache`: {error}") from None
    if card.schema != SCHEMA:
        raise ValueError(f"its schema is {card.schema[:40]!r}; expected {SCHEMA!r}")
    return card
