"""The shapes of what stands beside conversations: operations, files, batches, and what is kept. Floor 6.

They say what every answer has, as those of `described.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.server.described import Name
from turnout.types.json import Json

Text = Annotated[str, Meta(min_length=1, max_length=1_000_000)]


class PictureRequest(Struct):
    """Pictures to be made."""

    prompt: Text
    model: Name | None = None
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    stream: bool | None = None


class Pictures(Struct):
    """Pictures, by address or as base64."""

    data: list[dict[str, Json]]


class SpeechRequest(Struct):
    """Words to be spoken."""

    input: Text
    voice: Name | dict[str, Json]
    model: Name | None = None
    stream_format: str | None = None


class JudgeRequest(Struct):
    """Texts, or parts with texts and pictures, to be judged."""

    input: Text | Annotated[list[str | dict[str, Json]], Meta(min_length=1)]
    model: Name | None = None


class Judged(Struct):
    """What each of them was judged to be."""

    results: list[dict[str, Json]]


class RankRequest(Struct):
    """Documents to be ranked."""

    query: Text
    documents: Annotated[list[str | dict[str, Json]], Meta(min_length=1, max_length=10_000)]
    model: Name | None = None
    top_n: Annotated[int, Meta(ge=1, le=1000)] | None = None
    return_documents: bool | None = None


class FileObject(Struct):
    """A file, without its content."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str


class File(Struct):
    """A file, without its content, as Anthropic writes it."""

    id: str
    type: Literal["file"]
    filename: str
    mime_type: str
    size_bytes: int
    created_at: str


class BatchRequest(Struct):
    """A batch to be made of a file of requests."""

    input_file_id: Name
    endpoint: Annotated[str, Meta(pattern="^/", max_length=512)]
    completion_window: str
    metadata: dict[str, str] | None = None


class BatchObject(Struct):
    """A batch."""

    id: str
    object: Literal["batch"]
    status: str
    endpoint: str


class MessagesBatch(Struct):
    """Requests of the messages format, to be answered together."""

    requests: Annotated[list[dict[str, Json]], Meta(min_length=1)]


class MessagesBatchObject(Struct):
    """A batch of them."""

    id: str
    type: Literal["message_batch"]
    processing_status: str


class JobsRequest(Struct):
    """A job of Gemini's format, with its requests inline."""

    batch: dict[str, Json]


class JobObject(Struct):
    """A job of Gemini's format, as an operation."""

    name: str
    metadata: dict[str, Json]


class CompactRequest(Struct):
    """A conversation to be made short."""

    model: Name | None = None
    input: Text | list[dict[str, Json]] | None = None
    instructions: str | None = None
    previous_response_id: Name | None = None


class Compacted(Struct):
    """What it was made into."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[dict[str, Json]]


class ConversationRequest(Struct):
    """A conversation to begin."""

    items: Annotated[list[dict[str, Json]], Meta(max_length=20)] | None = None
    metadata: dict[str, str] | None = None


class Labels(Struct):
    """What a conversation is labelled with from now on."""

    metadata: dict[str, str] | None


class Items(Struct):
    """Items to add to a conversation."""

    items: Annotated[list[dict[str, Json]], Meta(max_length=20)]


class ConversationObject(Struct):
    """A conversation, without its items."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class RpcMessage(Struct):
    """A message of JSON-RPC."""

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Json] | None = None
    id: int | str | None = None


class CohereRequest(Struct):
    """A request of Cohere's format."""

    model: Name
    messages: Annotated[list[dict[str, Json]], Meta(min_length=1)]
    stream: bool | None = None


class CohereAnswer(Struct):
    """A complete answer of Cohere's format."""

    id: str
    message: dict[str, Json]
    finish_reason: str


class CohereTexts(Struct):
    """Texts to make vectors of, in Cohere's format."""

    model: Name
    texts: Annotated[list[str], Meta(min_length=1)]


class CohereError(Struct):
    """A failure, as Cohere writes it."""

    message: str


class OllamaRequest(Struct):
    """A request of Ollama's format; it streams unless it says otherwise."""

    model: Name
    messages: Annotated[list[dict[str, Json]], Meta(min_length=1)]
    stream: bool | None = None


class OllamaPrompt(Struct):
    """A prompt to be continued, in Ollama's format."""

    model: Name
    prompt: str
    stream: bool | None = None


class OllamaAnswer(Struct):
    """A complete answer of Ollama's format, or a line of one that is streamed."""

    model: str
    done: bool


class OllamaTexts(Struct):
    """Texts to make vectors of, in Ollama's format."""

    model: Name
    input: str | Annotated[list[str], Meta(min_length=1)]


class OllamaError(Struct):
    """A failure, as Ollama writes it."""

    error: str
