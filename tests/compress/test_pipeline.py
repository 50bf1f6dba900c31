import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.compress.conversations import MARK, conversations
from turnout.compress import Job, lossless, older, question, shorten, summary_in, text_of
from turnout.compress.base import Shield, Sizes
from turnout.signals.tokens.estimate import estimate
from turnout.types.chat import ChatResponse, Choice, Message, Text, ToolCall, ToolResult
from turnout.types.compress import Compact, CompressRule, CompressView, Shortened

ALL = CompressRule(
    tables=True, tool_tokens=60, compact=Compact(above_tokens=500, keep_turns=2, to_tokens=60), min_tokens=0
)
PROPERTY = settings(max_examples=15, derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate))


def job(rule=ALL, **more):
    return Job(rule=rule, count=estimate, **more)


def pairs(messages):
    calls, results = [], []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls.append((part.id, part.name))
            elif isinstance(part, ToolResult):
                results.append((part.call_id, part.name))
    return sorted(calls), sorted(results)


@PROPERTY
@given(conversations(), st.one_of(st.none(), st.integers(50, 2_000)))
def test_what_must_stay_stays_and_pairs_stay_together(messages, room):
    out, view = shorten(messages, job(room=room))
    shield = Shield(messages)
    kept = [message for at, message in enumerate(messages) if shield.keeps(at, message)]
    found = iter(out)
    for message in kept:
        if message is messages[shield.last_user]:
            own = tuple(part for part in message.parts if not isinstance(part, ToolResult))
            assert any(tuple(p for p in m.parts if not isinstance(p, ToolResult)) == own for m in found)
        else:
            assert any(each == message for each in found)
    assert out[: shield.cached] == messages[: shield.cached]
    assert pairs(out)[0] == pairs(out)[1]
    assert [part for m in out for part in m.parts if isinstance(part, ToolCall)] == [
        part for m in messages for part in m.parts if isinstance(part, ToolCall) and _in(part, out)
    ]
    assert view.n_after <= view.n_before
    assert sum(each.n_tokens for each in view.steps) == pytest.approx(view.n_before - view.n_after, abs=6)


def _in(call, messages):
    return any(part is call for message in messages for part in message.parts)


@PROPERTY
@given(conversations())
def test_what_is_lossless_keeps_the_values_of_json_and_every_text(messages):
    out, _ = shorten(messages, job(CompressRule(min_tokens=0)))
    assert [m.role for m in out] == [m.role for m in messages]
    known = [text for message in messages for text in texts(message)]
    for before, after in zip(messages, out, strict=True):
        for old, new in zip(texts(before), texts(after), strict=True):
            if new.startswith(("{", "[")) and not new.startswith("[as above") and old != new:
                assert msgspec.json.decode(old) == msgspec.json.decode(new)
            elif "[as above" in new and "[as above" not in old:
                assert sum(len(text) >= 240 for text in known) >= 1
            else:
                assert old.split() == new.split()


def texts(message):
    for part in message.parts:
        if isinstance(part, Text):
            yield part.text
        elif isinstance(part, ToolResult):
            yield from (each.text for each in part.content)


@PROPERTY
@given(conversations(), st.integers(0, 30))
def test_the_beginning_of_a_conversation_stays_the_same_as_it_grows(messages, n):
    rule = CompressRule(tables=True, tool_tokens=60, min_tokens=0)
    messages = tuple(message for message in messages if message.role != "user" or _once(message))
    n = min(n, len(messages))
    short, _ = shorten(messages[:n], job(rule))
    long, _ = shorten(messages, job(rule))
    shield = Shield(messages)
    if shield.cached <= n:
        assert short == long[:n]


def _once(message):
    return all(not isinstance(part, Text) or len(part.text) < 240 for part in message.parts)


def conversation(n_turns=6, result=""):
    out = [Message("system", (Text("You are a dispatcher."),))]
    for at in range(n_turns):
        found = Text(result or f"Train {at} is at stop {at}.")
        out += [
            Message("user", (Text(f"Question {at}: where is train {at}?"),)),
            Message("assistant", (ToolCall(id=f"c{at}", name="find", arguments=f'{{"train": {at}}}'),)),
            Message("tool", (ToolResult(call_id=f"c{at}", content=(found,)),)),
            Message("assistant", (Text(f"Train {at} stands at stop {at}. Ms Weber{at} drives train {at}."),)),
        ]
    return (*out, Message("user", (Text("Who drives train 1?"),)))


