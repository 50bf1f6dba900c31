"""What makes a journal forget: text, old Records, and whose they were. Floor 3.

Theory of operation.

1. Records leave in batches of their own, each one short transaction: the journal's writer waits for none of
   them longer than for another worker's batch.
2. Text goes before its Record, a Record before its sums: what was spent stays spent.
3. A customer's Records are not deleted but made nobody's: the id becomes a new random name in rows, words and
   sums alike, and whatever else could tell who it was goes. So money stays right, and one nobody's Records
   still add up. Nothing links the name to the id.
"""

from datetime import datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from turnout.stores.base import encode, restore
from turnout.types.record import Record


class Whose(Struct, frozen=True):
    """Whose Records share a retention. None = of none."""

    organisation: str | None
    project: str | None


@runtime_checkable
class Private(Protocol):
    """A journal that can forget. All raise `StoreUnavailable`."""

    async def owners(self) -> tuple[Whose, ...]:
        """Return everybody who has Records, or had."""
        ...

    async def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete the oldest Records that arrived before an instant; return how many, at most `most`."""
        ...

    async def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove the text of such Records; return of how many."""
        ...

    async def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Make Records of a customer those of `name`; return of how many.

        Args:
            customer: Whose they were.
            organisation: Only of this one; None = of every one.
            name: Whose they are from now on.
            most: How many at once; 0 = the sums' names are changed, and nothing else.
        """
        ...


@runtime_checkable
class PrivateRows(Protocol):
    """Rows that can forget. Blocking."""

    def owners(self) -> tuple[Whose, ...]:
        """Return what `Private.owners` does."""
        ...

    def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete what `Private.expire` does."""
        ...

    def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove what `Private.strip` does."""
        ...

    def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Change what `Private.anonymise` does."""
        ...


def stripped(payload: bytes) -> bytes:
    """Return a payload without text."""
    return encode(replace(restore(payload), content=None))


def anonymised(payload: bytes, name: str) -> bytes:
    """Return a payload that is nobody's."""
    return encode(nobodys(restore(payload), name))


def nobodys(record: Record, name: str) -> Record:
    """Return a Record that is nobody's: what was asked, of which model, when and for how much."""
    return replace(
        record,
        customer=name,
        client_request_id=None,
        end_user_hash=None,
        session_hash=None,
        query_hash=None,
        trace_id=None,
        metadata={},
        decision=None if record.decision is None else replace(record.decision, session=None),
        content=None,
    )
