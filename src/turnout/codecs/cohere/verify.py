"""Compares this codec with recorded Cohere traffic. Floor 2.

The raw side is read with plain look-ups, never with the decoder under test. What may differ between a
recorded request and the one written from its canonical form is listed in `_normal` and nowhere else.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from turnout.codecs.cohere.dialect import CohereDialect
from turnout.codecs.cohere.request import encode
from turnout.codecs.cohere.rerank import decode_task, encode_task
from turnout.codecs.cohere.response import decode, decode_embed, encode_embed, error_of
from turnout.codecs.cohere.stream import CohereDecoder
from turnout.codecs.cohere.wire import WIRE
from turnout.codecs.gather import Told, of_choice, of_events
from turnout.codecs.tasks import OPERATIONS, parse
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_FINISHES: Mapping[str, str] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
_HOST = Vendor(name="recorded", base_url="https://recorded.invalid/v2", codec=WIRE)
_CLASSES: Mapping[int, frozenset[str]] = {
    400: frozenset({"provider_rejected", "context_length_exceeded", "invalid_media"}),
    401: frozenset({"provider_auth"}),
    404: frozenset({"provider_model_unavailable"}),
    429: frozenset({"provider_rate_limited", "provider_quota_exhausted"}),
}


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in this format."""
    path = urlsplit(url).path
    if method != "POST":
        return False
    if path.endswith("/rerank"):
        return "cohere" in urlsplit(url).netloc
    return (path.endswith("/v2/chat") and "messages" in request_body) or (
        path.endswith("/v2/embed") and "texts" in request_body
    )


@checking
def check(found: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    http = record.answer
    if record.status // 100 != 2:
        word = error_of(http).row.word
        allowed = _CLASSES.get(record.status, frozenset({word}))
        found.one_of("error", "class", allowed, word)
        return
    raw = msgspec.json.decode(record.request_body)
    if urlsplit(record.url).path.endswith("/rerank"):
        _ranking(found, record, raw)
        return
    if urlsplit(record.url).path.endswith("/embed"):
        _vectors(found, record, raw)
        return
    body = CohereDialect().parse(record.request_body)
    written = msgspec.json.decode(encode(body.request, _to(raw)).http.body)
    found.equal("request", "body", _normal(raw), _normal(written))
    if record.response_body.lstrip().startswith(b"event:"):
        decoder = CohereDecoder()
        events = [*decoder.feed(record.response_body), *decoder.end()]
        _compare(found, _folded(record.response_body), of_events(events))
        return
    answer = msgspec.json.decode(record.response_body)
    if "error_type" in answer:
        found.equal("error", "class", "context_length_exceeded", error_of(http).row.word)
        return
    got = decode(http)
    _compare(found, answer, of_choice(got.choices[0], got.usage))


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


def _to(raw: JsonObject) -> Deployment:
    name = str(raw.get("model"))
    return Deployment(id=name, vendor=_HOST, model=Model(id=name), upstream_model=name)


def _vectors(found: Comparison, record: Exchange, raw: JsonObject) -> None:
    asked = CohereDialect().parse_embed(record.request_body).request
    said = {name: value for name, value in raw.items() if value is not None}
    found.equal("request", "body", said, msgspec.json.decode(encode_embed(asked, _to(raw)).http.body))
    answer = msgspec.json.decode(record.response_body)
    got = decode_embed(HttpResponse(200, {}, record.response_body))
    found.equal("vectors", "embeddings", answer["embeddings"]["float"], [list(each) for each in got.vectors])
    found.equal("usage", "billed", answer["meta"]["billed_units"]["input_tokens"], got.usage.n_input)


def _ranking(found: Comparison, record: Exchange, raw: JsonObject) -> None:
    asked = parse(OPERATIONS["/rerank"], record.request_body).request
    to = _to({"model": raw.get("model", "auto")})
    said = {name: value for name, value in raw.items() if name != "return_documents"}
    written = msgspec.json.decode(encode_task(asked, to).http.body)
    found.equal("request", "body", {"model": to.upstream_model, **said}, written)
    answer = msgspec.json.decode(record.response_body)
    got = decode_task(HttpResponse(200, {}, record.response_body), asked, to)
    told = msgspec.json.decode(got.body)
    found.equal("vectors", "ranking", answer["results"], told["results"])
    units = answer["meta"]["billed_units"]["search_units"]
    found.equal("usage", "search_units", units, got.usage.search_units)


def _normal(body: JsonObject) -> JsonObject:
    """Bring a request to the form in which equal meaning is equal JSON.

    Allowed: a text in place of one plain text block; nothing in place of `stream: false`.
    """
    out = {name: value for name, value in body.items() if value is not False}
    turns = out.get("messages")
    if isinstance(turns, list):
        out["messages"] = [{**turn, "content": _blocks(turn.get("content"))} for turn in turns]
    return out


def _blocks(content: Json) -> Json:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _compare(found: Comparison, raw: JsonObject, got: Told) -> None:
    message, usage = raw["message"], raw["usage"]
    assert isinstance(message, dict)
    assert isinstance(usage, dict)
    content = message.get("content") or []
    calls = message.get("tool_calls") or []
    word = str(raw["finish_reason"])
    finish = "tool_calls" if calls and _FINISHES[word] == "stop" else _FINISHES[word]
    found.equal("finish", "reason", [word, finish], [got.native, got.finish])
    found.equal("text", "text", "".join(block.get("text") or "" for block in content), got.text)
    thought = (message.get("tool_plan") or "") + "".join(block.get("thinking") or "" for block in content)
    found.equal("reasoning", "thinking", thought, got.reasoning)
    told = [[call["id"], call["function"]["name"], call["function"]["arguments"] or "{}"] for call in calls]
    found.equal("tool_calls", "tool_calls", told, got.calls)
    billed, tokens = usage["billed_units"], usage["tokens"]
    found.equal("usage", "input", billed["input_tokens"], got.usage.n_input)
    found.equal("usage", "output", billed["output_tokens"], got.usage.n_output)
    if "reasoning_tokens" in tokens:
        thought_tokens = min(tokens["reasoning_tokens"], billed["output_tokens"])
        found.equal("usage", "reasoning", thought_tokens, got.usage.reasoning)


def _folded(body: bytes) -> JsonObject:
    """Put the frames of a stream together, look-up by look-up."""
    plan, end = "", {}
    content: dict[int, dict[str, str]] = {}
    calls: dict[int, dict[str, Json]] = {}
    for line in body.splitlines():
        if not line.startswith(b"data:") or b"[DONE]" in line:
            continue
        frame = msgspec.json.decode(line[5:])
        said = (frame.get("delta") or {}).get("message") or {}
        match frame["type"]:
            case "content-start":
                content[frame["index"]] = {}
            case "content-delta":
                for name, more in said["content"].items():
                    block = content[frame["index"]]
                    block[name] = block.get(name, "") + more
            case "tool-plan-delta":
                plan += said["tool_plan"]
            case "tool-call-start":
                calls[frame["index"]] = said["tool_calls"]
            case "tool-call-delta":
                function = calls[frame["index"]]["function"]
                assert isinstance(function, dict)
                function["arguments"] += said["tool_calls"]["function"]["arguments"]
            case "message-end":
                end = frame["delta"]
    message = {"content": list(content.values()), "tool_plan": plan, "tool_calls": list(calls.values())}
    return {"message": message, **end}
