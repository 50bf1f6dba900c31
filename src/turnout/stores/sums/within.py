"""Who asked each model: what its tables are in every database. Floor 3.

See `stores.sums.within_sqlite` for what the cells are and how they are kept true.
"""

from collections.abc import Callable, Mapping
from typing import Final

from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.cells import COUNTERS, N_SPENT, Subject, Within, first_numbers_of
from turnout.stores.sums.usage import CUBES, Width

TABLES: Final[Mapping[Width, str]] = {"hour": "usage_within_hours", "day": "usage_within_days"}
COUNTED: Final = COUNTERS[:N_SPENT]
"""What the sums of spend have too."""
MODELS: Final = CUBES.index(("model",))
"""The cube among whose subjects a model is a number."""
MOST_SOUGHT: Final = 4_000
"""Cells that are looked up one by one; beyond, all of the model and range are read."""
_MODEL: Final = DIMENSIONS.index("model")


def rows_of(batch: Within, number: Callable[[Subject], int]) -> list[tuple[int, ...]]:
    """Return cells as rows, as they lie in the index: cube, model, time, subject and what is `COUNTED`.

    Args:
        batch: Cells by time and model.
        number: Gives the number of a subject.
    """
    found: list[tuple[int, ...]] = []
    for (at, model), cells in batch.items():
        names = ["" for _ in DIMENSIONS]
        names[_MODEL] = model
        place = number((MODELS, tuple(names)))
        found += [
            (subject[0], place, at, number(subject), *first_numbers_of(counters))
            for subject, counters in cells.items()
        ]
    found.sort()
    return found
