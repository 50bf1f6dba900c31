"""Compares this codec with recorded Anthropic traffic. Floor 2.

The raw side is read with plain look-ups, never with the decoder under test. What may differ between a
recorded request and the one written from its canonical form is listed in `_normal` and nowhere else.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from turnout.codecs.anthropic.dialect import AnthropicDialect
from turnout.codecs.anthropic.errors import of_response
from turnout.codecs.anthropic.request import encode
from turnout.codecs.anthropic.response import decode
from turnout.codecs.anthropic.stream import AnthropicDecoder
from turnout.codecs.anthropic.wire import without
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.types.chat import ChatResponse, Choice, Part, Reasoning, Text, ToolCall
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.event import Event, Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_FINISHES: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_CLASSES: Mapping[str, frozenset[str]] = {
    "authentication_error": frozenset({"provider_auth"}),
    "permission_error": frozenset({"provider_auth"}),
    "billing_error": frozenset({"provider_quota_exhausted"}),
    "not_found_error": frozenset({"provider_model_unavailable", "not_found"}),
    "rate_limit_error": frozenset({"provider_rate_limited", "provider_quota_exhausted"}),
    "request_too_large": frozenset({"request_too_large"}),
    "overloaded_error": frozenset({"provider_overloaded"}),
    "timeout_error": frozenset({"timeout_ttft"}),
    "api_error": frozenset({"provider_error"}),
    "invalid_request_error": frozenset(
        {"provider_rejected", "invalid_media", "content_filtered", "provider_quota_exhausted"}
    ),
}
_HOST = Vendor(name="recorded", base_url="https://recorded.invalid/v1", codec="anthropic")
_EARLY = frozenset({"output_format"})


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in this format: the endpoint itself, or a Claude behind another envelope."""
    if method != "POST" or not isinstance(request_body.get("messages"), list):
        return False
    path = urlsplit(url).path
    return path.endswith("/messages") or "anthropic_version" in request_body


