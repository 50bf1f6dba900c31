"""The law of commit, over random plans and random upstreams: entering = committed, and nothing follows."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kit import Turn
from tests.engine.test_race import Longest, Majority, rig_with
from turnout.errors import TurnoutError
from turnout.plan import Cascade, Fanout, Hedge, Sequence, Try, deployments
from turnout.testing.clock import run

HOSTS = ("a", "b", "c", "d")

leaves = st.sampled_from(HOSTS).map(lambda host: Try(f"{host}/m"))


def nodes(children):
    several = st.lists(children, min_size=1, max_size=3).map(tuple)
    return (
        st.builds(Sequence, several)
        | st.builds(Cascade, several, st.integers(0, 12).map(Longest))
        | st.builds(Hedge, children, children, st.sampled_from([0.0, 0.5, 2.0]))
        | st.builds(Fanout, several, st.just(Majority()))
    )


plans = st.recursive(leaves, nodes, max_leaves=6)
turns = st.builds(
    Turn,
    words=st.sampled_from([("hello",), ("yes", " and", " more"), ("x",)]),
    head_s=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    gap_s=st.sampled_from([0.0, 0.1]),
    status=st.sampled_from([200, 200, 200, 529, 500, 429, 401, 400]),
    cut_after=st.sampled_from([None, None, None, 0, 1]),
)
scripts = st.fixed_dictionaries({host: st.lists(turns, min_size=1, max_size=3) for host in HOSTS})


@given(plans, scripts, st.booleans(), st.booleans())
def test_after_commit_no_attempt_is_made_and_everything_is_left(plan, script, stream, leaves_early):
    async def scene():
        rig = await rig_with(plan, script, ", max_retries: 1")
        sends_at_commit = None
        try:
            async with rig.open(stream=stream) as reply:
                sends_at_commit = len(rig.transport.sent)
                assert reply.deployment.id in deployments(plan)
                async for _ in reply.events():
                    if leaves_early:
                        break
        except TurnoutError:
            pass
        if sends_at_commit is not None:
            assert len(rig.transport.sent) == sends_at_commit
        assert rig.transport.n_open == 0
        assert len(asyncio.all_tasks()) == 1
        assert all(stats.in_flight == 0 for stats in rig.engine.health().values())
        record = await rig.journal.get("req_" + "0" * 25 + "1")
        sent = [a for a in record.attempts if a.status is not None or a.outcome in ("cancelled", "lost")]
        assert len(sent) >= len({a.n for a in sent})
        assert record.outcome.n_attempts == len(record.attempts)

    run(scene())
