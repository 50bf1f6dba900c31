"""The section `telemetry`: what leaves for an OpenTelemetry collector, and who is told the trace. Floor 5."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.layers.trace import Tracing
from turnout.types.secret import Secret

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class OtlpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collector that takes OTLP over HTTP. Needs the extra `otel`; `egress` rules hold."""

    endpoint: str
    """Without the path of a signal: `http://127.0.0.1:4318`."""
    headers: Mapping[str, Secret] = {}
    timeout_s: Seconds = 10
    """Of one request to it."""


class TracesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests have spans, and which providers are told the trace."""

    enabled: bool = True
    sample: Share = 0.1
    """Share of the requests whose caller decided nothing."""
    parent: Literal["follow", "ignore"] = "follow"
    """Whether a caller's `traceparent` decides."""
    errors: bool = True
    """Record failed requests that were not sampled, too."""
    propagate: frozenset[str] = frozenset()
    """Providers that are sent `traceparent` and `tracestate`; `"*"` = all. Others learn nothing of it."""


class MetricsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics for the collector; those of the Prometheus listener are there beside it."""

    enabled: bool = True
    interval_s: Seconds = 60


class TelemetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces and metrics by OpenTelemetry's conventions; never with text of a request or an answer."""

    otlp: OtlpConfig | None = None
    """None = nothing is exported."""
    traces: TracesConfig = TracesConfig()
    metrics: MetricsConfig = MetricsConfig()
    service: str = "turnout"
    """`service.name` of everything exported."""
    attributes: Mapping[str, str] = {}
    """Further attributes of the resource, such as `deployment.environment.name`."""
    queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    """Requests whose spans may wait to be sent; of those beyond, spans are dropped and counted."""

    @property
    def tracing(self) -> Tracing | None:
        """Which requests have spans; None = none, and nobody is told a trace."""
        row = self.traces
        records = self.otlp is not None and row.enabled
        if not records and not row.propagate:
            return None
        return Tracing(
            records=records,
            sample=row.sample,
            follows=row.parent == "follow",
            errors=row.errors,
            tells=bool(row.propagate),
        )
