"""What every store promises: the journal, the rows behind it, counters and kept values. Floor 3.

Also here, because every journal needs the same: how a Record becomes bytes and back, and which facts of
it can be searched for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from turnout.errors import InvalidRequest
from turnout.stores.columns import (
    EPOCH,
    MOST_WORDS,
    Columns,
    columns_of,
    microseconds,
    read_brief,
    read_columns,
    split,
    words_of,
)
from turnout.stores.columns import INT64 as _INT64
from turnout.types.record import Outcome, Record

Order = Literal["newest", "oldest", "stored", "dearest"]
"""`newest` and `oldest` sort by arrival; `stored` is the order of being committed, for following. `dearest`
leaves out what nobody knows the cost of. With words or a tag, SQLite's `newest` goes by storing too."""

ANY_ERROR = "any"
"""Value of `Query.error` that asks for every request that was not served."""

PARTIAL = "record_partly_readable"
"""Warning on a Record of which this version could read only the searchable facts."""


class Cursor(Struct, frozen=True):
    """A place in the journal; stays valid while rows are added."""

    at_us: int
    """Arrival; of the `dearest`, their cost."""
    seq: int

    def __str__(self) -> str:
        return f"{self.at_us}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `str` wrote. Raises ValueError on anything else."""
        at_us, dot, seq = text.partition(".")
        if not dot:
            raise ValueError("a journal cursor has the form AT.SEQ")
        return cls(int(at_us), int(seq))


class Query(Struct, frozen=True, kw_only=True):
    """Which Records to return. Every field given must match."""

    since: datetime | None = None
    """Arrived at or after."""
    until: datetime | None = None
    """Arrived before."""
    request_id: str | None = None
    model: str | None = None
    provider: str | None = None
    route: str | None = None
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    customer: str | None = None
    principal: str | None = None
    """Id of the key."""
    error: str | None = None
    """Class word of the taxonomy, or `any`."""
    tag: str | None = None
    search: str | None = None
    """Words of the metadata, each of which must be there; one that ends in `*` is how a word begins. What
    begins with `req_` is how a request id begins."""
    order: Order = "newest"
    after: Cursor | None = None
    """Only what follows this place in `order`."""
    limit: int = 100


_MATCHED = (
    *("request_id", "model", "provider", "route"),
    *("organisation", "project", "team", "customer", "principal", "tag"),
)


def conditions(query: Query) -> dict[str, str | int]:
    """Return what a query asks of single columns: condition -> value, in one order for all databases.

    A database looks each condition up in its own table of tests, so that one it does not know fails instead
    of being left out: that would show one tenant another's Records. Whether any error is asked for
    (`ANY_ERROR`) is the database's own test, as it has no value.
    """
    asked = {name: getattr(query, name) for name in _MATCHED}
    found: dict[str, str | int] = {name: value for name, value in asked.items() if value is not None}
    if query.error is not None and query.error != ANY_ERROR:
        found["error"] = query.error
    if query.since is not None:
        found["since"] = microseconds(query.since)
    if query.until is not None:
        found["until"] = microseconds(query.until)
    return found


def onwards(query: Query) -> dict[str, str | int]:
    """Return `conditions`, with a range that begins where the page before ended: others are not passed by."""
    found, after = conditions(query), query.after
    if after is not None and query.order == "newest":
        found["until"] = min(int(found.get("until", _INT64)), after.at_us + 1)
    elif after is not None and query.order == "oldest":
        found["since"] = max(int(found.get("since", -_INT64)), after.at_us)
    return found


class Term(Struct, frozen=True):
    """One word of a search."""

    word: str
    begins: bool = False
    """Whether it is only how a word begins."""
    is_id: bool = False
    """Whether it is a request id, or how one begins."""


def terms_of(text: str) -> tuple[Term, ...]:
    """Return the words of a search, at most `MOST_WORDS`. Raises `InvalidRequest` for more, and for none."""
    found: list[Term] = []
    for piece in text.split():
        if piece.startswith("req_"):
            found.append(Term(piece.rstrip("*"), is_id=True))
            continue
        words = split(piece)
        found += [Term(word) for word in words[:-1]]
        found += [Term(word, begins=piece.endswith("*")) for word in words[-1:]]
    if not 0 < len(found) <= MOST_WORDS:
        raise InvalidRequest(f"search: expected 1 to {MOST_WORDS} words", param="search")
    return tuple(found)


def found_by(terms: Sequence[Term], of: Columns) -> bool:
    """Tell whether a search finds a request."""
    words = words_of(of)
    return all(
        of.request_id.startswith(term.word)
        if term.is_id
        else any(word == term.word or (term.begins and word.startswith(term.word)) for word in words)
        for term in terms
    )


class Entry(Struct, frozen=True):
    """A Record and its place."""

    cursor: Cursor
    record: Record


class Page(Struct, frozen=True):
    """Some of the Records that match, in the order asked for."""

    entries: tuple[Entry, ...]
    more: bool
    """Whether the limit cut the answer; go on after the last entry's cursor."""

    @property
    def records(self) -> tuple[Record, ...]:
        """The Records alone."""
        return tuple(entry.record for entry in self.entries)


