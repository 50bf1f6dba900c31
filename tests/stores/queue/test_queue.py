"""The queue: one holder per job, leases that run out, nothing lost and nothing kept too long."""

import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from turnout.errors import CapacityExhausted, ConfigError, Conflict
from turnout.stores.queue import Booking, Draft, Sent, Served, SqliteQueue

NOON = datetime(2026, 7, 6, 12, tzinfo=UTC)
SENT = Sent("/v1/chat/completions", ((b"x-turnout-tags", b"nightly"),), b'{"model":"m"}')
ANSWER = Served(200, ((b"content-type", b"application/json"),), b'{"id":"x"}')


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def draft(name="job_1", *, owner="ann", start=0.0, latest=3000.0, deadline=3600.0, **more):
    return Draft(
        id=name,
        owner=owner,
        request_id=f"req_{name}",
        sent=SENT,
        booking=Booking(start_at=after(start), latest_at=after(latest), price_nusd=7),
        deadline_at=after(deadline),
        **more,
    )


@pytest.fixture
def queue(tmp_path):
    opened = SqliteQueue(tmp_path / "jobs" / "queue.db")
    yield opened
    opened.close()


def submit(queue, *args, **fields):
    return queue.submit(draft(*args, **fields), NOON, 100)


def ids(claimed):
    return [each.job.id for each in claimed]


def test_a_job_runs_once_and_is_answered(queue):
    job = submit(queue)
    assert (job.state, job.booking.price_nusd, job.created_at) == ("queued", 7, NOON)
    (claimed,) = queue.claim("w1", NOON, 30, 4)
    assert (claimed.job.state, claimed.job.started_at, claimed.sent) == ("running", NOON, SENT)
    assert claimed.promoted is False
    assert queue.claim("w2", NOON, 30, 4) == []
    assert queue.finish("w1", replace(claimed.job, n_runs=1), "done", ANSWER, after(5))
    found = queue.get("job_1", "ann")
    assert (found.state, found.ended_at, found.status, found.n_runs) == ("done", after(5), 200, 1)
    assert queue.answer("job_1", after(9)) == ANSWER
    assert queue.get("job_1", "ann").collected_at == after(9)


def test_a_job_waits_for_its_start(queue):
    submit(queue, start=60)
    assert queue.claim("w", after(59), 30, 4) == []
    assert queue.due(NOON) == after(60)
    assert ids(queue.claim("w", after(60), 30, 4)) == ["job_1"]


def test_a_job_out_of_time_goes_first_and_is_told_so(queue):
    submit(queue, "job_1", start=0)
    submit(queue, "job_2", start=100, latest=40)
    (claimed,) = queue.claim("w", after(50), 30, 1)
    assert (claimed.job.id, claimed.promoted) == ("job_2", True)


def test_no_more_run_at_once_than_allowed_over_all_holders(queue):
    for n in range(5):
        submit(queue, f"job_{n}")
    assert ids(queue.claim("w1", NOON, 30, 3)) == ["job_0", "job_1", "job_2"]
    assert queue.claim("w2", NOON, 30, 3) == []
    assert ids(queue.claim("w2", NOON, 30, 4)) == ["job_3"]


def test_a_lease_that_ran_out_is_taken_up_with_the_same_request_id(queue):
    submit(queue)
    (first,) = queue.claim("dead", NOON, 30, 4)
    assert queue.claim("w", after(29), 30, 4) == []
    assert queue.due(after(1)) == after(30)
    (again,) = queue.claim("w", after(30), 30, 4)
    assert again.job.request_id == first.job.request_id
    assert not queue.finish("dead", first.job, "done", ANSWER, after(31))
    assert not queue.release("dead", first.job)
    assert queue.renew("dead", ["job_1"], after(31), 30) == frozenset()
    assert queue.get("job_1", None).state == "running"


def test_a_renewed_lease_holds(queue):
    submit(queue)
    queue.claim("w", NOON, 30, 4)
    assert queue.renew("w", ["job_1", "job_9"], after(20), 30) == {"job_1"}
    assert queue.claim("other", after(40), 30, 4) == []


def test_a_released_job_is_due_again_at_its_new_start(queue):
    submit(queue)
    (claimed,) = queue.claim("w", NOON, 30, 4)
    later = replace(claimed.job.booking, start_at=after(300))
    assert queue.release(
        "w", replace(claimed.job, booking=later, request_id="req_2", n_runs=1, error="timeout_ttft")
    )
    assert queue.claim("w", after(299), 30, 4) == []
    (again,) = queue.claim("w", after(300), 30, 4)
    assert (again.job.request_id, again.job.n_runs, again.job.error) == ("req_2", 1, "timeout_ttft")
    assert (again.sent, again.job.started_at) == (SENT, NOON)


def test_a_cancelled_job_is_nobodys(queue):
    submit(queue, "job_1")
    submit(queue, "job_2")
    (claimed, _) = queue.claim("w", NOON, 30, 4)
    assert queue.cancel("job_1", "bob", NOON) is None
    assert queue.cancel("job_1", "ann", after(1)).state == "cancelled"
    assert queue.renew("w", ["job_1", "job_2"], after(1), 30) == {"job_2"}
    assert not queue.finish("w", claimed.job, "done", ANSWER, after(2))
    assert queue.cancel("job_1", "ann", after(9)).ended_at == after(1)


