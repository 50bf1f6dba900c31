import asyncio
import contextlib
import gc
import weakref

import pytest

from turnout.engine.exchange import Policy
from turnout.engine.lot import Lot
from turnout.errors import (
    TAXONOMY,
    CapacityExhausted,
    InvalidRequest,
    ProviderBadResponse,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRateLimited,
    Retry,
)
from turnout.layers.breaker import BreakerLayer
from turnout.layers.retry import RetryConfig, RetryLayer
from turnout.stores.live import BreakerConfig, Fleet, RetryBudgetConfig
from turnout.testing.clock import now
from turnout.testing.layer import Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask


class Naps:
    """Sleeps on the test clock and remembers for how long."""

    def __init__(self):
        self.taken = []

    async def __call__(self, seconds):
        self.taken.append(seconds)
        await asyncio.sleep(seconds)


def layer(fleet=None, naps=None, **config):
    return RetryLayer(fleet or Fleet(), now, RetryConfig(**config), naps or Naps())


async def attempt(retry, script, call=None):
    async with retry(script)(call or make_call(now=now())) as reply:
        return reply


def failing(error, times):
    return Scripted(*[Turn(error=error)] * times, Turn())


async def test_a_failure_that_may_pass_is_retried_with_full_jitter():
    naps = Naps()
    script = failing(ProviderFailed("boom"), 2)
    await attempt(layer(naps=naps), script)
    rng = Lot(7)
    assert naps.taken == [rng.random() * 0.25, rng.random() * 0.5]
    assert [call.retry_of for call in script.entered] == [None, 1, 2]
    assert [call.n for call in script.entered] == [1, 2, 3]


async def test_back_off_stops_growing_at_its_cap():
    naps = Naps()
    call = make_call(make_exchange(ask=Ask(request_id="req_1", retries=5)))
    await attempt(layer(naps=naps, cap_s=0.5), failing(ProviderFailed("boom"), 5), call)
    rng = Lot(7)
    assert naps.taken == [rng.random() * limit for limit in (0.25, 0.5, 0.5, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("asked", "policy", "entered"), [(None, 2, 3), (None, 0, 1), (0, 2, 1), (1, 2, 2), (5, 0, 6), (9, 2, 6)]
)
async def test_how_often_is_the_callers_to_say_then_the_routes(asked, policy, entered):
    exchange = make_exchange(ask=Ask(request_id="req_1", retries=asked))
    exchange.policy = Policy(max_retries=policy)
    script = Scripted(Turn(error=ProviderFailed("boom")))
    with pytest.raises(ProviderFailed):
        await attempt(layer(), script, make_call(exchange))
    assert len(script.entered) == entered


@pytest.mark.parametrize(
    ("word", "entered"),
    [
        (word, {Retry.YES: 3, Retry.ONCE: 2}.get(kind.row.retry, 1))
        for word, kind in TAXONOMY.items()
        if kind is not CapacityExhausted
    ],
)
async def test_every_class_is_retried_as_its_row_says(word, entered):
    script = Scripted(Turn(error=TAXONOMY[word]("failed")))
    with pytest.raises(TAXONOMY[word]):
        await attempt(layer(), script)
    assert len(script.entered) == entered


async def test_a_class_retried_once_is_not_retried_after_another():
    script = Scripted(Turn(error=ProviderFailed("boom")), Turn(error=ProviderBadResponse("what")))
    with pytest.raises(ProviderBadResponse):
        await attempt(layer(), script)
    assert len(script.entered) == 2


async def test_a_named_wait_is_honoured_and_spread_upwards():
    naps = Naps()
    await attempt(layer(naps=naps), failing(ProviderRateLimited("slow down", retry_after_s=2.0), 1))
    (wait_s,) = naps.taken
    assert 2.0 <= wait_s <= 2.2


async def test_a_named_wait_lengthens_the_back_off_of_an_overload():
    naps = Naps()
    await attempt(layer(naps=naps), failing(ProviderOverloaded("busy", retry_after_s=1.5), 1))
    (wait_s,) = naps.taken
    assert 1.5 <= wait_s <= 1.65


@pytest.mark.parametrize("wait_s", [None, 5.1, 3600.0])
async def test_a_rate_limit_without_a_wait_worth_taking_is_left_to_fallback(wait_s):
    script = Scripted(Turn(error=ProviderRateLimited("slow down", retry_after_s=wait_s)))
    with pytest.raises(ProviderRateLimited):
        await attempt(layer(), script)
    assert (len(script.entered), now()) == (1, 0.0)


async def test_no_retry_that_would_end_after_the_deadline():
    exchange = make_exchange()
    exchange.deadline_at = 2.0
    script = Scripted(Turn(error=ProviderRateLimited("slow down", retry_after_s=2.0)))
    with pytest.raises(ProviderRateLimited):
        await attempt(layer(), script, make_call(exchange))
    assert (len(script.entered), now()) == (1, 0.0)


async def test_an_empty_purse_ends_retrying():
    fleet = Fleet(budget=RetryBudgetConfig(reserve=3, share=0.0))
    retry = layer(fleet)
    script = Scripted(Turn(error=ProviderFailed("boom")))
    for _ in range(3):
        with pytest.raises(ProviderFailed):
            await attempt(retry, script)
    assert len(script.entered) == 3 + 3


async def test_calls_pay_for_retries():
    fleet = Fleet(budget=RetryBudgetConfig(reserve=0, share=0.2))
    retry = layer(fleet)
    good, bad = Scripted(), Scripted(Turn(error=ProviderFailed("boom")))
    for _ in range(4):
        await attempt(retry, good)
    with pytest.raises(ProviderFailed):
        await attempt(retry, bad)
    assert len(bad.entered) == 2


async def test_purses_are_kept_per_deployment():
    fleet = Fleet(budget=RetryBudgetConfig(reserve=1, share=0.0))
    fleet.of("other/model").budget.withdraw(0.0)
    script = failing(ProviderFailed("boom"), 1)
    await attempt(layer(fleet), script)
    assert len(script.entered) == 2


async def test_nothing_is_retried_after_commit():
    script = Scripted()
    with pytest.raises(ProviderFailed):
        async with layer()(script)(make_call()):
            raise ProviderFailed("broke while reading")
    assert len(script.entered) == 1


async def test_cancellation_while_waiting_ends_at_once():
    script = Scripted(Turn(error=ProviderRateLimited("slow down", retry_after_s=4.0)))
    task = asyncio.create_task(attempt(layer(), script))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), len(script.entered), now()) == (True, 1, 1.0)


