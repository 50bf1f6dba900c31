"""Usage of Records that are in memory. Floor 3."""

from collections.abc import Iterable

from turnout.stores.columns import Columns
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.cells import COUNTERS, Batch, Cell
from turnout.stores.sums.memory import summed
from turnout.stores.sums.usage import (
    MINUTE_US,
    MINUTES,
    WITH_MINUTES,
    Shape,
    UsageQuery,
    Used,
    begins,
    counted,
    cube_of,
    from_sums,
    of_sum,
    parts_of,
    ranked,
    with_shape,
)


def used(facts: Iterable[Columns], query: UsageQuery) -> tuple[Used, ...]:
    """Return the usage that a query asks for."""
    cube = cube_of(query)
    if cube is None:
        return tuple(ranked(map(of_sum, summed(facts, from_sums(query))), query))
    parts = parts_of(query, cube)
    first = min((part.first * MINUTES[part.width] for part in parts), default=0)
    last = max((part.last * MINUTES[part.width] for part in parts), default=0)
    inside = [each for each in facts if first <= each.at_us // MINUTE_US < last]
    places = [DIMENSIONS.index(name) for name in query.by]
    given = [
        (at, getattr(query, name)) for at, name in enumerate(DIMENSIONS) if getattr(query, name) is not None
    ]
    width = query.step or ("minute" if cube in WITH_MINUTES else "hour")
    cells: dict[tuple[int | None, tuple[str, ...]], Cell] = {}
    for (number, (where, names)), cell in Batch().cells(inside)[width].items():
        if where != cube or any(names[at] != value for at, value in given):
            continue
        key = (number if query.step else None, tuple(names[at] for at in places))
        held = cells.get(key)
        if held is None:
            held = cells[key] = Cell()
        held.add(cell)
    rows = {_used(number, group, cell, query): cell for (number, group), cell in cells.items()}
    kept = ranked(rows, query)
    return tuple(with_shape(row, _shape(rows[row])) if query.latencies else row for row in kept)


def _used(number: int | None, group: tuple[str, ...], cell: Cell, query: UsageQuery) -> Used:
    at = None if number is None or query.step is None else begins(query.step, number)
    return counted(group, at, cell.numbers(), names=COUNTERS)


def _shape(cell: Cell) -> Shape:
    shape = Shape()
    shape.ttft, shape.total, shape.errors = cell.ttft, cell.total, cell.errors or {}
    return shape
