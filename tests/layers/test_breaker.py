import asyncio

import pytest

from turnout.engine.reply import WholeReply
from turnout.errors import (
    CapacityExhausted,
    ContextLengthExceeded,
    InvalidRequest,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    StreamInterrupted,
    TimeoutTtft,
)
from turnout.layers.breaker import BreakerLayer
from turnout.layers.timeouts import TimeoutsLayer
from turnout.stores.live import BreakerConfig, Fleet
from turnout.testing.clock import now
from turnout.testing.layer import ACME, ANSWER, Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.record import Attempt


def build(**config):
    fleet = Fleet(BreakerConfig(**{"jitter": 0.0, **config}))
    return fleet, BreakerLayer(fleet, now)


async def attempt(breaker, script, call=None):
    async with breaker(script)(call or make_call(now=now())):
        pass


async def fail(breaker, error, times=1, make=make_call):
    for _ in range(times):
        with pytest.raises(type(error)):
            await attempt(breaker, Scripted(Turn(error=error)), make())


async def test_an_open_breaker_refuses_without_sending_and_records_the_refusal():
    _, breaker = build()
    await fail(breaker, ProviderFailed("boom"), 5)
    await asyncio.sleep(4)
    script = Scripted()
    exchange = make_exchange(started=1.0)
    with pytest.raises(CapacityExhausted, match="cooling down") as caught:
        await attempt(breaker, script, make_call(exchange, now=4.0))
    assert caught.value.retry_after_s == 6.0
    assert script.entered == []
    assert exchange.attempts == [
        Attempt(
            n=1,
            deployment="acme/small",
            model="acme/small",
            provider="acme",
            start_s=3.0,
            duration_s=0.0,
            outcome="failed",
            error="capacity_exhausted",
            cost_nusd=0,
            cost_state="exact",
        )
    ]


async def test_probes_close_it_again():
    fleet, breaker = build()
    await fail(breaker, ProviderFailed("boom"), 5)
    await asyncio.sleep(10)
    states = []
    for _ in range(2):
        states.append(fleet.stats(ACME.id, now()).state)
        await attempt(breaker, Scripted())
    assert [*states, fleet.stats(ACME.id, now()).state] == ["half_open", "half_open", "closed"]


async def test_only_one_probe_runs_and_the_others_are_told_to_wait():
    _, breaker = build(consecutive_failures=1)
    await fail(breaker, ProviderFailed("boom"))
    await asyncio.sleep(10)
    probe = asyncio.create_task(attempt(breaker, Scripted(Turn(takes_s=3.0))))
    await asyncio.sleep(1)
    with pytest.raises(CapacityExhausted) as caught:
        await attempt(breaker, Scripted())
    assert caught.value.retry_after_s == 1.0
    await probe


async def test_a_cancelled_probe_makes_room():
    fleet, breaker = build(consecutive_failures=1)
    await fail(breaker, ProviderFailed("boom"))
    await asyncio.sleep(10)
    probe = asyncio.create_task(attempt(breaker, Scripted(Turn(takes_s=3.0))))
    await asyncio.sleep(1)
    probe.cancel()
    await asyncio.wait([probe])
    await attempt(breaker, Scripted())
    assert fleet.stats(ACME.id, now()).state == "half_open"


@pytest.mark.parametrize("error", [InvalidRequest("no"), ContextLengthExceeded("long"), RuntimeError("bug")])
async def test_what_is_no_fault_of_the_deployment_never_opens_it(error):
    fleet, breaker = build(consecutive_failures=1)
    await fail(breaker, error, 20)
    assert fleet.stats(ACME.id, now()).state == "closed"


async def test_a_rate_limit_pauses_for_the_named_time_only():
    _, breaker = build()
    await fail(breaker, ProviderRateLimited("slow down", retry_after_s=3.0))
    with pytest.raises(CapacityExhausted) as caught:
        await attempt(breaker, Scripted())
    assert caught.value.retry_after_s == 3.0
    await asyncio.sleep(3.0)
    await attempt(breaker, Scripted())


async def test_a_refused_credential_opens_it_at_once():
    fleet, breaker = build()
    await fail(breaker, ProviderAuth("bad key"))
    assert (fleet.stats(ACME.id, now()).state, fleet.stats(ACME.id, now()).cooldown_s) == ("open", 60.0)


async def test_a_limit_that_the_caller_tightened_never_opens_it():
    fleet, breaker = build(consecutive_failures=1)

    def impatient():
        return make_call(make_exchange(ask=Ask(request_id="req_1", ttft_timeout_s=0.001)))

    script = Scripted(Turn(error=TimeoutTtft("no content within 1 ms")))
    for _ in range(5):
        with pytest.raises(TimeoutTtft):
            await attempt(breaker, TimeoutsLayer()(script), impatient())
    assert fleet.stats(ACME.id, now()).state == "closed"
    await fail(breaker, TimeoutTtft("no content within 60 s"))
    assert fleet.stats(ACME.id, now()).state == "open"


async def test_success_counts_at_commit_and_a_broken_stream_takes_it_back():
    fleet, breaker = build()
    for _ in range(10):
        reply = WholeReply(ACME, ANSWER)
        async with breaker(Scripted(Turn(reply)))(make_call(now=now())):
            assert fleet.stats(ACME.id, now()).state == "closed"
            reply.failure = StreamInterrupted("cut")
    assert fleet.stats(ACME.id, now()).state == "open"


async def test_a_failure_of_the_reader_is_not_the_deployments():
    fleet, breaker = build(consecutive_failures=1)
    with pytest.raises(ProviderFailed):
        async with breaker(Scripted())(make_call()):
            raise ProviderFailed("raised by the reader, about something else")
    assert fleet.stats(ACME.id, now()).state == "closed"
