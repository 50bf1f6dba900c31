"""How a batch of Records becomes cells to be added to those that are there. Floor 3.

All counters of a cell are lanes of one integer, as are the buckets of a histogram (`spread`): adding a
request to a cell is a few additions of integers, however many counters there are. Hours and
days are sums of what was summed by the minute or hour.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from operator import itemgetter
from struct import Struct
from typing import Final, TypeAlias

import msgspec

from turnout.stores.columns import Columns, Who, who
from turnout.stores.sums import spread
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.usage import CUBES, LATER, MINUTE_US, WITHIN, Width

COUNTERS: Final = (
    *("n", "n_failed", "n_unpriced", "cost_nusd", "n_input", "n_output", "total_us", "n_cached"),
    *("n_hits", "n_guarded", "strong_nusd", "routed_nusd"),
)
"""In the order of their lanes and columns."""
_LANE: Final = 80
"""Bits: the sum of a batch of 64-bit numbers never runs over."""
_HALVES: Final = Struct("<" + "QH" * len(COUNTERS))
"""Reads all lanes, each as its lower eight bytes and its highest two."""
N_SPENT: Final = 7
_FIRST: Final = Struct("<" + "QH" * N_SPENT)
_FIRST_LANES: Final = (1 << N_SPENT * _LANE) - 1
_MOST: Final = 2**62
_FAILED: Final = 1 << _LANE
_UNPRICED: Final = 1 << 2 * _LANE
_HIT: Final = 1 << 8 * _LANE
_GUARDED: Final = 1 << 9 * _LANE
Subject: TypeAlias = tuple[int, tuple[str, ...]]
"""Place of a cube, and a value for each of `DIMENSIONS`; "" where the cube lacks it."""
_ERRORS: Final = msgspec.msgpack.Decoder(dict[str, int])
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_TAKE: Final = tuple(
    itemgetter(*(at if name in cube else len(DIMENSIONS) for at, name in enumerate(DIMENSIONS)))
    for cube in CUBES
)
"""For each cube, what takes its names out of a value for each dimension and an empty one."""
_TAG: Final = DIMENSIONS.index("tag")
_TAGGED: Final = CUBES.index(("organisation", "tag"))
_BY_MINUTE: Final = slice(0, WITHIN[0])
_BY_HOUR: Final = slice(WITHIN[0], None)
_WITHIN: Final = slice(WITHIN[0], -1)
"""Where the subjects of `WITHIN` stand among those of a request: only the last is of another cube."""


class Cell(msgspec.Struct, gc=False, eq=False):
    """The requests of one subject in one stretch of time, of one batch.

    Thousands are made at once: left alone by the collector of cycles, of which none can be in them, they cost
    a third less.
    """

    counters: int = 0
    ttft: int = 0
    total: int = 0
    errors: dict[str, int] | None = None

    def count(self, of: Columns) -> None:
        """Add one request."""
        self.counters += _lanes(of)
        self.ttft += spread.one(of.ttft_s)
        if of.error is None:
            self.total += spread.one(of.total_s)
        else:
            self.errors = added(self.errors or {}, {of.error: 1})

    def add(self, of: "Cell") -> None:
        """Add another cell."""
        self.counters += of.counters
        self.ttft += of.ttft
        self.total += of.total
        if of.errors is not None:
            self.errors = added(self.errors or {}, of.errors)

    def numbers(self) -> list[int]:
        """Return the counters, in the order of `COUNTERS`."""
        return numbers_of(self.counters)


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return two counts by class together; `one` may be changed."""
    for word, n in other.items():
        one[word] = one.get(word, 0) + n
    return one


def packed_errors(errors: dict[str, int] | None) -> bytes | None:
    """Write counts by class; None = there are none."""
    return _ENCODE(errors) if errors else None


def unpacked_errors(data: bytes | None) -> dict[str, int]:
    """Read what `packed_errors` wrote."""
    return _ERRORS.decode(data) if data else {}


def _lanes(of: Columns) -> int:
    """Return the counters of one request."""
    counters = 1 if of.error is None else 1 | _FAILED
    cost = of.cost_nusd
    if cost is None:
        counters |= _UNPRICED if of.error is None else 0
    elif cost > 0:
        counters |= cost << 3 * _LANE
    for lane, n in ((4, of.n_input), (5, of.n_output), (7, of.n_cached)):
        if n is not None and n > 0:
            counters |= n << lane * _LANE
    if of.total_s > 0 and isfinite(of.total_s):
        counters |= min(int(of.total_s * 1e6), _MOST) << 6 * _LANE
    if of.strong_nusd is not None and cost is not None:
        counters |= max(0, of.strong_nusd) << 10 * _LANE | max(0, cost) << 11 * _LANE
    return counters | (_HIT if of.cached else 0) | (_GUARDED if of.guarded else 0)


_OF_ALL: Final = {
    narrow: wide
    for narrow, cube in enumerate(CUBES[:LATER])
    for wide in range(LATER, len(CUBES))
    if set(cube) == {"organisation", *CUBES[wide]}
}
"""Cube -> the same of all organisations together, which is put together from it."""
_FROM_HOURS: Final = CUBES.index(("organisation", "project", "team", "route", "model", "provider"))
_BY_ANSWER: Final = CUBES.index(("route", "model", "provider"))


def _wider(subject: Subject, cube: int) -> Subject:
    """Return the subject of a wider cube that a subject belongs to."""
    return cube, _TAKE[cube]((*subject[1], ""))