async def test_no_wait_for_a_breaker_that_just_opened():
    fleet = Fleet(BreakerConfig(consecutive_failures=1, jitter=0.0))
    script = Scripted(Turn(error=ProviderFailed("boom")))
    with pytest.raises(ProviderFailed):
        await attempt(layer(fleet), BreakerLayer(fleet, now)(script))
    assert (len(script.entered), now()) == (1, 0.0)


async def test_a_rate_limited_call_passes_the_breaker_again_after_its_wait():
    fleet = Fleet(BreakerConfig(jitter=0.0))
    script = failing(ProviderRateLimited("slow down", retry_after_s=2.0), 1)
    await attempt(layer(fleet), BreakerLayer(fleet, now)(script))
    assert len(script.entered) == 2


async def test_a_retry_that_is_refused_reports_what_the_deployment_said():
    script = Scripted(Turn(error=ProviderFailed("boom")), Turn(error=CapacityExhausted("circuit open")))
    with pytest.raises(ProviderFailed, match="boom"):
        await attempt(layer(), script)


async def test_a_retried_call_is_left_once():
    script = failing(ProviderFailed("boom"), 1)
    async with layer()(script)(make_call()):
        assert script.left == []
    assert script.left == [None]


async def test_a_failure_that_cannot_pass_goes_on_as_it_is():
    error = InvalidRequest("no")
    with pytest.raises(InvalidRequest) as caught:
        await attempt(layer(), Scripted(Turn(error=error)))
    assert caught.value is error
    assert caught.value.__context__ is None


async def test_a_failed_request_leaves_no_reference_cycle():
    made = []

    class Failing:
        async def __aenter__(self):
            error = ProviderFailed("boom")
            made.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ProviderFailed):
            await attempt(layer(), lambda _: Failing())
        assert [error() for error in made] == [None, None, None]
    finally:
        gc.enable()
