"""Routing wishes in a body: ours, peers', and the names nobody may set."""

import pytest

from turnout.codecs.base import Body
from turnout.codecs.extras import NONE, Extras, read, refuse, without
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Preferences, Wire
from turnout.types.chat import ChatRequest
from turnout.types.json import JsonObject


def refused(tree: JsonObject) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(tree)
    return caught.value


def test_a_plain_body_asks_for_nothing() -> None:
    tree = {"model": "m", "messages": [], "temperature": 0.5, "metadata": {"run": "7"}}
    assert read(tree) == NONE
    assert without(tree, NONE) is tree


def test_the_turnout_object_is_read_and_consumed() -> None:
    tree = {
        "model": "auto",
        "turnout": {
            "route": "support",
            "session": "s1",
            "surface": "support",
            "candidates": ["a/x", "b/y"],
            "avoid": ["c/*"],
            "fallbacks": ["d/z"],
            "constraints": {"max_cost_usd": 0.02, "min_quality": 0.7, "allow": ["a/*"]},
            "weights": {"mmlu": 1.0},
            "explain": "full",
            "tags": ["t"],
            "metadata": {"team": "x"},
            "samples": 3,
            "cache": {"ttl": 60},
            "cascade": {"steps": 2},
        },
    }
    extras = read(tree)
    assert extras == Extras(
        prefer=Preferences(
            route="support",
            candidates=("a/x", "b/y"),
            fallbacks=("d/z",),
            avoid=("c/*",),
            allow=("a/*",),
            max_cost_nusd=20_000_000,
            min_quality=0.7,
            weights={"mmlu": 1.0},
            samples=3,
        ),
        session="s1",
        surface="support",
        explain="full",
        tags=("t",),
        metadata={"team": "x"},
        extra={"cache": {"ttl": 60}, "cascade": {"steps": 2}},
        consumed=frozenset({"turnout"}),
        ours=frozenset(tree["turnout"]),
    )
    assert without(tree, extras) == {"model": "auto"}


def test_fields_of_peers_are_read() -> None:
    extras = read(
        {
            "models": ["a", "b"],
            "route": "fallback",
            "fallbacks": ["c", {"model": "d", "provider": "e"}, {"model": "f"}],
            "provider": {
                "order": ["x"],
                "only": ["x", "y"],
                "ignore": ["z"],
                "allow_fallbacks": False,
                "sort": {"by": "latency"},
                "max_price": {"prompt": 0.5, "completion": "1.5"},
            },
            "usage": {"include": True},
            "num_retries": 2,
            "timeout": 12.5,
            "preset": "cheap",
            "guardrails": ["pii"],
        }
    )
    assert extras.prefer == Preferences(
        route="cheap",
        candidates=("a", "b"),
        fallbacks=("c", "e/d", "f"),
        avoid=("z",),
        only_providers=("x", "y"),
        order_providers=("x",),
        allow_fallbacks=False,
        sort="latency",
        max_price_input_nusd_per_mtok=500_000_000,
        max_price_output_nusd_per_mtok=1_500_000_000,
    )
    assert (extras.explain, extras.retries, extras.timeout_s) == ("summary", 2, 12.5)
    assert extras.extra == {"guardrails": ["pii"]}


def test_the_turnout_object_wins_over_peers() -> None:
    extras = read(
        {"turnout": {"candidates": ["ours"], "session": "a"}, "models": ["theirs"], "session_id": "b"}
    )
    assert (extras.prefer.candidates, extras.session) == (("ours",), "a")


@pytest.mark.parametrize(
    ("tree", "session"),
    [
        ({"session_id": "s", "user": "u", "prompt_cache_key": "p"}, "s"),
        ({"user": "u", "prompt_cache_key": "p"}, "u"),
        ({"prompt_cache_key": "p"}, "p"),
        ({"user": 7}, None),
    ],
)
def test_stickiness_comes_from_session_user_or_cache_key_in_this_order(
    tree: JsonObject, session: str | None
) -> None:
    extras = read(tree)
    assert extras.session == session
    assert not {"user", "prompt_cache_key"} & extras.consumed


