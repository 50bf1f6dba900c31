"""The shapes of OpenAI chat completions, as far as they are looked at. Floor 2.

Request shapes are strict: what does not fit is the caller's mistake. Answer shapes are lenient: hosts
disagree about everything that is not content, so only what is read is typed. `object` means any JSON.
"""

from typing import Annotated, Literal, cast

from msgspec import UNSET, Meta, Struct

from turnout.types.json import Json

WIRE = "openai_chat"

Count = Annotated[int, Meta(ge=0)]


class FunctionCall(Struct, frozen=True):
    """Name and raw arguments of a call."""

    name: str
    arguments: str | None = None


class CustomCall(Struct, frozen=True):
    """Call of a tool that takes free text."""

    name: str
    input: str = ""


class ToolCallIn(Struct, frozen=True):
    """A call in the history."""

    id: str
    type: str | None = None
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class ImageUrl(Struct, frozen=True):
    """Where a picture is."""

    url: str
    detail: str | None = None


class Audio(Struct, frozen=True):
    """Sound, base64."""

    data: str
    format: str


class File(Struct, frozen=True):
    """A document, inline or by id."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class Url(Struct, frozen=True):
    """An address as an object."""

    url: str


class PartIn(Struct, frozen=True):
    """A content part; which field is set follows from `type`."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None
    input_audio: Audio | str | None = None
    file: File | None = None
    video_url: Url | str | None = None
    document_url: Url | str | None = None
    file_url: Url | str | None = None
    refusal: str | None = None


class MessageIn(Struct, frozen=True):
    """A turn."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[PartIn] | None = None
    name: str | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[dict[str, object]] | None = None
    thinking_blocks: list[dict[str, object]] | None = None


class FunctionIn(Struct, frozen=True):
    """A declared function."""

    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class ToolIn(Struct, frozen=True):
    """A declared tool. Some clients leave out `type` for functions."""

    type: str | None = None
    function: FunctionIn | None = None


class JsonSchemaIn(Struct, frozen=True):
    """A schema the answer must follow."""

    name: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct, frozen=True):
    """The shape the answer must have."""

    type: str
    json_schema: JsonSchemaIn | None = None


class StreamOptions(Struct, frozen=True):
    """What a stream should carry."""

    include_usage: bool | None = None


class ReasoningIn(Struct, frozen=True):
    """OpenRouter's `reasoning` object."""

    effort: str | None = None
    max_tokens: Count | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    summary: str | None = None


class ThinkingIn(Struct, frozen=True):
    """The `thinking` object of DeepSeek, Z.ai and LiteLLM clients."""

    type: str | None = None
    budget_tokens: Count | None = None


class RequestIn(Struct, frozen=True):
    """A whole request. Fields not named here are kept as `extra`."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=10_000)]
    tools: Annotated[list[ToolIn], Meta(max_length=1024)] | None = None
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | int | None = None
    top_logprobs: Count | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningIn | None = None
    thinking: ThinkingIn | None = None
    user: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    functions: Annotated[list[FunctionIn], Meta(max_length=1024)] | None = None
    function_call: str | dict[str, object] | None = None


class FunctionDelta(Struct, frozen=True):
    """Part of a call, or a whole one; `arguments` may come as an object."""

    name: str | None = None
    arguments: object = None


class CustomDelta(Struct, frozen=True):
    """Part of a call of a free-text tool, or a whole one."""

    name: str | None = None
    input: str | None = None


class ToolCallDelta(Struct, frozen=True):
    """Part of a call, or a whole one."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None
    custom: CustomDelta | None = None
    extra_content: object = None
    """Signatures of Gemini's OpenAI-style endpoint; kept with the call."""


class Delta(Struct, frozen=True):
    """New content of a choice; also reads the whole message of a complete answer."""

    content: str | list[object] | None = None
    refusal: str | None = None
    reasoning: object = None
    reasoning_content: object = None
    reasoning_details: list[object] | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    annotations: list[object] | None = None
    audio: object = None
    images: object = None


NO_DELTA = Delta()


class ChoiceOut(Struct, frozen=True):
    """One choice of a chunk (`delta`) or of a complete answer (`message`)."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: object = None
    error: object = None


class TokenDetails(Struct, frozen=True):
    """What is inside `prompt_tokens` or `completion_tokens`."""

    cached_tokens: object = None
    cache_write_tokens: object = None
    cache_creation_tokens: object = None
    audio_tokens: object = None
    reasoning_tokens: object = None


class ServerToolUse(Struct, frozen=True):
    """OpenRouter's count of its own tools."""

    web_search_requests: object = None


class UsageOut(Struct, frozen=True):
    """Counts of any host; numbers, unless the host is odd."""

    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    prompt_cache_hit_tokens: object = None
    cached_tokens: object = None
    num_cached_tokens: object = None
    cache_read_input_tokens: object = None
    audio_prompt_tokens: object = None
    num_search_queries: object = None
    server_tool_use_details: ServerToolUse | None = None


class XGroq(Struct, frozen=True):
    """Groq's own member, where its streams keep the counts."""

    usage: UsageOut | None = None


class Answer(Struct, frozen=True):
    """A chunk or a complete answer."""

    id: str | None = None
    model: str | None = None
    created: object = None
    choices: list[ChoiceOut] | None = None
    usage: UsageOut | None = None
    x_groq: XGroq | None = None
    error: object = None
    turnout: object = UNSET
    """Set = the upstream forged our object; it is removed (S-45)."""


def as_json(value: object) -> Json:
    """Name the type of what a decoder put into a field declared `object`."""
    return cast("Json", value)  # JSON decoders make nothing else
