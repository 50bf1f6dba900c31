"""Compares our reading of recorded responses calls with the raw bytes. Floor 2."""

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from turnout.codecs.base import Summary
from turnout.codecs.gather import Speech, of_choice, of_events
from turnout.codecs.openai_responses.codec import OpenAIResponses, OpenAIResponsesDialect
from turnout.codecs.openai_responses.meaning import meaning
from turnout.codecs.openai_responses.raw import RawAnswer, read_complete, read_stream
from turnout.codecs.openai_verify import Verified, counters
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Quirks
from turnout.types.json import JsonObject
from turnout.types.usage import Usage

_CODEC = OpenAIResponses()
_DIALECT = OpenAIResponsesDialect()
_FORMAT = Verified(_CODEC, _DIALECT, meaning)
_ASKED = ChatRequest(model="m", messages=())
_SUMMARY = Summary(request_id="req_0", model="m", created=0)


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call asks for a response in this format."""
    return method == "POST" and urlsplit(url).path.endswith("/responses") and "model" in request_body


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


@checking
def check(comparison: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    _FORMAT.request(record, Quirks(developer_role=True), comparison)
    if record.status >= 400:
        _FORMAT.error(record, comparison)
    elif record.response_body.lstrip()[:1] == b"{":
        _check_complete(record, comparison)
    else:
        _check_stream(record, comparison)


def _check_complete(record: Exchange, comparison: Comparison) -> None:
    raw = read_complete(json.loads(record.response_body))
    decoded = _CODEC.decode(record.answer)
    _check_usage(raw.usage, decoded.usage, comparison)
    _check_answer(raw, of_choice(decoded.choices[0]), comparison)
    _FORMAT.glance(record, raw.finish, decoded.usage, comparison)
    again = read_complete(json.loads(_DIALECT.render(decoded, _ASKED, _SUMMARY)))
    _check_answer(raw, again, comparison)


def _check_stream(record: Exchange, comparison: Comparison) -> None:
    raw = read_stream(record.response_body)
    events = _FORMAT.events(record, comparison, failed=raw.error is not None, ended=raw.ended)
    if events is None:
        return
    usage = counters(events)
    _check_usage(raw.usage, usage[-1] if usage else Usage(), comparison)
    _check_answer(raw, of_events(events), comparison)
    _FORMAT.tap(record.response_body, usage, _lines, comparison)
    writer = _DIALECT.stream(_ASKED, _SUMMARY)
    again = writer.feed(events) + writer.end(usage[-1] if usage else None, _SUMMARY)
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


def _check_answer(was: RawAnswer, now: Speech, comparison: Comparison) -> None:
    comparison.equal("finish", "status", was.finish, now.finish)
    comparison.equal("text", "output_text", was.text, now.text)
    if was.refusal or now.refusal:
        comparison.equal("text", "refusal", was.refusal, now.refusal)
    if was.reasoning or now.reasoning:
        comparison.equal("reasoning", "reasoning", was.reasoning, now.reasoning)
    if was.calls or now.calls:
        comparison.equal("tool_calls", "function_call", was.calls, now.calls)
