"""The journal's rows in PostgreSQL, shared by replicas. Floor 3.

Theory of operation.

1. One batch is one transaction, and holds the row of the last number until it is committed. So numbers are in
   the order of commits whichever replica writes, which is what following and paging need.
2. A database that is gone, slow or full is `StoreUnavailable`; the spool keeps what it refused, to try again.
   One that cannot be reached when a gateway starts does not keep it from starting.
3. One connection writes, one reads; each is opened when it is needed and again after it failed. Reads come
   from any thread and take turns.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

import psycopg

from turnout.errors import StoreUnavailable
from turnout.stores.base import Columns, Cursor, Entry, Page, Query, Stored, read_columns, restore
from turnout.stores.columns import words_of
from turnout.stores.postgres import private, sums, usage
from turnout.stores.postgres.connect import Connection, check_url, connect, unavailable
from turnout.stores.postgres.dearest import of_one
from turnout.stores.postgres.migrate import check_steps
from turnout.stores.postgres.nobody import is_nobodys, may_be_known
from turnout.stores.postgres.select import counting, packed, statement, unpacked
from turnout.stores.postgres.spend import read_spend
from turnout.stores.private.base import Whose
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums.sqlite import written_tags
from turnout.stores.sums.usage import FOLLOW_ROWS, FOLLOW_S, UsageQuery, Used, from_sums, of_sum, ranked
from turnout.types.record import Record

WRITE_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
# What is rare for one name is common for another.
_EACH_ITS_PLAN: Final = "SET plan_cache_mode = force_custom_plan"
_NUMBER: Final = "UPDATE journal_last SET value = value + %s RETURNING value"
_INSERT: Final = """INSERT INTO journal (seq, request_id, at_us, model, provider, route, strategy, error,
    cost_nusd, n_input, n_output, ttft_s, total_s, project, principal, n_attempts, n_fallbacks, record,
    organisation, team, customer, tags, words, has_text)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    array_to_tsvector(%s::text[]), %s)
    ON CONFLICT (request_id) DO NOTHING"""
_NEW: Final = "SELECT seq FROM journal WHERE seq >= %s"
_SET_ASIDE: Final = "INSERT INTO journal_unreadable (digest, payload) VALUES (%s, %s) ON CONFLICT DO NOTHING"


class PostgresRows:
    """`Rows` in PostgreSQL. `insert` is called by one thread at a time; reads come from any.

    Args:
        url: `postgres://user:password@host:port/name`, or whatever libpq takes.

    Raises:
        ConfigError: The address is none, or the database is not in the form needed (`turnout db migrate`).
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        check_steps(url)
        self._url = url
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._reads = threading.Lock()
        self._subjects = sums.Subjects()
        self._usage = usage.UsageWriter()
        self._unfollowed = 0
        self._follow_at = time.monotonic() + FOLLOW_S
        self._n_erased = 0

    def insert(self, payloads: Sequence[bytes]) -> Stored:
        """Commit a batch; see `Rows.insert`."""
        facts: list[tuple[Columns, bytes]] = []
        aside: list[tuple[bytes, bytes]] = []
        for payload in payloads:
            try:
                facts.append((read_columns(payload), payload))
            except ValueError:
                aside.append((hashlib.sha256(payload).digest(), payload))
        if self._writer is None:
            self._writer = connect(self._url, timeout_s=WRITE_TIMEOUT_S)
        try:
            return self._insert(self._writer, facts, aside)
        except (psycopg.Error, StoreUnavailable) as failure:
            self._writer.close()
            self._writer = None
            self._subjects.forget()
            self._usage.forget()
            raise unavailable(failure) if isinstance(failure, psycopg.Error) else failure from failure

    def _insert(
        self, db: Connection, facts: list[tuple[Columns, bytes]], aside: list[tuple[bytes, bytes]]
    ) -> Stored:
        with db.transaction(), db.cursor() as cursor:
            ((last,),) = cursor.execute(_NUMBER, (len(facts),)).fetchall()
            first = last - len(facts) + 1
            new = 0
            self._heed_erasures(db)
            if facts:
                cursor.executemany(_INSERT, [_row(n, *fact) for n, fact in enumerate(facts, first)])
                new = max(cursor.rowcount, 0)
                added = [fact for fact, _ in facts]
                if new < len(facts):
                    added = [facts[seq - first][0] for (seq,) in cursor.execute(_NEW, (first,)).fetchall()]
                sums.add(db, self._subjects, added)
                self._unfollowed += len(added)
                if self._unfollowed >= FOLLOW_ROWS or time.monotonic() >= self._follow_at:
                    self._usage.follow(db, 2 * FOLLOW_ROWS)
                    self._unfollowed, self._follow_at = 0, time.monotonic() + FOLLOW_S
            if aside:
                cursor.executemany(_SET_ASIDE, aside)
        return Stored(new, len(aside))

    def _heed_erasures(self, db: Connection) -> None:
        """Remember nobody by a number that has become nobody's: who comes back is somebody new."""
        n_erased = private.n_erased(db)
        if n_erased != self._n_erased:
            self._n_erased = n_erased
            self._subjects.forget()
            self._usage.forget()

    def query(self, query: Query) -> Page:
        """Return the Records that match; see `Rows.query`."""
        if may_be_known(query):
            self._follow()
        with self._read() as db:
            if is_nobodys(db, query):
                return Page((), more=False)
            dear = of_one(db, query) if query.order == "dearest" else None
            text, values = dear or statement(query)
            found = db.execute(text.encode(), values, binary=True).fetchall()
        entries = tuple(
            Entry(Cursor(place, seq), restore(bytes(payload))) for place, seq, payload in found[: query.limit]
        )
        return Page(entries, more=len(found) > query.limit)

    def payloads(self, query: Query) -> list[bytes]:
        """Return the Records that match as they are stored; see `stores.glance`."""
        text, values = statement(query)
        if may_be_known(query):
            self._follow()
        with self._read() as db:
            found = [] if is_nobodys(db, query) else db.execute(packed(text), values, binary=True).fetchall()
        return [each for (hundred,) in found for each in unpacked(hundred)][: query.limit]

    def count(self, query: Query) -> int:
        """Return how many Records match, whatever the order, place and limit. Raises StoreUnavailable."""
        text, values = counting(query)
        with self._read() as db:
            row = db.execute(text.encode(), values).fetchone()
        return int(row[0]) if row else 0

    def get(self, request_id: str) -> Record | None:
        """Return one Record, or None; see `Rows.get`."""
        page = self.query(Query(request_id=request_id, limit=1))
        return page.entries[0].record if page.entries else None

    def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return sums over all requests; see `stores.sums`. Raises StoreUnavailable."""
        self._follow()
        with self._read() as db:
            return read_spend(db, query)

    def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Return usage by group and over time; see `stores.sums.usage`. Raises StoreUnavailable."""
        self._follow()
        with self._read() as db:
            found = usage.read_usage(db, query)
            if found is None:
                return tuple(ranked(map(of_sum, sums.read_sums(db, from_sums(query))), query))
            return found

    def follow(self, most: int = FOLLOW_ROWS) -> int:
        """Let usage follow the rows; return how many were counted. Raises StoreUnavailable."""
        with self._beside() as db:
            return usage.UsageWriter().follow(db, most)

    def _follow(self) -> None:
        """Follow if there is anything to follow; without the latest, if need be."""
        with self._read() as db:
            behind = usage.is_behind(db)
        if behind:
            with suppress(StoreUnavailable):
                self.follow()

    def prune_usage(self, now: datetime, most: int) -> int:
        """Delete what was kept long enough; see `UsageRows.prune_usage`. Raises StoreUnavailable."""
        with self._beside() as db:
            return usage.prune(db, now, most)

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
            return private.anonymise(db, (customer, organisation), name, most)

    @contextmanager
    def _beside(self) -> Iterator[Connection]:
        """Lend a connection for one transaction beside the writer's. Raises StoreUnavailable."""
        db = connect(self._url, timeout_s=READ_TIMEOUT_S)
        try:
            with db.transaction():
                yield db
        except psycopg.Error as failure:
            raise unavailable(failure) from failure
        finally:
            db.close()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._reads:
            try:
                if self._reader is None:
                    self._reader = connect(self._url, timeout_s=READ_TIMEOUT_S)
                    self._reader.execute(_EACH_ITS_PLAN)
                yield self._reader
            except (psycopg.Error, StoreUnavailable) as failure:
                if self._reader is not None:
                    self._reader.close()
                    self._reader = None
                raise unavailable(failure) if isinstance(failure, psycopg.Error) else failure from failure

    def close(self) -> None:
        """Close both connections."""
        for db in (self._writer, self._reader):
            if db is not None:
                db.close()
        self._writer = self._reader = None


def _row(seq: int, of: Columns, payload: bytes) -> tuple[object, ...]:
    return (
        seq,
        _text(of.request_id),
        of.at_us,
        _text(of.model),
        _text(of.provider),
        _text(of.route),
        _text(of.strategy),
        _text(of.error),
        of.cost_nusd,
        of.n_input,
        of.n_output,
        of.ttft_s,
        of.total_s,
        _text(of.project),
        _text(of.principal),
        of.n_attempts,
        of.n_fallbacks,
        payload,
        _text(of.organisation),
        _text(of.team),
        _text(of.customer),
        sums.text(written_tags(of.tags)) if of.tags else None,
        words_of(of),
        of.has_text,
    )


def _text(text: str | None) -> str | None:
    """Replace the one character that PostgreSQL's text cannot hold: one row must not stop all others."""
    return text.replace("\x00", "\ufffd") if text is not None and "\x00" in text else text
