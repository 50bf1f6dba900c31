"""S-33: after a refusal only models of at least the same safety; a safety floor holds in every shape."""

import asyncio

import pytest

from tests.engine.kit import Turn, names, rig
from turnout.build import build
from turnout.config import parse_config
from turnout.errors import ConfigError, ContentFiltered

REFUSED = Turn(raises=ContentFiltered("refused"))


def config(strategy="", safety=None, surface="", route=""):
    hosts = ("a", "b", "c")
    rows = "\n".join(f"  {h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}" for h in hosts)
    grades = {"a": 0.9, "b": 0.5, "c": 0.95} if safety is None else safety
    models = "\n".join(
        f"  - {{model: {h}/m{f', safety: {grades[h]}' if h in grades else ''}}}" for h in hosts
    )
    listed = ", ".join(names(*hosts))
    return parse_config(
        f"providers:\n{rows}\nmodels:\n{models}\negress: {{allow_http: [a, b, c]}}\n"
        f"routes:\n  - {{name: r, models: [{listed}], max_retries: 0{strategy}{route}}}\n{surface}",
        env={},
    )


OPEN = ", fallback_on: [content_filtered]"


async def test_after_a_refusal_a_less_safe_model_is_passed_over():
    r = await rig(
        {"a": [REFUSED], "b": [Turn(words=("b",))], "c": [Turn(words=("c",))]}, config=config(route=OPEN)
    )
    assert await r.text() == "c"
    assert r.transport.calls("b") == 0


async def test_where_no_safer_model_is_left_the_refusal_stands():
    grades = {"a": 0.9, "b": 0.5}  # of c nothing is known: that is lower
    script = {"a": [REFUSED], "b": [Turn()], "c": [Turn()]}
    r = await rig(script, config=config(safety=grades, route=OPEN))
    with pytest.raises(ContentFiltered):
        await r.text()
    assert (r.transport.calls("b"), r.transport.calls("c")) == (0, 0)


RANKED = ", strategy: {type: pipeline, score: [{type: rank}], shape: "
SHAPES = {
    "sequence": "",
    "hedge": RANKED + "{type: hedge, delay_s: 0.001}}",
    "cascade": RANKED + "{type: cascade, steps: 3, accept: {type: finish}}}",
    "fanout": RANKED + "{type: fanout, k: 3, reduce: {type: majority}}}",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_safety_floor_holds_whatever_fails_and_whatever_the_shape(shape):
    surface = "surfaces: {minors: {safety_floor: 0.8}}\n"
    slow = Turn(status=529)
    script = {"a": [slow] * 4, "b": [Turn(words=("b",))] * 4, "c": [Turn(words=("c",))] * 4}
    r = await rig(script, config=config(SHAPES[shape], surface=surface))
    assert await r.text(surface="minors") == "c"
    assert r.transport.calls("b") == 0


async def test_in_a_hedge_a_less_safe_model_does_not_answer_what_another_refused():
    strategy = ", strategy: {type: pipeline, score: [{type: rank}], shape: {type: hedge, delay_s: 9}}"
    script = {"a": [REFUSED], "b": [Turn(words=("b",))], "c": [Turn(words=("c",))]}
    r = await rig(script, config=config(strategy, route=OPEN))
    assert await r.text() == "c"
    assert r.transport.calls("b") == 0


async def test_the_cache_never_hands_an_answer_over_a_safety_floor():
    text = config(surface="surfaces: {minors: {safety_floor: 0.92}}\n", route=", cache: {}")
    r = await rig({"a": [Turn(words=("a",))] * 2, "b": [Turn()], "c": [Turn(words=("c",))] * 2}, config=text)
    assert [await r.text(), await r.text()] == ["a", "a"]
    assert await r.text(surface="minors") == "c"


def test_a_quality_floor_above_every_model_is_refused_when_loaded():
    quality = "{type: quality, values: {a/m: 0.5, b/m: 0.6, c/m: 0.7}}"
    strategy = f", strategy: {{type: pipeline, score: [{quality}]}}"

    def problems(surface):
        with pytest.raises(ConfigError) as told:
            asyncio.run(build(config(strategy, surface=surface), {}))
        return told.value.problems

    assert problems("surfaces: {top: {q_floor: 0.8}}\n") == (
        (
            "surfaces.top.q_floor is 0.8; the best model of any route that may serve it reaches 0.7: "
            "lower it, or add a better model"
        ),
    )
    assert "reaches 0.6" in problems("surfaces: {top: {q_floor: 0.65, allow: [a/m, b/m]}}\n")[0]