def test_equal_results_are_said_once_and_the_view_tells():
    log = "The signal at block 7 is red and the points are locked. " * 12
    out, view = shorten(conversation(3, log), job(CompressRule(min_tokens=0)))
    pointer = '[as above: the 672 characters that begin "The signal at block 7 is red and the points are"]'
    found = [message.parts[0].content[0].text for message in out if message.role == "tool"]
    assert found == [log, pointer, pointer]
    assert view.steps == (Shortened("repeats", 267, 2),)


def test_earlier_turns_become_their_sentences_about_the_last_question():
    messages = conversation(21)
    rule = CompressRule(compact=Compact(above_tokens=500, keep_turns=2, to_tokens=50), min_tokens=0)
    out, view = shorten(messages, job(rule))
    assert out[0] is messages[0]
    note, question_ = out[1].parts
    assert note.text.startswith("[Earlier turns of this conversation, shortened:\n")
    assert "Ms Weber1 drives train 1." in note.text
    assert question_.text == "Question 20: where is train 20?"
    assert out[2:] == messages[82:]
    assert [step.step for step in view.steps] == ["compact"]


def test_a_model_may_write_the_gist_and_what_it_is_asked_holds_no_later_turn():
    messages = conversation(21)
    plan = job(CompressRule(compact=Compact(above_tokens=500, keep_turns=2, by="x/y"), min_tokens=0))
    found = older(messages, plan)
    asked = question(text_of(found), 300)
    assert "train 19" in asked.messages[1].parts[0].text
    assert "train 20" not in asked.messages[1].parts[0].text
    answer = ChatResponse(id="1", model="m", choices=(Choice(parts=(Text(" Weber1 drives train 1. "),)),))
    out, _ = shorten(messages, plan, summary_in(answer))
    assert (
        out[1].parts[0].text == "[Earlier turns of this conversation, shortened:\nWeber1 drives train 1.\n]"
    )
    with pytest.raises(ValueError, match="no summary"):
        summary_in(msgspec.structs.replace(answer, choices=()))


def test_the_middle_goes_until_the_window_holds_the_rest():
    messages = conversation(40)
    out, view = shorten(messages, job(CompressRule(min_tokens=0), room=600))
    assert Sizes(estimate).of(out) <= 600
    assert out[:5] == messages[:5]
    assert out[-5:] == messages[-5:]
    assert sum("earlier messages were left out here" in text for m in out for text in texts(m)) == 1
    assert [step.step for step in view.steps] == ["fit"]


def test_a_tool_loop_that_is_too_long_loses_the_middle_of_its_longest_results():
    long = "\n".join(f"line {at} of the log" for at in range(3_000))
    messages = (
        Message("user", (Text("Why did it fail?"),)),
        Message("assistant", (ToolCall(id="a", name="log", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="a", content=(Text(long),)),)),
    )
    out, _ = shorten(messages, job(CompressRule(min_tokens=0), room=500))
    assert out[:2] == messages[:2]
    assert Sizes(estimate).of(out) <= 500
    assert "characters left out" in out[2].parts[0].content[0].text
    _, view = shorten(messages[:1], job(CompressRule(min_tokens=0), room=1))
    assert view == CompressView(n_before=8, n_after=8, why="still_too_long")


def test_results_of_spared_tools_and_small_requests_are_left_alone():
    messages = conversation(2, '{\n  "a": 1\n}')
    assert shorten(messages, job(CompressRule(keep_tools=("fi*",), min_tokens=0)))[0] is messages
    assert shorten(messages, job(CompressRule(min_tokens=10_000)))[0] is messages
    out, _ = shorten(messages, job(lossless(ALL)))
    assert out[3].parts[0].content[0].text == '{"a":1}'


def test_nothing_before_a_cache_mark_changes():
    messages = conversation(12, '{\n  "a": 1\n}')
    marked = Message("assistant", (Text("Here.", MARK),))
    messages = (*messages[:20], marked, *messages[20:])
    out, _ = shorten(messages, job(room=200))
    assert out[:21] == messages[:21]
