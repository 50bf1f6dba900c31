"""The shapes of the data plane that no codec holds as a type: answers, errors, our own endpoints. Floor 6.

They say what every answer has, whoever gave it; further fields may come with it, as the upstream's own bytes
pass on the express track.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.types.json import Json

Name = Annotated[str, Meta(min_length=1, max_length=512)]


class Function(Struct):
    """Name and arguments of a call."""

    name: str
    arguments: str


class ToolCall(Struct):
    """The model asks for a tool."""

    id: str
    type: str
    function: Function | None = None


class ChatMessage(Struct):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    refusal: str | None = None


class ChatChoice(Struct):
    """One answer."""

    index: int
    message: ChatMessage
    finish_reason: str | None


class ChatUsage(Struct):
    """Counted tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatAnswer(Struct):
    """A complete answer of chat completions."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    object: Literal["chat.completion"]
    usage: ChatUsage | None = None


class TextChoice(Struct):
    """One answer as text."""

    index: int
    text: str
    finish_reason: str | None


class TextAnswer(Struct):
    """A complete answer of legacy completions."""

    id: str
    created: int
    model: str
    choices: list[TextChoice]
    object: Literal["text_completion"]


class TextRequest(Struct):
    """A request of legacy completions: one prompt as text."""

    model: Name
    prompt: str
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    temperature: float | None = None
    stream: bool | None = None
    stop: str | list[str] | None = None


class Vector(Struct):
    """One vector."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"]


class Vectors(Struct):
    """Vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[Vector]
    model: str


class VectorsRequest(Struct):
    """Texts, or tokens, to make vectors of."""

    model: Name
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None


class ResponseObject(Struct):
    """An answer of the responses format."""

    id: str
    object: Literal["response"]
    status: str
    model: str
    output: list[dict[str, Json]]


class Deleted(Struct):
    """What was deleted."""

    id: str
    deleted: bool
    object: str


class Counted(Struct):
    """Input tokens, reckoned."""

    input_tokens: int


class Turn(Struct):
    """A turn of the messages format."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Json]]


class CountRequest(Struct):
    """What is counted."""

    model: Name
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str | list[dict[str, Json]] | None = None
    tools: list[dict[str, Json]] | None = None


class MessagesRequest(Struct):
    """A request of the messages format."""

    model: Name
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)]
    system: str | list[dict[str, Json]] | None = None
    tools: list[dict[str, Json]] | None = None
    stream: bool | None = None
    temperature: float | None = None


class MessagesAnswer(Struct):
    """A complete answer of the messages format."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    content: list[dict[str, Json]]
    model: str
    stop_reason: str | None
    usage: dict[str, Json]


class ContentsRequest(Struct):
    """A request of Gemini's format; the model stands in the address."""

    contents: Annotated[list[dict[str, Json]], Meta(min_length=1)]
    tools: list[dict[str, Json]] | None = None


class ContentsAnswer(Struct):
    """An answer of Gemini's format."""

    candidates: list[dict[str, Json]]


class ModelRow(Struct):
    """A model, an alias or a route that the key may use."""

    id: str
    object: Literal["model"]
    owned_by: str


class Models(Struct):
    """Everything the key may use."""

    object: Literal["list"]
    data: list[ModelRow]


class RecommendRequest(Struct):
    """Which models suit a request, in any dialect, or a description of one in numbers."""

    request: dict[str, Json] | None = None
    features: dict[str, Json] | None = None
    dialect: Literal["openai", "anthropic", "gemini"] = "openai"
    candidates: Annotated[list[Name], Meta(max_length=100)] = []
    constraints: dict[str, Json] = {}
    top_k: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Recommended(Struct):
    """Models, best first, and the decision they come from."""

    schema: str
    decision: dict[str, Json]
    ranked: list[dict[str, Json]]


class ExplainRequest(Struct):
    """What a request would lead to."""

    request: dict[str, Json]
    endpoint: Json = None


class JobRequest(Struct):
    """A request to be served later."""

    path: Annotated[str, Meta(pattern="^/", max_length=512)]
    body: dict[str, Json]
    deadline: float | str | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class Job(Struct):
    """A job of the queue."""

    id: str
    object: Literal["background.job"]
    state: str
    path: str


class Page(Struct):
    """A page of rows."""

    data: list[dict[str, Json]]


class Status(Struct):
    """How the gateway is."""

    status: str


class OpenAIFailure(Struct):
    """What failed."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


class OpenAIError(Struct):
    """A failure, as OpenAI writes it; `turnout` beside the message tells class and domain."""

    error: OpenAIFailure


class AnthropicFailure(Struct):
    """What failed."""

    type: str
    message: str


class AnthropicError(Struct):
    """A failure, as Anthropic writes it."""

    type: Literal["error"]
    error: AnthropicFailure


class GeminiFailure(Struct):
    """What failed."""

    code: int
    message: str
    status: str


class GeminiError(Struct):
    """A failure, as Google writes it."""

    error: GeminiFailure
