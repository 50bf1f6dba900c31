"""The journal's rows in one SQLite file. Floor 3.

Theory of operation.
1. One table: the columns that are searched or summed, and the whole Record as MessagePack. `seq` numbers
   rows in the order of their commits, which is what following and paging need.
2. Write-ahead log: readers never wait for the writer. Several processes may write to the same file; each
   transaction is one batch, and a second writer waits its turn for `BUSY_S`.
3. Each read uses a connection of its own, opened for it (0.2 ms): readers come from any thread, and an open
   read would otherwise keep the log from being folded into the file.
4. Values reach SQL as bound parameters only; the text of a statement is put together from constants.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import Columns, Cursor, Entry, Page, Query, Stored, decode, read_columns, restore
from turnout.stores.private.base import Whose
from turnout.stores.sqlite import private
from turnout.stores.sqlite.schema import (
    INSERT,
    LATER,
    NEW,
    NOTE_PART,
    NUMBER,
    OPENING,
    SCHEMA,
    SCHEMA_VERSION,
    version_of,
)
from turnout.stores.sqlite.select import select, where_of
from turnout.stores.sqlite.spend import read_spend
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums import sqlite as sums
from turnout.stores.sums import usage_sqlite as usages
from turnout.stores.sums.usage import FOLLOW_ROWS, FOLLOW_S, UsageQuery, Used, from_sums, of_sum, ranked
from turnout.types.record import Record

BUSY_S = 1.0
"""How long one write waits for another process's; the journal's writer tries again anyway."""
READ_BUSY_S = 5.0
OPEN_BUSY_S = 10.0
_SET_ASIDE = "INSERT INTO unreadable (payload) VALUES (?) ON CONFLICT (payload) DO NOTHING"
_COUNT = "SELECT COUNT(*) FROM records"


class Check(Struct, frozen=True, kw_only=True):
    """The state of the file."""

    intact: bool
    problem: str = ""
    """What SQLite found first; "" = nothing."""
    records: int = 0
    undecodable: int = 0
    """Rows whose Record this version cannot read."""
    unreadable: int = 0
    """Frames set aside because they held no Record."""


class SqliteRows:
    """`Rows` in a file. `insert` is called by one thread at a time; reads come from any."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """Open the file, making it and its schema when it is new.

        Args:
            path: The database; its folder is made, readable by this user only.
            durable: Whether a commit waits for the disk, so that it survives a power cut.

        Raises:
            ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
        """
        self.path = path
        self._subjects = sums.Subjects()
        self._usage = usages.UsageWriter()
        self._unfollowed: list[tuple[int, Columns]] = []
        """Rows that this connection added since usage last followed, with their numbers."""
        self._follow_at = time.monotonic() + FOLLOW_S
        self._n_erased = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as failure:
            raise ConfigError((f"journal: cannot open {path}: {failure}",)) from failure
        try:
            usages.ready(self._db)
            self._prepare((*OPENING, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}"))
        except sqlite3.Error as failure:
            self._db.close()
            raise ConfigError((f"journal: {path} cannot be used as a database: {failure}",)) from failure
        except ConfigError:
            self._db.close()
            raise

    def _prepare(self, pragmas: Sequence[str]) -> None:
        """Run the opening statements; workers that start at once on a new file get in each other's way."""
        give_up_at = time.monotonic() + OPEN_BUSY_S
        while True:
            try:
                for pragma in pragmas:
                    self._db.execute(pragma)
                return self._make_schema()
            except sqlite3.OperationalError as failure:
                # Changing to the write-ahead log reports "locked" at once, whatever the time-out.
                if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
            time.sleep(0.02)

    def _make_schema(self) -> None:
        if version_of(self._db) == 0:
            with _transaction(self._db):
                # Asked again: another worker may have made it while this one waited for its turn.
                for statement in SCHEMA if version_of(self._db) == 0 else ():
                    self._db.execute(statement)
        version = version_of(self._db)
        if version == SCHEMA_VERSION:
            self._add_parts()
        if version > SCHEMA_VERSION:
            problem = (
                f"journal: {self.path} has schema {version}, newer than the {SCHEMA_VERSION} that this "
                "Turnout knows: upgrade Turnout, or name another file"
            )
            raise ConfigError((problem,))

    def _add_parts(self) -> None:
        for part, statements in LATER.items():
            if version_of(self._db, part):
                continue
            with _transaction(self._db):
                if not version_of(self._db, part):
                    for statement in statements:
                        self._db.execute(statement)
                    self._db.execute(NOTE_PART, (part,))

    def insert(self, payloads: Sequence[bytes]) -> Stored:
        """Commit a batch; see `Rows.insert`."""
        facts: list[tuple[Columns, bytes]] = []
        aside: list[tuple[bytes]] = []
        for payload in payloads:
            try:
                facts.append((read_columns(payload), payload))
            except ValueError:
                aside.append((payload,))
        try:
            with _transaction(self._db):
                self._heed_erasures()
                ((last,),) = self._db.execute(NUMBER, (len(facts),)).fetchall()
                rows = (
                    _row(seq, columns, payload)
                    for seq, (columns, payload) in enumerate(facts, last - len(facts) + 1)
                )
                new = max(self._db.executemany(INSERT, rows).rowcount, 0)
                added = self._added(facts, last, new)
                sums.add(self._db, self._subjects, [columns for _, columns in added])
                self._unfollowed += added
                if len(self._unfollowed) >= FOLLOW_ROWS or time.monotonic() >= self._follow_at:
                    self._usage.follow(self._db, 2 * FOLLOW_ROWS, self._unfollowed)
                    self._unfollowed, self._follow_at = [], time.monotonic() + FOLLOW_S
                self._db.executemany(_SET_ASIDE, aside)
        except sqlite3.Error as failure:
            self._subjects.forget()
            self._usage.forget()
            self._unfollowed = []
            raise StoreUnavailable(f"journal {self.path}: {failure}") from failure
        return Stored(new, len(aside))

    def _heed_erasures(self) -> None:
        """Remember nobody by a number that has become nobody's: who comes back is somebody new."""
        n_erased = private.n_erased(self._db)
        if n_erased != self._n_erased:
            self._n_erased = n_erased
            self._subjects.forget()
            self._usage.forget()

    def _added(
        self, facts: Sequence[tuple[Columns, bytes]], last: int, new: int
    ) -> list[tuple[int, Columns]]:
        """Return those of a batch that are new in the rows, with numbers; `last` is that of its last one."""
        first = last - len(facts) + 1
        if new == len(facts):
            return [(seq, columns) for seq, (columns, _) in enumerate(facts, first)]
        return [(seq, facts[seq - first][0]) for (seq,) in self._db.execute(NEW, (first,))]

    def query(self, query: Query) -> Page:
        """Return the Records that match; see `Rows.query`."""
        if query.search is not None or query.tag is not None:
            self._follow()
        with self._read() as db:
            found = select(db, query)
        entries = tuple(
            Entry(Cursor(place, seq), restore(payload)) for place, seq, payload in found[: query.limit]
        )
        return Page(entries, more=len(found) > query.limit)

    def payloads(self, query: Query) -> list[bytes]:
        """Return the Records that match as they are stored; see `stores.glance`."""
        if query.search is not None or query.tag is not None:
            self._follow()
        with self._read() as db:
            return [payload for _, _, payload in select(db, query)[: query.limit]]

    def get(self, request_id: str) -> Record | None:
        """Return one Record, or None; see `Rows.get`."""
        page = self.query(Query(request_id=request_id, limit=1))
        return page.entries[0].record if page.entries else None

    def count(self, query: Query) -> int:
        """Return how many Records match, whatever the order, place and limit. Raises StoreUnavailable."""
        where, values = where_of(query)
        statement = _COUNT + where
        with self._read() as db:
            (n,) = db.execute(statement, values).fetchone()
        return int(n)

    def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return sums over all requests; see `stores.sums`. Raises StoreUnavailable."""
        self._follow()
        with self._read() as db:
            return read_spend(db, query)

    def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Return usage by group and over time; see `stores.sums.usage`. Raises StoreUnavailable."""
        self._follow()
        with self._read() as db:
            found = usages.read_usage(db, query)
            if found is None:
                return tuple(ranked(map(of_sum, sums.read_sums(db, from_sums(query))), query))
            return found

    def follow(self, most: int = FOLLOW_ROWS) -> int:
        """Let usage and words follow the rows; return how many were counted. Raises StoreUnavailable."""
        with self._beside() as db:
            return usages.UsageWriter().follow(db, most)

    def _follow(self) -> None:
        """Follow if there is anything to follow; where somebody else is writing, do without the latest."""
        with self._read() as db:
            behind = usages.is_behind(db)
        if behind:
            with suppress(StoreUnavailable):
                self.follow()

    def prune_usage(self, now: datetime, most: int) -> int:
        """Delete what was kept long enough; see `UsageRows.prune_usage`. Raises StoreUnavailable."""
        with self._beside() as db:
            return usages.prune(db, now, most)

    def has(self, request_ids: Sequence[str]) -> int:
        """Return how many of these requests have a row. Raises StoreUnavailable."""
        with self._read() as db:
            found = (
                db.execute("SELECT 1 FROM records WHERE request_id = ?", (one,)).fetchone()
                for one in request_ids
            )
            return sum(row is not None for row in found)

    def check(self) -> Check:
        """Verify the pages and read every Record: seconds per million. Raises StoreUnavailable."""
        with self._read() as db:
            try:
                (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
                (unreadable,) = db.execute("SELECT COUNT(*) FROM unreadable").fetchone()
                n = bad = 0
                for (payload,) in db.execute("SELECT record FROM records"):
                    n += 1
                    bad += not _decodes(payload)
            except sqlite3.DatabaseError as failure:
                return Check(intact=False, problem=str(failure))
        intact = problem == "ok"
        return Check(
            intact=intact,
            problem="" if intact else problem,
            records=n,
            undecodable=bad,
            unreadable=unreadable,
        )

    def close(self) -> None:
        """Close the writing connection; the last one to close folds the log into the file."""
        self._db.close()

    def owners(self) -> tuple[Whose, ...]:
        """Return everybody who has Records, or had; see `stores.private`. Raises StoreUnavailable."""
        with self._read() as db:
            return private.owners(db)

    def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete old Records, which usage has followed; see `stores.private`. Raises StoreUnavailable."""
        self._follow()
        with self._beside() as db:
            return private.expire(db, whose, before, most)

    def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove the text of old Records; see `stores.private`. Raises StoreUnavailable."""
        with self._beside() as db:
            return private.strip(db, whose, before, most)

    def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Make Records nobody's; see `stores.private`. Raises StoreUnavailable."""
        with self._beside() as db:
            usage = usages.UsageWriter()
            while most and usage.follow(db, FOLLOW_ROWS):
                pass  # what the writer still has in hand counts for whom it was, and is renamed with the rest
            return private.anonymise(db, (customer, organisation), name, most)

    @contextmanager
    def _beside(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one transaction beside the writer's. Raises StoreUnavailable."""
        try:
            with closing(sqlite3.connect(self.path, timeout=READ_BUSY_S, isolation_level=None)) as db:
                usages.ready(db)
                with _transaction(db):
                    yield db
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"journal {self.path}: {failure}") from failure

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=READ_BUSY_S, isolation_level=None)) as db:
                db.execute("PRAGMA query_only = ON")
                yield db
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"journal {self.path}: {failure}") from failure


def spool_beside(path: Path) -> Path:
    """Return the folder in which the spool of a database file lies."""
    return path.with_name(f"{path.name}.spool")


def _make_private(path: Path) -> None:
    """Make the file, if it is not there, so that others cannot read it; SQLite's own log inherits that.

    Never opens one that is there: closing it would drop the locks this process holds on it elsewhere.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _row(seq: int, of: Columns, payload: bytes) -> tuple[object, ...]:
    return (
        seq,
        of.request_id,
        of.at_us,
        of.model,
        of.provider,
        of.route,
        of.strategy,
        of.error,
        of.cost_nusd,
        of.n_input,
        of.n_output,
        of.ttft_s,
        of.total_s,
        of.project,
        of.principal,
        of.n_attempts,
        of.n_fallbacks,
        payload,
        of.organisation,
        of.team,
        of.customer,
        sums.written_tags(of.tags) if of.tags else None,
        of.has_text,
    )


def _decodes(payload: bytes) -> bool:
    try:
        decode(payload)
    except ValueError:
        return False
    return True
