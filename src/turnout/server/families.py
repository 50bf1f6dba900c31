"""Every metric of the gateway: docs/reference/metrics.md is written from this table. Floor 6.

Names that begin with `gen_ai_` are those of OpenTelemetry's conventions for generative AI, as Prometheus
spells them; so are their labels and their buckets.
Source: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics (seen 2026-11-22).
"""

from typing import Literal

from turnout.server.tally import Family

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)
WAITS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(4**n for n in range(14))

_WHAT = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_WHAT_OTEL = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")


def _counter(name: str, about: str, *labels: str) -> Family:
    return Family(name=name, kind="counter", about=about, labels=labels)


def _gauge(name: str, about: str, *labels: str, merge: Literal["sum", "max"] = "sum") -> Family:
    return Family(name=name, kind="gauge", about=about, labels=labels, merge=merge)


def _seconds(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Family:
    otel = name.removesuffix("_seconds").replace("_", ".", 1)
    return Family(
        name=name, kind="histogram", about=about, labels=labels, buckets=buckets, otel=otel, unit="s"
    )


_BESIDE = (
    _counter("turnout_feedback", "Feedback that clients gave, by its signal.", "signal"),
    _counter(
        "turnout_alerts",
        "Notices of alerts, by rule and by what was told; event is firing, reminder, resolved or failed.",
        "rule",
        "event",
    ),
)
COUNTS = frozenset(family.name for family in _BESIDE)
"""Families that are counted by what stands beside requests."""

FAMILIES: tuple[Family, ...] = (
    _counter(
        "turnout_requests",
        "Requests by how they ended; outcome is ok or an error class.",
        *("route", "model", "provider", "outcome"),
    ),
    _counter("turnout_tokens", "Tokens by direction.", "model", "provider", "direction"),
    _counter("turnout_cost_usd", "What upstream calls cost.", "model", "provider"),
    _counter("turnout_fallbacks", "Moves to the next node of a plan.", "route"),
    _seconds("turnout_ttft_seconds", "Time to first content.", SECONDS, "model", "provider"),
    _seconds("turnout_request_seconds", "Time to the last byte.", SECONDS, "model", "provider"),
    _seconds("turnout_overhead_seconds", "Total minus time spent waiting for upstreams.", OVERHEAD),
    _counter(
        "turnout_attempts",
        "Calls to upstreams by how they ended; outcome is ok, lost, rejected, cancelled or an error class.",
        *("deployment", "provider", "outcome"),
    ),
    _counter("turnout_attempt_cost_usd", "What calls cost, by deployment.", "deployment", "provider"),
    _counter("turnout_retries", "Calls that repeat one to the same deployment.", "deployment"),
    Family(
        name="gen_ai_client_operation_duration_seconds",
        kind="histogram",
        about="Duration of calls to upstreams; error_type is empty where they were answered.",
        labels=(*_WHAT, "error_type"),
        buckets=WAITS,
        otel="gen_ai.client.operation.duration",
        unit="s",
        otel_labels=(*_WHAT_OTEL, "error.type"),
    ),
    Family(
        name="gen_ai_client_operation_time_to_first_chunk_seconds",
        kind="histogram",
        about="Time to the first content of streamed calls.",
        labels=_WHAT,
        buckets=WAITS,
        otel="gen_ai.client.operation.time_to_first_chunk",
        unit="s",
        otel_labels=_WHAT_OTEL,
    ),
    Family(
        name="gen_ai_client_token_usage",
        kind="histogram",
        about="Tokens of a call as the upstream counted them; what was estimated is not in it.",
        labels=(*_WHAT, "gen_ai_token_type"),
        buckets=TOKENS,
        otel="gen_ai.client.token.usage",
        unit="{token}",
        otel_labels=(*_WHAT_OTEL, "gen_ai.token.type"),
    ),
    _counter(
        "turnout_cache",
        "Requests of routes that cache, by what it did; near = a like question's answer was not given.",
        *("route", "result"),
    ),
    _counter("turnout_cache_saved_nusd", "Nano-USD that answers given again had cost.", "route"),
    _counter("turnout_compressed_tokens", "Tokens that compression took away.", "route", "step"),
    _counter("turnout_prompt_cache_tokens", "Input tokens of calls with a prompt cache.", "route", "kind"),
    _counter("turnout_prompt_cache_saved_nusd", "Nano-USD that prompt caches saved.", "route"),
    _counter("turnout_prompt_cache_lost_nusd", "Nano-USD of prompts written and not read.", "route"),
    _counter("turnout_guard_checks", "Checks by guards, by what they did.", "guard", "stage", "action"),
    _counter(
        "turnout_structured_outputs",
        "Answers that had to have a shape; result is valid, repaired, invalid or unchecked.",
        *("route", "result"),
    ),
    _counter(
        "turnout_certified_requests",
        "Requests of routes under a certificate, by how they ended or why nothing is promised.",
        *("route", "ending"),
    ),
    _gauge("turnout_certificate_void", "1 while a route's certificate does not hold.", "route", merge="max"),
    _gauge(
        "turnout_certificate_evidence",
        "Log evidence that the promised loss is exceeded; an alarm at log(100).",
        *("route",),
        merge="max",
    ),
    _gauge("turnout_in_flight", "Attempts under way.", "deployment"),
    _gauge("turnout_breaker_state", "0 closed, 1 half open, 2 open.", "deployment", merge="max"),
    _gauge(
        "turnout_provider_demoted",
        "1 while a deployment is unwell and asked last.",
        *("deployment", "provider"),
        merge="max",
    ),
    _counter(
        "turnout_health_changes",
        "Deployments demoted, restored, shut out by their breaker and let in again.",
        *("deployment", "change"),
    ),
    _counter(
        "turnout_probes",
        "Probes by how they ended; outcome is ok or an error class. They are no requests.",
        *("deployment", "provider", "outcome"),
    ),
    _counter("turnout_probe_cost_usd", "What probes cost.", "deployment", "provider"),
    _gauge("turnout_open_requests", "Requests being served."),
    _gauge("turnout_journal_spool_bytes", "Records not yet in the database."),
    _gauge("turnout_ledger_down", "1 while the ledger of budgets and quotas does not answer.", merge="max"),
    _gauge("turnout_ledger_unsettled", "Reservations that could not be settled since the start."),
    *_BESIDE,
    _gauge("turnout_alerts_firing", "Alerts that are firing.", "severity", merge="max"),
    _counter("turnout_telemetry_sent", "Spans, metric points and log lines that were delivered.", "signal"),
    _counter(
        "turnout_telemetry_dropped",
        "Those that were not: reason is full (the queue was) or failed (the receiver did not take them).",
        *("signal", "reason"),
    ),
    _gauge(
        "turnout_metrics_series_refused", "Series that were counted as `other`, as there is no more room."
    ),
)
