"""The regions that training prompts fall into, and how far from all of them a prompt is. Floor 2.

Centres are found by k-means on unit vectors, begun by k-means++ with a fixed seed and without any label, so
equal prompts give equal cells (ROUTING.md 3.1).
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats

N_CELLS: Final = 64
N_NEAREST: Final = 3
SHARPNESS: Final = 10.0
"""Membership is softmax(cosine / 0.1), as a factor."""
ROUNDS: Final = 12
PROMPTS_A_CELL: Final = 10
"""Fewer make a cell a memory of single prompts."""
SAMPLE: Final = 6_000
"""Vectors that centres are found on: more do not move them, and the time stays bounded."""


class Cells(Struct, frozen=True, eq=False):
    """Centres of regions, as unit rows."""

    centres: Floats

    @property
    def k(self) -> int:
        """How many."""
        return int(self.centres.shape[0])

    def cosines(self, embeddings: Floats) -> Floats:
        """Return n x k cosines of unit rows to each centre."""
        found: Floats = embeddings @ self.centres.T
        return found

    def membership(self, embeddings: Floats, nearest: int = N_NEAREST) -> Floats:
        """Return n x k shares: the nearest cells by softmax, every other one 0; each row sums to 1."""
        return membership_of(self.cosines(embeddings), nearest)

    def nearness(self, embeddings: Floats) -> Floats:
        """Return each row's cosine to its nearest centre: low means unlike anything seen."""
        found: Floats = self.cosines(embeddings).max(axis=1)
        return found

    def home(self, embeddings: Floats) -> NDArray[np.int64]:
        """Return each row's nearest cell."""
        found: NDArray[np.int64] = self.cosines(embeddings).argmax(axis=1)
        return found


def membership_of(cosines: Floats, nearest: int = N_NEAREST, sharpness: float = SHARPNESS) -> Floats:
    """Return shares from cosines: softmax over the `nearest` of each row."""
    n, k = cosines.shape
    if k <= nearest:
        kept = cosines
        weights = np.exp(sharpness * (kept - kept.max(axis=1, keepdims=True)))
        shares: Floats = weights / weights.sum(axis=1, keepdims=True)
        return shares
    places = np.argpartition(cosines, k - nearest, axis=1)[:, k - nearest :]
    kept = np.take_along_axis(cosines, places, axis=1)
    weights = np.exp(sharpness * (kept - kept.max(axis=1, keepdims=True)))
    shares = np.zeros((n, k))
    np.put_along_axis(shares, places, weights / weights.sum(axis=1, keepdims=True), axis=1)
    return shares


def find_cells(embeddings: Floats, k: int = N_CELLS, seed: int = 0) -> Cells:
    """Return the cells of some prompts: at most `k`, fewer where the prompts are few.

    Raises:
        ValueError: No row says anything.
    """
    rows = embeddings[np.einsum("ij,ij->i", embeddings, embeddings) > 0]
    if not rows.shape[0]:
        raise ValueError("no prompt has a vector; is the encoder right for this language?")
    random = np.random.Generator(np.random.PCG64(seed))
    if rows.shape[0] > SAMPLE:
        rows = rows[np.sort(random.choice(rows.shape[0], SAMPLE, replace=False))]
    k = max(1, min(k, rows.shape[0] // PROMPTS_A_CELL))
    centres = _spread_out(rows, k, random)
    for _ in range(ROUNDS):
        home = (rows @ centres.T).argmax(axis=1)
        sums = _sums(rows, home, k)
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
        moved = np.where(lengths[:, None] > 0, sums / np.where(lengths > 0, lengths, 1.0)[:, None], centres)
        if np.abs(moved - centres).max() < 1e-4:
            break
        centres = moved
    return Cells(centres)


def _sums(rows: Floats, home: NDArray[np.int64], k: int) -> Floats:
    member = np.zeros((k, rows.shape[0]))
    member[home, np.arange(rows.shape[0])] = 1.0
    sums: Floats = member @ rows
    return sums


def _spread_out(rows: Floats, k: int, random: np.random.Generator) -> Floats:
    """Return k rows, each drawn with a chance that grows with its squared distance to those before it."""
    chosen = [int(random.integers(rows.shape[0]))]
    distance = np.maximum(2 - 2 * (rows @ rows[chosen[0]]), 0.0)
    while len(chosen) < k:
        total = float(distance.sum())
        if total <= 0:
            break  # fewer distinct prompts than cells
        at = int(np.searchsorted(np.cumsum(distance), random.random() * total, side="right"))
        chosen.append(min(at, rows.shape[0] - 1))
        distance = np.minimum(distance, np.maximum(2 - 2 * (rows @ rows[chosen[-1]]), 0.0))
    return rows[chosen]
