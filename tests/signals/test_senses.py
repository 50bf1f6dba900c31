"""All senses: pure on anything, absent where they have nothing to say."""

import pytest
from hypothesis import given

from tests.signals.conversations import (
    ASK,
    asked,
    at_moment,
    called,
    candidate,
    conversations,
    result,
    said,
    with_intent,
)
from turnout.engine.sense import sense
from turnout.registry import load, names
from turnout.signals.base import AbsentError, Sense
from turnout.signals.complexity import COMPLEXITY
from turnout.signals.flags import HAS_CODE, HAS_IMAGES, HAS_MATH, HAS_TOOLS, WANTS_JSON
from turnout.signals.lexical import LEXICAL
from turnout.signals.load import LOAD
from turnout.signals.session import SESSION
from turnout.signals.surface import SURFACE
from turnout.signals.time import TIME
from turnout.signals.trajectory import TRAJECTORY
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts, Message, OutputFormat, Tool
from turnout.types.json import Json
from turnout.types.moment import MOMENT, Moment, Session
from turnout.types.signal import Signal, Signals

BUILT_IN = tuple(name for name in names("turnout.signals") if name != "tokens.exact")


def in_order(wanted: tuple[str, ...]) -> tuple[Sense, ...]:
    found: dict[str, Sense] = {}

    def add(name: str) -> None:
        if name != MOMENT and name not in found:
            each: Sense = load("turnout.signals", name)  # type: ignore[assignment]
            for need in sorted(each.needs):
                add(need)
            found[name] = each

    for name in wanted:
        add(name)
    return tuple(found.values())


ALL = in_order(BUILT_IN)


def moment(*names: str) -> Moment:
    found = at_moment(*(candidate(name) for name in names))[MOMENT]
    assert isinstance(found, Moment)
    return found


@given(conversations)
def test_no_sense_fails_on_any_conversation(request: ChatRequest) -> None:
    found = sense(ALL, request, ASK, moment("a/x"))

    reasons = {name: signal.error for name, signal in found.items() if signal.error is not None}
    assert set(reasons.values()) <= {"not_asked", "not_named", "no_intent"}
    assert set(found) == {MOMENT, *BUILT_IN}


@given(conversations)
def test_senses_are_functions_of_their_arguments(request: ChatRequest) -> None:
    assert sense(ALL, request, ASK, moment("a/x")) == sense(ALL, request, ASK, moment("a/x"))


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_every_sense_says_its_name_and_survives_missing_signals(each: Sense) -> None:
    assert load("turnout.signals", each.name) is each
    found = sense((each,), asked(said("hello there")), ASK, moment())[each.name]

    assert found.error in (None, "not_asked", "not_named", "no_lexical")


def test_a_failing_sense_is_absent_with_its_reason() -> None:
    class Broken:
        name = "broken"
        needs: frozenset[str] = frozenset()

        def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
            raise ZeroDivisionError

    found = sense((Broken(), SURFACE), asked(said("x")), ASK, moment())

    assert {name: signal.error for name, signal in found.items()} == {
        MOMENT: None,
        "broken": "ZeroDivisionError",
        "surface": "not_named",
    }


@pytest.mark.parametrize(
    ("each", "text", "expected"),
    [
        (HAS_CODE, "```py\nprint(1)\n```", True),
        (HAS_CODE, "Refactor this Python class, please", True),
        (HAS_CODE, "Write a poem about autumn", False),
        (HAS_CODE, "My class starts at nine", False),
        (HAS_MATH, r"Evaluate \frac{1}{2} + x", True),
        (HAS_MATH, "What is the probability that the sum of two dice is prime?", True),
        (HAS_MATH, "Tell me about Rome", False),
        (WANTS_JSON, "Return the names as JSON.", True),
        (WANTS_JSON, "What is JSON?", False),
        (WANTS_JSON, "Who was Jason?", False),
    ],
)
def test_flags_are_read_off_the_intent(each: Sense, text: str, expected: bool) -> None:
    assert each.read(asked(said(text)), ASK, with_intent(text)).value is expected


def test_tool_text_is_not_what_makes_code() -> None:
    request = asked(said("What is the weather?"), called("run"), result("def f():\n    return 1\n```"))

    assert sense(in_order(("has.code",)), request, ASK, moment())["has.code"].value is False


