import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.compress.conversations import MARK, conversations
from turnout.compress.base import Sizes
from turnout.compress.marks import least_tokens, marked, skeleton
from turnout.types.chat import ChatRequest, Message, ServerTool, Text, Tool, ToolCall, ToolResult


def sizes():
    return Sizes(lambda text: len(text) / 4)


def request(n, tools=()):
    messages = [Message("system", (Text("Be brief. " * 20),))]
    for at in range(n):
        call = ToolCall(id=f"c{at}", name="find", arguments="{}")
        messages += [Message("assistant", (call,)), Message("tool", (ToolResult(call_id=f"c{at}"),))]
    return ChatRequest(
        model="m", messages=(*messages[:1], Message("user", (Text("Go."),)), *messages[1:]), tools=tools
    )


def places(found):
    return [at for at, m in enumerate(found.messages) for p in m.parts if "cache_control" in p.extra]


def test_four_marks_at_most_after_tools_system_a_border_and_the_last_but_one():
    tools = (Tool(name="z", description="x" * 400), Tool(name="a"))
    found = marked(request(12, tools), 10, sizes(), calls=True)
    assert [tool.name for tool in found.tools] == ["a", "z"]
    assert found.tools[1].extra == MARK
    assert places(found) == [0, 16, 24]
    assert places(marked(request(13, tools), 10, sizes(), calls=True)) == [0, 16, 26]
    assert places(marked(request(12, tools), 10, sizes(), calls=False)) == [0, 15, 23]


def test_a_short_prefix_and_a_client_with_marks_are_left_alone():
    short = request(2)
    assert marked(short, 10_000, sizes(), calls=True) is short
    own = msgspec.structs.replace(short, messages=(Message("user", (Text("Hi", MARK),)),))
    assert marked(own, 0, sizes(), calls=True) is own
    whole = msgspec.structs.replace(short, extra=MARK)
    assert marked(whole, 0, sizes(), calls=True) is whole


def test_tools_that_an_upstream_runs_stay_where_they_are():
    tools = (Tool(name="z"), ServerTool("anthropic", {"type": "web_search"}), Tool(name="a"))
    assert [getattr(t, "name", "") for t in marked(request(2, tools), 1, sizes(), calls=True).tools] == [
        "z",
        "",
        "a",
    ]


@settings(max_examples=15, derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(conversations(), st.integers(0, 300), st.booleans())
def test_marks_change_nothing_else(messages, least, calls):
    found = marked(ChatRequest(model="m", messages=messages), least, sizes(), calls=calls)
    assert len(places(found)) <= 4 or found.messages == messages
    for before, after in zip(messages, found.messages, strict=True):
        for old, new in zip(before.parts, after.parts, strict=True):
            assert new == old or msgspec.structs.replace(new, extra=old.extra) == old


def test_a_prompt_that_changes_in_dates_and_ids_keeps_its_skeleton():
    def of(text):
        return skeleton(ChatRequest(model="m", messages=(Message("system", (Text(text),)),)))

    one = of("Today is Sunday, 22 November 2026, session 3f2b8c1e-0000-4000-8000-0123456789ab.")
    other = of("Today is Monday, 7 December 2026, session 9a2b8c1e-1111-4000-8000-0123456789ab.")
    assert one[0] == other[0]
    assert one[1] != other[1]
    assert of("Be brief.")[0] != of("Be kind.")[0]


def test_models_without_marks_have_no_least_prefix():
    assert (least_tokens("claude-opus-4-5-20251101"), least_tokens("anthropic.claude-sonnet-4")) == (
        4096,
        1024,
    )
    assert least_tokens("gpt-5") is None
