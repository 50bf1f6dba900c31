"""Extra calls of a hedging route are a share of its requests."""

import pytest

from tests.engine.kit import Turn, rig
from turnout.engine.allowance import BURST, Allowance

HEDGE = ", strategy: {type: hedge, delay_s: 1}"


def test_a_bucket_starts_full_and_refills_with_requests():
    bucket = Allowance()
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    bucket.earn(9)
    assert not bucket.has_room
    bucket.earn(10)
    assert (bucket.take(), bucket.take()) == (True, False)


def test_a_quiet_time_saves_up_no_more_than_a_burst():
    bucket = Allowance()
    bucket.earn(1_000_000)
    assert sum(bucket.take() for _ in range(100)) == BURST


async def test_when_every_answer_is_late_extra_calls_stay_within_the_share():
    n = 100
    slow, spare = [Turn(words=("a",), head_s=5)] * n, [Turn(words=("b",))] * n
    r = await rig({"a": slow, "b": spare}, HEDGE)
    words = [await r.text() for _ in range(n)]
    hedged = words.count("b")
    assert words.count("a") + hedged == n
    assert 0.1 * n <= hedged <= 0.1 * n + BURST


async def test_a_failure_of_the_first_is_not_counted_as_an_extra_call():
    n = 20
    script = {"a": [Turn(status=500)] * n * 3, "b": [Turn(words=("b",))] * n}
    r = await rig(script, HEDGE + ", max_retries: 0")
    assert [await r.text() for _ in range(n)] == ["b"] * n


@pytest.mark.parametrize("surface", ["support", None])
async def test_a_surface_wins_over_the_strategy(surface):
    from turnout.config import parse_config

    config = parse_config(
        """
providers:
  a: {codec: anthropic, base_url: 'http://a:1/v1', auth: none}
  b: {codec: anthropic, base_url: 'http://b:1/v1', auth: none}
models: [a/m, b/m]
egress: {allow_http: [a, b]}
surfaces: {support: {allow: [b]}}
routes:
  - {name: r, models: [a/m, b/m]}
""",
        env={},
    )
    r = await rig({"a": [Turn(words=("a",))], "b": [Turn(words=("b",))]}, config=config)
    assert await r.text(surface=surface) == ("b" if surface else "a")


async def test_requests_of_a_rotation_are_numbered():
    script = {"a": [Turn(words=("a",))] * 3, "b": [Turn(words=("b",))] * 3}
    r = await rig(script, ", strategy: {type: round_robin}")
    assert [await r.text() for _ in range(6)] == ["a", "b"] * 3
