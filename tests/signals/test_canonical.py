"""`canonical`: the user's intent, whatever a harness wraps around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signals.conversations import ASK, asked, called, result, said
from turnout.signals.canonical import CANONICAL
from turnout.signals.canonical.sense import JOINED_CHARS, MAX_CHARS, normalise
from turnout.signals.canonical.strip import strip
from turnout.types.chat import ChatRequest, Message, Text, ToolResult
from turnout.types.signal import Canonical

INTENT = "Find out why the login test fails and fix it."


def read(request: ChatRequest) -> Canonical:
    return CANONICAL.read(request, ASK, {})


@pytest.mark.parametrize(
    ("wrapped", "left"),
    [
        pytest.param("no wrapper at all", "no wrapper at all", id="plain"),
        pytest.param("<system-reminder>be nice</system-reminder>\nfix it", "\nfix it", id="reminder"),
        pytest.param("a<system-reminder>x</system-reminder>b", "ab", id="in the middle"),
        pytest.param('<uploaded_files n="2">x</uploaded_files>y', "y", id="with attributes"),
        pytest.param(
            "<environment_context>\n<cwd>/a</cwd>\n</environment_context>", "", id="nothing of the user"
        ),
        pytest.param("<x>ctx</x><user_query>\nhello\n</user_query> more", "\nhello\n", id="only the query"),
        pytest.param("<task>do it</task>\n<environment_details>e</environment_details>", "do it", id="task"),
        pytest.param(
            "Answer as <answer>42</answer>, please", "Answer as <answer>42</answer>, please", id="users tag"
        ),
        pytest.param(
            "open <system-reminder> never closed", "open <system-reminder> never closed", id="unclosed"
        ),
        pytest.param("</system-reminder> text", "</system-reminder> text", id="only an end"),
        pytest.param(
            "<system-reminderish>a</system-reminderish>",
            "<system-reminderish>a</system-reminderish>",
            id="other tag",
        ),
        pytest.param("[Request interrupted by user for tool use]", "", id="whole message"),
        pytest.param("look:\n" + "├── a.py\n" * 8 + "why?", "look:\nwhy?", id="long listing"),
        pytest.param(
            "look:\n├── a.py\n└── b.py\nwhy?", "look:\n├── a.py\n└── b.py\nwhy?", id="short listing stays"
        ),
    ],
)
def test_wrappers_are_taken_off(wrapped: str, left: str) -> None:
    assert strip(wrapped) == left


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ﬁne Ａ１", "fine A1"),
        ("pass\u200bword\u2060 \ufeffx", "password x"),
        ("a\u00a0b\u2003c\td", "a b c d"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("  Keep Case, keep: punctuation!  ", "Keep Case, keep: punctuation!"),
        ("\U000e0049\U000e0067hidden", "hidden"),
        ("x\ud800y", "xy"),
        ("e\u0301", "é"),
    ],
)
def test_text_is_normalised(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_the_intent_is_the_last_thing_the_user_said() -> None:
    request = asked(said("Be brief.", role="system"), said("old"), said("ok", role="assistant"), said(INTENT))

    assert read(request).intent == INTENT


def test_tool_results_are_no_intent() -> None:
    dump = Message("user", (ToolResult(call_id="c", content=(Text("x" * 5000),)),))

    assert read(asked(said(INTENT), called("grep"), result("y" * 5000), called("cat"), dump)).intent == INTENT


def test_a_harness_changes_neither_intent_nor_words() -> None:
    plain = read(asked(said(INTENT)))
    dressed = read(
        asked(
            said("You are an agent. " * 500, role="system"),
            Message(
                "user",
                (
                    Text("<system-reminder>\nNever mention this.\n</system-reminder>"),
                    Text(INTENT),
                    Text("<environment_details>\n" + "file.py\n" * 400 + "</environment_details>"),
                ),
            ),
            called("read_file"),
            result("Traceback (most recent call last):\n" * 200),
        )
    )

    assert (dressed.intent, dressed.windows, dressed.words) == (plain.intent, plain.windows, plain.words)


def test_a_short_intent_brings_the_one_before() -> None:
    assert (
        read(asked(said(INTENT), said("Shall I?", role="assistant"), said("yes, go on"))).intent
        == f"{INTENT}\nyes, go on"
    )


def test_a_short_intent_with_a_long_one_before_stays_bounded() -> None:
    intent = read(asked(said("w" * 10_000), said("go on"))).intent

    assert len(intent) == JOINED_CHARS
    assert intent.endswith("\ngo on")


def test_words_are_never_in_the_value_that_records_keep() -> None:
    assert read(asked(said("my secret plan for tomorrow"))).value == {
        "n_chars": 27,
        "n_windows": 1,
        "edition": "2026-11-01",
    }


def test_nobody_said_anything() -> None:
    signal = read(asked(said("rules", role="system")))

    assert (signal.intent, signal.windows, signal.words, signal.error) == ("", (), {}, None)


def test_a_long_intent_keeps_both_ends_and_sixteen_windows() -> None:
    words = [f"w{i}" for i in range(3000)]
    signal = read(asked(said(" ".join(words))))

    assert len(signal.intent) <= MAX_CHARS
    assert len(signal.windows) == 16
    assert signal.windows[0].split()[:2] == ["w0", "w1"]
    assert signal.windows[-1].split()[-1] == "w2999"


@pytest.mark.parametrize(
    "text", ["<task>" * 11_000, "<system-reminder>" * 4_000, "</task>" * 9_000, " \n" * 30_000, "< " * 30_000]
)
def test_hostile_nesting_ends(text: str) -> None:
    assert len(read(asked(said(text))).intent) <= MAX_CHARS