def test_tags_in_metadata_are_taken_with_their_metadata() -> None:
    extras = read({"metadata": {"tags": ["a", "b"], "customer": "c", "nested": {"x": 1}}})
    assert (extras.tags, extras.metadata, extras.consumed) == (
        ("a", "b"),
        {"customer": "c"},
        frozenset({"metadata"}),
    )


def test_wishes_that_are_not_followed_are_noticed() -> None:
    extras = read(
        {
            "plugins": [{"id": "web"}],
            "transforms": ["middle-out"],
            "provider": {"quantizations": ["fp8"], "preferred_max_latency": 2},
        }
    )
    assert extras.warnings == (
        "plugins_ignored",
        "transforms_ignored",
        "quantizations_ignored",
        "provider_preferences_ignored",
    )


@pytest.mark.parametrize(
    ("tree", "param"),
    [
        ({"api_base": "http://x"}, "api_base"),
        ({"fallbacks": [{"model": "m", "api_key": "k"}]}, "fallbacks[0].api_key"),
        ({"turnout": {"metadata": {"base_url": "x"}}}, "turnout.metadata.base_url"),
        ({"provider": {"order": [], "extra_headers": {}}}, "provider.extra_headers"),
        ({"metadata": {"tags": [], "custom_host": "x"}}, "metadata.custom_host"),
        ({"tensorzero::tags": {}}, "tensorzero::tags"),
        ({"mock_response": "hi"}, "mock_response"),
        ({"mock_testing_fallbacks": True}, "mock_testing_fallbacks"),
        ({"debug": {"echo": True}}, "debug"),
    ],
)
def test_names_that_only_the_operator_may_set_are_refused(tree: JsonObject, param: str) -> None:
    error = refused(tree)
    assert (error.param, error.code) == (param, "refused_field")


def test_refused_names_are_found_in_fields_a_dialect_does_not_know() -> None:
    with pytest.raises(InvalidRequest, match=r"extra_body\.routes\[1\]\.api_base"):
        refuse({"routes": [{}, {"api_base": "x"}]}, "extra_body")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"turnout": {"candidats": []}}, "turnout.candidats is not known; did you mean candidates?"),
        (
            {"turnout": {"constraints": {"regions": ["eu"]}}},
            "turnout.constraints.regions is not known; known: max_cost_usd, min_quality, allow",
        ),
        ({"turnout": {"route": 7}}, "turnout.route: expected `str | null`, got `int`"),
        ({"turnout": []}, "turnout: expected `object`, got `array`"),
        ({"turnout": {"candidates": ["m"] * 11}}, "turnout.candidates: expected `array` of length <= 10"),
        ({"models": [1]}, "models[0]: expected `str`, got `int`"),
        ({"num_retries": 6}, "num_retries: expected `int` <= 5"),
        ({"timeout": 0}, "timeout: expected `float` > 0.0"),
        ({"route": "best"}, "route: invalid enum value 'best'; expected fallback"),
        (
            {"provider": {"max_price": {"prompt": "much"}}},
            (
                "provider.max_price holds USD per million tokens: "
                "Expected `float | null`, got `str` - at `$.prompt`"
            ),
        ),
    ],
)
def test_bad_wishes_are_refused_with_their_path(tree: JsonObject, message: str) -> None:
    assert refused(tree).message == message


def test_a_promise_nobody_can_keep_is_refused() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read({"provider": {"data_collection": "deny"}})
    assert caught.value.param == "provider.data_collection"


def test_the_envelope_carries_what_was_asked() -> None:
    request, wire = ChatRequest(model="m", messages=()), Wire("openai_chat", {"model": "m"})
    assert NONE.body(request, wire) == Body(request, Preferences(), wire)
    extras = read({"turnout": {"route": "r", "tags": ["t"]}, "num_retries": 1})
    assert extras.body(request, wire) == Body(
        request=request,
        prefer=Preferences(route="r"),
        wire=wire,
        tags=("t",),
        route="r",
        retries=1,
        ours=frozenset({"route", "tags"}),
    )
