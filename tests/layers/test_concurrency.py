import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import CapacityExhausted, ProviderFailed, TimeoutTotal
from turnout.layers.concurrency import ConcurrencyLayer, Gates
from turnout.layers.deadline import DeadlineLayer
from turnout.testing.clock import now, run
from turnout.testing.layer import ACME, Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.deployment import Limits


def limited(cap, queue=100):
    return msgspec.structs.replace(ACME, limits=Limits(max_concurrency=cap, max_queue=queue))


async def attempt(handler, deployment, log=None, name=None, exchange=None):
    call = make_call(exchange or make_exchange(started=now()), deployment, now=now())
    async with handler(call):
        if log is not None:
            log.append((name, now()))
    return call


async def test_calls_beyond_the_cap_wait_their_turn_in_order():
    gates = Gates()
    handler = ConcurrencyLayer(gates, now)(Scripted(Turn(takes_s=1.0)))
    log = []
    async with asyncio.TaskGroup() as group:
        for name in "abcde":
            group.create_task(attempt(handler, limited(2), log, name))
    assert log == [("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 2.0), ("e", 3.0)]
    assert gates.of(ACME.id).is_idle


async def test_the_time_spent_in_line_is_not_the_calls():
    handler = ConcurrencyLayer(Gates(), now)(Scripted(Turn(takes_s=1.0)))
    calls = await asyncio.gather(*(attempt(handler, limited(1)) for _ in range(3)))
    assert [call.started for call in calls] == [0.0, 1.0, 2.0]


async def test_a_full_line_refuses_at_once_and_records_it():
    handler = ConcurrencyLayer(Gates(), now)(Scripted(Turn(takes_s=1.0)))
    deployment = limited(1, queue=1)
    waiting = [asyncio.create_task(attempt(handler, deployment)) for _ in range(2)]
    await asyncio.sleep(0.5)
    exchange = make_exchange()
    with pytest.raises(CapacityExhausted, match="1 calls under way, 1 in line") as caught:
        await attempt(handler, deployment, exchange=exchange)
    assert (now(), caught.value.retry_after_s) == (0.5, 1.0)
    assert [(each.outcome, each.error) for each in exchange.attempts] == [("failed", "capacity_exhausted")]
    await asyncio.gather(*waiting)


async def test_a_failed_call_gives_its_place_back():
    gates = Gates()
    handler = ConcurrencyLayer(gates, now)(Scripted(Turn(error=ProviderFailed("boom"))))
    for _ in range(3):
        with pytest.raises(ProviderFailed):
            await attempt(handler, limited(1, queue=0))
    assert gates.of(ACME.id).is_idle


async def test_a_newcomer_does_not_overtake_the_line():
    handler = ConcurrencyLayer(Gates(), now)(Scripted())
    log = []
    release = asyncio.Event()

    async def hold():
        async with handler(make_call(deployment=limited(1))):
            await release.wait()
        log.append(("left", now()))
        await attempt(handler, limited(1), log, "newcomer")

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    first = asyncio.create_task(attempt(handler, limited(1), log, "first"))
    await asyncio.sleep(1)
    release.set()
    await asyncio.gather(holding, first)
    assert [name for name, _ in log] == ["left", "first", "newcomer"]


async def test_a_newcomer_behind_a_cancelled_waiter_is_let_in():
    gates = Gates()
    handler = ConcurrencyLayer(gates, now)(Scripted())
    gate = gates.of(ACME.id)
    gate.resize(1)
    assert gate.take()
    waiter = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(attempt(handler, limited(1)))  # runs before the waiter leaves the line
    waiter.cancel()
    gate.release()
    await asyncio.wait([waiter, newcomer])
    assert (newcomer.exception(), gate.is_idle) == (None, True)


async def test_a_waiter_cancelled_in_the_moment_it_is_let_in_passes_the_place_on():
    gates = Gates()
    gate = gates.of(ACME.id)
    gate.resize(1)
    assert gate.take()
    first, second = (asyncio.create_task(gate.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gate.release()
    first.cancel()
    await asyncio.wait([first, second])
    assert (first.cancelled(), second.exception(), gate.n_held) == (True, None, 1)


async def test_waiting_ends_with_the_deadline_and_loses_no_place():
    gates = Gates()
    calls = ConcurrencyLayer(gates, now)(Scripted(Turn(takes_s=10.0)))
    request = DeadlineLayer(now)(lambda exchange: calls(make_call(exchange, limited(1))))
    holder = asyncio.create_task(attempt(calls, limited(1)))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutTotal):
        async with request(make_exchange(ask=Ask(request_id="req_1", timeout_s=2.0))):
            pass
    assert (now(), gates.of(ACME.id).n_held, gates.of(ACME.id).n_waiting) == (2.0, 1, 0)
    await holder
    assert gates.of(ACME.id).is_idle


async def test_a_raised_cap_lets_waiters_in_with_the_next_call():
    handler = ConcurrencyLayer(Gates(), now)(Scripted(Turn(takes_s=10.0)))
    log = []
    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(attempt(handler, limited(1), log, name))
        await asyncio.sleep(1)
        group.create_task(attempt(handler, limited(3), log, "c"))
    assert sorted(log) == [("a", 10.0), ("b", 11.0), ("c", 11.0)]


async def test_gates_of_dropped_deployments_are_forgotten_once_idle():
    gates = Gates()
    idle, busy = gates.of("idle"), gates.of("busy")
    busy.resize(1)
    busy.take()
    gates.keep(())
    assert gates.of("busy") is busy
    assert gates.of("idle") is not idle


STEPS = st.lists(
    st.tuples(st.integers(0, 11), st.floats(0, 3), st.one_of(st.none(), st.floats(0, 4)), st.booleans()),
    max_size=25,
)


@given(STEPS, st.integers(1, 3))
def test_no_place_is_lost_and_none_is_given_twice(steps, cap):
    """Calls of random length start at random times and are cancelled at random times, or fail."""

    async def main():
        gates = Gates()
        running, most = 0, 0

        async def one(start, takes, cancel_after, fails):
            nonlocal running, most
            await asyncio.sleep(start)
            error = ProviderFailed("boom") if fails else None
            handler = ConcurrencyLayer(gates, now)(Scripted(Turn(takes_s=takes, error=error)))

            async def work():
                nonlocal running, most
                async with handler(make_call(deployment=limited(cap))):
                    running += 1
                    most = max(most, running)
                    try:
                        await asyncio.sleep(takes)
                    finally:
                        running -= 1

            task = asyncio.create_task(work())
            if cancel_after is not None:
                await asyncio.wait([task], timeout=cancel_after)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(one(*step) for step in steps))
        assert most <= cap
        assert gates.of(ACME.id).is_idle

    run(main())
