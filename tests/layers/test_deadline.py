import asyncio
import gc
import weakref

import pytest

from turnout.engine.reply import WholeReply
from turnout.errors import ProviderFailed, TimeoutTotal
from turnout.layers.deadline import LOOK_S, DeadlineLayer
from turnout.testing.clock import now
from turnout.testing.layer import ACME, ANSWER, Scripted, Turn, make_exchange
from turnout.types.ask import Ask


def exchange_with(timeout_s=None):
    return make_exchange(ask=Ask(request_id="req_1", timeout_s=timeout_s), started=now())


def unread():
    reply = WholeReply(ACME, ANSWER)
    reply.done = False
    return reply


async def open_and_read(layer, script, exchange, *, read_s=0.0):
    async with layer(script)(exchange):
        await asyncio.sleep(read_s)


@pytest.mark.parametrize(
    ("default_s", "asked_s", "deadline_at"),
    [(600.0, None, 600.0), (600.0, 5.0, 5.0), (5.0, 600.0, 5.0), (None, 7.0, 7.0), (None, None, None)],
)
async def test_the_smaller_limit_counts(default_s, asked_s, deadline_at):
    exchange = exchange_with(asked_s)
    await open_and_read(DeadlineLayer(now, default_s), Scripted(), exchange)
    assert exchange.deadline_at == deadline_at


async def test_a_request_that_takes_too_long_fails_at_its_deadline():
    script = Scripted(Turn(takes_s=100.0))
    with pytest.raises(TimeoutTotal, match="no complete answer within 5 s"):
        await open_and_read(DeadlineLayer(now), script, exchange_with(5.0))
    assert (now(), script.cancelled) == (5.0, 1)


async def test_the_time_counts_from_the_start_of_the_request():
    exchange = exchange_with(5.0)
    await asyncio.sleep(3.0)
    with pytest.raises(TimeoutTotal):
        await open_and_read(DeadlineLayer(now), Scripted(Turn(takes_s=100.0)), exchange)
    assert now() == 5.0


async def test_a_deadline_that_has_passed_fails_at_once():
    exchange = exchange_with(5.0)
    await asyncio.sleep(9.0)
    with pytest.raises(TimeoutTotal):
        await open_and_read(DeadlineLayer(now), Scripted(Turn(takes_s=100.0)), exchange)
    assert now() == 9.0


async def test_it_holds_while_the_reply_is_read():
    script = Scripted(Turn(unread()))
    with pytest.raises(TimeoutTotal):
        await open_and_read(DeadlineLayer(now), script, exchange_with(5.0), read_s=100.0)
    assert now() == 5.0
    assert [type(error) for error in script.left] == [asyncio.CancelledError]


async def test_a_complete_reply_is_never_cut_off():
    await open_and_read(DeadlineLayer(now), Scripted(), exchange_with(5.0), read_s=100.0)
    assert now() == 100.0


async def test_nothing_fires_after_the_request_was_left():
    await open_and_read(DeadlineLayer(now), Scripted(Turn(unread())), exchange_with(5.0))
    await asyncio.sleep(100.0)


async def test_nothing_fires_after_a_failure():
    with pytest.raises(ProviderFailed):
        await open_and_read(
            DeadlineLayer(now), Scripted(Turn(error=ProviderFailed("boom"))), exchange_with(5.0)
        )
    await asyncio.sleep(100.0)


@pytest.mark.parametrize("total_s", [3.0, 20.0])
async def test_the_routes_limit_replaces_the_default_and_may_be_longer(total_s):
    class Routing(Scripted):
        def turn(self):
            self.entered[-1].deadline.within(total_s)
            return super().turn()

    with pytest.raises(TimeoutTotal):
        await open_and_read(DeadlineLayer(now, 10.0), Routing(Turn(takes_s=100.0)), exchange_with())
    assert now() == total_s


async def test_the_routes_limit_does_not_lengthen_the_callers():
    exchange = exchange_with(2.0)
    layer = DeadlineLayer(now)(Scripted(Turn(unread())))
    async with layer(exchange):
        exchange.deadline.within(50.0)
        assert exchange.deadline_at == 2.0
        exchange.deadline.within(None)
        assert exchange.deadline_at == 2.0


async def test_a_cancellation_from_outside_stays_a_cancellation():
    task = asyncio.create_task(
        open_and_read(DeadlineLayer(now), Scripted(Turn(takes_s=100.0)), exchange_with(5.0))
    )
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_cancellation_from_outside_in_the_same_moment_wins():
    task = asyncio.create_task(
        open_and_read(DeadlineLayer(now), Scripted(Turn(takes_s=100.0)), exchange_with(5.0))
    )
    asyncio.get_running_loop().call_at(5.0, task.cancel)
    await asyncio.wait([task])
    assert task.cancelled()


async def test_the_task_is_as_good_as_new_after_a_deadline():
    for _ in range(3):
        with pytest.raises(TimeoutTotal):
            await open_and_read(DeadlineLayer(now), Scripted(Turn(takes_s=9.0)), exchange_with(1.0))
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(1.0)


async def test_the_inner_of_two_deadlines_does_not_trip_the_outer():
    inner, outer = DeadlineLayer(now, 1.0), DeadlineLayer(now, 5.0)

    async with outer(Scripted(Turn(unread())))(exchange_with()):
        with pytest.raises(TimeoutTotal):
            await open_and_read(inner, Scripted(Turn(takes_s=9.0)), exchange_with())


async def test_another_failure_on_the_way_out_is_kept():
    class Translating(Scripted):
        def __call__(self, exchange):
            inner = super().__call__(exchange)

            class Step:
                async def __aenter__(self):
                    try:
                        return await inner.__aenter__()
                    except asyncio.CancelledError:
                        raise ProviderFailed("cleanup failed") from None

            return Step()

    with pytest.raises(ProviderFailed):
        await open_and_read(DeadlineLayer(now), Translating(Turn(takes_s=9.0)), exchange_with(1.0))
    assert asyncio.current_task().cancelling() == 0


async def test_a_request_leaves_no_reference_cycle():
    class Seen(WholeReply):
        __slots__ = ("__weakref__",)

    gc.collect()
    gc.disable()
    try:
        reply = Seen(ACME, ANSWER)
        reply.done = False
        alive = weakref.ref(reply)
        script = Scripted(Turn(reply))
        exchange = exchange_with()
        exchange.reply = reply
        await open_and_read(DeadlineLayer(now), script, exchange)
        del reply, script, exchange
        assert alive() is None
    finally:
        gc.enable()


async def test_a_far_deadline_is_met_exactly():
    script = Scripted(Turn(takes_s=1000.0))
    with pytest.raises(TimeoutTotal, match="no complete answer within 600 s"):
        await open_and_read(DeadlineLayer(now), script, exchange_with())
    assert (now(), script.cancelled) == (600.0, 1)


async def test_far_deadlines_need_no_timer_once_nothing_is_under_way():
    layer = DeadlineLayer(now)
    await asyncio.gather(*(open_and_read(layer, Scripted(), exchange_with()) for _ in range(3)))
    await asyncio.sleep(LOOK_S)
    assert (layer._far, layer._looking) == (set(), None)
