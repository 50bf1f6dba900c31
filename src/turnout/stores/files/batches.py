"""Batches and their lines. Floor 3.

Theory of operation.

1. A batch that has not ended is run by one holder at a time, who has a lease on it; whoever finds a lease run
   out goes on where the lines say. Everything a holder writes is one transaction.
2. A line is answered once: a result is written where there is none, and nothing takes it back.
3. Being told to stop stands in a column of its own, which no holder writes.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from turnout.errors import CapacityExhausted
from turnout.stores.base import EPOCH, microseconds
from turnout.stores.files.base import ENDED, Batch, Counts, Form, Line, Result, Stored
from turnout.stores.files.database import Database

_pack = msgspec.msgpack.Encoder().encode
_batch = msgspec.msgpack.Decoder(Batch).decode
_result = msgspec.msgpack.Decoder(Result).decode
_SELECT = "SELECT doc, cancel_us, id, ended_us FROM batches"
_ONE = _SELECT + " WHERE id = ? AND owner = ? AND form = ?"
_BY_ID = _SELECT + " WHERE id = ?"
_NEWER = _SELECT + " WHERE owner = ? AND form = ? AND id > ? ORDER BY id LIMIT ?"
_OLDER = _SELECT + " WHERE owner = ? AND form = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"
_N_OPEN = "SELECT COUNT(*) FROM batches WHERE ended_us IS NULL AND owner = ?"
_INSERT = """INSERT INTO batches (id, owner, form, state, organisation, customer, doc)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
_LINE = "INSERT INTO lines (batch, n, custom_id, body) VALUES (?, ?, ?, ?)"
_CLAIM = """UPDATE batches SET holder = :holder, lease_us = :until WHERE ended_us IS NULL
    AND (lease_us <= :now OR holder = :holder) RETURNING id"""
_SAVE = "UPDATE batches SET state = ?, ended_us = ?, doc = ? WHERE id = ? AND holder = ? AND ended_us IS NULL"
_RENEW = "UPDATE batches SET lease_us = ? WHERE holder = ? AND ended_us IS NULL"
_RELEASE = "UPDATE batches SET lease_us = 0 WHERE holder = ? AND ended_us IS NULL"
_CANCEL = "UPDATE batches SET cancel_us = COALESCE(cancel_us, ?) WHERE id = ? AND ended_us IS NULL"
_WAITING = """SELECT n, custom_id, body FROM lines WHERE batch = ? AND kind IS NULL AND job IS NULL
    ORDER BY n LIMIT ?"""
_RUNNING = (
    "SELECT n, custom_id, job FROM lines WHERE batch = ? AND kind IS NULL AND job IS NOT NULL ORDER BY n"
)
_ALL = "SELECT n, custom_id, body FROM lines WHERE batch = ? AND n > ? ORDER BY n LIMIT ?"
_HAND = "UPDATE lines SET job = ? WHERE batch = ? AND n = ? AND kind IS NULL"
_SETTLE = "UPDATE lines SET kind = ?, result = ?, body = NULL WHERE batch = ? AND n = ? AND kind IS NULL"
_REST = """UPDATE lines SET kind = ?, result = ?, body = NULL WHERE batch = ? AND kind IS NULL
    AND job IS NULL"""
_COUNT = "SELECT kind, COUNT(*) FROM lines WHERE batch = ? GROUP BY kind"
_RESULTS = """SELECT n, custom_id, result FROM lines WHERE batch = ? AND kind IS NOT NULL AND n > ?
    ORDER BY n LIMIT ?"""
_NO_LINES = "DELETE FROM lines WHERE batch = ?"
_DELETE = "DELETE FROM batches WHERE id = ?"
_OLD = "DELETE FROM batches WHERE ended_us <= ? RETURNING id"
_OF_CUSTOMER = "DELETE FROM batches WHERE customer = ? AND organisation IS ? RETURNING id"


