"""Spans of requests and of their calls, as bytes of OTLP. Floor 6.

Names of spans and attributes are those of the conventions for generative AI, where they have one, and begin
with `turnout.` where they have none. No text of a request or an answer is among them (S-65).

Theory of operation.
1. Most of a span is words that come again: what it is called, who was asked for what, how it ended. All of
   them that belong together are encoded once and kept as one piece of bytes, by their values.
2. What is new in each span (ids, times, money, tokens) is encoded and put beside it.
3. What a deployment is can change with the configuration: its piece is kept with the deployment that it was
   made of, and made anew when that is another.
Source: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans, opentelemetry-proto 1.x (trace.proto), seen
2026-11-22.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from struct import Struct as Layout
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from turnout.layers.trace import AccessEvent
from turnout.server.telemetry.wire import (
    DOUBLE,
    Value,
    attributes,
    before_double,
    fixed64,
    known,
    pair,
    sized,
    text,
)
from turnout.types.deployment import Deployment
from turnout.types.record import Attempt, GuardView
from turnout.types.trace import Trace
from turnout.types.usage import Usage

Find = Callable[[str], Deployment | None]
_PORTS = {"https": 443, "http": 80}
_NS = 1_000_000_000
_SMALL = 1024
"""Numbers below it are kept: statuses, numbers of attempts, the tokens of short requests."""
_MOST_KEPT = 4096
_Key = tuple[str | int | None, ...]
_Kept = TypeVar("_Kept")

# Keys of fields: of a list of spans, of a span, of its events and links.
_SPAN = b"\x12"
_STATE, _NAME, _ATTRIBUTE, _EVENT, _LINK, _STATUS = b"\x1a", b"\x2a", b"\x4a", b"\x5a", b"\x6a", b"\x7a"
_PARENT = b"\x22\x08"  # with the length of an id
_SERVER, _CLIENT = b"\x30\x02", b"\x30\x03"
_EVENT_AT, _EVENT_NAME, _EVENT_ATTRIBUTE, _LINK_ATTRIBUTE = b"\x09", b"\x12", b"\x1a", b"\x22"
_OVERHEAD = _ATTRIBUTE + before_double("turnout.overhead_s")
_COST = _ATTRIBUTE + before_double("turnout.cost_usd")
_CONTENT = _ATTRIBUTE + before_double("turnout.time_to_first_content_s")
_CHUNK = _ATTRIBUTE + before_double("gen_ai.response.time_to_first_chunk")
_HEAD = Layout("<2s16s2s8scQcQ2sI")
"""Trace, span, when it began and ended, and flags."""


class _Place(Struct, frozen=True):
    """What is told of a deployment in each of its spans."""

    made_of: Deployment | None
    model: str
    fields: bytes


class Spans:
    """Writes spans."""

    def __init__(self, find: Find) -> None:
        """Know what a deployment's name stands for."""
        self._find = find
        self._served: dict[_Key, bytes] = {}
        self._places: dict[_Key, _Place] = {}
        self._ended: dict[_Key, bytes] = {}

    def of(self, event: AccessEvent, trace: Trace) -> Iterator[bytes]:
        """Yield the span of a request, and one of each of its calls, as fields of a list of spans."""
        began, trace_id = int(event.at.timestamp() * 1e6) * 1000, bytes.fromhex(trace.trace_id)
        yield sized(_SPAN, self._request(event, trace, trace_id, began))
        for attempt in event.attempts:
            yield sized(_SPAN, self._call(event, attempt, trace, trace_id, began))

    def _request(self, event: AccessEvent, trace: Trace, trace_id: bytes, began: int) -> bytes:
        parts = [
            _head(trace_id, trace.span_id, began, event.total_s, _flags(trace, trace.parent_id)),
            self._serving(event),
            _ATTRIBUTE + pair("turnout.request.id", event.request_id),
            _OVERHEAD + DOUBLE.pack(event.overhead_s),
        ]
        if event.key_id:
            parts.append(_ATTRIBUTE + known("turnout.key.id", event.key_id))
        if event.cost_nusd is not None:
            parts.append(_COST + DOUBLE.pack(event.cost_nusd * 1e-9))
        if event.ttft_s is not None:
            parts.append(_CONTENT + DOUBLE.pack(event.ttft_s))
        _put(parts, "gen_ai.request.max_tokens", event.max_tokens)
        _put(parts, "gen_ai.usage.input_tokens", event.n_input)
        _put(parts, "gen_ai.usage.output_tokens", event.n_output)
        if trace.parent_id:
            parts.append(_PARENT + bytes.fromhex(trace.parent_id))
        if trace.state:
            parts.append(text(_STATE, trace.state))
        calls = event.attempts
        if event.cache is not None or event.guards or len(calls) > 1 or (calls and calls[0].retry_of):
            parts += _events(event, began)
        return b"".join(parts)

    def _call(self, event: AccessEvent, attempt: Attempt, trace: Trace, trace_id: bytes, began: int) -> bytes:
        start, place = began + int(attempt.start_s * _NS), self._place(event.endpoint, attempt)
        parts = [
            _head(trace_id, trace.span_of(attempt.n), start, attempt.duration_s, _flags(trace)),
            _PARENT + bytes.fromhex(trace.span_id),
            place.fields,
            self._ending(event, attempt, place),
        ]
        _put(parts, "gen_ai.request.max_tokens", event.max_tokens)
        if attempt.upstream_id:
            parts.append(_ATTRIBUTE + pair("gen_ai.response.id", attempt.upstream_id))
        if event.stream and attempt.ttft_s is not None:
            parts.append(_CHUNK + DOUBLE.pack(attempt.ttft_s))
        if attempt.cost_nusd is not None:
            parts.append(_COST + DOUBLE.pack(attempt.cost_nusd * 1e-9))
        if attempt.usage is not None:
            _used(parts, event, attempt, attempt.usage)
        if attempt.retry_of is not None:
            parts.append(sized(_LINK, _link(trace_id, trace.span_of(attempt.retry_of))))
        return b"".join(parts)

    def _serving(self, event: AccessEvent) -> bytes:
        """Return what spans of requests share that were served alike."""
        key = (
            event.endpoint, event.route, event.dialect, event.model, event.provider, event.cost_state,
            event.cache, event.certificate, event.finish, event.error,
            event.n_attempts, event.n_fallbacks, event.stream,
        )  # fmt: skip
        found = self._served.get(key)
        if found is None:
            found = _room(self._served)[key] = _serving(event)
        return found

    def _place(self, endpoint: str, attempt: Attempt) -> _Place:
        """Return what spans of calls to one deployment share."""
        key, made_of = (attempt.deployment, endpoint), self._find(attempt.deployment)
        found = self._places.get(key)
        if found is None or found.made_of is not made_of:
            found = _room(self._places)[key] = _place(endpoint, attempt, made_of)
        return found

    def _ending(self, event: AccessEvent, attempt: Attempt, place: _Place) -> bytes:
        """Return what spans of calls share that ended alike."""
        answered = attempt.upstream_model or (place.model if attempt.committed else None)
        key = (
            attempt.status, attempt.outcome, attempt.error, attempt.n, attempt.express,
            answered, event.stream,
        )  # fmt: skip
        found = self._ended.get(key)
        if found is None:
            found = _room(self._ended)[key] = _ending(event, attempt, answered)
        return found


