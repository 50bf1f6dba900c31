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
from pathlib import Path

from msgspec import Struct

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import (
    ANY_ERROR,
    Columns,
    Cursor,
    Entry,
    Page,
    Query,
    Stored,
    conditions,
    decode,
    read_columns,
    restore,
)
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums import sqlite as sums
from turnout.types.record import Record

SCHEMA_VERSION = 1
BUSY_S = 1.0
"""How long one write waits for another process's; the journal's writer tries again anyway."""
READ_BUSY_S = 5.0
OPEN_BUSY_S = 10.0

_OPEN = (
    # Larger pages hold several Records each: 40 % less CPU per row and 20 % less disk than 4 KiB.
    "PRAGMA page_size = 16384",
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 1000",
)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)",
    """CREATE TABLE records (
        seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL,
        model TEXT, provider TEXT, route TEXT, strategy TEXT, error TEXT,
        cost_nusd INTEGER, n_input INTEGER, n_output INTEGER, ttft_s REAL, total_s REAL,
        project TEXT, principal TEXT, n_attempts INTEGER, n_fallbacks INTEGER, record BLOB NOT NULL)""",
    # Numbers are never used twice, even when every row was deleted: followers remember them.
    # AUTOINCREMENT promises the same at 2 µs per row.
    "CREATE TABLE last_seq (value INTEGER NOT NULL)",
    "INSERT INTO last_seq VALUES (0)",
    "CREATE INDEX records_at ON records (at_us)",
    "CREATE INDEX records_model ON records (model, at_us)",
    "CREATE INDEX records_provider ON records (provider, at_us)",
    "CREATE INDEX records_route ON records (route, at_us)",
    # Failures are few: one index in order of time serves every class of them.
    "CREATE INDEX records_error ON records (at_us, seq, error) WHERE error IS NOT NULL",
    "CREATE TABLE unreadable (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL UNIQUE)",
    "INSERT INTO turnout_schema (part, version) VALUES ('journal', 1)",
)
# Parts that came later: columns with nothing in them and tables of their own, so that an older Turnout reads
# and writes the file as it did (docs/adr/060-sums-beside-records.md). Each part is added once.
_LATER = {
    "journal.sums": (
        "ALTER TABLE records ADD COLUMN organisation TEXT",
        "ALTER TABLE records ADD COLUMN team TEXT",
        "ALTER TABLE records ADD COLUMN customer TEXT",
        "ALTER TABLE records ADD COLUMN tags TEXT",
        "CREATE INDEX records_organisation ON records (organisation, at_us) WHERE organisation IS NOT NULL",
        "CREATE INDEX records_principal ON records (principal, at_us) WHERE principal IS NOT NULL",
        *sums.SCHEMA,
        *sums.BACKFILL,
    )
}
_NOTE_PART = "INSERT INTO turnout_schema (part, version) VALUES (?, 1)"
# Not OR IGNORE, which would also skip in silence a row that breaks any other constraint.
_INSERT = """INSERT INTO records (seq, request_id, at_us, model, provider, route, strategy, error,
    cost_nusd, n_input, n_output, ttft_s, total_s, project, principal, n_attempts, n_fallbacks, record,
    organisation, team, customer, tags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (request_id) DO NOTHING"""
_NUMBER = "UPDATE last_seq SET value = value + ? RETURNING value"
_NEW = "SELECT seq FROM records WHERE seq >= ?"
_SET_ASIDE = "INSERT INTO unreadable (payload) VALUES (?) ON CONFLICT (payload) DO NOTHING"

