"""What a scoreboard is computed from: the items, and what each policy makes of them. Floor 6."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.evaluate.metrics import Floats
from turnout.evaluate.scoreboard_measure import Columns
from turnout.evaluate.scoreboard_router import Standing
from turnout.evaluate.simulate_table import Bench

Allows: TypeAlias = Callable[[str], bool]
"""Whether there is time for another part, by its name."""


class Evidence(Struct, frozen=True, eq=False, kw_only=True):
    """One row an item, in every part."""

    name: str
    """Of the router; it seeds the resamples."""
    bench: Bench
    router: Standing
    forecasts: Mapping[str, Floats]
    """Baseline -> predicted scores."""
    charges: Floats | None
    """Expected USD; None: not known."""
    best: Columns
    """Best single model of the item's fold."""
    cheapest: Columns | None
    clusters: NDArray[np.int64] | None
    train: Bench
    """Of the first fold."""
    strong: str | None
    weak: str | None
    price: float
    n_resamples: int
    seed: int
