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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg

from turnout.errors import StoreUnavailable
from turnout.stores.base import (
    ANY_ERROR,
    Columns,
    Cursor,
    Entry,
    Page,
    Query,
    Stored,
    conditions,
    read_columns,
    restore,
)
from turnout.stores.postgres.connect import Connection, check_url, connect, unavailable
from turnout.stores.postgres.migrate import check_steps
from turnout.types.record import Record

WRITE_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
_NUMBER: Final = "UPDATE journal_last SET value = value + %s RETURNING value"
_INSERT: Final = """INSERT INTO journal (seq, request_id, at_us, model, provider, route, strategy, error,
    cost_nusd, n_input, n_output, ttft_s, total_s, project, principal, n_attempts, n_fallbacks, record,
    organisation, team, customer)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (request_id) DO NOTHING"""
_SET_ASIDE: Final = "INSERT INTO journal_unreadable (digest, payload) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_SELECT: Final = "SELECT at_us, seq, record FROM journal"
_NEWEST: Final = ("(at_us, seq) < (%s, %s)", " ORDER BY at_us DESC, seq DESC LIMIT %s")
_OLDEST: Final = ("(at_us, seq) > (%s, %s)", " ORDER BY at_us, seq LIMIT %s")
_TESTS: Final = {
    "request_id": "request_id = %s",
    "model": "model = %s",
    "provider": "provider = %s",
    "route": "route = %s",
    "organisation": "organisation = %s",
    "project": "project = %s",
    "team": "team = %s",
    "customer": "customer = %s",
    "principal": "principal = %s",
    "error": "error = %s",
    "since": "at_us >= %s",
    "until": "at_us < %s",
}
"""Condition of a query -> its test."""


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
            raise unavailable(failure) if isinstance(failure, psycopg.Error) else failure from failure

    def _insert(
        self, db: Connection, facts: list[tuple[Columns, bytes]], aside: list[tuple[bytes, bytes]]
    ) -> Stored:
        with db.transaction(), db.cursor() as cursor:
            ((last,),) = cursor.execute(_NUMBER, (len(facts),)).fetchall()
            first = last - len(facts) + 1
            new = 0
            if facts:
                cursor.executemany(_INSERT, [_row(n, *fact) for n, fact in enumerate(facts, first)])
                new = max(cursor.rowcount, 0)
            if aside:
                cursor.executemany(_SET_ASIDE, aside)
        return Stored(new, len(aside))

    def query(self, query: Query) -> Page:
        """Return the Records that match; see `Rows.query`."""
        statement, values = _statement(query)
        with self._read() as db:
            found = db.execute(statement.encode(), values).fetchall()
        entries = tuple(
            Entry(Cursor(at_us, seq), restore(bytes(payload))) for at_us, seq, payload in found[: query.limit]
        )
        return Page(entries, more=len(found) > query.limit)

    def get(self, request_id: str) -> Record | None:
        """Return one Record, or None; see `Rows.get`."""
        page = self.query(Query(request_id=request_id, limit=1))
        return page.entries[0].record if page.entries else None

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._reads:
            try:
                if self._reader is None:
                    self._reader = connect(self._url, timeout_s=READ_TIMEOUT_S)
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
    )


def _text(text: str | None) -> str | None:
    """Replace the one character that PostgreSQL's text cannot hold: one row must not stop all others."""
    return text.replace("\x00", "\ufffd") if text is not None and "\x00" in text else text


def _statement(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the SELECT for a query; it asks for one row more than the limit, to see whether there is one."""
    where, values = _where(query)
    joint = " AND " if where else " WHERE "
    match query.order, query.after:
        case "stored", after:
            statement = _SELECT + where + joint + "seq > %s ORDER BY seq LIMIT %s"
            values = (*values, after.seq if after else 0)
        case order, None:
            statement = _SELECT + where + (_NEWEST if order == "newest" else _OLDEST)[1]
        case order, after:
            place, sort = _NEWEST if order == "newest" else _OLDEST
            statement = _SELECT + where + joint + place + sort
            values = (*values, after.at_us, after.seq)
    return statement, (*values, query.limit + 1)


def _where(query: Query) -> tuple[str, tuple[object, ...]]:
    given = conditions(query)
    tests = [_TESTS[name] for name in given]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    return (" WHERE " + " AND ".join(tests) if tests else ""), tuple(given.values())
