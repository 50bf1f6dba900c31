"""Compares this codec with recorded Bedrock traffic. Floor 2.

The raw side is read with plain look-ups, never with the decoder under test. What may differ between a
recorded request and the one written from its canonical form is listed in `_normal` and nowhere else.
"""

import struct
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from turnout.codecs import aws_errors
from turnout.codecs.bedrock.dialect import BedrockDialect
from turnout.codecs.bedrock.embed import EMBEDS, decode_embed
from turnout.codecs.bedrock.request import encode
from turnout.codecs.bedrock.response import decode
from turnout.codecs.bedrock.stream import BedrockDecoder
from turnout.codecs.bedrock.wire import WIRE
from turnout.codecs.eventstream import EventStreamParser
from turnout.codecs.gather import Told, of_choice, of_events
from turnout.codecs.invoked import renamed
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_FINISHES: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_CLASSES: Mapping[int, frozenset[str]] = {
    400: frozenset(
        {"provider_rejected", "context_length_exceeded", "invalid_media", "provider_model_unavailable"}
    ),
    403: frozenset({"provider_auth"}),
}
_VECTORS = frozenset({"inputText", "texts"})
"""Members of a body that asks for vectors of texts."""
_HOST = Vendor(name="recorded", base_url="https://recorded.invalid", codec=WIRE)


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in this format."""
    if method != "POST":
        return False
    if _is_nova(url) and "messages" in request_body:
        return True
    if _verb(url) == "invoke":
        return any(name in url for name in EMBEDS) and not _VECTORS.isdisjoint(request_body)
    return _verb(url) in {"converse", "converse-stream"} and "messages" in request_body


@checking
def check(found: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    http = record.answer
    if record.status // 100 != 2:
        word = aws_errors.of_response(http, WIRE).row.word
        allowed = _CLASSES.get(record.status, frozenset())
        found.one_of("error", "class", allowed, word)
        return
    if _verb(record.url) == "invoke" and not _is_nova(record.url):
        _vectors(found, http)
        return
    is_stream = _verb(record.url) in {"converse-stream", "invoke-with-response-stream"}
    name = unquote(urlsplit(record.url).path.split("/")[2])
    body = BedrockDialect().parse_call(record.request_body, model=name, stream=is_stream)
    to = Deployment(id=name, vendor=_HOST, model=Model(id=name), upstream_model=name)
    sent = encode(body.request, to).http
    if not _is_nova(record.url):
        path = unquote(urlsplit(record.url).path)
        found.equal("request", "path", path, unquote(urlsplit(sent.url).path))
    raw = msgspec.json.decode(record.request_body)
    found.equal("request", "body", _normal(raw), _normal(msgspec.json.decode(sent.body)))
    if not is_stream:
        got = decode(http)
        _compare(
            found,
            msgspec.json.decode(record.response_body, type=_Answer),
            of_choice(got.choices[0], got.usage),
        )
        return
    said = record.response_body
    if _is_nova(record.url):
        said = b"".join(map(renamed, EventStreamParser().feed(said)))
    decoder = BedrockDecoder()
    _compare(found, _folded(said), of_events([*decoder.feed(said), *decoder.end()]))


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


def _verb(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _is_nova(url: str) -> bool:
    """Tell whether a call is one of InvokeModel that holds what Converse holds."""
    return _verb(url).startswith("invoke") and ".nova-" in url and "embeddings" not in url


def _vectors(found: Comparison, http: HttpResponse) -> None:
    raw = msgspec.json.decode(http.body, type=_Vectors)
    said = raw.embeddings.get("float") if isinstance(raw.embeddings, dict) else raw.embeddings
    got = decode_embed(http)
    found.equal("vectors", "embedding", said or [raw.embedding], [list(each) for each in got.vectors])
    if raw.input_text_token_count is not None:
        found.equal("usage", "inputTextTokenCount", raw.input_text_token_count, got.usage.n_input)


def _normal(body: JsonObject) -> JsonObject:
    """Bring a request to the form in which equal meaning is equal JSON.

    Allowed: `{}`, `[]` or null in place of nothing at the top; other white space in the schema of an answer.
    """
    out: dict[str, Json] = {}
    for name, value in body.items():
        if value not in ({}, [], None):
            out[name] = msgspec.json.decode(msgspec.json.encode(value))
    form = out.get("outputConfig")
    if isinstance(form, dict):
        inner = form["textFormat"]["structure"]["jsonSchema"]
        inner["schema"] = msgspec.json.decode(inner["schema"])
    return out


class _Vectors(Struct, rename="camel"):
    embedding: list[float] | None = None
    embeddings: dict[str, list[list[float]]] | list[list[float]] | None = None
    input_text_token_count: int | None = None


class _Use(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Json = None
    type: str | None = None


class _Said(Struct, rename="camel"):
    text: str = ""


class _Thought(Struct, rename="camel"):
    reasoning_text: _Said | None = None
    text: str = ""


class _Cited(Struct, rename="camel"):
    content: list[_Said] = []


class _Block(Struct, rename="camel"):
    """A block of an answer, or a delta or start of one."""

    text: str = ""
    tool_use: _Use | None = None
    reasoning_content: _Thought | None = None
    citations_content: _Cited | None = None


class _Message(Struct, rename="camel"):
    content: list[_Block] = []


class _Output(Struct, rename="camel"):
    message: _Message


class _Counts(Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    """Missing where a guardrail of the provider's changed the answer of an InvokeModel."""
    total_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_read_input_token_count: int | None = None
    """InvokeModel's name of it."""