class Stats(Struct, frozen=True, kw_only=True):
    """How a journal is doing, since this process opened it."""

    appended: int = 0
    written: int = 0
    """Committed to the rows, adopted ones included."""
    queued: int = 0
    """Appended and not yet committed."""
    spooled_bytes: int = 0
    """Bytes on disk that wait for the rows."""
    held: int = 0
    """Records in memory only, because the spool refuses to grow (disk full)."""
    dropped: int = 0
    """Records lost: memory was full too, or a bounded journal made room."""
    adopted: int = 0
    """Records found in the spools of dead workers."""
    damaged: int = 0
    """Places in spools that could not be read: the torn end of a killed worker, or a broken disk."""
    unreadable: int = 0
    """Frames that are whole but hold no Record this version understands; kept aside, not lost."""
    error: str | None = None
    """Why rows or spool refuse at the moment; None = all is well."""


class Journal(Protocol):
    """Keeps one Record per request."""

    def append(self, record: Record) -> None:
        """Keep a Record. Never raises, never waits for a database.

        When it returns, the death of the process cannot lose the Record (for journals that outlive a
        process). So it is called before the last bytes of the answer are handed to the client.
        """
        ...

    async def flush(self) -> None:
        """Return when everything appended before can be queried.

        Raises:
            StoreUnavailable: The rows refuse; what was appended stays safe and is tried again.
        """
        ...

    async def close(self) -> None:
        """Write what can be written and let go of every resource. May be called twice."""
        ...

    async def query(self, query: Query) -> Page:
        """Return the Records that match."""
        ...

    async def get(self, request_id: str) -> Record | None:
        """Return one Record, or None."""
        ...

    def stats(self) -> Stats:
        """Say how the journal is doing. Cheap; does not read the rows."""
        ...


class Stored(Struct, frozen=True):
    """What became of a batch of payloads."""

    new: int
    unreadable: int = 0


class Rows(Protocol):
    """The database behind a journal. Blocking: called from a thread that may wait."""

    def insert(self, payloads: Sequence[bytes]) -> Stored:
        """Commit encoded Records in one transaction; one that is already there stays as it is.

        Raises:
            StoreUnavailable: Nothing was committed; the same call may succeed later.
        """
        ...

    def query(self, query: Query) -> Page:
        """Return the Records that match. Raises StoreUnavailable."""
        ...

    def get(self, request_id: str) -> Record | None:
        """Return one Record, or None. Raises StoreUnavailable."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Store(Protocol):
    """Small shared state of the request path: counters and values that expire. Every call is atomic."""

    async def incr(self, key: str, by: int, *, ttl_s: float) -> int:
        """Add to a counter and return its new value; it expires `ttl_s` after its first increment."""
        ...

    async def count(self, key: str) -> int:
        """Return a counter; 0 when it never was or has expired."""
        ...

    async def claim(self, key: str, value: bytes, *, ttl_s: float) -> bytes | None:
        """Keep a value unless the key has one; return the one that was there, None = ours is kept now.

        The first step of an idempotent request: the second caller sees the first one's value.
        """
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value in place of any other."""
        ...

    async def forget(self, key: str) -> None:
        """Let go of a value, so that the key can be claimed again."""
        ...


def plain(value: object) -> object:
    """Replace what msgpack cannot say: numpy numbers become numbers, anything else its type's name.

    The name and not the text, because a Record must not hold what nobody meant to store.
    """
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return f"<{type(value).__name__}>"


ENCODER = msgspec.msgpack.Encoder(enc_hook=plain)
"""MessagePack, not JSON: NaN and infinity survive, and it is 15 % smaller and 25 % faster for Records."""
_JSON = msgspec.json.Encoder(enc_hook=plain)
_RECORD = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """Write a Record as its payload, whatever it holds."""
    try:
        return ENCODER.encode(record)
    except (UnicodeEncodeError, OverflowError):
        return ENCODER.encode(_mended(msgspec.to_builtins(record, builtin_types=(datetime,), enc_hook=plain)))


def decode(payload: bytes) -> Record:
    """Read a payload. Raises msgspec.DecodeError (a ValueError) when it is not a Record."""
    return _RECORD.decode(payload)


def restore(payload: bytes) -> Record:
    """Read a stored payload; of one that only another version of Turnout can read whole, what is sure."""
    try:
        return _RECORD.decode(payload)
    except msgspec.ValidationError:
        brief = read_brief(payload)
        return Record(
            request_id=brief.request_id,
            at=brief.at,
            endpoint="",
            dialect="",
            principal=brief.principal,
            project=brief.project,
            outcome=msgspec.convert(brief.outcome, Outcome, from_attributes=True),
            warnings=(PARTIAL,),
        )


def as_json(record: Record) -> bytes:
    """Write a Record as the JSON that leaves Turnout: it names its schema, which payloads leave out."""
    text = _JSON.encode(record)
    return (
        text if text.startswith(b'{"schema"') else b'{"schema":"%s",%s' % (record.schema.encode(), text[1:])
    )


def _mended(value: object) -> object:
    """Cut integers to 64 bits and replace lone surrogates, which neither MessagePack nor JSON can carry."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case bool():
            return value
        case int():
            return max(-_INT64, min(value, _INT64))
        case Mapping():
            return {_mended(key): _mended(item) for key, item in value.items()}
        case Iterable() if not isinstance(value, bytes):
            return [_mended(item) for item in value]
        case _:
            return value


__all__ = [
    "ANY_ERROR",
    "ENCODER",
    "EPOCH",
    "PARTIAL",
    "Columns",
    "Cursor",
    "Entry",
    "Journal",
    "Order",
    "Page",
    "Query",
    "Rows",
    "Stats",
    "Store",
    "Stored",
    "Term",
    "as_json",
    "columns_of",
    "decode",
    "encode",
    "found_by",
    "microseconds",
    "plain",
    "read_columns",
    "restore",
    "terms_of",
]