def _head(trace_id: bytes, span_id: str, start: int, lasted_s: float, flags: int) -> bytes:
    end, span = start + int(lasted_s * _NS), bytes.fromhex(span_id)
    return _HEAD.pack(
        b"\x0a\x10", trace_id, b"\x12\x08", span, b"\x39", start, b"\x41", end, b"\x85\x01", flags
    )


def _flags(trace: Trace, parent: str | None = None) -> int:
    # 0x100: whether the parent is remote is known; 0x200: it is (OTLP, Span.flags).
    return (1 if trace.sampled else 0) | 0x100 | (0x200 if parent else 0)


def _put(parts: list[bytes], name: str, number: int | None) -> None:
    """Add a number, if there is one."""
    if number is not None:
        parts.append(_ATTRIBUTE + (known(name, number) if 0 <= number < _SMALL else pair(name, number)))


def _status(error: str | None) -> bytes:
    return b"" if error is None else sized(_STATUS, text(b"\x12", error) + b"\x18\x02")


def _serving(event: AccessEvent) -> bytes:
    told: dict[str, Value] = {
        "turnout.route": event.route,
        "turnout.dialect": event.dialect,
        "turnout.model": event.model,
        "turnout.provider": event.provider,
        "turnout.attempts": event.n_attempts,
        "turnout.fallbacks": event.n_fallbacks,
        "turnout.cost_state": event.cost_state,
        "turnout.cache": event.cache,
        "turnout.certificate": event.certificate,
        "gen_ai.operation.name": event.endpoint,
        "gen_ai.request.stream": event.stream or None,
        "gen_ai.response.finish_reasons": None if event.finish is None else (event.finish,),
        "error.type": event.error,
    }
    name = f"{event.endpoint} {event.route}" if event.route else event.endpoint
    return text(_NAME, name) + _SERVER + attributes(_ATTRIBUTE, told) + _status(event.error)


