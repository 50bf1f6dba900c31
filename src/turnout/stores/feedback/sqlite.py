"""Feedback in the journal's SQLite file, in a table of its own. Floor 3.

Each call opens a connection of its own, in a thread: words come seldom, and the journal's writer waits for
none of them longer than for another worker's batch. The table is made when first something is kept, so that
a gateway nobody tells anything changes nothing in its file.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from turnout.errors import StoreUnavailable
from turnout.stores.columns import microseconds
from turnout.stores.feedback.base import (
    EVER,
    FeedbackQuery,
    Place,
    QualityDay,
    Told,
    asked_of,
    decode,
    encode,
    values_of,
)
from turnout.stores.private.base import Whose
from turnout.stores.sqlite_file import transaction
from turnout.types.feedback import Feedback

BUSY_S: Final = 5.0
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS feedback (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, request_id TEXT NOT NULL, at_us INTEGER NOT NULL,
        asked_us INTEGER NOT NULL, kind TEXT NOT NULL, score REAL, chance REAL NOT NULL, route TEXT,
        organisation TEXT, project TEXT, customer TEXT, has_text INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS feedback_at ON feedback (at_us, seq)",
    "CREATE INDEX IF NOT EXISTS feedback_request ON feedback (request_id)",
    "CREATE INDEX IF NOT EXISTS feedback_route ON feedback (route, asked_us)",
    "CREATE INDEX IF NOT EXISTS feedback_customer ON feedback (customer) WHERE customer IS NOT NULL",
    "INSERT OR IGNORE INTO turnout_schema (part, version) VALUES ('journal.feedback', 1)",
)
_THERE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'feedback'"
_HAS: Final = "SELECT 1 FROM feedback WHERE id = ?"
_PUT: Final = """INSERT INTO feedback (id, request_id, at_us, asked_us, kind, score, chance, route,
    organisation, project, customer, has_text, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET at_us = excluded.at_us, score = excluded.score, chance = excluded.chance,
    has_text = excluded.has_text, body = excluded.body"""
_QUALITY: Final = """SELECT asked_us / 86400000000, count(*), sum(1.0 / chance), sum(1.0 / (chance * chance)),
    sum(score / chance), sum(score * score / chance) FROM feedback
    WHERE route = ? AND kind IN ('judge', 'judge.pairwise')
    AND score IS NOT NULL AND asked_us >= ? AND asked_us < ? AND (? IS NULL OR organisation = ?)
    GROUP BY 1 ORDER BY 1"""
_EXPIRE: Final = "DELETE FROM feedback WHERE organisation IS ? AND project IS ? AND asked_us < ?"
_TEXTS: Final = (
    "SELECT seq, body FROM feedback WHERE organisation IS ? AND project IS ? AND asked_us < ? AND has_text"
)
_STRIP: Final = "UPDATE feedback SET body = ?, has_text = 0 WHERE seq = ?"
_ERASE: Final = "DELETE FROM feedback WHERE customer = ? AND (? IS NULL OR organisation = ?)"
_TESTS: Final = {
    "since": "at_us >= ?",
    "until": "at_us < ?",
    "request_id": "request_id = ?",
    "route": "route = ?",
    "kind": "kind = ?",
    "organisation": "organisation = ?",
}


class SqliteFeedback:
    """A `FeedbackStore` in a file that a journal keeps too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def put(self, feedback: Feedback) -> bool:
        """Keep one word; see `FeedbackStore.put`."""
        return await asyncio.to_thread(self._put, feedback)

    async def query(self, query: FeedbackQuery) -> tuple[Told, ...]:
        """Return what matches, newest first."""
        return await asyncio.to_thread(self._query, query)

    async def quality(
        self, route: str, since: datetime | None, until: datetime | None, organisation: str | None
    ) -> tuple[QualityDay, ...]:
        """Return what judges said; see `FeedbackStore.quality`."""
        return await asyncio.to_thread(self._quality, route, (since, until), organisation)

    async def expire(self, whose: Whose, before: datetime) -> int:
        """Delete what is about old requests."""
        old = (whose.organisation, whose.project, microseconds(before))
        return await asyncio.to_thread(self._change, _EXPIRE, old)

    async def strip(self, whose: Whose, before: datetime) -> int:
        """Remove the text of old ones."""
        return await asyncio.to_thread(self._strip, whose, before)

    async def erase(self, customer: str, organisation: str | None) -> int:
        """Delete all about a customer's requests."""
        return await asyncio.to_thread(self._change, _ERASE, (customer, organisation, organisation))

    async def close(self) -> None:
        """Return: each call closed what it opened."""

    def _put(self, feedback: Feedback) -> bool:
        with self._write(make=True) as db:
            assert db is not None
            is_new = db.execute(_HAS, (feedback.id,)).fetchone() is None
            db.execute(_PUT, values_of(feedback))
            return is_new

    def _query(self, query: FeedbackQuery) -> tuple[Told, ...]:
        asked = asked_of(query)
        where, values = [_TESTS[name] for name in asked], list[object](asked.values())
        if query.after is not None:
            where.append("(at_us, seq) < (?, ?)")
            values += [query.after.at_us, query.after.seq]
        text = f"SELECT at_us, seq, body FROM feedback WHERE {' AND '.join(where) or '1'}"  # noqa: S608  constants
        text += " ORDER BY at_us DESC, seq DESC LIMIT ?"
        with self._read() as db:
            if db is None:
                return ()
            found = db.execute(text, (*values, query.limit))
            return tuple(Told(Place(at_us, seq), decode(body)) for at_us, seq, body in found)

    def _quality(
        self, route: str, times: tuple[datetime | None, datetime | None], organisation: str | None
    ) -> tuple[QualityDay, ...]:
        since, until = (
            ever if at is None else microseconds(at) for at, ever in zip(times, EVER, strict=True)
        )
        with self._read() as db:
            if db is None:
                return ()
            found = db.execute(_QUALITY, (route, since, until, organisation, organisation)).fetchall()
        return tuple(
            QualityDay(day=day, n=n, weight=weight, weight_squared=squared, total=total, squares=squares)
            for day, n, weight, squared, total, squares in found
        )

    def _change(self, statement: str, values: tuple[object, ...]) -> int:
        with self._write() as db:
            return 0 if db is None else max(0, db.execute(statement, values).rowcount)

    def _strip(self, whose: Whose, before: datetime) -> int:
        with self._write() as db:
            if db is None:
                return 0
            old = (whose.organisation, whose.project, microseconds(before))
            found = db.execute(_TEXTS, old).fetchall()
            db.executemany(_STRIP, [(encode(replace(decode(body), text=None)), seq) for seq, body in found])
            return len(found)

    @contextmanager
    def _write(self, *, make: bool = False) -> Iterator[sqlite3.Connection | None]:
        """Lend a connection for one transaction; None where nothing was ever kept and nothing will be."""
        with self._opened() as db:
            if db is None:
                yield None
                return
            with transaction(db):
                there = db.execute(_THERE).fetchone() is not None
                for statement in _SCHEMA if make and not there else ():
                    db.execute(statement)
                yield db if make or there else None

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection | None]:
        with self._opened() as db:
            yield db if db is not None and db.execute(_THERE).fetchone() else None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        if not self.path.exists():  # the journal makes its file, readable by its user only
            yield None
            return
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as db:
                yield db
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"feedback {self.path}: {failure}") from failure
