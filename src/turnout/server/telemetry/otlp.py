"""Spans, metrics and log lines as requests of OTLP, for the extra `otel`. Floor 6.

Metrics are the official protobufs: there are few of them, and seldom. Spans and lines come with the requests,
and are written as bytes at once (`spans`, `wire`; ADR 139).
Source: opentelemetry.io/docs/specs/otlp, opentelemetry-proto 1.x (seen 2026-11-22).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from turnout.layers.trace import AccessEvent
from turnout.server.logs.line import Line, Told, fields_of
from turnout.server.tally import Family, Series
from turnout.server.telemetry.spans import Find, Spans
from turnout.server.telemetry.wire import fixed64, known, pair, sized, text

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

SCOPE = "turnout"
_SEVERITIES = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_OPEN = frozenset({"request_id", "trace_id", "path", "places"})
"""Fields of a line whose words hardly come twice."""


class Encoder:
    """Writes what one process exports."""

    def __init__(self, resource: Mapping[str, str], version: str, find: Find) -> None:
        self._resource = Resource(attributes=_labels(resource))
        self._scope = InstrumentationScope(name=SCOPE, version=version)
        self._before = sized(b"\x0a", self._resource.SerializeToString())
        self._within = sized(b"\x0a", self._scope.SerializeToString())
        self._spans = Spans(find)
        self._started = time.time_ns()

    def spans(self, events: Sequence[AccessEvent]) -> bytes:
        """Return the spans of some requests: one of each request, and one of each of its calls."""
        of = self._spans.of
        return self._request([span for event in events if event.trace for span in of(event, event.trace)])

    def logs(self, lines: Sequence[Told]) -> bytes:
        """Return some lines of the log."""
        return self._request([sized(b"\x12", _logged(each.line())) for each in lines])

    def _request(self, fields: list[bytes]) -> bytes:
        """Return what is sent: requests for spans and for lines have the same fields, down to their lists."""
        scope = b"".join([self._within, *fields])
        return sized(b"\x0a", self._before + sized(b"\x12", scope))

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
        labels = _labels(dict(zip(names, series.values, strict=True)))
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


def _logged(line: Line) -> bytes:
    at = int(line.at * 1e6) * 1000
    parts = [fixed64(b"\x09", at), fixed64(b"\x59", at), _level(line.level)]
    parts.append(sized(b"\x2a", text(b"\x0a", line.message)))
    for name, value in fields_of(line).items():
        comes_again = isinstance(value, str) and name not in _OPEN
        if value != "":
            parts.append(b"\x32" + (known if comes_again else pair)(f"turnout.{name}", value))
    if line.trace_id:
        parts.append(sized(b"\x4a", bytes.fromhex(line.trace_id)))
    return b"".join(parts)


@lru_cache(maxsize=64)
def _level(word: str) -> bytes:
    return b"\x10%c" % _SEVERITIES.get(word, 9) + text(b"\x1a", word.upper())


def _labels(values: Mapping[str, str]) -> list[KeyValue]:
    """Return attributes; those without a value are left out."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items() if value]
