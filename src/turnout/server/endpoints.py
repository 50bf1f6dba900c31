"""The endpoints of the data plane, as a table: what each takes and gives. Floor 6.

What stands here is the first of several addresses of each endpoint. A test holds it against the paths that
are served, both ways.
"""

from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from turnout.codecs.live import PATHS
from turnout.codecs.openai_chat.wire import RequestIn as ChatRequest
from turnout.codecs.openai_responses.wire import RequestIn as ResponsesRequest
from turnout.server import described as d
from turnout.server import described_beside as b
from turnout.server.hearing import Heard, Said

Wire = Literal["openai", "anthropic", "gemini", "cohere", "ollama", "turnout"]


class Passing(NamedTuple):
    """What is let through to providers."""

    vendors: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """One endpoint of the data plane."""

    method: str
    path: str
    summary: str
    wire: Wire
    takes: type | None = None
    gives: type | None = None
    """None = any object."""
    streams: bool = False
    """Whether it answers with events where the request says so."""
    lines: bool = False
    """Whether it answers with a line of JSON each unless the request says otherwise."""
    status: str = "200"
    query: tuple[str, ...] = ()
    open: bool = False
    """Whether it needs no key."""
    form: tuple[str, ...] = ()
    """Parts that a form must have; () = it takes none."""
    bare: bool = False
    """Whether it answers with bytes of another type than JSON."""
    empty: str = ""
    """Another status of a call that was served, without a body."""


def _post(
    path: str, summary: str, wire: Wire, takes: type | None, gives: type | None, **more: Any
) -> Operation:
    return Operation(method="post", path=path, summary=summary, wire=wire, takes=takes, gives=gives, **more)


def _get(path: str, summary: str, wire: Wire, gives: type | None, **more: Any) -> Operation:
    return Operation(method="get", path=path, summary=summary, wire=wire, gives=gives, **more)


def _delete(path: str, summary: str, wire: Wire, gives: type | None) -> Operation:
    return Operation(method="delete", path=path, summary=summary, wire=wire, gives=gives)


