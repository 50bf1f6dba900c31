"""What a client of another format hears of an answer, whole and streamed."""

import pytest

from turnout.evaluate.translate.answers import UNSAID, Answer, features, tell
from turnout.evaluate.translate.formats import FORMATS
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Reasoning, Text, ToolCall
from turnout.types.event import Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.usage import Usage

NOTE = {"type": "url_citation", "url_citation": {"url": "https://a.invalid", "title": "A"}}
USAGE = Usage(input_uncached=10, cache_read=4, cache_write_5m=2, output_text=20, reasoning=5)
SPOKEN = {
    "text", "reasoning", "tool_call", "tool_call.id", "finish", "usage.input", "usage.output",
}  # fmt: skip
FINE = {"citations", "usage.cache_read", "usage.cache_write", "usage.reasoning"}
HEARD = {
    "openai_chat": FINE,
    "openai_responses": FINE,
    "anthropic": FINE - {"citations"},
    "gemini": {"usage.cache_read", "usage.reasoning"},
    "bedrock": {"usage.cache_read", "usage.cache_write"},
    "cohere": {"usage.reasoning"},
    "ollama": set(),
}
"""What a client of a format hears beside `SPOKEN`."""
WHOLE = ChatResponse(
    id="x",
    model="m",
    choices=(
        Choice(
            parts=(
                Reasoning(text="Look it up.", wire="elsewhere"),
                Text("It is", {"annotations": [NOTE]}),
                ToolCall(id="c1", name="look", arguments='{\n "place": "x"\n}'),
                ToolCall(id="c2", name="look", arguments="{}"),
            ),
            finish="tool_calls",
        ),
    ),
    usage=USAGE,
)
EVENTS = (
    Start(id="x", model="m"),
    ReasoningDelta(text="Look ", wire="elsewhere"),
    ReasoningDelta(text="it up.", wire="elsewhere"),
    TextDelta("It "),
    TextDelta("is", extra={"annotations": [NOTE]}),
    ToolDelta(index=0, id="c1", name="look"),
    ToolDelta(index=0, arguments='{\n "place"'),
    ToolDelta(index=0, arguments=': "x"\n}'),
    ToolDelta(index=1, id="c2", name="look", arguments="{}"),
    UsageUpdate(USAGE),
    Finish(reason="tool_calls"),
)


@pytest.mark.parametrize("events", [None, EVENTS], ids=["whole", "streamed"])
@pytest.mark.parametrize("other", FORMATS)
def test_a_client_of_any_format_hears_what_it_has_a_word_for(other, events):
    heard = tell(
        Answer(format="elsewhere", asked=ChatRequest(model="m", messages=()), response=WHOLE, events=events),
        other,
    )
    assert (set(heard.kept), set(heard.unsaid), heard.lost) == (
        SPOKEN | HEARD[other],
        FINE - HEARD[other],
        (),
    )


def test_a_filter_is_told_wherever_there_is_a_word_for_it():
    stopped = ChatResponse(id="x", model="m", choices=(Choice(parts=(Text("no"),), finish="content_filter"),))
    answer = Answer(format="elsewhere", asked=ChatRequest(model="m", messages=()), response=stopped)
    assert {other for other in FORMATS if "finish" in tell(answer, other).kept} == set(FORMATS) - {"ollama"}


def test_each_word_that_clients_do_not_get_has_its_formats_and_a_reason():
    assert all(formats <= set(FORMATS) and sentence.endswith(".") for formats, sentence in UNSAID.values())


def test_white_space_between_parts_is_no_difference_but_a_missing_word_is():
    one = ChatResponse(id="x", model="m", choices=(Choice(parts=(Text("a b"), Text("c"))),))
    other = ChatResponse(id="y", model="n", choices=(Choice(parts=(Text("a\nbc"),)),))
    assert features(one) == features(other)
    assert features(one) != features(ChatResponse(id="x", model="m", choices=(Choice(parts=(Text("a b"),)),)))
