"""Spans, metrics and log lines as OTLP: the official protobufs, from the extra `otel`. Floor 6.

Names of spans and attributes are those of the conventions for generative AI, where they have one, and begin
with `turnout.` where they have none. No text of a request or an answer is among them (S-65).
Source: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans, opentelemetry.io/docs/specs/otlp (seen
2026-11-22).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from turnout.layers.trace import AccessEvent
from turnout.server.logs.line import Told, fields_of
from turnout.server.tally import Family, Series
from turnout.types.deployment import Deployment
from turnout.types.record import Attempt, GuardView
from turnout.types.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

Value = str | bool | int | float | None | tuple[str, ...]
Find = Callable[[str], Deployment | None]
SCOPE = "turnout"
_PORTS = {"https": 443, "http": 80}
_SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_NS = 1_000_000_000
_UNIQUE = frozenset({"turnout.request.id", "turnout.request_id", "gen_ai.response.id", "turnout.path"})
"""Attributes whose values hardly come twice."""
_SMALL = 1024
"""Statuses, ports of old, numbers of attempts, and the tokens of short requests are below it."""


def attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    """Return attributes; those without a value are left out."""
    return [
        _known(key, value) if _comes_again(key, value) else _pair(key, value)
        for key, value in values.items()
        if value is not None and value != ""
    ]


def _pair(key: str, value: Value) -> KeyValue:
    return KeyValue(key=key, value=_any(value))


def _comes_again(key: str, value: Value) -> bool:
    if isinstance(value, str):
        return key not in _UNIQUE
    return isinstance(value, int) and -1 <= value < _SMALL


@lru_cache(maxsize=8192, typed=True)
def _known(key: str, value: str | int) -> KeyValue:
    """Return a pair of a closed set, made once: a third of the cost of a span; 1 is not true here."""
    return _pair(key, value)


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in value or ()]))


class Encoder:
    """Writes what one process exports."""

    def __init__(self, resource: Mapping[str, str], version: str, find: Find) -> None:
        self._resource = Resource(attributes=attributes(resource))
        self._scope = InstrumentationScope(name=SCOPE, version=version)
        self._find = find
        self._started = time.time_ns()

    def spans(self, events: Sequence[AccessEvent]) -> bytes:
        """Return the spans of some requests: one of each request, and one of each of its calls."""
        request = ExportTraceServiceRequest()
        of = request.resource_spans.add(resource=self._resource)
        scope = of.scope_spans.add(scope=self._scope)
        for event in events:
            if event.trace is not None:
                self._request(scope, event, event.trace)
                for attempt in event.attempts:
                    self._attempt(scope, event, event.trace, attempt)
        return bytes(request.SerializeToString())

    def _request(self, scope: "ScopeSpans", event: AccessEvent, trace: Trace) -> None:
        start = _ns(event.at)
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace.trace_id),
            span_id=bytes.fromhex(trace.span_id),
            parent_span_id=bytes.fromhex(trace.parent_id or ""),
            trace_state=trace.state or "",
            flags=_flags(trace, trace.parent_id),
            name=f"{event.endpoint} {event.route}" if event.route else event.endpoint,
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start,
            end_time_unix_nano=start + int(event.total_s * _NS),
            attributes=attributes(_of_request(event)),
            status=_status(event.error),
        )
        span.events.extend(_events(event, start))

    def _attempt(self, scope: "ScopeSpans", event: AccessEvent, trace: Trace, attempt: Attempt) -> None:
        start = _ns(event.at) + int(attempt.start_s * _NS)
        place = self._find(attempt.deployment)
        model = attempt.model if place is None else place.upstream_model
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace.trace_id),
            span_id=bytes.fromhex(trace.span_of(attempt.n)),
            parent_span_id=bytes.fromhex(trace.span_id),
            flags=_flags(trace),
            name=f"{event.endpoint} {model}",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start,
            end_time_unix_nano=start + int(attempt.duration_s * _NS),
            attributes=attributes(_of_attempt(event, attempt, place, model)),
            status=_status(attempt.error if attempt.outcome == "failed" else None),
        )
        if attempt.retry_of is not None:
            span.links.add(
                trace_id=span.trace_id,
                span_id=bytes.fromhex(trace.span_of(attempt.retry_of)),
                attributes=attributes({"turnout.link": "retry_of"}),
            )

    def metrics(self, families: Iterable[Family], counted: Mapping[str, Sequence[Series]]) -> bytes:
        """Return everything that this process counted since it started."""
        request = ExportMetricsServiceRequest()
        of = request.resource_metrics.add(resource=self._resource)
        scope = of.scope_metrics.add(scope=self._scope)
        now = time.time_ns()
        for family in families:
            if series := counted.get(family.name):
                metric = scope.metrics.add(
                    name=family.otel or family.name.replace("_", ".", 1),
                    description=family.about,
                    unit=family.unit,
                )
                for each in series:
                    self._point(metric, family, each, now)
        return bytes(request.SerializeToString())

    def _point(self, metric: "Metric", family: Family, series: Series, now: int) -> None:
        names = family.otel_labels or tuple(f"turnout.{label}" for label in family.labels)
        labels = attributes(dict(zip(names, series.values, strict=True)))
        if family.kind == "gauge":
            metric.gauge.data_points.add(
                attributes=labels, time_unix_nano=now, as_double=float(series.numbers[0])
            )
            return
        kept = metric.sum if family.kind == "counter" else metric.histogram
        kept.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        point = kept.data_points.add(
            attributes=labels, start_time_unix_nano=self._started, time_unix_nano=now
        )
        if family.kind == "counter":
            kept.is_monotonic = True
            point.as_double = series.numbers[0]
            return
        *buckets, total = series.numbers
        point.bucket_counts.extend(int(n) for n in buckets)
        point.explicit_bounds.extend(family.buckets)
        point.count = int(sum(buckets))
        point.sum = total

    def logs(self, lines: Sequence[Told]) -> bytes:
        """Return some lines of the log."""
        request = ExportLogsServiceRequest()
        of = request.resource_logs.add(resource=self._resource)
        scope = of.scope_logs.add(scope=self._scope)
        for each in lines:
            line = each.line()
            at = int(line.at * 1e6) * 1000
            scope.log_records.add(
                time_unix_nano=at,
                observed_time_unix_nano=at,
                severity_number=_SEVERITIES.get(line.level, 9),
                severity_text=line.level.upper(),
                body=AnyValue(string_value=line.message),
                attributes=attributes({f"turnout.{k}": v for k, v in fields_of(line).items()}),
                trace_id=bytes.fromhex(line.trace_id or ""),
            )
        return bytes(request.SerializeToString())


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000


def _flags(trace: Trace, parent: str | None = None) -> int:
    # 0x100: whether the parent is remote is known; 0x200: it is (OTLP, Span.flags).
    return (1 if trace.sampled else 0) | 0x100 | (0x200 if parent else 0)


def _status(error: str | None) -> Status:
    return Status() if error is None else Status(code=Status.STATUS_CODE_ERROR, message=error)


def _of_request(event: AccessEvent) -> dict[str, Value]:
    return {
        "turnout.request.id": event.request_id,
        "turnout.route": event.route,
        "turnout.dialect": event.dialect,
        "turnout.key.id": event.key_id,
        "turnout.model": event.model,
        "turnout.provider": event.provider,
        "turnout.attempts": event.n_attempts,
        "turnout.fallbacks": event.n_fallbacks,
        "turnout.cost_usd": None if event.cost_nusd is None else event.cost_nusd * 1e-9,
        "turnout.cost_state": event.cost_state,
        "turnout.overhead_s": event.overhead_s,
        "turnout.time_to_first_content_s": event.ttft_s,
        "turnout.cache": event.cache,
        "turnout.certificate": event.certificate,
        "gen_ai.operation.name": event.endpoint,
        "gen_ai.request.stream": event.stream or None,
        "gen_ai.request.max_tokens": event.max_tokens,
        "gen_ai.response.finish_reasons": None if event.finish is None else (event.finish,),
        "gen_ai.usage.input_tokens": event.n_input,
        "gen_ai.usage.output_tokens": event.n_output,
        "error.type": event.error,
    }


def _of_attempt(
    event: AccessEvent, attempt: Attempt, place: Deployment | None, model: str
) -> dict[str, Value]:
    usage = attempt.usage
    url = None if place is None else urlsplit(place.url)
    found: dict[str, Value] = {
        "gen_ai.operation.name": event.endpoint,
        "gen_ai.provider.name": attempt.provider
        if place is None
        else place.vendor.telemetry or attempt.provider,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": event.stream or None,
        "gen_ai.request.max_tokens": event.max_tokens,
        "gen_ai.response.id": attempt.upstream_id,
        "gen_ai.response.model": attempt.upstream_model or (model if attempt.committed else None),
        "gen_ai.response.time_to_first_chunk": attempt.ttft_s if event.stream else None,
        "server.address": None if url is None else url.hostname,
        "server.port": None if url is None else url.port or _PORTS.get(url.scheme),
        "http.response.status_code": attempt.status,
        "error.type": attempt.error,
        "turnout.deployment": attempt.deployment,
        "turnout.provider": attempt.provider,
        "turnout.attempt": attempt.n,
        "turnout.outcome": attempt.outcome,
        "turnout.cost_usd": None if attempt.cost_nusd is None else attempt.cost_nusd * 1e-9,
        "turnout.express": attempt.express or None,
    }
    if usage is not None:
        written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
        found |= {
            "gen_ai.usage.input_tokens": usage.n_input,
            "gen_ai.usage.output_tokens": usage.n_output,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read or None,
            "gen_ai.usage.cache_creation.input_tokens": written or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
            "turnout.usage.estimated": attempt.usage_estimated or None,
        }
    return found


def _events(event: AccessEvent, start: int) -> Iterable[Span.Event]:
    """Return what happened to a request between its calls."""
    last: Attempt | None = None
    for attempt in sorted(event.attempts, key=lambda each: each.n):
        at = start + int(attempt.start_s * _NS)
        if attempt.retry_of is not None:
            yield _event("turnout.retry", at, {"turnout.attempt": attempt.n, "error.type": _why(last)})
        elif last is not None and last.outcome == "failed" and last.deployment != attempt.deployment:
            named = {"turnout.from": last.deployment, "turnout.to": attempt.deployment}
            yield _event("turnout.fallback", at, {**named, "error.type": _why(last)})
        last = attempt
    if event.cache is not None:
        near = {"turnout.cache": event.cache, "turnout.cache.near": event.near or None}
        yield _event("turnout.cache", start, near)
    end = start + int(event.total_s * _NS)
    for guard in event.guards:
        yield _event("turnout.guard", start if guard.stage == "in" else end, _of_guard(guard))


def _why(attempt: Attempt | None) -> str | None:
    return None if attempt is None else attempt.error


def _of_guard(guard: GuardView) -> dict[str, Value]:
    return {
        "turnout.guard": guard.name,
        "turnout.guard.type": guard.type,
        "turnout.guard.stage": guard.stage,
        "turnout.guard.action": guard.action,
        "turnout.guard.findings": sum(guard.found.values()),
        "turnout.guard.kinds": tuple(sorted(guard.found)) or None,
    }


def _event(name: str, at: int, values: Mapping[str, Value]) -> Span.Event:
    return Span.Event(name=name, time_unix_nano=at, attributes=attributes(values))