NOTHING_PASSES: Final = Passing()
_PAGED: Final = ("limit", "after")
_CHAT: Final = "/v1/chat/completions"
_GEMINI: Final = "/v1beta/models/{model}"
_TALKS: Final = "/v1/conversations"
_LIVE: Final = PATHS[0]
_FILES: Final = "/anthropic/v1/files"
_MARKED: Final = "/v1/messages/batches"
OPERATIONS: Final[tuple[Operation, ...]] = (
    _post(_CHAT, "Chat completions", "openai", ChatRequest, d.ChatAnswer, streams=True),
    _post("/v1/completions", "Legacy completions", "openai", d.TextRequest, d.TextAnswer, streams=True),
    _post("/v1/embeddings", "Vectors", "openai", d.VectorsRequest, d.Vectors),
    _post("/v1/responses", "Responses", "openai", ResponsesRequest, d.ResponseObject, streams=True),
    _post("/v1/responses/input_tokens", "Count input tokens", "openai", ResponsesRequest, d.Counted),
    _post("/v1/responses/compact", "Make a conversation short", "openai", b.CompactRequest, b.Compacted),
    _get("/v1/responses/{id}", "A kept answer", "openai", d.ResponseObject),
    _delete("/v1/responses/{id}", "Forget an answer", "openai", d.Deleted),
    _get("/v1/responses/{id}/input_items", "What an answer was given to", "openai", d.Page),
    _post("/v1/responses/{id}/cancel", "Cancel a background answer", "openai", None, d.ResponseObject),
    _post(_TALKS, "Begin a conversation", "openai", b.ConversationRequest, b.ConversationObject),
    _get(_TALKS + "/{id}", "A conversation", "openai", b.ConversationObject),
    _post(_TALKS + "/{id}", "Label a conversation", "openai", b.Labels, b.ConversationObject),
    _delete(_TALKS + "/{id}", "Delete a conversation", "openai", d.Deleted),
    _get(_TALKS + "/{id}/items", "What was said", "openai", d.Page, query=(*_PAGED, "order")),
    _post(_TALKS + "/{id}/items", "Add what was said", "openai", b.Items, d.Page),
    _get(_TALKS + "/{id}/items/{item}", "One item", "openai", None),
    _delete(_TALKS + "/{id}/items/{item}", "Delete one item", "openai", b.ConversationObject),
    _post("/v1/images/generations", "Make pictures", "openai", b.PictureRequest, b.Pictures, streams=True),
    _post(
        "/v1/images/edits",
        "Edit a picture",
        "openai",
        None,
        b.Pictures,
        form=("image", "prompt"),
        streams=True,
    ),
    _post("/v1/images/variations", "Vary a picture", "openai", None, b.Pictures, form=("image",)),
    _post("/v1/audio/speech", "Speak", "openai", b.SpeechRequest, None, bare=True),
    _post("/v1/audio/transcriptions", "Write down", "openai", None, None, form=("file",), bare=True),
    _post("/v1/audio/translations", "Write down in English", "openai", None, None, form=("file",), bare=True),
    _post("/v1/moderations", "Judge texts and pictures", "openai", b.JudgeRequest, b.Judged),
    _post("/v1/rerank", "Rank documents", "openai", b.RankRequest, None),
    _get("/v1/realtime", "Open a session of speech", "openai", None, status="101", query=("model",)),
    _post("/v1/files", "Upload a file", "openai", None, b.FileObject, form=("file", "purpose")),
    _get("/v1/files", "Files of the project", "openai", d.Page, query=(*_PAGED, "order", "purpose")),
    _get("/v1/files/{id}", "A file, without its content", "openai", b.FileObject),
    _delete("/v1/files/{id}", "Delete a file", "openai", d.Deleted),
    _get("/v1/files/{id}/content", "A file's content", "openai", None, bare=True),
    _post(
        _FILES, "Upload a file; for clients of Anthropic's format", "anthropic", None, b.File, form=("file",)
    ),
    _get(
        _FILES, "Files of the project", "anthropic", d.Page, query=("limit", "page", "after_id", "before_id")
    ),
    _get(_FILES + "/{id}", "A file, without its content", "anthropic", b.File),
    _delete(_FILES + "/{id}", "Delete a file", "anthropic", None),
    _get(_FILES + "/{id}/content", "A file's content", "anthropic", None, bare=True),
    _post("/v1/batches", "Make a batch", "openai", b.BatchRequest, b.BatchObject),
    _get("/v1/batches", "Batches of the project", "openai", d.Page, query=_PAGED),
    _get("/v1/batches/{id}", "A batch", "openai", b.BatchObject),
    _post("/v1/batches/{id}/cancel", "Cancel a batch", "openai", None, b.BatchObject),
    _delete("/v1/batches/{id}", "Delete a job; for clients of Gemini's format", "openai", None),
    _post("/v1/messages", "Messages", "anthropic", d.MessagesRequest, d.MessagesAnswer, streams=True),
    _post("/v1/messages/count_tokens", "Count input tokens", "anthropic", d.CountRequest, d.Counted),
    _post(_MARKED, "Make a batch of messages", "anthropic", b.MessagesBatch, b.MessagesBatchObject),
    _get(_MARKED, "Batches of messages", "anthropic", d.Page, query=("limit", "after_id", "before_id")),
    _get(_MARKED + "/{id}", "A batch of messages", "anthropic", b.MessagesBatchObject),
    _get(_MARKED + "/{id}/results", "Its results", "anthropic", None, bare=True),
    _post(_MARKED + "/{id}/cancel", "Cancel a batch of messages", "anthropic", None, b.MessagesBatchObject),
    _delete(_MARKED + "/{id}", "Delete a batch of messages", "anthropic", None),
    _post(_GEMINI + ":generateContent", "Generate", "gemini", d.ContentsRequest, d.ContentsAnswer),
    _post(_GEMINI + ":countTokens", "Count input tokens", "gemini", d.ContentsRequest, None),
    _post(
        _GEMINI + ":streamGenerateContent",
        "Generate, piece by piece",
        "gemini",
        d.ContentsRequest,
        None,
        streams=True,
    ),
    _post(_GEMINI + ":embedContent", "A vector", "gemini", None, None),
    _post(_GEMINI + ":batchEmbedContents", "Vectors", "gemini", None, None),
    _post(_GEMINI + ":batchGenerateContent", "Make a batch job", "gemini", b.JobsRequest, b.JobObject),
    _post(_GEMINI + ":asyncBatchEmbedContent", "Make a job of vectors", "gemini", b.JobsRequest, b.JobObject),
    _get(_LIVE, "Open a live session", "gemini", None, status="101"),
    _get("/v1beta/batches", "Batch jobs of the project", "gemini", None, query=("pageSize", "pageToken")),
    _get("/v1beta/batches/{id}", "A batch job, with its answers", "gemini", b.JobObject),
    _post("/v1beta/batches/{id}:cancel", "Cancel a batch job", "gemini", None, None),
    _delete("/v1beta/batches/{id}", "Delete a batch job", "gemini", None),
    _get("/v1beta/models", "What the key may use", "gemini", None),
    _get(_GEMINI, "One of them", "gemini", None),
    _get("/v1/models", "What the key may use", "openai", d.Models),
    _get("/v1/models/{model}", "One of them", "openai", d.ModelRow),
    _post("/v2/chat", "Chat", "cohere", b.CohereRequest, b.CohereAnswer, streams=True),
    _post("/v2/embed", "Vectors", "cohere", b.CohereTexts, None),
    _post("/api/chat", "Chat", "ollama", b.OllamaRequest, b.OllamaAnswer, lines=True),
    _post("/api/generate", "Continue a prompt", "ollama", b.OllamaPrompt, b.OllamaAnswer, lines=True),
    _post("/api/embed", "Vectors", "ollama", b.OllamaTexts, None),
    _get("/api/tags", "What the key may use", "ollama", None),
    _get("/api/version", "The gateway's version", "ollama", None),
    _post("/v1/recommend", "Rank models, send nothing", "turnout", d.RecommendRequest, d.Recommended),
    _post("/v1/feedback", "Say how an answer was", "turnout", Said, Heard, status="202"),
    _post("/v1/explain", "Say what a request would lead to", "turnout", d.ExplainRequest, None),
    _post("/v1/background", "Have a request served later", "turnout", d.JobRequest, d.Job, status="202"),
    _get("/v1/background", "Jobs of the key", "turnout", d.Page, query=_PAGED),
    _get("/v1/background/{id}", "A job", "turnout", d.Job),
    _delete("/v1/background/{id}", "Cancel a job", "turnout", d.Job),
    _get("/v1/background/{id}/answer", "A job's answer", "turnout", None),
    _post("/mcp", "Ask a tool of the gateway", "turnout", b.RpcMessage, None, empty="202"),
    _get("/livez", "Whether the process lives", "turnout", d.Status, open=True),
    _get("/readyz", "Whether it takes requests", "turnout", d.Status, open=True),
    _get("/openapi.json", "This description", "turnout", None),
)
