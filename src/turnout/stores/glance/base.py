"""Parts of many Records, read in a fraction of the time that whole ones take. Floor 3.

A part is a Struct that has some of a Record's fields, by the same names.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from turnout.stores.base import Journal, Query

PartT = TypeVar("PartT", bound=Struct)
_PAGE = 500


@runtime_checkable
class PayloadRows(Protocol):
    """Rows that give Records as they are stored. Blocking."""

    def payloads(self, query: Query) -> Sequence[bytes]:
        """Return the Records that match, in their order. Raises `StoreUnavailable`."""
        ...


@runtime_checkable
class Glances(Protocol):
    """A journal of whose Records parts can be read."""

    async def glance(self, query: Query, part: type[PartT]) -> tuple[PartT, ...]:
        """Return a part of each Record that matches. Raises `StoreUnavailable`."""
        ...


async def glance(journal: Journal, query: Query, part: type[PartT]) -> tuple[PartT, ...]:
    """Return a part of each Record that matches, whatever the journal. Raises `StoreUnavailable`."""
    if isinstance(journal, Glances):
        return await journal.glance(query, part)
    found: list[PartT] = []
    page = replace(query, limit=min(_PAGE, query.limit))
    while len(found) < query.limit:
        told = await journal.query(page)
        found += [msgspec.convert(each, part, from_attributes=True) for each in told.records]
        if not told.more:
            break
        page = replace(page, after=told.entries[-1].cursor)
    return tuple(found[: query.limit])


def parts_of(rows: PayloadRows, query: Query, part: type[PartT]) -> tuple[PartT, ...]:
    """Return a part of each Record that matches; what another version wrote otherwise is left out."""
    decode, found = msgspec.msgpack.Decoder(part).decode, []
    for payload in rows.payloads(query):
        try:
            found.append(decode(payload))
        except msgspec.DecodeError:
            continue
    return tuple(found)
