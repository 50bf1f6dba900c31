"""The queue in one SQLite file. Floor 3.

Theory of operation.

1. One table. Every call is one `BEGIN IMMEDIATE` transaction, so that of any number of processes one alone
   claims a job; a commit waits for the disk, so that a job that was acknowledged survives a power cut.
2. The file is readable by its user alone, and so is SQLite's own log beside it. What is deleted is
   overwritten.
3. One connection per process, behind a lock: calls come from any thread.
"""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from turnout.errors import CapacityExhausted, Conflict
from turnout.stores.base import EPOCH, microseconds
from turnout.stores.queue.base import Booking, Claimed, Draft, Ending, Job, Sent, Served
from turnout.stores.sqlite_file import Form, SqliteFile

SCHEMA_VERSION = 1
BUSY_S = 5.0

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS jobs (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, state TEXT NOT NULL, path TEXT NOT NULL,
        request_id TEXT NOT NULL, booking BLOB NOT NULL, created_us INTEGER NOT NULL,
        deadline_us INTEGER NOT NULL, start_us INTEGER NOT NULL, latest_us INTEGER NOT NULL,
        n_runs INTEGER NOT NULL DEFAULT 0, started_us INTEGER, ended_us INTEGER, collected_us INTEGER,
        status INTEGER, error TEXT, key TEXT, digest BLOB NOT NULL,
        holder TEXT, lease_us INTEGER, headers BLOB, body BLOB, answer_headers BLOB, answer BLOB)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS jobs_key ON jobs (owner, key) WHERE key IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS jobs_start ON jobs (start_us) WHERE state = 'queued'",
    "CREATE INDEX IF NOT EXISTS jobs_latest ON jobs (latest_us) WHERE state = 'queued'",
    "CREATE INDEX IF NOT EXISTS jobs_running ON jobs (lease_us) WHERE state = 'running'",
    "CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (ended_us) WHERE ended_us IS NOT NULL",
)
_FORM = Form(
    key="background.path",
    says="the background queue",
    schema=_SCHEMA,
    version=SCHEMA_VERSION,
    overwrites=True,
    busy_s=BUSY_S,
)
_SELECT = """SELECT id, owner, state, path, request_id, booking, created_us, deadline_us, n_runs, started_us,
    ended_us, collected_us, status, error, key FROM jobs"""
