"""A journal and a store that live and die with the process. Floor 3.

For the SDK, tests and single-process gateways. Both are bounded. Both are used from one event loop and
never give way to it in the middle, which makes each call atomic.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from turnout.stores.base import Columns, Cursor, Entry, Page, Query, Stats, columns_of, found_by, terms_of
from turnout.stores.columns import microseconds
from turnout.stores.private.base import Whose, nobodys
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums.memory import summed
from turnout.stores.sums.usage import UsageQuery, Used
from turnout.stores.sums.usage_memory import used
from turnout.types.record import Record

V = TypeVar("V")

CAPACITY = 10_000
"""Records kept; each takes a few kilobytes."""
KEYS = 100_000
"""Counters kept, and values kept."""
VALUE_BYTES = 64 * 1024 * 1024
"""Size of all values kept together."""


class _Kept(Struct, frozen=True):
    """A Record in the ring, with what it is searched by."""

    seq: int
    columns: Columns
    record: Record

    @property
    def place(self) -> tuple[int, int]:
        return self.columns.at_us, self.seq


class MemoryJournal:
    """A `Journal` that keeps the latest Records; the oldest makes room and is counted as dropped."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: dict[str, _Kept] = {}
        self._appended = 0
        self._written = 0

    def append(self, record: Record) -> None:
        """Keep a Record; one with the same request id stays as it is."""
        self._appended += 1
        if record.request_id in self._kept:
            return
        self._written += 1
        self._kept[record.request_id] = _Kept(self._written, columns_of(record), record)
        if len(self._kept) > self._capacity:
            del self._kept[next(iter(self._kept))]

    async def flush(self) -> None:
        """Return: what was appended can be queried at once."""

    async def close(self) -> None:
        """Return: there is nothing to let go of."""

    async def query(self, query: Query) -> Page:
        """Return the Records that match."""
        found = [kept for kept in self._kept.values() if kept.columns.match(query)]
        if query.search is not None:
            terms = terms_of(query.search)
            found = [kept for kept in found if found_by(terms, kept.columns)]
        found = _after(query, found)
        entries = tuple(
            Entry(Cursor(_key(query, kept)[0], kept.seq), kept.record) for kept in found[: query.limit]
        )
        return Page(entries, more=len(found) > query.limit)

    async def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return sums over the Records kept."""
        return summed((kept.columns for kept in self._kept.values()), query)

    async def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Return usage over the Records kept."""
        return used((kept.columns for kept in self._kept.values()), query)

    async def prune_usage(self, now: datetime, most: int) -> int:
        """Return 0: nothing is kept beside the Records."""
        return 0

    async def owners(self) -> tuple[Whose, ...]:
        """Return everybody who has Records."""
        facts = [kept.columns for kept in self._kept.values()]
        return tuple(dict.fromkeys(Whose(of.organisation, of.project) for of in facts))

    async def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete old Records; see `stores.private`."""
        found = self._of(whose, before)[:most]
        for kept in found:
            del self._kept[kept.columns.request_id]
        return len(found)

    async def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove the text of old Records; see `stores.private`."""
        found = [kept for kept in self._of(whose, before) if kept.columns.has_text][:most]
        for kept in found:
            self._change(kept, replace(kept.record, content=None))
        return len(found)

    async def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Make Records nobody's; see `stores.private`."""
        found = [
            kept
            for kept in self._kept.values()
            if kept.columns.customer == customer and organisation in {None, kept.columns.organisation}
        ][:most]
        for kept in found:
            self._change(kept, nobodys(kept.record, name))
        return len(found)

    def _of(self, whose: Whose, before: datetime) -> list[_Kept]:
        limit = microseconds(before)
        found = [kept for kept in self._kept.values() if kept.columns.at_us < limit]
        return [each for each in found if Whose(each.columns.organisation, each.columns.project) == whose]

    def _change(self, kept: _Kept, record: Record) -> None:
        self._kept[record.request_id] = _Kept(kept.seq, columns_of(record), record)

    async def get(self, request_id: str) -> Record | None:
        """Return one Record, or None."""
        kept = self._kept.get(request_id)
        return kept.record if kept else None

    def stats(self) -> Stats:
        """Say how many Records came and how many had to make room."""
        return Stats(appended=self._appended, written=self._written, dropped=self._written - len(self._kept))


