"""The shapes of OpenAI responses, as far as they are looked at. Floor 2.

Request shapes are strict: what does not fit is the caller's mistake. Answer shapes are lenient: hosts
disagree about everything that is not content, so only what is read is typed. `object` means any JSON.

Sources: OpenAI API reference, "Responses" and "Streaming events" (platform.openai.com, seen 2026-08), checked
against recorded traffic of OpenAI, Azure, xAI, DeepSeek, OpenRouter and Bedrock.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct

from turnout.types.json import Json, JsonObject

WIRE = "openai_responses"
PATH = "/responses"
ENCRYPTED = "reasoning.encrypted_content"
"""Member of `include` that asks for thoughts in a form that can come back with the next turn."""
LOGPROBS = "message.output_text.logprobs"

Count = Annotated[int, Meta(ge=0)]

_OBJECTS = (dict, Mapping)
"""What JSON decoders make stands first: to ask for the other costs more."""
write = msgspec.json.Encoder().encode
read = msgspec.json.Decoder().decode


class FormatIn(Struct, frozen=True):
    """`text.format`."""

    type: str
    name: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None
    description: str | None = None


class TextIn(Struct, frozen=True):
    """`text`: shape and length of what is written."""

    format: FormatIn | None = None
    verbosity: str | None = None


class ReasoningIn(Struct, frozen=True):
    """`reasoning`."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    """The older name of `summary`."""


class ToolIn(Struct, frozen=True):
    """A declared tool; functions lie flat."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class RequestIn(Struct, frozen=True):
    """A request, without its conversation. Fields not named here are kept as `extra`."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    instructions: str | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=1024)] | None = None
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: Count | None = None
    text: TextIn | None = None
    reasoning: ReasoningIn | None = None
    user: str | None = None
    stream: bool | None = None
    include: list[str] | None = None


class Details(Struct, frozen=True):
    """What is inside `input_tokens` or `output_tokens`."""

    cached_tokens: object = None
    cache_write_tokens: object = None
    audio_tokens: object = None
    reasoning_tokens: object = None


class UsageOut(Struct, frozen=True):
    """Counts of any host; numbers, unless the host is odd."""

    input_tokens: object = None
    output_tokens: object = None
    total_tokens: object = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    num_server_side_tools_used: object = None
    """At xAI."""


class Reason(Struct, frozen=True):
    """Why an answer is incomplete."""

    reason: str | None = None


class Kind(Struct, frozen=True):
    """The type of an item, where nothing more is wanted of it."""

    type: str = ""
    content: object = None


class Answer(Struct, frozen=True):
    """A response object, its items by type alone."""

    id: str | None = None
    model: str | None = None
    created_at: object = None
    status: str | None = None
    incomplete_details: Reason | None = None
    usage: UsageOut | None = None
    output: list[Kind] | None = None
    error: object = None
    turnout: object = UNSET
    """Set = the upstream forged our object; it is removed (S-45)."""


class Frame(Struct, frozen=True):
    """One event of a stream."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    logprobs: object = None
    annotation: object = None
    item: dict[str, object] | None = None
    response: object = None
    error: object = None


def text_of(value: JsonObject, key: str) -> str:
    """Return a text; "" where it is missing or none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def objects(value: object) -> list[JsonObject]:
    """Return the objects of a list; none where it is no list."""
    if isinstance(value, list):  # from JSON: no need to ask for what else could be one
        return [item for item in value if isinstance(item, _OBJECTS)]
    if value is None or isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def without(value: JsonObject, keys: frozenset[str]) -> dict[str, Json]:
    """Return the members that are not named."""
    return {key: member for key, member in value.items() if key not in keys}
