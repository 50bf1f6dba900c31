"""Recorded calls that the gateway answers itself: files, batches, counts, conversations. Floor 6.

No codec speaks these. What a provider was sent must be readable here; what it answered must have no member
that ours lacks, each of the same kind, but for those that are listed. `null` stands for any kind.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from turnout.codecs import strict
from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.codecs.hosts import compose
from turnout.codecs.openai_responses import OpenAIResponses, OpenAIResponsesDialect
from turnout.codecs.verify import Checked, Comparison, Exchange, checking, lines
from turnout.errors import TurnoutError
from turnout.server import batches, message_batches, uploads
from turnout.server.batch_lines import read_requests, write_anthropic, write_openai
from turnout.server.gemini_batches import endpoint_of, operation, read_job
from turnout.server.kept import Document, read_document
from turnout.server.listing import Listed, openai_row
from turnout.server.talks import begun
from turnout.server.talks import view as talk_view
from turnout.server.verbs import whole_request
from turnout.stores.files import Batch, Counts, File, Result, Stored
from turnout.types.chat import ChatRequest, Text
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.embed import EmbedRequest
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BATCH = Batch(
    id="b", owner="o", key_id="", form="openai", endpoint="/v1/x", created_at=_NOW, deadline_at=_NOW
)
_MOST = 1_000
Compare: TypeAlias = Callable[[Comparison, Exchange], None]
_read = msgspec.json.Decoder().decode


class Surface(Struct, frozen=True):
    """The calls of one kind."""

    calls: tuple[tuple[str, re.Pattern[str], Compare], ...]
    """Method, path, and what compares such a call."""

    def speaks(self, method: str, url: str, request_body: JsonObject) -> bool:
        """Tell whether a call is of this kind."""
        return self._found(method, url) is not None

    def check(self, record: Exchange) -> Checked:
        """Read the exchange as the gateway would. Never raises."""
        return checking(self._check)(record)

    def compare(self, record: Exchange) -> list[str]:
        """Return the mismatches of `check` as lines; empty = equal."""
        return lines(self.check(record))

    def _check(self, found: Comparison, record: Exchange) -> None:
        compared = self._found(record.method, record.url)
        assert compared is not None
        compared(found, record)

    def _found(self, method: str, url: str) -> Compare | None:
        place = urlsplit(url)
        if "stream=true" in place.query:
            return None  # a kept answer is not streamed again
        named = f"{place.hostname}{place.path}"
        return next((c for m, path, c in self.calls if m == method and path.search(named)), None)


def _members(found: Comparison, told: JsonObject, ours: Mapping[str, Json], lacking: frozenset[str]) -> None:
    """Compare the members of an answer with those of ours, by kind."""
    expected: dict[str, Json] = {name: _kind(value) for name, value in told.items() if name not in lacking}
    got: dict[str, Json] = {name: _kind(ours[name]) for name in expected if name in ours}
    for name, kind in got.items():
        if "null" in (kind, expected[name]):
            got[name] = expected[name]
    found.equal("shape", "members", expected, got)


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return "object" if isinstance(value, Mapping) else "list"


def _shows(ours: Callable[[], Mapping[str, Json]], *lacking: str) -> Compare:
    """Return what compares an answer that has no request to speak of."""

    def compare(found: Comparison, record: Exchange) -> None:
        _members(found, _read(record.response_body), ours(), frozenset(lacking))

    return compare


def _upstream(codec: str, host: str = "") -> Deployment:
    vendor = Vendor(name="recorded", base_url="https://recorded.invalid", codec=codec)
    if host == "vertex":
        vendor = msgspec.structs.replace(vendor, host="vertex")
    return Deployment(id="m", vendor=vendor, model=Model(id="m"), upstream_model="m")


def _said(request: ChatRequest) -> list[Json]:
    """Return what the turns say that are no instructions."""
    turns = (turn for turn in request.messages if turn.role in ("user", "assistant"))
    return ["".join(part.text for part in turn.parts if isinstance(part, Text)) for turn in turns]


def _words(turns: Json, member: str) -> list[Json]:
    """Return the same of recorded turns."""
    assert isinstance(turns, list)
    found: list[Json] = []
    for turn in turns:
        content = turn[member]
        blocks = [{"text": content}] if isinstance(content, str) else content
        found.append("".join(block.get("text", "") for block in blocks))
    return found


def _count_messages(found: Comparison, record: Exchange) -> None:
    sent = strict.parse(record.request_body)
    body = AnthropicDialect().parse(msgspec.json.encode({**sent, "max_tokens": 1}))
    found.equal("request", "messages", _words(sent["messages"], "content"), _said(body.request))
    tools = sent.get("tools")
    found.equal("request", "tools", len(tools) if isinstance(tools, list) else 0, len(body.request.tools))
    if not _failed(found, record, Anthropic().error):
        _members(found, _read(record.response_body), {"input_tokens": 1}, frozenset())


def _count_contents(found: Comparison, record: Exchange) -> None:
    raw = whole_request(record.request_body)
    body = GeminiDialect().parse_call(raw, model="m", stream=False)
    found.equal("request", "contents", _words(_read(raw)["contents"], "parts"), _said(body.request))
    if not _failed(found, record, Gemini().error):
        more = frozenset({"promptTokensDetails", "totalBillableCharacters"})  # nothing that is reckoned here
        _members(found, _read(record.response_body), {"totalTokens": 1}, more)


def _failed(found: Comparison, record: Exchange, error_of: Callable[[HttpResponse], TurnoutError]) -> bool:
    if record.status // 100 == 2:
        return False
    word = error_of(HttpResponse(record.status, {}, record.response_body)).row.word
    found.equal("error", "class", {404: "provider_model_unavailable"}.get(record.status, word), word)
    return True


def _count_input(found: Comparison, record: Exchange) -> None:
    sent = strict.parse(record.request_body)
    body = OpenAIResponsesDialect().parse(record.request_body)
    given = sent.get("input")
    told = [given] if isinstance(given, str) else _words(given, "content")
    found.equal("request", "input", told, _said(body.request))
    ours: dict[str, Json] = {"object": "response.input_tokens", "input_tokens": 1}
    _members(found, _read(record.response_body), ours, frozenset())


def _kept_answer(found: Comparison, record: Exchange) -> None:
    told = _read(record.response_body)
    document = read_document(msgspec.json.encode(Document(told, [])))
    found.equal("shape", "response", told, msgspec.to_builtins(document.response))
    if told["status"] != "completed":
        return
    answer = OpenAIResponses().decode(HttpResponse(200, {}, record.response_body))
    text = "".join(
        part["text"]
        for item in told["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )
    parts = answer.choices[0].parts
    found.equal("text", "output_text", text, "".join(p.text for p in parts if isinstance(p, Text)))


def _conversation(found: Comparison, record: Exchange) -> None:
    talk = begun(0.0, _read(record.request_body or b"{}").get("metadata"))
    _members(found, _read(record.response_body), talk_view(talk), frozenset())


def _batch(found: Comparison, record: Exchange) -> None:
    if record.request_body:
        asked = strict.convert(strict.parse(record.request_body), batches.Create)
        told = {name: value for name, value in msgspec.to_builtins(asked).items() if value is not None}
        found.equal("request", "body", _read(record.request_body), told)
    lacking = frozenset({"model", "usage"})  # of lines that may each name a model of their own
    _members(found, _read(record.response_body), batches.view(_BATCH), lacking)


def _batch_output(found: Comparison, record: Exchange) -> None:
    for raw in record.response_body.splitlines():
        line = _read(raw)
        answer = line["response"]
        said = Result("succeeded", answer["status_code"], "req", msgspec.json.encode(answer["body"]))
        ours = _read(write_openai("batch_1", Stored(1, line["custom_id"], said)))
        _members(found, line, ours, frozenset())
        _members(found, answer, ours["response"], frozenset())
        found.equal("text", "body", answer["body"], ours["response"]["body"])


def _message_batch(found: Comparison, record: Exchange) -> None:
    if record.request_body and record.url.endswith("/batches"):
        sent = _read(record.request_body)["requests"]
        read = [[line.custom_id, _read(line.body)] for line in read_requests(record.request_body, _MOST)]
        found.equal("request", "requests", [[each["custom_id"], each["params"]] for each in sent], read)
    _members(found, _read(record.response_body), message_batches.view(_BATCH), frozenset())


def _message_results(found: Comparison, record: Exchange) -> None:
    for raw in record.response_body.splitlines():
        line = _read(raw)
        result = line["result"]
        kind = {"succeeded": "message", "errored": "error"}.get(result["type"], "")
        body = msgspec.json.encode(result[kind]) if kind else b""
        stored = Stored(1, line["custom_id"], Result(result["type"], 200, body=body))
        found.equal("shape", "line", line, _read(write_anthropic("b", stored)))
        if kind == "message":
            answer = Anthropic().decode(HttpResponse(200, {}, body))
            text = "".join(block.get("text", "") for block in result["message"]["content"])
            told = [part.text for part in answer.choices[0].parts if isinstance(part, Text)]
            found.equal("text", "message", text, "".join(told))


def _job(found: Comparison, record: Exchange) -> None:
    if record.request_body:
        sent = _read(record.request_body)["batch"]
        name, read = read_job(record.request_body, "gemini-2.5-flash", _MOST)
        asked = sent["inputConfig"]["requests"]["requests"]
        told = [[_without_model(each["request"]), each["metadata"]] for each in asked]
        ours = [[_read(line.body), _read(line.custom_id)] for line in read]
        found.equal("request", "requests", [sent["displayName"], told], [name, ours])
    told = _read(record.response_body)
    held = operation(
        msgspec.structs.replace(_BATCH, counts=Counts(2), endpoint=endpoint_of("m", ":generateContent"))
    )
    _members(found, told, msgspec.to_builtins(held), frozenset())
    about, stats = told["metadata"], told["metadata"]["batchStats"]
    shown = msgspec.to_builtins(held)["metadata"]
    _members(found, about, shown, frozenset())
    _members(found, stats, shown["batchStats"], frozenset())


def _without_model(request: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in request.items() if name != "model"}


def _models(found: Comparison, record: Exchange) -> None:
    told = _read(record.response_body)
    ours = openai_row(Listed("m", "model", "o"))
    _members(found, told, {"object": "list", "data": []}, frozenset())
    for row in told["data"]:
        _members(found, row, ours, frozenset({"pricing"}))  # ours stands in `turnout`


def _predicted(found: Comparison, record: Exchange) -> None:
    codec, sent, to = compose("vertex", Gemini()), _read(record.request_body), _upstream("gemini", "vertex")
    purpose = sent["instances"][0].get("task_type")
    asked = EmbedRequest(
        model="m",
        input=tuple(each["content"] for each in sent["instances"]),
        wire="gemini",
        extra={} if purpose is None else {"taskType": purpose},
        dimensions=sent.get("parameters", {}).get("outputDimensionality"),
    )
    found.equal("request", "body", sent, _read(codec.encode_embed(asked, to).http.body))
    answer = codec.decode_embed(HttpResponse(200, {}, record.response_body))
    told = [each["embeddings"] for each in _read(record.response_body)["predictions"]]
    found.equal("vectors", "values", [each["values"] for each in told], [list(v) for v in answer.vectors])
    counted = sum(int(each["statistics"]["token_count"]) for each in told)
    found.equal("usage", "token_count", counted, answer.usage.n_input)


def _call(method: str, path: str, compare: Compare) -> tuple[str, re.Pattern[str], Compare]:
    return method, re.compile(path), compare


def _file() -> Mapping[str, Json]:
    return uploads.view(
        File(id="f", owner="o", purpose="batch", name="n", n_bytes=1, created_at=_NOW, expires_at=_NOW)
    )


def _gone(kind: str) -> Compare:
    return _shows(lambda: {"id": "x", "object": kind, "deleted": True})


_OPENAI: Final = r"^api\.openai\.com/v1"
SURFACES: Final[Mapping[str, Surface]] = {
    "count_tokens": Surface(
        (
            _call("POST", r"/v1/messages/count_tokens$", _count_messages),
            _call("POST", r":countTokens$", _count_contents),
            _call("POST", r"/v1/responses/input_tokens$", _count_input),
        )
    ),
    "conversations": Surface(
        (
            _call("POST", _OPENAI + r"/conversations$", _conversation),
            _call("DELETE", _OPENAI + r"/conversations/[^/]+$", _gone("conversation.deleted")),
            _call("GET", _OPENAI + r"/responses/[^/]+$", _kept_answer),
        )
    ),
    "files": Surface(
        (
            _call("POST", _OPENAI + r"/files$", _shows(_file)),
            _call("DELETE", _OPENAI + r"/files/[^/]+$", _gone("file")),
            _call("GET", _OPENAI + r"/files/[^/]+/content$", _batch_output),
        )
    ),
    "batches": Surface(
        (
            _call("POST", _OPENAI + r"/batches$", _batch),
            _call("GET", _OPENAI + r"/batches/[^/]+$", _batch),
            _call("POST", r":batchGenerateContent$", _job),
            _call("GET", r"^generativelanguage\.googleapis\.com/v1beta/batches/[^/]+$", _job),
            _call("POST", r"/v1/messages/batches(/[^/]+/cancel)?$", _message_batch),
            _call("GET", r"/v1/messages/batches/[^/]+$", _message_batch),
            _call("GET", r"/v1/messages/batches/[^/]+/results$", _message_results),
        )
    ),
    "models": Surface((_call("GET", r"/v1/models$", _models),)),
    "vertex_predict": Surface((_call("POST", r"/publishers/google/models/[^/]+:predict$", _predicted),)),
}
"""Kind -> what compares in it."""