def subjects_of(asked: Who) -> Iterator[Subject]:
    """Yield the subject of a request in each cube: several in that of tags, where it has several."""
    organisation, project, team, principal, customer, tags, *answered = asked
    values = tuple(
        [name or "" for name in (organisation, project, team, principal, customer, "", *answered, "")]
    )
    for at in range(LATER):
        if at != _TAGGED:
            yield at, _TAKE[at](values)
            continue
        for tag in dict.fromkeys(tags) or ("",):
            yield at, _TAKE[at]((*values[:_TAG], tag, *values[_TAG + 1 :]))


Cells: TypeAlias = dict[Width, dict[tuple[int, Subject], Cell]]
"""Cells by width, number and subject."""
Within: TypeAlias = dict[tuple[int, str], dict[Subject, int]]
"""Counters by number and model, and by whoever asked it: a subject of one of the cubes `WITHIN`."""
Alike: TypeAlias = dict[tuple[int, Who], Cell]
"""Requests of one minute, one asker and one answerer, counted together."""


def alike(facts: Iterable[Columns]) -> Alike:
    """Count requests: each once, and not once for every cube."""
    found: Alike = {}
    for of in facts:
        key = (of.at_us // MINUTE_US, who(of))
        cell = found.get(key)
        if cell is None:
            cell = found[key] = Cell()
        cell.count(of)
    return found


def numbers_of(counters: int) -> list[int]:
    """Return counters, in the order of `COUNTERS`."""
    return _numbers(_HALVES.unpack(counters.to_bytes(_HALVES.size, "little")))


def first_numbers_of(counters: int) -> list[int]:
    """Return those counters that sums of spend have too: the first `N_SPENT`."""
    return _numbers(_FIRST.unpack((counters & _FIRST_LANES).to_bytes(_FIRST.size, "little")))


def _numbers(halves: tuple[int, ...]) -> list[int]:
    if any(halves[1::2]) or max(halves) >= _MOST:
        halves = tuple(
            min(low | high << 64, _MOST) for low, high in zip(halves[::2], halves[1::2], strict=True)
        )
        return list(halves)
    return list(halves[::2])


class Batch:
    """Requests on their way into cells."""

    def __init__(self) -> None:
        self._known: dict[Who, tuple[Subject, ...]] = {}

    def cells(self, facts: Iterable[Columns]) -> Cells:
        """Return the cells of requests, by width and (number, subject)."""
        found = self.cells_of(alike(facts))
        return {**found, "day": days_of(found["hour"])}

    def cells_of(self, requests: Alike) -> Cells:
        """Return the minutes and hours of a batch, by width and (number, subject)."""
        minutes: dict[tuple[int, Subject], Cell] = {}
        hours: dict[tuple[int, Subject], Cell] = {}
        for (number, asked), cell in requests.items():
            hour, subjects = number // 60, self._subjects(asked)
            for subject in subjects[_BY_MINUTE]:
                _into(minutes, (number, subject), cell)
            for subject in subjects[_BY_HOUR]:
                _into(hours, (hour, subject), cell)
        _widen(minutes, hours)
        for (number, subject), cell in minutes.items():
            _into(hours, (number // 60, subject), cell)
        return {"minute": minutes, "hour": hours}

    def within(self, requests: Alike) -> Within:
        """Return what the models of a batch were asked in each hour, by whoever asked."""
        hours: Within = {}
        for (minute, asked), cell in requests.items():
            place = (minute // 60, asked[-2] or "")
            held = hours.get(place)
            if held is None:
                held = hours[place] = {}
            for subject in self._subjects(asked)[_WITHIN]:
                held[subject] = held.get(subject, 0) + cell.counters
        return hours

    def _subjects(self, asked: Who) -> tuple[Subject, ...]:
        found = self._known.get(asked)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[asked] = tuple(subjects_of(asked))
        return found


def days_of(hours: Mapping[tuple[int, Subject], Cell]) -> dict[tuple[int, Subject], Cell]:
    """Return the days of hours."""
    days: dict[tuple[int, Subject], Cell] = {}
    for (number, subject), cell in hours.items():
        _into(days, (number // 24, subject), cell)
    return days


def days_within(hours: Within) -> Within:
    """Return the days of hours."""
    days: Within = {}
    for (hour, model), found in hours.items():
        whole = days.setdefault((hour // 24, model), {})
        for subject, counters in found.items():
            whole[subject] = whole.get(subject, 0) + counters
    return days


def _widen(minutes: dict[tuple[int, Subject], Cell], hours: dict[tuple[int, Subject], Cell]) -> None:
    """Add the cells of all organisations together: out of cells, which are fewer than requests."""
    for (number, subject), cell in tuple(minutes.items()):
        if subject[0] in _OF_ALL:
            _into(minutes, (number, _wider(subject, _OF_ALL[subject[0]])), cell)
    for (number, subject), cell in tuple(hours.items()):
        if subject[0] == _FROM_HOURS:
            _into(hours, (number, _wider(subject, _BY_ANSWER)), cell)


def _into(cells: dict[tuple[int, Subject], Cell], key: tuple[int, Subject], cell: Cell) -> None:
    held = cells.get(key)
    if held is None:  # of most there is one alone: a copy is cheaper than a sum
        cells[key] = Cell(cell.counters, cell.ttft, cell.total, cell.errors and dict(cell.errors))
    else:
        held.add(cell)


MOST_KNOWN: Final = 20_000
"""Combinations whose subjects are held in memory."""
