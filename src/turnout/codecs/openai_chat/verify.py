"""Compares our reading of recorded OpenAI-style calls with the raw bytes. Floor 2."""

import json
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from turnout.codecs.gather import Told, of_choice, of_events
from turnout.codecs.openai_chat import verify_tasks
from turnout.codecs.openai_chat.codec import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_chat.meaning import meaning
from turnout.codecs.openai_chat.raw import RawAnswer, read_complete, read_stream
from turnout.codecs.openai_verify import Verified, counters
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.errors import TurnoutError
from turnout.types.deployment import Quirks
from turnout.types.event import Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_CODEC = OpenAIChat()
_DIALECT = OpenAIChatDialect()
_FORMAT = Verified(_CODEC, _DIALECT, meaning)
_TELLING = (TextDelta, ReasoningDelta, RefusalDelta, ToolDelta, Finish)


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is a chat completion, an embeddings call or another operation of this format."""
    path = urlsplit(url).path
    if method != "POST":
        return False
    if verify_tasks.operation_at(url) is not None:
        return True
    if path.endswith(("/chat/completions", "/v1/chat")):  # the latter at Writer
        return "messages" in request_body
    return path.endswith("/embeddings") and "input" in request_body and "model" in request_body


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


@checking
def check(comparison: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    embeddings = urlsplit(record.url).path.endswith("/embeddings")
    operation = verify_tasks.operation_at(record.url)
    if operation is not None:
        verify_tasks.compare(operation, record, comparison)
        return
    quirks = _quirks(json.loads(record.request_body))
    if embeddings:
        _check_embed_request(record, quirks, comparison)
    else:
        _FORMAT.request(record, quirks, comparison)
    if record.status >= 400:
        _FORMAT.error(record, comparison)
    elif embeddings:
        _check_vectors(record, comparison)
    elif record.response_body.lstrip()[:1] == b"{":
        _check_complete(record, comparison)
    else:
        _check_stream(record, comparison)


def _quirks(raw: JsonObject) -> Quirks:
    limit = "max_completion_tokens" if raw.get("max_completion_tokens") is not None else "max_tokens"
    return Quirks(
        max_tokens_field=limit, developer_role=True, required_as_any=raw.get("tool_choice") == "any"
    )


def _check_embed_request(record: Exchange, quirks: Quirks, comparison: Comparison) -> None:
    raw = json.loads(record.request_body)
    to = _FORMAT.to(raw, quirks)
    sent = _CODEC.encode_embed(_DIALECT.parse_embed(record.request_body).request, to)
    if isinstance(raw.get("input"), str):
        raw["input"] = [raw["input"]]
    if raw.get("encoding_format") == "float":
        del raw["encoding_format"]
    comparison.equal("request", "written", meaning(raw), meaning(json.loads(sent.http.body)))


def _check_vectors(record: Exchange, comparison: Comparison) -> None:
    raw = json.loads(record.response_body)
    decoded = _CODEC.decode_embed(record.answer)
    placed = sorted(raw["data"], key=lambda item: item["index"])
    comparison.equal("vectors", "data", len(placed), len(decoded.vectors))
    for item, vector in zip(placed, decoded.vectors, strict=False):
        if isinstance(item["embedding"], list):
            comparison.equal("vectors", f"data[{item['index']}]", item["embedding"], list(vector))
    n_input = raw["usage"].get("prompt_tokens", raw["usage"]["total_tokens"])
    comparison.equal("usage", "prompt_tokens", n_input, decoded.usage.n_input)


def _check_complete(record: Exchange, comparison: Comparison) -> None:
    raw = read_complete(json.loads(record.response_body))
    if raw.error is not None:
        _expect(TurnoutError, lambda: _CODEC.decode(record.answer), comparison)
        return
    decoded = _CODEC.decode(record.answer)
    _check_usage(raw.usage, decoded.usage, comparison)
    _check_choices(raw, {at: of_choice(each) for at, each in enumerate(decoded.choices)}, comparison)
    _FORMAT.glance(record, raw.choices[0].told(), decoded.usage, comparison)


def _check_stream(record: Exchange, comparison: Comparison) -> None:
    raw = read_stream(record.response_body)
    events = _FORMAT.events(record, comparison, failed=raw.error is not None, ended=raw.ended)
    if events is None:
        return
    usage = counters(events)
    _check_usage(raw.usage, usage[-1] if usage else Usage(), comparison)
    told = {event.choice for event in events if isinstance(event, _TELLING)}
    _check_choices(raw, {at: of_events(events, at) for at in told}, comparison)
    _FORMAT.tap(record.response_body, usage[-1:], _lines, comparison)


def _lines(body: bytes) -> list[Json]:
    text = body.decode("utf-8", "replace")
    done: list[Json] = [] if "[DONE]" in text else ["data: [DONE]"]
    return [*(line for line in text.splitlines() if line), *done]


def _expect(kind: type[TurnoutError], call: Callable[[], object], comparison: Comparison) -> None:
    try:
        call()
    except kind:
        comparison.equal("error", "class", True, True)
    else:
        comparison.fail("error", "class", kind.__name__, "no exception")


def _check_usage(raw: JsonObject, usage: Usage, comparison: Comparison) -> None:
    prompt, completion = raw.get("prompt_tokens"), raw.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        comparison.equal("usage", "absent", True, usage == Usage())
        return
    details, made = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    heard = details.get("audio_tokens") if isinstance(details, Mapping) else None
    total = raw.get("total_tokens")
    apart = total - prompt - completion if isinstance(total, int) else 0
    if apart > 0 and heard == apart:
        prompt += apart
    elif apart > 0:
        completion += apart
    comparison.equal("usage", "prompt_tokens", prompt, usage.n_input)
    comparison.equal("usage", "completion_tokens", completion, usage.n_output)
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    if isinstance(cached, int):
        comparison.equal("usage", "cached_tokens", min(cached, prompt), usage.cache_read)
    reasoning = made.get("reasoning_tokens") if isinstance(made, Mapping) else None
    if isinstance(reasoning, int):
        comparison.equal("usage", "reasoning_tokens", reasoning, usage.reasoning)


def _check_choices(raw: RawAnswer, got: Mapping[int, Told], comparison: Comparison) -> None:
    comparison.equal("decode", "choices", sorted(raw.choices), sorted(got))
    for at, was in raw.choices.items():
        now = got.get(at, Told())
        where = f"choices[{at}]"
        comparison.equal("finish", f"{where}.finish_reason", was.told(), now.finish)
        comparison.equal("text", f"{where}.content", was.text, now.text)
        if was.refusal or now.refusal:
            comparison.equal("text", f"{where}.refusal", was.refusal, now.refusal)
        if was.reasoning or now.reasoning:
            comparison.equal("reasoning", f"{where}.reasoning", was.reasoning, now.reasoning)
        if was.calls or now.calls:
            comparison.equal("tool_calls", f"{where}.tool_calls", was.calls, now.calls)
