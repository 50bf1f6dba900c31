"""Health seen from outside: who is asked first when somebody is unwell, without probes."""

import asyncio

import pytest

from tests.engine.kit import Turn, rig
from turnout.errors import ProviderFailed, ProviderRateLimited
from turnout.stores.base import Query

LATEST = Query(limit=1)
FAST = Turn(head_s=0.05)
LIMITED = Turn(raises=ProviderRateLimited("slow down", retry_after_s=0.5))
FAILED = Turn(raises=ProviderFailed("boom"))


async def ask(made, n, **fields):
    """Send requests one after another; return how many the first upstream was asked for first."""
    firsts = 0
    for _ in range(n):
        async with made.open(**fields) as reply:
            await reply.response()
        record = (await made.journal.query(LATEST)).records[0]
        firsts += record.attempts[0].deployment == "a/m"
        await asyncio.sleep(0.2)
    return firsts


def stats(made):
    return made.engine.health()["a/m"]


async def test_rate_limits_demote_nobody():
    made = await rig({"a": [FAST, FAST, LIMITED] * 200, "b": [FAST]}, ", max_retries: 0")
    await ask(made, 300)
    seen = stats(made)
    assert (seen.demoted, seen.error_ratio, seen.n_observed > 100) == (False, 0.0, True)


async def test_one_failure_of_twenty_demotes_nobody():
    made = await rig({"a": [FAILED, *[FAST] * 19], "b": [FAST]}, ", max_retries: 0")
    await ask(made, 20)
    assert (stats(made).demoted, stats(made).error_ratio) == (False, pytest.approx(0.05))


async def test_a_demoted_one_is_tried_and_comes_back_without_probes():
    turns = [FAST, FAST, FAILED]
    turns *= 100
    made = await rig({"a": turns, "b": [FAST]}, ", max_retries: 0")
    await ask(made, 60)
    assert stats(made).demoted
    turns[:] = [FAST]
    assert 0 < await ask(made, 400) < 40
    asked = 0
    while stats(made).demoted and asked < 3000:
        await ask(made, 50)
        asked += 50
    assert not stats(made).demoted
    await asyncio.sleep(60)
    assert await ask(made, 50) == 50


async def test_a_total_outage_is_the_breakers_business():
    made = await rig({"a": [FAILED], "b": [FAST]}, ", max_retries: 0")
    assert await ask(made, 8) == 5
    assert (stats(made).state, stats(made).demoted) == ("open", False)


async def test_a_slow_stream_is_known_before_it_ends():
    made = await rig({"a": [Turn(head_s=3.0, words=("one", "two"), gap_s=50.0)]})
    async with made.open(stream=True) as reply:
        assert stats(made).ttft_recent_s == pytest.approx(53.0)
        assert stats(made).total_p50_s is None
        async for _ in reply.events():
            pass
    assert stats(made).total_p50_s == pytest.approx(103.0, rel=0.03)