_SELECT = "SELECT at_us, seq, record FROM records"
# Failures are few among many: said aloud, since SQLite cannot know that without statistics.
_SELECT_FAILED = _SELECT + " INDEXED BY records_error"
_COUNT = "SELECT COUNT(*) FROM records"
_NEWEST = ("(at_us, seq) < (?, ?)", " ORDER BY at_us DESC, seq DESC LIMIT ?")
_OLDEST = ("(at_us, seq) > (?, ?)", " ORDER BY at_us, seq LIMIT ?")
_TESTS = {
    "request_id": "request_id = ?",
    "model": "model = ?",
    "provider": "provider = ?",
    "route": "route = ?",
    "organisation": "organisation = ?",
    "project": "project = ?",
    "team": "team = ?",
    "customer": "customer = ?",
    "principal": "principal = ?",
    "error": "error = ?",
    "since": "at_us >= ?",
    "until": "at_us < ?",
}
"""Condition of a query -> its test."""


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
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as failure:
            raise ConfigError((f"journal: cannot open {path}: {failure}",)) from failure
        try:
            self._prepare((*_OPEN, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}"))
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
        if _version(self._db) == 0:
            with _transaction(self._db):
                # Asked again: another worker may have made it while this one waited for its turn.
                for statement in _SCHEMA if _version(self._db) == 0 else ():
                    self._db.execute(statement)
        version = _version(self._db)
        if version == SCHEMA_VERSION:
            self._add_parts()
        if version > SCHEMA_VERSION:
            problem = (
                f"journal: {self.path} has schema {version}, newer than the {SCHEMA_VERSION} that this "
                "Turnout knows: upgrade Turnout, or name another file"
            )
            raise ConfigError((problem,))

    def _add_parts(self) -> None:
        for part, statements in _LATER.items():
            if _version(self._db, part):
                continue
            with _transaction(self._db):
                if not _version(self._db, part):
                    for statement in statements:
                        self._db.execute(statement)
                    self._db.execute(_NOTE_PART, (part,))

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
                ((last,),) = self._db.execute(_NUMBER, (len(facts),)).fetchall()
                rows = (
                    _row(seq, columns, payload)
                    for seq, (columns, payload) in enumerate(facts, last - len(facts) + 1)
                )
                new = max(self._db.executemany(_INSERT, rows).rowcount, 0)
                sums.add(self._db, self._subjects, self._added(facts, last, new))
                self._db.executemany(_SET_ASIDE, aside)
        except sqlite3.Error as failure:
            self._subjects.forget()
            raise StoreUnavailable(f"journal {self.path}: {failure}") from failure
        return Stored(new, len(aside))

    def _added(self, facts: Sequence[tuple[Columns, bytes]], last: int, new: int) -> list[Columns]:
        """Return those of a batch that are new in the rows; `last` is the number of its last one."""
        if new == len(facts):
            return [columns for columns, _ in facts]
        first = last - len(facts) + 1
        return [facts[seq - first][0] for (seq,) in self._db.execute(_NEW, (first,))]

    def query(self, query: Query) -> Page:
        """Return the Records that match; see `Rows.query`."""
        statement, values = _statement(query)
        with self._read() as db:
            found = db.execute(statement, values).fetchall()
        entries = tuple(
            Entry(Cursor(at_us, seq), restore(payload)) for at_us, seq, payload in found[: query.limit]
        )
        return Page(entries, more=len(found) > query.limit)

    def get(self, request_id: str) -> Record | None:
        """Return one Record, or None; see `Rows.get`."""
        page = self.query(Query(request_id=request_id, limit=1))
        return page.entries[0].record if page.entries else None

    def count(self, query: Query) -> int:
        """Return how many Records match, whatever the order, place and limit. Raises StoreUnavailable."""
        where, values = _where(query)
        statement = _COUNT + where
        with self._read() as db:
            (n,) = db.execute(statement, values).fetchone()
        return int(n)

    def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return sums over all requests; see `stores.sums`. Raises StoreUnavailable."""
        with self._read() as db:
            return sums.read_sums(db, query)

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


def _version(db: sqlite3.Connection, part: str = "journal") -> int:
    """Return the schema version of a part in this file; 0 = there is none yet."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'turnout_schema'").fetchone():
        return 0
    row = db.execute("SELECT version FROM turnout_schema WHERE part = ?", (part,)).fetchone()
    return int(row[0]) if row else 0


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
    )


def _statement(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the SELECT for a query; it asks for one row more than the limit, to see whether there is one."""
    where, values = _where(query)
    joint = " AND " if where else " WHERE "
    select = _SELECT if query.error is None else _SELECT_FAILED
    match query.order, query.after:
        case "stored", after:
            # Told not to choose an index: it would sort all rows of a model to find the few new ones.
            statement = _SELECT + " NOT INDEXED" + where + joint + "seq > ? ORDER BY seq LIMIT ?"
            values = (*values, after.seq if after else 0)
        case order, None:
            statement = select + where + (_NEWEST if order == "newest" else _OLDEST)[1]
        case order, after:
            place, sort = _NEWEST if order == "newest" else _OLDEST
            statement = select + where + joint + place + sort
            values = (*values, after.at_us, after.seq)
    return statement, (*values, query.limit + 1)


def _where(query: Query) -> tuple[str, tuple[object, ...]]:
    given = conditions(query)
    tests = [_TESTS[name] for name in given]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    return (" WHERE " + " AND ".join(tests) if tests else ""), tuple(given.values())


def _decodes(payload: bytes) -> bool:
    try:
        decode(payload)
    except ValueError:
        return False
    return True