def test_past_its_deadline_a_waiting_job_expires(queue):
    submit(queue, start=100, latest=100, deadline=200)
    assert queue.claim("w", after(200), 30, 4) == []
    assert queue.get("job_1", None).state == "expired"
    assert queue.answer("job_1", after(201)) is None


def test_a_running_job_past_its_deadline_is_its_holders_to_end(queue):
    submit(queue, deadline=20)
    queue.claim("w", NOON, 30, 4)
    queue.sweep(after(25), 0, 1000)
    assert queue.get("job_1", None).state == "running"
    queue.sweep(after(30), 1000, 1000)
    assert queue.get("job_1", None).state == "expired"


def test_the_same_key_is_the_same_job_and_another_body_a_conflict(queue):
    first = submit(queue, "job_1", key="k", digest=b"a")
    assert submit(queue, "job_2", key="k", digest=b"a") == first
    assert submit(queue, "job_3", key="k", digest=b"b", owner="bob").id == "job_3"
    with pytest.raises(Conflict, match="came with another job before"):
        submit(queue, "job_4", key="k", digest=b"b")
    assert [job.id for job in queue.jobs(None, 10)] == ["job_3", "job_1"]


def test_a_full_queue_refuses(queue):
    queue.submit(draft("job_1"), NOON, 1)
    with pytest.raises(CapacityExhausted, match=r"background\.max_jobs"):
        queue.submit(draft("job_2"), NOON, 1)


def test_a_listing_is_the_owners_newest_first_in_pages(queue):
    for n in range(4):
        submit(queue, f"job_{n}", owner="ann" if n != 2 else "bob")
    assert [job.id for job in queue.jobs("ann", 2)] == ["job_3", "job_1"]
    assert [job.id for job in queue.jobs("ann", 2, "job_1")] == ["job_0"]
    assert queue.get("job_2", "ann") is None


def end(queue, name, ending="done", served=ANSWER, at=NOON):
    (claimed,) = queue.claim("w", at, 30, 100)
    assert claimed.job.id == name
    queue.finish("w", claimed.job, ending, served, at)


def test_what_was_kept_long_enough_is_deleted(queue):
    submit(queue, "job_1")
    end(queue, "job_1")
    submit(queue, "job_2")
    end(queue, "job_2", "failed", served=None)
    submit(queue, "job_3")
    assert queue.sweep(after(99), 100, 1000) == 0
    assert queue.sweep(after(100), 100, 1000) == 1  # nothing to collect
    queue.answer("job_1", after(500))
    assert queue.sweep(after(599), 100, 1000) == 0
    assert queue.sweep(after(600), 100, 1000) == 1
    assert [job.id for job in queue.jobs(None, 10)] == ["job_3"]


def test_an_answer_that_nobody_collects_goes_in_the_end(queue):
    submit(queue, "job_1")
    end(queue, "job_1")
    assert queue.sweep(after(999), 100, 1000) == 0
    assert queue.sweep(after(1000), 100, 1000) == 1


def test_the_request_is_deleted_when_the_job_ends(queue):
    submit(queue)
    end(queue, "job_1")
    queue.close()
    with sqlite3.connect(queue.path) as db:
        assert db.execute("SELECT headers, body FROM jobs").fetchall() == [(None, None)]
    db.close()


def test_the_file_is_its_users_alone(queue):
    submit(queue)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in queue.path.parent.iterdir()}
    assert modes == {0o600}


def test_jobs_outlive_the_process(queue):
    submit(queue)
    queue.close()
    again = SqliteQueue(queue.path)
    assert ids(again.claim("w", NOON, 30, 4)) == ["job_1"]
    again.close()


def test_many_holders_never_share_a_job(queue):
    for n in range(40):
        submit(queue, f"job_{n:03}")
    doors = [SqliteQueue(queue.path) for _ in range(4)]

    def drain(n):
        found = []
        while claimed := doors[n].claim(f"w{n}", NOON, 30, 1000):
            found += ids(claimed[:3])
            for each in claimed[3:]:
                doors[n].release(f"w{n}", each.job)
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = [name for part in pool.map(drain, range(4)) for name in part]
    for door in doors:
        door.close()
    assert sorted(taken) == [f"job_{n:03}" for n in range(40)]


CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from turnout.stores.queue import SqliteQueue
queue = SqliteQueue(Path(sys.argv[1]))
print(*[c.job.id for c in queue.claim(sys.argv[2], datetime(2026, 7, 6, 12, tzinfo=UTC), 30, 50)])
"""


def test_processes_never_share_a_job(queue):
    for n in range(20):
        submit(queue, f"job_{n:02}")
    command = [sys.executable, "-c", CHILD, str(queue.path)]
    running = [
        subprocess.Popen([*command, f"w{n}"], stdout=subprocess.PIPE, text=True, env=os.environ)
        for n in range(3)
    ]
    taken = [name for each in running for name in each.communicate(timeout=30)[0].split()]
    assert sorted(taken) == [f"job_{n:02}" for n in range(20)]


def test_a_file_that_is_no_database_or_too_new_is_refused(tmp_path):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, but long enough to be looked at" * 40)
    with pytest.raises(ConfigError, match=r"background\.path: .* cannot be used as a database"):
        SqliteQueue(broken)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(ConfigError, match="has schema 9, newer than this Turnout knows"):
        SqliteQueue(newer)
