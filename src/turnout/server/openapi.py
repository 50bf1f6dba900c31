"""The description of the data plane in OpenAPI 3.1, from one table and the types. Floor 6.

What stands here is the first of several addresses of each endpoint; the others are aliases of the same object
(docs/design/WIRE.md section 1). The admin API has a description of its own.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from turnout.codecs.openai_chat.wire import RequestIn as ChatRequest
from turnout.codecs.openai_responses.wire import RequestIn as ResponsesRequest
from turnout.server import described as d
from turnout.server.hearing import Heard, Said
from turnout.server.http import JSON_TYPE, respond
from turnout.server.paths import Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.json import Json

Wire = Literal["openai", "anthropic", "gemini", "turnout"]
_REFS: Final = "#/components/schemas/{name}"
_ERRORS: Final[Mapping[Wire, type]] = {
    "openai": d.OpenAIError,
    "anthropic": d.AnthropicError,
    "gemini": d.GeminiError,
    "turnout": d.OpenAIError,
}
_STATUSES: Final[Mapping[str, str]] = {
    "4XX": "The request, the key or a policy is the reason; headers and body name the class",
    "5XX": "The provider or the gateway is the reason; headers and body name the class",
}


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
    status: str = "200"
    query: tuple[str, ...] = ()
    open: bool = False
    """Whether it needs no key."""


def _post(path: str, summary: str, wire: Wire, takes: type, gives: type | None, **more: Any) -> Operation:
    return Operation(method="post", path=path, summary=summary, wire=wire, takes=takes, gives=gives, **more)


def _get(path: str, summary: str, wire: Wire, gives: type | None, **more: Any) -> Operation:
    return Operation(method="get", path=path, summary=summary, wire=wire, gives=gives, **more)


_CHAT: Final = "/v1/chat/completions"
_GEMINI: Final = "/v1beta/models/{model}"
OPERATIONS: Final[tuple[Operation, ...]] = (
    _post(_CHAT, "Chat completions", "openai", ChatRequest, d.ChatAnswer, streams=True),
    _post("/v1/completions", "Legacy completions", "openai", d.TextRequest, d.TextAnswer, streams=True),
    _post("/v1/embeddings", "Vectors", "openai", d.VectorsRequest, d.Vectors),
    _post("/v1/responses", "Responses", "openai", ResponsesRequest, d.ResponseObject, streams=True),
    _post("/v1/responses/input_tokens", "Count input tokens", "openai", ResponsesRequest, d.Counted),
    _get("/v1/responses/{id}", "A kept answer", "openai", d.ResponseObject),
    Operation(
        method="delete", path="/v1/responses/{id}", summary="Forget an answer", wire="openai", gives=d.Deleted
    ),
    _get("/v1/responses/{id}/input_items", "What an answer was given to", "openai", d.Page),
    Operation(
        method="post",
        path="/v1/responses/{id}/cancel",
        summary="Cancel an answer in the background",
        wire="openai",
        gives=d.ResponseObject,
    ),
    _post("/v1/messages", "Messages", "anthropic", d.MessagesRequest, d.MessagesAnswer, streams=True),
    _post("/v1/messages/count_tokens", "Count input tokens", "anthropic", d.CountRequest, d.Counted),
    _post(_GEMINI + ":generateContent", "Generate", "gemini", d.ContentsRequest, d.ContentsAnswer),
    _post(_GEMINI + ":countTokens", "Count input tokens", "gemini", d.ContentsRequest, None),
    _get("/v1/models", "What the key may use", "openai", d.Models),
    _get("/v1/models/{model}", "One of them", "openai", d.ModelRow),
    _post("/v1/recommend", "Rank models, send nothing", "turnout", d.RecommendRequest, d.Recommended),
    _post("/v1/feedback", "Say how an answer was", "turnout", Said, Heard, status="202"),
    _post("/v1/explain", "Say what a request would lead to", "turnout", d.ExplainRequest, None),
    _post("/v1/background", "Have a request served later", "turnout", d.JobRequest, d.Job, status="202"),
    _get("/v1/background", "Jobs of the key", "turnout", d.Page, query=("limit", "after")),
    _get("/v1/background/{id}", "A job", "turnout", d.Job),
    Operation(
        method="delete", path="/v1/background/{id}", summary="Cancel a job", wire="turnout", gives=d.Job
    ),
    _get("/v1/background/{id}/answer", "A job's answer", "turnout", None),
    _get("/livez", "Whether the process lives", "turnout", d.Status, open=True),
    _get("/readyz", "Whether it takes requests", "turnout", d.Status, open=True),
    _get("/openapi.json", "This description", "turnout", None),
)


def describe() -> bytes:
    """Write the description."""
    types = {each for one in OPERATIONS for each in (one.takes, one.gives) if each is not None}
    ordered = sorted(types | set(_ERRORS.values()), key=lambda each: (each.__name__, each.__module__))
    schemas, parts = msgspec.json.schema_components(ordered, schema_hook=_any, ref_template=_REFS)
    refs = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Json]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, refs)
    told = {
        "openapi": "3.1.0",
        "info": {"title": "Turnout", "version": version("turnout")},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": parts,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A Turnout key; other headers that clients use for keys do as well.",
                }
            },
        },
    }
    return msgspec.json.encode(told)


def _any(kind: type) -> dict[str, Any]:
    return {"description": "Any value."}


def _operation(each: Operation, refs: Mapping[type, Json]) -> Json:
    words = each.path.replace("{", "").replace("}", "").replace(":", "/").replace(".", "_").split("/")
    schema: Json = {"type": "object"} if each.gives is None else refs[each.gives]
    content: dict[str, Json] = {"application/json": {"schema": schema}}
    if each.streams:
        content["text/event-stream"] = {"schema": {"description": "Events of the format of its path."}}
    bad: Json = {"application/json": {"schema": refs[_ERRORS[each.wire]]}}
    told: dict[str, Json] = {
        "operationId": "_".join([each.method, *filter(None, words)]),
        "summary": each.summary,
        "tags": [each.wire],
        "parameters": _parameters(each),
        "responses": {
            each.status: {"description": "Done", "content": content},
            **{status: {"description": what, "content": bad} for status, what in _STATUSES.items()},
        },
    }
    if each.takes is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[each.takes]}},
        }
    if each.open:
        told["security"] = []
    return told


def _parameters(each: Operation) -> list[Json]:
    named = [word for word in ("id", "model") if f"{{{word}}}" in each.path]
    text: Json = {"type": "string", "minLength": 1}
    found: list[Json] = [{"name": n, "in": "path", "required": True, "schema": text} for n in named]
    for name in each.query:
        kind: Json = {"type": "integer", "minimum": 1} if name == "limit" else {"type": "string"}
        found.append({"name": name, "in": "query", "schema": kind})
    return found


class Described:
    """Serves the description to whoever has a key."""

    __slots__ = ("_steps", "_text")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._text: bytes | None = None

    def mount(self, paths: Paths[Visit]) -> None:
        """Say which path it serves."""
        paths.add_root("/openapi.json", self.tell, ("GET",))

    async def tell(self, visit: Visit) -> None:
        """Answer with the description, written when first asked for."""
        self._steps.enter(visit, "models")
        if self._text is None:
            self._text = describe()
        await respond(visit.send, 200, [JSON_TYPE, *self._steps.ids(visit.request_id)], self._text)
