"""Both rings around the real executor: what must hold however a request goes."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.engine.execute import Executor
from turnout.errors import CapacityExhausted, ProviderAuth, ProviderFailed, ProviderRateLimited, TimeoutTotal
from turnout.layers.breaker import BreakerLayer
from turnout.layers.concurrency import ConcurrencyLayer, Gates
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.journal import JournalLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.retry import RetryConfig, RetryLayer
from turnout.layers.timeouts import TimeoutsLayer
from turnout.layers.trace import TraceLayer
from turnout.plan import Hedge, Sequence, Try
from turnout.stores.live import BreakerConfig, Fleet
from turnout.testing.clock import now, run
from turnout.testing.layer import ACME, Scripted, Turn, make_exchange
from turnout.types.ask import Ask
from turnout.types.deployment import Limits

A, B = (
    msgspec.structs.replace(ACME, id=name, limits=Limits(max_concurrency=1, max_queue=2)) for name in "ab"
)


class House:
    """Everything a request passes, around scripted upstreams."""

    def __init__(self, plan, **scripts):
        self.fleet = Fleet(BreakerConfig(jitter=0.0))
        self.gates = Gates()
        self.records, self.events = [], []
        self.scripts = scripts
        call = lambda call: scripts[call.deployment.id](call)  # noqa: E731
        for layer in reversed(
            [
                RetryLayer(self.fleet, now, RetryConfig()),
                BreakerLayer(self.fleet, now),
                ConcurrencyLayer(self.gates, now),
                TimeoutsLayer(),
                MeasureLayer(self.fleet, now),
            ]
        ):
            call = layer(call)
        executor = Executor(call, {"a": A, "b": B}, now, asyncio.sleep)
        handler = lambda exchange: executor.open(plan, exchange, exchange.request)  # noqa: E731
        for layer in reversed(
            [TraceLayer(now, self.events.append), JournalLayer(self, now), DeadlineLayer(now)]
        ):
            handler = layer(handler)
        self.handler = handler

    def append(self, record):
        self.records.append(record)

    async def serve(self, *, timeout_s=None, read_s=0.0):
        exchange = make_exchange(ask=Ask(request_id="req_1", timeout_s=timeout_s), started=now())
        async with self.handler(exchange) as reply:
            await asyncio.sleep(read_s)
            return await reply.response()

    def check_at_rest(self, n_requests):
        assert (len(self.records), len(self.events)) == (n_requests, n_requests)
        for name in self.scripts:
            assert self.fleet.of(name).in_flight == 0
            assert self.gates.of(name).is_idle


def told(record):
    return [(attempt.deployment, attempt.outcome, attempt.error) for attempt in record.attempts]


async def test_an_open_breaker_sends_the_request_to_the_next_node():
    house = House(Sequence((Try("a"), Try("b"))), a=Scripted(Turn(error=ProviderAuth("key"))), b=Scripted())
    for _ in range(2):
        await house.serve()
    assert [told(record) for record in house.records] == [
        [("a", "failed", "provider_auth"), ("b", "ok", None)],
        [("a", "failed", "capacity_exhausted"), ("b", "ok", None)],
    ]
    assert [record.outcome.n_fallbacks for record in house.records] == [1, 1]
    assert [record.outcome.cost_nusd for record in house.records] == [1400, 1400]
    house.check_at_rest(2)


async def test_when_all_are_cooling_down_the_shortest_wait_is_told():
    house = House(
        Sequence((Try("a"), Try("b"))),
        a=Scripted(Turn(error=ProviderRateLimited("slow", retry_after_s=30.0))),
        b=Scripted(Turn(error=ProviderAuth("key"))),
    )
    with pytest.raises(Exception):  # noqa: B017  the first answer is of mixed causes
        await house.serve()
    with pytest.raises(CapacityExhausted):
        await house.serve()
    assert told(house.records[1]) == [
        ("a", "failed", "capacity_exhausted"),
        ("b", "failed", "capacity_exhausted"),
    ]


async def test_the_slower_contender_of_a_hedge_is_lost_and_billed_for_its_input():
    house = House(
        Hedge(Try("a"), Try("b"), delay_s=1.0), a=Scripted(Turn(takes_s=9.0)), b=Scripted(Turn(takes_s=1.0))
    )
    await house.serve()
    (record,) = house.records
    assert told(record) == [("a", "lost", None), ("b", "ok", None)]
    assert (record.outcome.error, record.outcome.cost_state, record.outcome.total_s) == (None, "estimated", 2)
    house.check_at_rest(1)


async def test_one_deadline_covers_retries_queues_and_fallbacks():
    house = House(
        Sequence((Try("a"), Try("b"))),
        a=Scripted(Turn(error=ProviderFailed("boom"), takes_s=2.0)),
        b=Scripted(Turn(takes_s=50.0)),
    )
    with pytest.raises(TimeoutTotal):
        await house.serve(timeout_s=10.0)
    (record,) = house.records
    assert (now(), record.outcome.error, record.outcome.total_s) == (10.0, "timeout_total", 10.0)
    assert told(record) == [("a", "failed", "provider_error")] * 3 + [("b", "failed", "timeout_total")]
    house.check_at_rest(1)


PLANS = st.sampled_from(
    [
        Sequence((Try("a"), Try("b"))),
        Hedge(Try("a"), Try("b"), delay_s=1.0),
        Sequence((Hedge(Try("a"), Try("b"), delay_s=0.5), Try("a"))),
    ]
)
TURNS = st.lists(
    st.builds(
        lambda takes_s, error: Turn(takes_s=takes_s, error=error and error("scripted")),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        st.sampled_from([None, None, ProviderFailed, ProviderRateLimited, ProviderAuth, RuntimeError]),
    ),
    min_size=1,
    max_size=6,
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 4.0]),
        st.sampled_from([None, 1.0, 3.0]),
        st.sampled_from([None, 0.0, 0.5, 1.0, 1.5, 3.0]),
        st.sampled_from([0.0, 1.0]),
    ),
    min_size=1,
    max_size=6,
)


@given(PLANS, TURNS, TURNS, REQUESTS)
def test_whatever_happens_every_request_is_recorded_once_and_nothing_is_kept(plan, a, b, requests):
    """Requests start, run out of time and are hung up on at random instants, often the same ones."""

    async def main():
        house = House(plan, a=Scripted(*a), b=Scripted(*b))

        async def client(start_s, timeout_s, hang_up_s, read_s):
            await asyncio.sleep(start_s)
            task = asyncio.create_task(house.serve(timeout_s=timeout_s, read_s=read_s))
            if hang_up_s is not None:
                asyncio.get_running_loop().call_later(hang_up_s, task.cancel)
            await asyncio.wait([task])
            assert task.cancelled() or not isinstance(task.exception(), AssertionError)

        await asyncio.gather(*(client(*request) for request in requests))
        house.check_at_rest(len(requests))
        for record in house.records:
            assert sum(attempt.outcome == "ok" for attempt in record.attempts) <= 1
            assert record.outcome.n_attempts == len(record.attempts)
            assert record.outcome.overhead_s >= 0

    run(main())