def test_flags_of_parameters_need_no_text() -> None:
    request = asked(
        tools=(Tool(name="f"),),
        output_format=OutputFormat(kind="json_object"),
        facts=Facts(modalities=frozenset({"image"})),
    )

    assert [each.read(request, ASK, {}).value for each in (HAS_TOOLS, HAS_IMAGES, WANTS_JSON)] == [
        True,
        True,
        True,
    ]


def test_lexical_counts_what_stands_there() -> None:
    text = "First explain why 2 plus 2 is four. Then list at most three reasons, without examples!"
    value = LEXICAL.read(asked(said(text)), ASK, with_intent(text)).value
    assert isinstance(value, dict)

    wanted = ("words", "sentences", "numbers", "steps", "instructions", "constraints", "questions", "lines")
    assert [value[name] for name in wanted] == [16, 2, 2, 2, 2, 2, 1, 1]


def test_lexical_of_nothing_is_zero() -> None:
    value = LEXICAL.read(asked(), ASK, with_intent("")).value
    assert isinstance(value, dict)

    assert set(value.values()) == {0.0}


def test_complexity_rises_with_the_task() -> None:
    scores = [
        sense(in_order(("complexity",)), asked(said(text)), ASK, moment())["complexity"].value
        for text in (
            "hi, thanks?",
            "Let n be an integer with n^3 - 4n = 15; prove x^2 + y^2 = n^2 has no solution.\n(A) 3\n(B) 5",
        )
    ]

    assert scores == sorted(scores, key=lambda s: s if isinstance(s, float) else 2)
    assert all(isinstance(s, float) and 0 < s < 1 for s in scores)


def test_complexity_is_absent_without_features() -> None:
    with pytest.raises(AbsentError, match="no_lexical"):
        COMPLEXITY.read(asked(), ASK, {})


def trajectory(*messages: Message) -> Json:
    return TRAJECTORY.read(asked(*messages), ASK, {}).value


def test_a_fresh_conversation_has_no_trajectory() -> None:
    assert trajectory(said("hello")) == {
        "turn": 1,
        "depth": 0,
        "tool_errors": 0,
        "repeats": 0,
        "since_progress": 0,
        "n_result_chars": 0,
        "in_tool_loop": False,
    }


def test_an_agent_that_goes_round_in_circles_is_seen() -> None:
    loop = (called("test"), result("Error: boom"))

    assert trajectory(said("first"), said("fine", role="assistant"), said("fix"), *loop * 3) == {
        "turn": 2,
        "depth": 3,
        "tool_errors": 3,
        "repeats": 2,
        "since_progress": 3,
        "n_result_chars": 11,
        "in_tool_loop": True,
    }


def test_progress_ends_a_series_of_errors() -> None:
    value = trajectory(
        said("go"),
        called("a"),
        result("Error"),
        called("b"),
        result("fine"),
        called("c"),
        result("x", is_error=True),
    )

    assert isinstance(value, dict)
    assert (value["tool_errors"], value["since_progress"], value["repeats"]) == (2, 1, 0)


def test_the_clock_is_an_argument() -> None:
    assert TIME.read(asked(), ASK, at_moment()).value == {
        "hour": 10,
        "minute_of_day": 630,
        "weekday": "fri",
        "zone": "UTC",
    }


def test_load_is_told_by_the_candidates() -> None:
    so_far = at_moment(candidate("a/x", cap=10, in_flight=5), candidate("b/y", in_flight=2, state="open"))

    assert LOAD.read(asked(), ASK, so_far).value == {"in_flight": 7, "n_open": 1, "busiest": 0.5}


def test_a_session_is_known_or_absent() -> None:
    known = at_moment(session=Session(deployment="a/x", prefix_tokens=900, idle_s=3.5, n_turns=4))

    assert SESSION.read(asked(), ASK, known).value == {
        "deployment": "a/x",
        "idle_s": 3.5,
        "prefix_tokens": 900,
        "n_turns": 4,
    }
    with pytest.raises(AbsentError, match="new_session"):
        SESSION.read(asked(), Ask(request_id="r", session="s"), at_moment())