class Batches:
    """The batches of a directory. Blocking: called from a thread that may wait."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, batch: Batch, lines: Iterable[Line], most: int) -> Batch:
        """Take in a batch; `lines` where they came with it.

        Raises:
            CapacityExhausted: The owner has `most` that did not end.
        """
        row = (batch.id, batch.owner, batch.form, batch.state, batch.organisation, batch.customer)
        with self._database.transaction() as db:
            (n,) = db.execute(_N_OPEN, (batch.owner,)).fetchone()
            if n >= most:
                raise CapacityExhausted(
                    f"{n} batches are under way already, as many as allowed", retry_after_s=60
                )
            db.execute(_INSERT, (*row, _pack(batch)))
            db.executemany(_LINE, [(batch.id, line.n, line.custom_id, line.body) for line in lines])
        return batch

    def get(self, batch_id: str, owner: str, form: Form) -> Batch | None:
        """Return a batch as it stands; None = the owner has none of that id and shape."""
        with self._database.transaction() as db:
            row = db.execute(_ONE, (batch_id, owner, form)).fetchone()
            return None if row is None else _shown(db, row)

    def page(
        self, owner: str, form: Form, limit: int, *, after: str | None = None, before: str | None = None
    ) -> list[Batch]:
        """Return batches of an owner, newest first: those after an id, or the ones just before it."""
        with self._database.transaction() as db:
            if before is not None:
                rows = db.execute(_NEWER, (owner, form, before, limit)).fetchall()[::-1]
            else:
                rows = db.execute(_OLDER, (owner, form, after, after, limit)).fetchall()
            return [_shown(db, row) for row in rows]

    def claim(self, holder: str, now: datetime, lease_s: float) -> list[Batch]:
        """Take, or keep, every batch that has not ended and that nobody else holds."""
        until = microseconds(now + timedelta(seconds=lease_s))
        given = {"holder": holder, "until": until, "now": microseconds(now)}
        with self._database.transaction() as db:
            ids = sorted(row[0] for row in db.execute(_CLAIM, given).fetchall())
            return [_read(db.execute(_BY_ID, (each,)).fetchone()) for each in ids]

    def renew(self, holder: str, now: datetime, lease_s: float) -> None:
        """Keep what a holder has."""
        with self._database.transaction() as db:
            db.execute(_RENEW, (microseconds(now + timedelta(seconds=lease_s)), holder))

    def release(self, holder: str) -> None:
        """Let others take what a holder had."""
        with self._database.transaction() as db:
            db.execute(_RELEASE, (holder,))

    def save(self, holder: str, batch: Batch, lines: Sequence[Line] | None = None) -> bool:
        """Write a batch, and with it all its lines anew; False = it is not the holder's any more."""
        ended = batch.state in ENDED and batch.ended_at is not None
        ended_us = microseconds(batch.ended_at) if ended and batch.ended_at is not None else None
        with self._database.transaction() as db:
            kept = db.execute(_SAVE, (batch.state, ended_us, _pack(batch), batch.id, holder)).rowcount
            if kept and lines is not None:
                db.execute(_NO_LINES, (batch.id,))
                db.executemany(_LINE, [(batch.id, line.n, line.custom_id, line.body) for line in lines])
            if kept and ended:
                db.execute(_NO_LINES, (batch.id,))
        return bool(kept)

    def cancel(self, batch_id: str, now: datetime) -> None:
        """Tell a batch to stop; one that ended stays as it is."""
        with self._database.transaction() as db:
            db.execute(_CANCEL, (microseconds(now), batch_id))

    def waiting(self, batch_id: str, limit: int) -> list[Line]:
        """Return the next lines that nobody was asked about."""
        with self._database.transaction() as db:
            return [Line(*row) for row in db.execute(_WAITING, (batch_id, limit)).fetchall()]

    def running(self, batch_id: str) -> list[Line]:
        """Return the lines whose job is known and whose answer is not; without their bodies."""
        with self._database.transaction() as db:
            rows = db.execute(_RUNNING, (batch_id,)).fetchall()
        return [Line(n, custom_id, b"", job) for n, custom_id, job in rows]

    def lines(self, batch_id: str, after: int, limit: int) -> list[Line]:
        """Return lines in order, with their bodies."""
        with self._database.transaction() as db:
            rows = db.execute(_ALL, (batch_id, after, limit)).fetchall()
        return [Line(n, custom_id, body or b"") for n, custom_id, body in rows]

    def hand(self, batch_id: str, jobs: Iterable[tuple[int, str]]) -> None:
        """Note which jobs answer which lines."""
        with self._database.transaction() as db:
            db.executemany(_HAND, [(job, batch_id, n) for n, job in jobs])

    def settle(self, batch_id: str, results: Iterable[tuple[int, Result]]) -> None:
        """Note what became of lines that had no end yet."""
        with self._database.transaction() as db:
            db.executemany(_SETTLE, [(result.kind, _pack(result), batch_id, n) for n, result in results])

    def end_rest(self, batch_id: str, result: Result) -> None:
        """End every line that nobody was asked about."""
        with self._database.transaction() as db:
            db.execute(_REST, (result.kind, _pack(result), batch_id))

    def counts(self, batch_id: str) -> Counts:
        """Count the lines by what became of them."""
        with self._database.transaction() as db:
            return _counted(db, batch_id)

    def results(self, batch_id: str, after: int, limit: int) -> list[Stored]:
        """Return lines that ended, in order."""
        with self._database.transaction() as db:
            rows = db.execute(_RESULTS, (batch_id, after, limit)).fetchall()
        return [Stored(n, custom_id, _result(result)) for n, custom_id, result in rows]

    def delete(self, batch_id: str) -> None:
        """Delete a batch with its lines."""
        with self._database.transaction() as db:
            db.execute(_DELETE, (batch_id,))
            db.execute(_NO_LINES, (batch_id,))

    def forget_customer(self, customer: str, organisation: str | None) -> int:
        """Delete the batches of an end customer; return how many there were."""
        return self._gone(_OF_CUSTOMER, (customer, organisation))

    def sweep(self, now: datetime, keep_s: float) -> int:
        """Delete what ended long enough ago; return how many batches that were."""
        return self._gone(_OLD, (microseconds(now - timedelta(seconds=keep_s)),))

    def _gone(self, statement: str, values: tuple[object, ...]) -> int:
        with self._database.transaction() as db:
            ids = [row[0] for row in db.execute(statement, values).fetchall()]
            db.executemany(_NO_LINES, [(each,) for each in ids])
        return len(ids)


def _read(row: tuple[bytes, int | None, str, int | None]) -> Batch:
    batch, cancel_us = _batch(row[0]), row[1]
    if cancel_us is None:
        return batch
    return msgspec.structs.replace(batch, cancelling_at=EPOCH + timedelta(microseconds=cancel_us))


def _shown(db: sqlite3.Connection, row: tuple[bytes, int | None, str, int | None]) -> Batch:
    """Return a batch with its lines counted as they stand; one that ended was counted then."""
    batch = _read(row)
    return batch if row[3] is not None else msgspec.structs.replace(batch, counts=_counted(db, batch.id))


def _counted(db: sqlite3.Connection, batch_id: str) -> Counts:
    by = dict(db.execute(_COUNT, (batch_id,)).fetchall())
    kinds = {kind: n for kind, n in by.items() if kind is not None}
    return Counts(total=sum(by.values()), **kinds)