def _after(query: Query, found: list[_Kept]) -> list[_Kept]:
    """Sort as the query asks and cut off what comes up to its cursor."""
    there = (query.after.at_us, query.after.seq) if query.after else None
    match query.order:
        case "stored":
            return [kept for kept in found if there is None or kept.seq > there[1]]
        case "oldest":
            found.sort(key=lambda kept: kept.place)
            return [kept for kept in found if there is None or kept.place > there]
        case "newest":
            found.sort(key=lambda kept: kept.place, reverse=True)
            return [kept for kept in found if there is None or kept.place < there]
        case "dearest":
            found = [kept for kept in found if kept.columns.cost_nusd is not None]
            found.sort(key=lambda kept: _key(query, kept), reverse=True)
            return [kept for kept in found if there is None or _key(query, kept) < there]


def _key(query: Query, kept: _Kept) -> tuple[int, int]:
    """Return the place of a Record in the order asked for."""
    cost = kept.columns.cost_nusd
    return (cost, kept.seq) if query.order == "dearest" and cost is not None else kept.place


class _Expiring(Generic[V]):
    """A dictionary whose entries end; when it is full, those that ended go, then those kept longest."""

    def __init__(self, capacity: int, max_weight: int, weight: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._max_weight = max_weight
        self._weight_of = weight
        self._weight = 0
        self._items: dict[str, tuple[V, float]] = {}

    def get(self, key: str, now: float) -> tuple[V, float] | None:
        """Return a value and when it ends, or None."""
        found = self._items.get(key)
        return found if found is not None and found[1] > now else None

    def put(self, key: str, value: V, ends_at: float, now: float) -> None:
        """Keep a value until `ends_at`."""
        self.pop(key)
        weight = self._weight_of(value)
        if len(self._items) >= self._capacity or self._weight + weight > self._max_weight:
            self._make_room(weight, now)
        self._items[key] = (value, ends_at)
        self._weight += weight

    def pop(self, key: str) -> None:
        """Let go of a value."""
        found = self._items.pop(key, None)
        if found is not None:
            self._weight -= self._weight_of(found[0])

    def _make_room(self, weight: int, now: float) -> None:
        # A tenth at once, so that a full dictionary does not look at every key for every new one.
        for key in [key for key, item in self._items.items() if item[1] <= now]:
            self.pop(key)
        most = self._capacity - max(1, self._capacity // 10)
        heaviest = self._max_weight - max(weight, self._max_weight // 10)
        for key in list(self._items):
            if len(self._items) <= most and self._weight <= heaviest:
                break
            self.pop(key)


class MemoryStore:
    """A `Store` in dictionaries, bounded in number and, for values, in size."""

    def __init__(
        self,
        capacity: int = KEYS,
        clock: Callable[[], float] = time.monotonic,
        *,
        value_bytes: int = VALUE_BYTES,
    ) -> None:
        self._clock = clock
        self._counters: _Expiring[int] = _Expiring(capacity, capacity, lambda _: 0)
        self._values: _Expiring[bytes] = _Expiring(capacity, value_bytes, len)

    async def incr(self, key: str, by: int, *, ttl_s: float) -> int:
        """Add to a counter; see `Store.incr`."""
        now = self._clock()
        count, ends_at = self._counters.get(key, now) or (0, now + ttl_s)
        self._counters.put(key, count + by, ends_at, now)
        return count + by

    async def count(self, key: str) -> int:
        """Return a counter; see `Store.count`."""
        found = self._counters.get(key, self._clock())
        return found[0] if found else 0

    async def claim(self, key: str, value: bytes, *, ttl_s: float) -> bytes | None:
        """Keep a value unless the key has one; see `Store.claim`."""
        now = self._clock()
        found = self._values.get(key, now)
        if found is not None:
            return found[0]
        self._values.put(key, value, now + ttl_s, now)
        return None

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value in place of any other; see `Store.put`."""
        now = self._clock()
        self._values.put(key, value, now + ttl_s, now)

    async def forget(self, key: str) -> None:
        """Let go of a value; see `Store.forget`."""
        self._values.pop(key)
