"""Compares our reading of recorded responses calls with the raw bytes. Floor 2."""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from turnout.codecs.base import Summary
from turnout.codecs.openai_responses.codec import OpenAIResponses, OpenAIResponsesDialect
from turnout.codecs.openai_responses.meaning import meaning
from turnout.codecs.openai_responses.raw import RawAnswer, read_complete, read_stream
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.errors import InvalidRequest, StreamInterrupted, TurnoutError
from turnout.types.chat import ChatRequest, Choice, Reasoning, Refusal, Text, ToolCall
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta, UsageUpdate
from turnout.types.json import JsonObject
from turnout.types.usage import Usage

_CODEC = OpenAIResponses()
_DIALECT = OpenAIResponsesDialect()
_ASKED = ChatRequest(model="m", messages=())
_SUMMARY = Summary(request_id="req_0", model="m", created=0)
_ERRORS: Mapping[int, tuple[str, ...]] = {
    401: ("provider_auth",),
    402: ("provider_quota_exhausted",),
    403: ("provider_auth", "content_filtered"),
    404: ("provider_model_unavailable",),
    429: ("provider_rate_limited", "provider_quota_exhausted"),
}
"""Status -> classes that may follow from it; others are only held to their domain."""


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call asks for a response in this format."""
    return method == "POST" and urlsplit(url).path.endswith("/responses") and "model" in request_body


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


@checking
def check(comparison: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    _check_request(record, comparison)
    if record.status >= 400:
        _check_error(record, comparison)
    elif record.response_body.lstrip()[:1] == b"{":
        _check_complete(record, comparison)
    else:
        _check_stream(record, comparison)


def _check_request(record: Exchange, comparison: Comparison) -> None:
    raw = json.loads(record.request_body)
    try:
        parsed = _DIALECT.parse(record.request_body)
    except InvalidRequest as error:
        if record.status < 400:
            comparison.fail("request", error.param or "", "accepted, as the provider did", error.message)
        return
    name = str(raw.get("model"))
    quirks = Quirks(developer_role=True)
    vendor = Vendor(name="recorded", base_url="https://recorded.invalid", codec=_CODEC.wire, quirks=quirks)
    to = Deployment(id=name, vendor=vendor, model=Model(id=name), upstream_model=name)
    sent = _CODEC.encode(parsed.request, to)
    comparison.equal("request", "written", meaning(raw), meaning(json.loads(sent.http.body)))
    passed = _CODEC.forward(parsed.wire, to, stream=parsed.request.stream)
    comparison.equal("request", "forwarded", meaning(raw), meaning(json.loads(passed.http.body)))


def _check_error(record: Exchange, comparison: Comparison) -> None:
    word = _CODEC.error(record.answer).row.word
    allowed = _ERRORS.get(record.status, (word,))
    comparison.equal("error", "class", word if word in allowed else " or ".join(allowed), word)


def _check_complete(record: Exchange, comparison: Comparison) -> None:
    raw = read_complete(json.loads(record.response_body))
    decoded = _CODEC.decode(record.answer)
    _check_usage(raw.usage, decoded.usage, comparison)
    _check_answer(raw, _told(decoded.choices[0]), comparison)
    glance = _CODEC.glance(record.answer)
    comparison.equal("decode", "glance.finish", raw.finish, glance.finish)
    comparison.equal("decode", "glance.usage", True, glance.usage == decoded.usage)
    comparison.equal("decode", "glance.body", True, glance.body == record.response_body)
    again = read_complete(json.loads(_DIALECT.render(decoded, _ASKED, _SUMMARY)))
    _check_answer(raw, again, comparison)


def _check_stream(record: Exchange, comparison: Comparison) -> None:
    raw = read_stream(record.response_body)
    events: list[Event] = []
    try:
        decoder = _CODEC.decoder()
        events += decoder.feed(record.response_body)
        events += decoder.end()
    except TurnoutError as error:
        broken = StreamInterrupted if raw.error is None else TurnoutError
        comparison.equal("error", "stream", raw.error is not None or not raw.ended, isinstance(error, broken))
        return
    comparison.equal("error", "stream", False, raw.error is not None or not raw.ended)
    usage = [event.usage for event in events if isinstance(event, UsageUpdate)]
    _check_usage(raw.usage, usage[-1] if usage else Usage(), comparison)
    _check_answer(raw, _gather(events), comparison)
    tap = _CODEC.tap(strip_usage=False)
    out = tap.feed(record.response_body) + tap.end()
    comparison.equal("decode", "tap.frames", _lines(record.response_body), _lines(out))
    comparison.equal("decode", "tap.usage", True, usage == ([] if tap.usage is None else [tap.usage]))
    writer = _DIALECT.stream(_ASKED, _SUMMARY)
    again = writer.feed(events) + writer.end(tap.usage, _SUMMARY)
    _check_answer(raw, read_stream(again), comparison)


def _lines(body: bytes) -> list[str]:
    text = body.decode("utf-8", "replace")
    return [line for line in text.splitlines() if line and line != "data: [DONE]"]


def _check_usage(raw: JsonObject, usage: Usage, comparison: Comparison) -> None:
    n_input, n_output = raw.get("input_tokens"), raw.get("output_tokens")
    if not isinstance(n_input, int) or not isinstance(n_output, int):
        comparison.equal("usage", "absent", True, usage == Usage())
        return
    comparison.equal("usage", "input_tokens", n_input, usage.n_input)
    comparison.equal("usage", "output_tokens", n_output, usage.n_output)
    inside, made = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    cached = inside.get("cached_tokens") if isinstance(inside, Mapping) else None
    if isinstance(cached, int):
        comparison.equal("usage", "cached_tokens", min(cached, n_input), usage.cache_read)
    reasoning = made.get("reasoning_tokens") if isinstance(made, Mapping) else None
    if isinstance(reasoning, int):
        comparison.equal("usage", "reasoning_tokens", min(reasoning, n_output), usage.reasoning)


def _check_answer(was: RawAnswer, now: RawAnswer, comparison: Comparison) -> None:
    comparison.equal("finish", "status", was.finish, now.finish)
    comparison.equal("text", "output_text", was.text, now.text)
    if was.refusal or now.refusal:
        comparison.equal("text", "refusal", was.refusal, now.refusal)
    if was.reasoning or now.reasoning:
        comparison.equal("reasoning", "reasoning", was.reasoning, now.reasoning)
    if was.calls or now.calls:
        comparison.equal("tool_calls", "function_call", was.calls, now.calls)


def _told(choice: Choice) -> RawAnswer:
    told = RawAnswer(calls=[], finish=choice.finish)
    for part in choice.parts:
        match part:
            case Text():
                told.text += part.text
            case Reasoning():
                told.reasoning += part.text
            case Refusal():
                told.refusal += part.text
            case ToolCall():
                told.calls.append([part.id, part.name, part.arguments])
            case _:
                pass
    return told


def _gather(events: Iterable[Event]) -> RawAnswer:
    gathered = RawAnswer(calls=[])
    for event in events:
        match event:
            case TextDelta(text=text):
                gathered.text += text
            case ReasoningDelta(text=text):
                gathered.reasoning += text
            case RefusalDelta(text=text):
                gathered.refusal += text
            case ToolDelta():
                if event.index == len(gathered.calls):
                    gathered.calls.append([event.id or "", event.name or "", ""])
                gathered.calls[event.index][2] += event.arguments
            case Finish():
                gathered.finish = event.reason
            case _:
                pass
    return gathered
