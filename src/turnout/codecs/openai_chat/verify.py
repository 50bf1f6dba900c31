"""Compares our reading of recorded OpenAI-style calls with the raw bytes. Floor 2."""

import json
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from turnout.codecs.openai_chat import verify_tasks
from turnout.codecs.openai_chat.codec import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_chat.meaning import meaning
from turnout.codecs.openai_chat.raw import RawAnswer, RawChoice, read_complete, read_stream
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.errors import InvalidRequest, StreamInterrupted, TurnoutError
from turnout.types.chat import Choice, Reasoning, Refusal, Text, ToolCall
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta, UsageUpdate
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_CODEC = OpenAIChat()
_DIALECT = OpenAIChatDialect()
_ERRORS: Mapping[int, tuple[str, ...]] = {
    401: ("provider_auth",),
    402: ("provider_quota_exhausted",),
    403: ("provider_auth", "content_filtered"),
    404: ("provider_model_unavailable",),
    429: ("provider_rate_limited", "provider_quota_exhausted"),
}
"""Status -> classes that may follow from it; others are only held to their domain."""


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
    (_check_embed_request if embeddings else _check_request)(record, comparison)
    if record.status >= 400:
        _check_error(record, comparison)
    elif embeddings:
        _check_vectors(record, comparison)
    elif record.response_body.lstrip()[:1] == b"{":
        _check_complete(record, comparison)
    else:
        _check_stream(record, comparison)


def _deployment(raw: JsonObject) -> Deployment:
    """Return a host with the quirks the client evidently counted on."""
    limit = "max_completion_tokens" if raw.get("max_completion_tokens") is not None else "max_tokens"
    quirks = Quirks(
        max_tokens_field=limit, developer_role=True, required_as_any=raw.get("tool_choice") == "any"
    )
    vendor = Vendor(name="recorded", base_url="https://recorded.invalid", codec=_CODEC.wire, quirks=quirks)
    name = str(raw.get("model"))
    return Deployment(id=name, vendor=vendor, model=Model(id=name), upstream_model=name)


def _check_request(record: Exchange, comparison: Comparison) -> None:
    raw = json.loads(record.request_body)
    try:
        parsed = _DIALECT.parse(record.request_body)
    except InvalidRequest as error:
        if record.status < 400:
            comparison.fail("request", error.param or "", "accepted, as the provider did", error.message)
        return
    to = _deployment(raw)
    sent = _CODEC.encode(parsed.request, to)
    comparison.equal("request", "written", meaning(raw), meaning(json.loads(sent.http.body)))
    passed = _CODEC.forward(parsed.wire, to, stream=parsed.request.stream)
    comparison.equal("request", "forwarded", meaning(raw), meaning(json.loads(passed.http.body)))


def _check_embed_request(record: Exchange, comparison: Comparison) -> None:
    raw = json.loads(record.request_body)
    sent = _CODEC.encode_embed(_DIALECT.parse_embed(record.request_body).request, _deployment(raw))
    if isinstance(raw.get("input"), str):
        raw["input"] = [raw["input"]]
    if raw.get("encoding_format") == "float":
        del raw["encoding_format"]
    comparison.equal("request", "written", meaning(raw), meaning(json.loads(sent.http.body)))


def _check_error(record: Exchange, comparison: Comparison) -> None:
    word = _CODEC.error(record.answer).row.word
    allowed = _ERRORS.get(record.status, (word,))
    comparison.equal("error", "class", word if word in allowed else " or ".join(allowed), word)


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
    _check_choices(raw, dict(enumerate(_told(choice) for choice in decoded.choices)), comparison)
    glance = _CODEC.glance(record.answer)
    comparison.equal("decode", "glance.finish", raw.choices[0].told(), glance.finish)
    comparison.equal("decode", "glance.usage", True, glance.usage == decoded.usage)
    comparison.equal("decode", "glance.body", True, glance.body == record.response_body)


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
    _check_choices(raw, _gather(events), comparison)
    _check_tap(record.response_body, usage[-1:], comparison)


def _check_tap(body: bytes, usage: list[Usage], comparison: Comparison) -> None:
    tap = _CODEC.tap(strip_usage=False)
    out = tap.feed(body) + tap.end()
    comparison.equal("decode", "tap.frames", _lines(body), _lines(out))
    comparison.equal("decode", "tap.usage", True, usage == ([] if tap.usage is None else [tap.usage]))


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


def _check_choices(raw: RawAnswer, got: Mapping[int, RawChoice], comparison: Comparison) -> None:
    comparison.equal("decode", "choices", sorted(raw.choices), sorted(got))
    for at, was in raw.choices.items():
        now = got.get(at, RawChoice())
        where = f"choices[{at}]"
        comparison.equal("finish", f"{where}.finish_reason", was.told(), now.finish)
        comparison.equal("text", f"{where}.content", was.text, now.text)
        if was.refusal or now.refusal:
            comparison.equal("text", f"{where}.refusal", was.refusal, now.refusal)
        if was.reasoning or now.reasoning:
            comparison.equal("reasoning", f"{where}.reasoning", was.reasoning, now.reasoning)
        if was.calls or now.calls:
            comparison.equal("tool_calls", f"{where}.tool_calls", was.calls, now.calls)


def _told(choice: Choice) -> RawChoice:
    told = RawChoice(finish=choice.finish)
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


def _gather(events: Iterable[Event]) -> dict[int, RawChoice]:
    gathered: dict[int, RawChoice] = {}
    for event in events:
        match event:
            case TextDelta(text=text):
                gathered.setdefault(event.choice, RawChoice()).text += text
            case ReasoningDelta(text=text):
                gathered.setdefault(event.choice, RawChoice()).reasoning += text
            case RefusalDelta(text=text):
                gathered.setdefault(event.choice, RawChoice()).refusal += text
            case ToolDelta():
                _add_call(gathered.setdefault(event.choice, RawChoice()).calls, event)
            case Finish():
                gathered.setdefault(event.choice, RawChoice()).finish = event.reason
            case _:
                pass
    return gathered


def _add_call(calls: list[list[str]], event: ToolDelta) -> None:
    if event.index == len(calls):
        calls.append([event.id or "", event.name or "", ""])
    calls[event.index][2] += event.arguments