@checking
def check(found: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    if record.status // 100 == 2:
        _request(found, record)
        _answer(found, record)
    else:
        _error(found, record)


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


def _request(found: Comparison, record: Exchange) -> None:
    raw = msgspec.json.decode(record.request_body, type=dict[str, Json])
    if "model" not in raw:  # an envelope names the model in its address
        raw = {**raw, "model": "enveloped"}
    body = AnthropicDialect().parse(msgspec.json.encode(raw))
    model = Model(id=f"recorded/{raw['model']}")
    to = Deployment(id="recorded", vendor=_HOST, model=model, upstream_model=str(raw["model"]))
    written = msgspec.json.decode(encode(body.request, to).http.body, type=dict[str, Json])
    found.equal("request", "body", _normal(raw), _normal(written))


def _normal(body: JsonObject) -> dict[str, Json]:
    """Bring a request to the form in which equal meaning is equal JSON.

    Allowed: a text in place of one plain text block; `false`, null or `[]` in place of nothing;
    `output_format` in place of `output_config.format`, its later name.
    """
    out = _plain(without(body, _EARLY))
    if isinstance(system := out.get("system"), str):
        out["system"] = [{"type": "text", "text": system}]
    turns = out.get("messages")
    if isinstance(turns, list):
        out["messages"] = [{**turn, "content": _blocks(turn["content"])} for turn in turns]
    early, config = body.get("output_format"), out.get("output_config")
    if early is not None:
        out["output_config"] = {**(config if isinstance(config, dict) else {}), "format": early}
    choice = out.get("tool_choice")
    if isinstance(choice, dict):
        out["tool_choice"] = _plain(choice)
    return out


def _blocks(content: Json) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks: list[Json] = []
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_result":
            inner = {"content": _blocks(block["content"])} if block.get("content") else {}
            blocks.append({**_plain(block), **inner})
        else:
            blocks.append(block)
    return blocks


def _plain(value: JsonObject) -> dict[str, Json]:
    return {key: item for key, item in value.items() if not _is_nothing(item)}


def _is_nothing(item: Json) -> bool:
    return item is None or item is False or item == []


def _answer(found: Comparison, record: Exchange) -> None:
    body = record.response_body
    is_stream = body.lstrip().startswith((b"event:", b"data:"))
    raw = _folded(body) if is_stream else msgspec.json.decode(body, type=dict[str, Json])
    got = _collected(body) if is_stream else decode(record.answer)
    choice = got.choices[0]
    content = [block for block in _list(raw.get("content")) if isinstance(block, dict)]
    calls = [block for block in content if block.get("type") == "tool_use"]
    word = raw.get("stop_reason")
    finish = _FINISHES.get(word, "stop") if isinstance(word, str) else "stop"
    finish = "tool_calls" if calls and finish == "stop" else finish
    found.equal("finish", "stop_reason", word, choice.native_finish)
    found.equal("finish", "reason", finish, choice.finish)
    found.equal("finish", "stop_sequence", raw.get("stop_sequence"), choice.stop_sequence)
    found.equal("text", "text", _joined(content, "text", "text"), _texts(choice.parts))
    found.equal(
        "reasoning",
        "thinking",
        [[block.get("thinking", ""), block.get("signature") or block.get("data")] for block in content
         if block.get("type") in {"thinking", "redacted_thinking"}],
        [[part.text, part.signature or part.redacted] for part in choice.parts
         if isinstance(part, Reasoning)],
    )  # fmt: skip
    found.equal(
        "tool_calls",
        "tool_use",
        [[block.get("id"), block.get("name"), block.get("input")] for block in calls],
        [[part.id, part.name, msgspec.json.decode(part.arguments)] for part in choice.parts
         if isinstance(part, ToolCall)],
    )  # fmt: skip
    _usage(found, raw.get("usage"), got.usage)


def _usage(found: Comparison, raw: Json, got: Usage) -> None:
    if not isinstance(raw, dict):
        return
    found.equal("usage", "input_tokens", raw.get("input_tokens"), got.input_uncached)
    found.equal("usage", "output_tokens", raw.get("output_tokens"), got.n_output)
    found.equal("usage", "cache_read_input_tokens", raw.get("cache_read_input_tokens"), got.cache_read)
    written = None if got.cache_write_5m is None else got.cache_write_5m + (got.cache_write_1h or 0)
    found.equal("usage", "cache_creation_input_tokens", raw.get("cache_creation_input_tokens"), written)
    details = raw.get("output_tokens_details")
    if isinstance(details, dict):
        found.equal("usage", "thinking_tokens", details.get("thinking_tokens"), got.reasoning)
    served = raw.get("server_tool_use")
    if isinstance(served, dict):
        found.equal("usage", "web_search_requests", served.get("web_search_requests"), got.search_units)


def _error(found: Comparison, record: Exchange) -> None:
    error = of_response(record.answer)
    raw = msgspec.json.decode(record.response_body, type=dict[str, Json])
    said = raw.get("error")
    kind, message = (said.get("type"), said.get("message")) if isinstance(said, dict) else ("", "")
    allowed = _CLASSES.get(str(kind), frozenset())
    if str(message).startswith("prompt is too long"):
        allowed = frozenset({"context_length_exceeded"})
    found.one_of("error", f"class of {record.status} {kind}", allowed, error.row.word)


def _folded(body: bytes) -> dict[str, Json]:
    """Put the frames of a stream together, look-up by look-up."""
    message: dict[str, Json] = {}
    blocks: dict[int, dict[str, Json]] = {}
    usage: dict[str, Json] = {}
    for line in body.splitlines():
        if not line.startswith(b"data:"):
            continue
        frame = msgspec.json.decode(line[5:])
        match frame.get("type"):
            case "message_start":
                message = frame["message"]
                usage.update(frame["message"].get("usage") or {})
            case "content_block_start":
                blocks[frame["index"]] = {**frame["content_block"], "json": ""}
            case "content_block_delta":
                _grow(blocks[frame["index"]], frame["delta"])
            case "message_delta":
                message.update(frame["delta"])
                usage.update(frame.get("usage") or {})
    for block in blocks.values():
        text = block.pop("json")
        if isinstance(text, str) and text:
            block["input"] = msgspec.json.decode(text)
    return {**message, "content": [blocks[index] for index in sorted(blocks)], "usage": usage}


def _grow(block: dict[str, Json], delta: JsonObject) -> None:
    for name, into in (("text", "text"), ("thinking", "thinking"), ("signature", "signature")):
        if isinstance(more := delta.get(name), str):
            block[into] = f"{block.get(into) or ''}{more}"
    if isinstance(more := delta.get("partial_json"), str):
        block["json"] = f"{block['json']}{more}"


def _collected(body: bytes) -> ChatResponse:
    """Decode a stream and put its events together; the comparison needs no more than this."""
    decoder = AnthropicDecoder()
    choice, start, usage = Choice(parts=()), Start(id="", model=""), Usage()
    parts: list[Part] = []
    for event in [*decoder.feed(body), *decoder.end()]:
        match event:
            case Start():
                start = event
            case UsageUpdate():
                usage = event.usage
            case Finish():
                choice = Choice(
                    parts=(),
                    finish=event.reason,
                    native_finish=event.native,
                    stop_sequence=event.stop_sequence,
                )
            case _:
                _add(parts, event)
    choice = msgspec.structs.replace(choice, parts=tuple(parts))
    return ChatResponse(id=start.id, model=start.model, choices=(choice,), usage=usage)


def _add(parts: list[Part], event: Event) -> None:
    last = parts[-1] if parts else None
    match event:
        case TextDelta():
            parts.append(Text(event.text))
        case ToolDelta() if event.name is not None:
            parts.append(ToolCall(id=event.id or "", name=event.name, arguments=event.arguments))
        case ToolDelta() if isinstance(last, ToolCall):
            parts[-1] = ToolCall(id=last.id, name=last.name, arguments=last.arguments + event.arguments)
        case ReasoningDelta() if (
            isinstance(last, Reasoning) and last.signature is None and event.redacted is None
        ):
            parts[-1] = Reasoning(text=last.text + event.text, signature=event.signature)
        case ReasoningDelta():
            parts.append(Reasoning(text=event.text, signature=event.signature, redacted=event.redacted))


def _texts(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def _joined(content: list[dict[str, Json]], kind: str, name: str) -> str:
    return "".join(str(block.get(name) or "") for block in content if block.get("type") == kind)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