_OF_ID = " WHERE id = ?"
_ONE = _SELECT + _OF_ID
_OF_OWNER, _AFTER = "owner = ?", "id < ?"
_PAGE = " ORDER BY id DESC LIMIT ?"
_SENT = "SELECT headers, body, latest_us FROM jobs WHERE id = ?"
_INSERT = """INSERT INTO jobs (id, owner, state, path, request_id, booking, created_us, deadline_us, start_us,
    latest_us, key, digest, headers, body) VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_N_OPEN = """SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'queued')
    + (SELECT COUNT(*) FROM jobs WHERE state = 'running')"""
_BY_KEY = "SELECT id, digest FROM jobs WHERE owner = ? AND key = ?"
_N_RUNNING = "SELECT COUNT(*) FROM jobs WHERE state = 'running' AND lease_us > ?"
# Statements of their own for waiting jobs and lapsed leases, so that each is read from its index.
_DUE = """SELECT id, latest_us <= :now AS late, start_us AS at FROM jobs
        WHERE state = 'queued' AND start_us <= :now
    UNION SELECT id, 1, start_us FROM jobs WHERE state = 'queued' AND latest_us <= :now
    UNION SELECT id, latest_us <= :now, start_us FROM jobs WHERE state = 'running' AND lease_us <= :now
    ORDER BY late DESC, at, id LIMIT :room"""
_CLAIM = """UPDATE jobs SET state = 'running', holder = ?, lease_us = ?, started_us = COALESCE(started_us, ?)
    WHERE id = ?"""
_RENEW = "UPDATE jobs SET lease_us = ? WHERE id = ? AND state = 'running' AND holder = ?"
_END = """UPDATE jobs SET state = ?, ended_us = ?, n_runs = ?, status = ?, error = ?, answer_headers = ?,
    answer = ?, headers = NULL, body = NULL, holder = NULL, lease_us = NULL
    WHERE id = ? AND state = 'running' AND holder = ?"""
_RELEASE = """UPDATE jobs SET state = 'queued', booking = ?, start_us = ?, latest_us = ?, request_id = ?,
    n_runs = ?, error = ?, holder = NULL, lease_us = NULL WHERE id = ? AND state = 'running' AND holder = ?"""
_CANCEL = """UPDATE jobs SET state = 'cancelled', ended_us = ?, headers = NULL, body = NULL, holder = NULL,
    lease_us = NULL WHERE id = ? AND state IN ('queued', 'running')"""
_EXPIRE = """UPDATE jobs SET state = 'expired', ended_us = :now, headers = NULL, body = NULL, holder = NULL,
    lease_us = NULL WHERE deadline_us <= :now
    AND (state = 'queued' OR (state = 'running' AND lease_us <= :now))"""
_ANSWER = "SELECT status, answer_headers, answer FROM jobs WHERE id = ? AND status IS NOT NULL"
_OPEN = (
    """SELECT id FROM jobs WHERE state IN ('queued', 'running') AND id IN (SELECT value FROM json_each(?))"""
)
_COLLECT = "UPDATE jobs SET collected_us = ? WHERE id = ? AND collected_us IS NULL"
_SWEEP = """DELETE FROM jobs WHERE ended_us IS NOT NULL AND (ended_us <= :kept OR collected_us <= :retained
    OR (status IS NULL AND ended_us <= :retained))"""
_NEXT = """SELECT MIN(at) FROM (
    SELECT MIN(start_us) AS at FROM jobs WHERE state = 'queued' AND start_us > :now
    UNION ALL SELECT MIN(latest_us) FROM jobs WHERE state = 'queued' AND latest_us > :now
    UNION ALL SELECT MIN(lease_us) FROM jobs WHERE state = 'running' AND lease_us > :now)"""
_AHEAD = """SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'running')
    + (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND start_us <= ?)"""

_Headers = tuple[tuple[bytes, bytes], ...]
_pack = msgspec.msgpack.Encoder().encode
_booking = msgspec.msgpack.Decoder(Booking).decode
_headers = msgspec.msgpack.Decoder(_Headers).decode


class SqliteQueue:
    """`Queue` in a file."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it and its schema when it is new.

        Raises:
            ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
        """
        self.path = path
        self._file = SqliteFile(path, _FORM)

    def submit(self, draft: Draft, now: datetime, most: int) -> Job:
        """Take in a job; see `Queue.submit`."""
        with self._file.step() as db:
            known = None if draft.key is None else db.execute(_BY_KEY, (draft.owner, draft.key)).fetchone()
            if known is not None:
                if known[1] != draft.digest:
                    raise Conflict(
                        "this idempotency key came with another job before", param="idempotency_key"
                    )
                return _the(db, known[0])
            (n,) = db.execute(_N_OPEN).fetchone()
            if n >= most:
                raise CapacityExhausted(
                    f"{n} background jobs wait already, as many as background.max_jobs allows",
                    retry_after_s=60,
                )
            booking = draft.booking
            values = (
                *(draft.id, draft.owner, draft.sent.path, draft.request_id, _pack(booking)),
                *(microseconds(now), microseconds(draft.deadline_at)),
                *(microseconds(booking.start_at), microseconds(booking.latest_at)),
                *(draft.key, draft.digest, _pack(draft.sent.headers), draft.sent.body),
            )
            db.execute(_INSERT, values)
            return _the(db, draft.id)

    def claim(self, holder: str, now: datetime, lease_s: float, most: int) -> list[Claimed]:
        """Take the jobs that are due; see `Queue.claim`."""
        at, until = microseconds(now), microseconds(now + timedelta(seconds=lease_s))
        with self._file.step() as db:
            db.execute(_EXPIRE, {"now": at})
            (n,) = db.execute(_N_RUNNING, (at,)).fetchone()
            if n >= most:
                return []
            due = [row[0] for row in db.execute(_DUE, {"now": at, "room": most - n}).fetchall()]
            db.executemany(_CLAIM, [(holder, until, at, job_id) for job_id in due])
            return [_claimed(db, job_id, at) for job_id in due]

    def renew(self, holder: str, ids: Collection[str], now: datetime, lease_s: float) -> frozenset[str]:
        """Extend leases; see `Queue.renew`."""
        until = microseconds(now + timedelta(seconds=lease_s))
        with self._file.step() as db:
            return frozenset(one for one in ids if db.execute(_RENEW, (until, one, holder)).rowcount)

    def finish(self, holder: str, job: Job, ending: Ending, served: Served | None, now: datetime) -> bool:
        """End a job; see `Queue.finish`."""
        answer = (None, None, None) if served is None else (served.status, _pack(served.headers), served.body)
        status, headers, body = answer
        values = (ending, microseconds(now), job.n_runs, status, job.error, headers, body, job.id, holder)
        with self._file.step() as db:
            return bool(db.execute(_END, values).rowcount)

    def release(self, holder: str, job: Job) -> bool:
        """Queue a running job again; see `Queue.release`."""
        booking = job.booking
        values = (
            *(_pack(booking), microseconds(booking.start_at), microseconds(booking.latest_at)),
            *(job.request_id, job.n_runs, job.error, job.id, holder),
        )
        with self._file.step() as db:
            return bool(db.execute(_RELEASE, values).rowcount)

    def cancel(self, job_id: str, owner: str | None, now: datetime) -> Job | None:
        """Cancel a job; see `Queue.cancel`."""
        with self._file.step() as db:
            found = _find(db, job_id, owner)
            if found is None:
                return None
            db.execute(_CANCEL, (microseconds(now), job_id))
            return _find(db, job_id, owner)

    def get(self, job_id: str, owner: str | None) -> Job | None:
        """Return a job; see `Queue.get`."""
        with self._file.step() as db:
            return _find(db, job_id, owner)

    def answer(self, job_id: str, now: datetime | None) -> Served | None:
        """Return and note as collected what a job was answered; see `Queue.answer`."""
        with self._file.step() as db:
            row = db.execute(_ANSWER, (job_id,)).fetchone()
            if row is None:
                return None
            if now is not None:
                db.execute(_COLLECT, (microseconds(now), job_id))
        return Served(row[0], _headers(row[1]), row[2])

    def ended(self, ids: Collection[str]) -> list[str]:
        """Tell which jobs are over; see `Queue.ended`."""
        with self._file.step() as db:
            named = msgspec.json.encode(list(ids)).decode()
            still = {row[0] for row in db.execute(_OPEN, (named,)).fetchall()}
        return [each for each in ids if each not in still]

    def jobs(self, owner: str | None, limit: int, after: str | None = None) -> list[Job]:
        """Return jobs, newest first; see `Queue.jobs`."""
        given = {test: each for test, each in ((_OF_OWNER, owner), (_AFTER, after)) if each is not None}
        statement = _SELECT + (" WHERE " + " AND ".join(given) if given else "") + _PAGE
        with self._file.step() as db:
            return [_job(row) for row in db.execute(statement, (*given.values(), limit)).fetchall()]

    def ahead(self, start_at: datetime) -> int:
        """Count the jobs that go first; see `Queue.ahead`."""
        with self._file.step() as db:
            (n,) = db.execute(_AHEAD, (microseconds(start_at),)).fetchone()
        return int(n)

    def due(self, now: datetime) -> datetime | None:
        """Return when something is to be done next; see `Queue.due`."""
        with self._file.step() as db:
            (at,) = db.execute(_NEXT, {"now": microseconds(now)}).fetchone()
        return None if at is None else _instant(at)

    def sweep(self, now: datetime, retention_s: float, keep_s: float) -> int:
        """Expire and delete; see `Queue.sweep`."""
        times = {
            "retained": microseconds(now - timedelta(seconds=retention_s)),
            "kept": microseconds(now - timedelta(seconds=keep_s)),
        }
        with self._file.step() as db:
            db.execute(_EXPIRE, {"now": microseconds(now)})
            return max(db.execute(_SWEEP, times).rowcount, 0)

    def erase(self, owner: str) -> int:
        """Delete all jobs of an owner, whatever their state; return how many."""
        with self._file.step() as db:
            return db.execute("DELETE FROM jobs WHERE owner = ?", (owner,)).rowcount

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        self._file.close()


def _find(db: sqlite3.Connection, job_id: str, owner: str | None) -> Job | None:
    row = db.execute(_ONE, (job_id,)).fetchone()
    job = None if row is None else _job(row)
    return job if job is not None and owner in (None, job.owner) else None


def _the(db: sqlite3.Connection, job_id: str) -> Job:
    return _job(db.execute(_ONE, (job_id,)).fetchone())


def _instant(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def _maybe(at_us: int | None) -> datetime | None:
    return None if at_us is None else _instant(at_us)


def _job(row: Sequence[Any]) -> Job:
    return Job(
        id=row[0],
        owner=row[1],
        state=row[2],
        path=row[3],
        request_id=row[4],
        booking=_booking(row[5]),
        created_at=_instant(row[6]),
        deadline_at=_instant(row[7]),
        n_runs=row[8],
        started_at=_maybe(row[9]),
        ended_at=_maybe(row[10]),
        collected_at=_maybe(row[11]),
        status=row[12],
        error=row[13],
        key=row[14],
    )


def _claimed(db: sqlite3.Connection, job_id: str, now_us: int) -> Claimed:
    job = _the(db, job_id)
    headers, body, latest_us = db.execute(_SENT, (job_id,)).fetchone()
    return Claimed(job, Sent(job.path, _headers(headers), body), latest_us <= now_us)
