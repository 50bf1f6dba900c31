"""Plain turns: a shorter way to the same bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.codecs.plain import Answered, Called, Conversation, Turn, Words, message_of
from turnout.errors import TurnoutError
from turnout.registry import load
from turnout.types.chat import ChatRequest, Media, Message, Reasoning, Text, ToolCall, ToolResult
from turnout.types.deployment import Deployment, Model, Vendor

FORMATS = ("openai_chat", "openai_responses", "anthropic", "gemini", "cohere", "bedrock", "ollama")
MODELS = ("claude-sonnet-4-5", "gemini-3-pro")

_texts = st.sampled_from(["", " ", "\n", "Hello", "So: ", "two\nlines", '{"a": 1}', "ü\u2028"])
_ids = st.sampled_from(["", "call_0", "call_1", "gcall_x", "a:b", "x" * 70])
_names = st.sampled_from(["look", "find"])
_calls = st.builds(
    ToolCall,
    id=_ids,
    name=_names,
    arguments=st.sampled_from(["", "{}", ' {"a":1} ', "[1]", "{broken", '"text"']),
)
_words = st.builds(Words, role=st.sampled_from(["system", "developer", "user", "assistant"]), text=_texts)
_called = st.builds(Called, text=_texts, calls=st.lists(_calls, min_size=1, max_size=3))
_answered = st.builds(
    Answered,
    role=st.sampled_from(["user", "tool"]),
    call_id=_ids,
    text=_texts,
    name=st.none() | _names,
    words=st.sampled_from(["", " ", "And?"]),
    value=st.none() | st.sampled_from([{"output": "Hello"}, {"a": 1}]),
)
_messages = st.sampled_from(
    [
        Message("user", (Text("Look", {"cache_control": {"type": "ephemeral"}}), Text("here"))),
        Message("user", (Media(kind="image", mime="image/png", data="aGk="),)),
        Message("assistant", (Reasoning(text="Hm", wire="openai_chat"), Text("Yes"))),
        Message("tool", (ToolResult(call_id="call_1", content=(Text("one"),), is_error=True),)),
        Message(
            "user",
            (
                ToolResult(call_id="call_1", content=(Text("one"),)),
                ToolResult(call_id="call_0", content=(Text("two"),)),
                Text("And?"),
            ),
        ),
    ]
)
_turns = st.lists(_words | _called | _answered | _messages, min_size=1, max_size=8)


def _to(wire: str, model: str) -> Deployment:
    vendor = Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=wire)
    return Deployment(id="acme/m", vendor=vendor, model=Model(id="acme/m"), upstream_model=model)


def _written(wire: str, model: str, request: ChatRequest) -> object:
    try:
        return load("turnout.codecs", wire)().encode(request, _to(wire, model))
    except TurnoutError as error:
        return type(error), str(error)


@pytest.mark.parametrize("wire", FORMATS)
@given(turns=_turns, model=st.sampled_from(MODELS))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_what_is_written_of_turns_is_what_is_written_of_their_messages(
    wire: str, turns: list[Turn], model: str
) -> None:
    messages = tuple(message_of(turn) for turn in turns)
    asked = ChatRequest(model="m", messages=Conversation(lambda: turns), wire="another")
    same = ChatRequest(model="m", messages=messages, wire="another")
    assert _written(wire, model, asked) == _written(wire, model, same)


def test_a_conversation_equals_its_messages_and_makes_one_at_a_time() -> None:
    turns = [Words("user", "Hello"), Called("", (ToolCall(id="1", name="look", arguments="{}"),))]
    held = Conversation(lambda: turns)
    assert not held.is_made
    assert (len(held), held[1], held[-2]) == (
        2,
        Message("assistant", (ToolCall(id="1", name="look", arguments="{}"),)),
        Message("user", (Text("Hello"),)),
    )
    assert held.is_made
    assert held == tuple(map(message_of, turns))