class _Answer(Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: _Counts


class _Frame(Struct, rename="camel"):
    content_block_index: int = -1
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str | None = None
    usage: _Counts | None = None


def _compare(found: Comparison, raw: _Answer, got: Told) -> None:
    content = raw.output.message.content
    uses = [block.tool_use for block in content if block.tool_use is not None and block.tool_use.type is None]
    word = raw.stop_reason
    finish = "tool_calls" if uses and _FINISHES[word] == "stop" else _FINISHES[word]
    found.equal("finish", "stopReason", [word, finish], [got.native, got.finish])
    found.equal("text", "text", "".join(map(_words, content)), got.text)
    thoughts = [block.reasoning_content for block in content if block.reasoning_content is not None]
    said = [thought.reasoning_text or _Said() for thought in thoughts]
    found.equal("reasoning", "text", "".join(each.text for each in said), got.reasoning)
    told = [[use.tool_use_id, use.name, use.input] for use in uses]
    mine = [[call_id, name, msgspec.json.decode(arguments)] for call_id, name, arguments in got.calls]
    found.equal("tool_calls", "toolUse", told, mine)
    usage = raw.usage
    found.equal("usage", "inputTokens", usage.input_tokens, got.usage.input_uncached)
    found.equal("usage", "outputTokens", usage.output_tokens or 0, got.usage.n_output)
    if usage.total_tokens is not None:
        found.equal("usage", "totalTokens", usage.total_tokens, got.usage.n_input + got.usage.n_output)
    known = usage.cache_read_input_tokens
    cached = usage.cache_read_input_token_count if known is None else known
    found.equal("usage", "cacheReadInputTokens", cached, got.usage.cache_read)


def _words(block: _Block) -> str:
    cited = block.citations_content
    return block.text if cited is None else "".join(each.text for each in cited.content)


def _folded(body: bytes) -> _Answer:
    """Put the frames of a stream together, look-up by look-up."""
    blocks: dict[int, _Block] = {}
    inputs: dict[int, str] = {}
    word, usage = "", None
    for frame in _frames(body):
        at = frame.content_block_index
        block = blocks.setdefault(at, _Block())
        delta = frame.delta or _Block()
        block.text += delta.text
        if frame.start is not None:
            block.tool_use = frame.start.tool_use
        if delta.tool_use is not None:
            inputs[at] = inputs.get(at, "") + str(delta.tool_use.input)
        if delta.reasoning_content is not None:
            known = block.reasoning_content or _Thought(_Said())
            block.reasoning_content = known
            assert known.reasoning_text is not None
            known.reasoning_text.text += delta.reasoning_content.text
        word, usage = frame.stop_reason or word, frame.usage or usage
    for at, block in blocks.items():
        if block.tool_use is not None:
            block.tool_use.input = msgspec.json.decode(inputs.get(at) or "{}")
    assert usage is not None
    return _Answer(_Output(_Message(list(blocks.values()))), word, usage)


def _frames(body: bytes) -> Iterator[_Frame]:
    """Cut a stream by its lengths alone."""
    at = 0
    while at < len(body):
        total, n_headers = struct.unpack_from(">II", body, at)
        yield msgspec.json.decode(body[at + 12 + n_headers : at + total - 4], type=_Frame)
        at += total
