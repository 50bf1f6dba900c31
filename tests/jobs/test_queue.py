"""Jobs run when they are due, a few at a time, each to its end. On a clock that jumps."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from msgspec.structs import replace

from turnout.jobs.queue import Ran, Rules, Runner
from turnout.stores.queue import Booking, Draft, Sent, Served, SqliteQueue
from turnout.testing.clock import now, run

NOON = datetime(2026, 7, 6, 12, tzinfo=UTC)
OK = Served(200, (), b"{}")
BUSY = Ran(Served(503, (), b"busy"), "provider_overloaded", may_pass=True)
BAD = Ran(Served(400, (), b"bad"), "invalid_request")


def wall():
    return NOON + timedelta(seconds=now())


def after(seconds):
    return NOON + timedelta(seconds=seconds)


class Bench:
    """A queue with a runner whose endpoint is a script."""

    def __init__(self, path, script, **rules):
        self.queue = SqliteQueue(path)
        self.log = []
        self.script = script
        self.rules = Rules(**rules)
        self.ids = count(1)

    def runner(self):
        async def rebook(claimed, start):
            await asyncio.sleep(0)
            latest = max(claimed.job.booking.latest_at, start)
            return replace(claimed.job.booking, start_at=start, latest_at=latest)

        return Runner(
            self.queue,
            self.serve,
            rebook,
            rules=lambda: self.rules,
            now=wall,
            new_request_id=lambda: f"req_new_{next(self.ids)}",
        )

    async def serve(self, claimed):
        self.log.append((now(), claimed.job.id, claimed.job.request_id, claimed.promoted))
        ran = self.script(claimed)
        return await ran if asyncio.iscoroutine(ran) else ran

    def submit(self, name, *, start=0.0, latest=80_000.0, deadline=86_400.0):
        self.queue.submit(
            Draft(
                id=name,
                owner="",
                request_id=f"req_{name}",
                sent=Sent("/v1/chat/completions", (), b"{}"),
                booking=Booking(start_at=after(start), latest_at=after(latest)),
                deadline_at=after(deadline),
            ),
            NOON,
            100,
        )

    def state(self, name):
        job = self.queue.get(name, None)
        return job.state, job.n_runs, job.error


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(script=lambda claimed: Ran(OK), **rules):
        made.append(Bench(tmp_path / "queue.db", script, **rules))
        return made[-1]

    yield make
    for each in made:
        each.queue.close()


def working(*runners, until=100_000.0, grace_s=0.0):
    """Run runners until an instant of the clock."""

    async def main():
        async with asyncio.TaskGroup() as tasks:
            for each in runners:
                tasks.create_task(each.run())
            await asyncio.sleep(until)
            for each in runners:
                each.stop(grace_s)

    run(main())


async def takes(seconds, ran=None):
    await asyncio.sleep(seconds)
    return ran or Ran(OK)


def test_a_job_runs_at_its_start_and_its_answer_is_kept(bench):
    made = bench()
    made.submit("job_1", start=7200)
    working(made.runner(), until=8000)
    assert made.log == [(7200.0, "job_1", "req_job_1", False)]
    assert made.state("job_1") == ("done", 1, None)
    assert made.queue.answer("job_1", after(8000)) == OK


def test_no_more_run_at_once_than_the_rules_allow(bench):
    made = bench(lambda _: takes(100), max_running=2)
    for n in range(5):
        made.submit(f"job_{n}")
    working(made.runner(), made.runner(), until=1000)
    starts = [at for at, *_ in made.log]
    assert starts[:2] == [0.0, 0.0]
    assert all(sum(at <= s < at + 100 for s in starts) <= 2 for at in starts)
    assert {made.state(f"job_{n}")[0] for n in range(5)} == {"done"}


def test_a_failure_that_may_pass_is_run_again_later_under_another_id(bench):
    outcomes = iter([BUSY, BUSY, Ran(OK)])
    made = bench(lambda _: next(outcomes))
    made.submit("job_1")
    working(made.runner(), until=1000)
    assert [(at, request_id) for at, _, request_id, _ in made.log] == [
        (0.0, "req_job_1"),
        (15.0, "req_new_2"),
        (45.0, "req_new_3"),
    ]
    assert made.state("job_1") == ("done", 3, None)


def test_what_the_provider_asked_to_wait_is_waited(bench):
    outcomes = iter([replace(BUSY, retry_after_s=120.0), Ran(OK)])
    made = bench(lambda _: next(outcomes))
    made.submit("job_1")
    working(made.runner(), until=1000)
    assert [at for at, *_ in made.log] == [0.0, 120.0]


def test_any_other_failure_is_the_answer(bench):
    made = bench(lambda _: BAD)
    made.submit("job_1")
    working(made.runner(), until=1000)
    assert made.state("job_1") == ("failed", 1, "invalid_request")
    assert made.queue.answer("job_1", after(9)) == BAD.served


def test_tries_and_deadline_end_a_job_that_keeps_failing(bench):
    made = bench(lambda _: BUSY, max_tries=3)
    made.submit("job_1")
    made.submit("job_2", latest=10, deadline=20)
    working(made.runner(), until=5000)
    assert made.state("job_1") == ("failed", 3, "provider_overloaded")
    assert made.state("job_2")[0] in ("failed", "expired")
    assert made.queue.answer("job_1", after(5000)) == BUSY.served


def test_a_job_that_waits_behind_others_is_promoted_when_its_time_is_short(bench):
    made = bench(lambda _: takes(50), max_running=1)
    for n in range(4):
        made.submit(f"job_{n}")
    made.submit("job_9", start=0.5, latest=60, deadline=300)
    working(made.runner(), until=1000)
    assert [(name, promoted) for _, name, _, promoted in made.log] == [
        ("job_0", False),
        ("job_1", False),
        ("job_9", True),
        ("job_2", False),
        ("job_3", False),
    ]


def test_a_long_run_keeps_its_lease(bench):
    made = bench(lambda _: takes(500), lease_s=30)
    made.submit("job_1")
    working(made.runner(), made.runner(), until=1000)
    assert len(made.log) == 1
    assert made.state("job_1") == ("done", 1, None)


def test_a_killed_holders_job_is_run_by_another_under_the_same_id(bench):
    made = bench(lease_s=30)
    made.submit("job_1")
    made.queue.claim("killed", NOON, 30, 4)
    working(made.runner(), until=100)
    assert made.log == [(30.0, "job_1", "req_job_1", False)]
    assert made.state("job_1") == ("done", 1, None)


def test_stopping_lets_a_run_end_within_the_grace_period(bench):
    made = bench(lambda _: takes(100))
    made.submit("job_1")
    working(made.runner(), until=50, grace_s=60)
    assert made.state("job_1") == ("done", 1, None)


def test_stopping_queues_again_what_the_grace_period_cuts_off(bench):
    made = bench(lambda _: takes(100))
    made.submit("job_1")
    working(made.runner(), until=50, grace_s=10)
    assert made.state("job_1") == ("queued", 0, None)
    made.script = lambda _: Ran(OK)
    working(made.runner(), until=50)
    assert [(at, request_id) for at, _, request_id, _ in made.log] == [(0.0, "req_job_1"), (0.0, "req_new_2")]
    assert made.state("job_1") == ("done", 1, None)


def test_a_run_that_answers_its_own_cancellation_is_queued_again_too(bench):
    async def stubborn():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return Ran(Served(503, (), b"shutting down"), "gateway_overloaded", may_pass=True)

    made = bench(lambda _: stubborn())
    made.submit("job_1")
    working(made.runner(), until=50)
    assert made.state("job_1") == ("queued", 0, None)


def test_a_job_cancelled_by_another_process_is_broken_off_at_the_next_beat(bench):
    ended = []

    async def long(claimed):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(now())

    made = bench(long, lease_s=30)
    made.submit("job_1")

    async def main():
        runner = made.runner()
        working = asyncio.create_task(runner.run())
        await asyncio.sleep(25)
        made.queue.cancel("job_1", None, wall())
        await asyncio.sleep(100)
        runner.stop(0)
        await working

    run(main())
    assert ended == [30.0]
    assert made.state("job_1") == ("cancelled", 0, None)


def test_a_dropped_job_is_broken_off_at_once(bench):
    made = bench(lambda _: takes(1000))
    made.submit("job_1")

    async def main():
        runner = made.runner()
        working = asyncio.create_task(runner.run())
        await asyncio.sleep(5)
        made.queue.cancel("job_1", None, wall())
        runner.drop("job_1")
        await asyncio.sleep(1)
        assert runner.n_running == 0
        runner.stop(0)
        await working

    run(main())
    assert made.state("job_1") == ("cancelled", 0, None)


def test_cancelling_the_runner_queues_again_what_runs(bench):
    made = bench(lambda _: takes(1000))
    made.submit("job_1")

    async def main():
        working = asyncio.create_task(made.runner().run())
        await asyncio.sleep(5)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    run(main())
    assert made.state("job_1") == ("queued", 0, None)


def test_a_job_handed_in_while_it_sleeps_is_seen_when_woken(bench):
    made = bench()

    async def main():
        runner = made.runner()
        working = asyncio.create_task(runner.run())
        await asyncio.sleep(5)
        made.submit("job_1")
        runner.wake()
        await asyncio.sleep(1)
        runner.stop(0)
        await working

    run(main())
    assert [at for at, *_ in made.log] == [5.0]