def _place(endpoint: str, attempt: Attempt, place: Deployment | None) -> _Place:
    model = attempt.model if place is None else place.upstream_model
    url = None if place is None else urlsplit(place.url)
    vendor = "" if place is None else place.vendor.telemetry
    told: dict[str, Value] = {
        "gen_ai.operation.name": endpoint,
        "gen_ai.provider.name": vendor or attempt.provider,
        "gen_ai.request.model": model,
        "server.address": None if url is None else url.hostname,
        "server.port": None if url is None else url.port or _PORTS.get(url.scheme),
        "turnout.deployment": attempt.deployment,
        "turnout.provider": attempt.provider,
    }
    fields = text(_NAME, f"{endpoint} {model}") + _CLIENT + attributes(_ATTRIBUTE, told)
    return _Place(place, model, fields)


def _ending(event: AccessEvent, attempt: Attempt, answered: str | None) -> bytes:
    told: dict[str, Value] = {
        "gen_ai.request.stream": event.stream or None,
        "gen_ai.response.model": answered,
        "http.response.status_code": attempt.status,
        "error.type": attempt.error,
        "turnout.attempt": attempt.n,
        "turnout.outcome": attempt.outcome,
        "turnout.express": attempt.express or None,
    }
    return attributes(_ATTRIBUTE, told) + _status(attempt.error if attempt.outcome == "failed" else None)


def _room(kept: dict[_Key, _Kept]) -> dict[_Key, _Kept]:
    """Return what is kept, with room for more."""
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    return kept


def _used(parts: list[bytes], event: AccessEvent, attempt: Attempt, usage: Usage) -> None:
    alone = usage is event.usage  # then it is added up already
    _put(parts, "gen_ai.usage.input_tokens", event.n_input if alone else usage.n_input)
    _put(parts, "gen_ai.usage.output_tokens", event.n_output if alone else usage.n_output)
    _put(parts, "gen_ai.usage.cache_read.input_tokens", usage.cache_read or None)
    written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    _put(parts, "gen_ai.usage.cache_creation.input_tokens", written or None)
    _put(parts, "gen_ai.usage.reasoning.output_tokens", usage.reasoning or None)
    if attempt.usage_estimated:
        parts.append(_ATTRIBUTE + known("turnout.usage.estimated", value=True))


def _link(trace_id: bytes, span_id: str) -> bytes:
    to = b"\x0a\x10" + trace_id + b"\x12\x08" + bytes.fromhex(span_id)
    return to + _LINK_ATTRIBUTE + known("turnout.link", "retry_of")


def _events(event: AccessEvent, start: int) -> Iterator[bytes]:
    """Yield what happened to a request between its calls."""
    last: Attempt | None = None
    for attempt in sorted(event.attempts, key=lambda each: each.n):
        at, why = start + int(attempt.start_s * _NS), None if last is None else last.error
        if attempt.retry_of is not None:
            yield _event(at, _named("turnout.retry", {"turnout.attempt": attempt.n, "error.type": why}))
        elif last is not None and last.outcome == "failed" and last.deployment != attempt.deployment:
            moved: dict[str, Value] = {
                "turnout.from": last.deployment,
                "turnout.to": attempt.deployment,
                "error.type": why,
            }
            yield _event(at, _named("turnout.fallback", moved))
        last = attempt
    if event.cache is not None:
        yield _event(start, _cached(event.cache, near=event.near))
    end = start + int(event.total_s * _NS)
    for guard in event.guards:
        yield _event(start if guard.stage == "in" else end, _named("turnout.guard", _of_guard(guard)))


def _event(at: int, rest: bytes) -> bytes:
    return sized(_EVENT, fixed64(_EVENT_AT, at) + rest)


def _named(name: str, told: dict[str, Value]) -> bytes:
    return text(_EVENT_NAME, name) + attributes(_EVENT_ATTRIBUTE, told)


@lru_cache(maxsize=64)
def _cached(what: str, *, near: bool) -> bytes:
    return _named("turnout.cache", {"turnout.cache": what, "turnout.cache.near": near or None})


def _of_guard(guard: GuardView) -> dict[str, Value]:
    return {
        "turnout.guard": guard.name,
        "turnout.guard.type": guard.type,
        "turnout.guard.stage": guard.stage,
        "turnout.guard.action": guard.action,
        "turnout.guard.findings": sum(guard.found.values()),
        "turnout.guard.kinds": tuple(sorted(guard.found)) or None,
    }
