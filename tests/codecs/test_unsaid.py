"""What a conversation says beyond a format is told, whichever format it is."""

import pytest

from turnout.codecs.anthropic import Anthropic
from turnout.codecs.bedrock import Bedrock
from turnout.codecs.cohere import Cohere
from turnout.codecs.gemini import Gemini
from turnout.codecs.ollama import Ollama
from turnout.codecs.openai_chat import OpenAIChat
from turnout.codecs.openai_responses import OpenAIResponses
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.deployment import Deployment, Model, Vendor

CODECS = (OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini(), Bedrock(), Cohere(), Ollama())


def upstream(codec):
    vendor = Vendor(name="v", base_url="https://v.invalid", codec=codec.wire)
    return Deployment(id="m", vendor=vendor, model=Model(id="v/m"), upstream_model="m")


REQUEST = ChatRequest(
    model="m",
    messages=(
        Message(
            "user",
            (
                Text("look", {"cache_control": {"type": "ephemeral"}, "annotations": [], "marked": "yes"}),
                Media(kind="image", mime="image/png", data="aGk=", detail="low"),
            ),
            name="ann",
            extra={"weight": 3, "prefix": False},
        ),
        Message(
            "assistant",
            (
                Reasoning(text="hm", signature="s", wire="elsewhere"),
                ToolCall(id="c1", name="f", arguments="{}", signature="t"),
            ),
        ),
        Message("tool", (ToolResult(call_id="c1", content=(Text("no"),), is_error=True),)),
    ),
    tools=(Tool(name="f", extra={"defer_loading": True}),),
    thinking=Thinking(effort="low", summary="auto", include=False),
    wire="elsewhere",
)
EVERYWHERE = {"marked", "weight", "defer_loading", "thinking.include"}
BEYOND = {
    "openai_chat": {"cache_control", "tool_result.is_error", "thinking.summary"},
    "openai_responses": {"cache_control", "tool_result.is_error", "messages.name"},
    "anthropic": {"image_url.detail", "messages.name", "reasoning_effort", "thinking.summary"},
    "gemini": {"cache_control", "detail", "messages.name", "thinking.summary"},
    "bedrock": {"image.detail", "messages.name", "reasoning_effort", "thinking.summary"},
    "cohere": {"cache_control", "messages.name", "tool_result.is_error", "thinking.summary"},
    "ollama": {"cache_control", "image.detail", "messages.name", "tool_result.is_error", "thinking.summary"},
}


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.wire)
def test_each_format_tells_of_what_it_has_no_word_for(codec):
    written = codec.encode(REQUEST, upstream(codec))
    assert set(written.dropped) == EVERYWHERE | BEYOND[codec.wire]
    assert "reasoning_dropped" in written.warnings


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.wire)
def test_a_conversation_of_words_alone_has_nothing_to_tell(codec):
    request = ChatRequest(model="m", messages=(Message("user", (Text("hello"),)),), wire="elsewhere")
    written = codec.encode(request, upstream(codec))
    assert (written.dropped, written.warnings) == ((), ())
