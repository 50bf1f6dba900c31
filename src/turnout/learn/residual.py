"""What the nearest labelled prompts say beyond the fitted model. Floor 2.

r_m(x) = Σ κ_j (y_jm - q_m(x_j)) / (Σ κ_j + κ₀) over at most 100 prompts of the query's nearest cells, with
κ_j = exp((cos - 1) / 0.1) (ROUTING.md 3.4). The q_m(x_j) come from models that did not see prompt j: a
model's own training errors are too small to correct anything.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats
from turnout.learn.cells import Cells

N_NEIGHBOURS: Final = 100
N_CELLS: Final = 3
N_NAMED: Final = 3
"""Neighbours named to whoever asks why."""
SHARPNESS: Final = 10.0
SHRINKAGE: Final = 64.0
"""κ₀: neighbours' worth of "no correction"."""
FEWEST: Final = 2_000
"""Labelled prompts from which it is tried."""
MOST: Final = 16_384
"""Prompts kept: memory has a bound."""

Rows = NDArray[np.int64]
Narrow = NDArray[np.float32]


class Memory(Struct, frozen=True, eq=False):
    """Labelled prompts with what the model got wrong about them."""

    vectors: NDArray[np.float32]
    """Unit rows, sorted by cell."""
    errors: NDArray[np.float32]
    """Score minus held-out prediction, one column a model; 0 where there is no score."""
    starts: Rows
    """Where each cell's rows begin, and the end."""
    ids: NDArray[np.uint64] | None = None
    """Ids of the prompts, 0 where one has none; None: fitted without."""

    def nearest(self, vector: Narrow, cosines: Narrow) -> Mapping[str, float]:
        """Return the prompts that weigh most in a query's correction: id -> cosine, the nearest first."""
        return {} if self.ids is None else named(self.ids, *self._near(vector, cosines))

    def correction(
        self, vectors: Floats | Narrow, cosines: Floats | Narrow, without: Rows | None = None
    ) -> Floats:
        """Return what to add to each prediction.

        Args:
            vectors: n x d, in the space of `self.vectors`.
            cosines: n x cells, of the queries to the centres.
            without: A group for each query followed by one for each row: rows of a query's own group are
                left out. None: every row counts.
        """
        found = np.zeros((vectors.shape[0], self.errors.shape[1]))
        narrow = vectors.astype(np.float32)
        for at in range(vectors.shape[0]):
            rows, near = self._near(narrow[at], cosines[at])
            if without is not None:
                others = without[vectors.shape[0] :][rows] != without[at]
                rows, near = rows[others], near[others]
            if not rows.size:
                continue
            if rows.size > N_NEIGHBOURS:
                kept = np.argpartition(near, -N_NEIGHBOURS)[-N_NEIGHBOURS:]
                rows, near = rows[kept], near[kept]
            weights = np.exp(SHARPNESS * (near - 1.0))
            found[at] = weights @ self.errors[rows] / (weights.sum() + SHRINKAGE)
        return found

    def _near(self, vector: Narrow, cosines: Floats | Narrow) -> tuple[Rows, Narrow]:
        """Return the rows of a query's nearest cells, and their cosines to it."""
        nearest = min(N_CELLS, cosines.shape[0])
        cells = np.sort(np.argpartition(cosines, -nearest)[-nearest:])
        spans = [(int(self.starts[c]), int(self.starts[c + 1])) for c in cells]
        near = np.concatenate([self.vectors[begin:end] @ vector for begin, end in spans])
        return np.concatenate([np.arange(begin, end) for begin, end in spans]), near


def named(ids: NDArray[np.uint64], rows: Rows, near: Narrow) -> Mapping[str, float]:
    """Return the `N_NAMED` nearest of some rows that have an id: its hex digits -> cosine, nearest first."""
    order = rows[np.argsort(-near, kind="stable")][: 4 * N_NAMED]
    cosine = np.sort(near)[::-1]
    found: dict[str, float] = {}
    for row, near_it in zip(order.tolist(), cosine.tolist(), strict=False):
        number = int(ids[row])
        if number and len(found) < N_NAMED:
            found.setdefault(f"{number:016x}", round(near_it, 4))
    return found


def remember(
    vectors: Floats, cells: Cells, cosines: Floats, errors: Floats, ids: NDArray[np.uint64] | None = None
) -> tuple[Memory, Rows]:
    """Return the memory of some prompts, and which row of theirs each of its rows is."""
    n = vectors.shape[0]
    kept = np.arange(n) if n <= MOST else np.linspace(0, n - 1, MOST).astype(np.int64)
    home = cosines[kept].argmax(axis=1)
    order = np.argsort(home, kind="stable")
    rows: Rows = kept[order]
    starts = np.searchsorted(home[order], np.arange(cells.k + 1)).astype(np.int64)
    told = np.nan_to_num(errors[rows]).astype(np.float32)
    kept_ids = None if ids is None else ids[rows]
    return Memory(vectors[rows].astype(np.float32), told, starts, kept_ids), rows
