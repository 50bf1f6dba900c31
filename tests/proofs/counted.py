"""What /metrics says against what the journal holds: every number, request by request."""

from collections import Counter
from math import isclose

from prometheus_client.parser import text_string_to_metric_families

from turnout.server.families import OVERHEAD, SECONDS


def scraped(text):
    """Every sample but those that are zero, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value
    }


class Expected(Counter):
    """What the metrics of some Records must be."""

    def add(self, name, n=1, **labels):
        if n:
            self[name, *sorted(labels.items())] += n

    def histogram(self, name, bounds, value, **labels):
        for bound in bounds:
            self.add(f"{name}_bucket", value <= bound, **labels, le=repr(float(bound)))
        self.add(f"{name}_bucket", **labels, le="+Inf")
        self.add(f"{name}_count", **labels)
        self.add(f"{name}_sum", value, **labels)

    def request(self, record):
        end = record.outcome
        who = {"model": end.model or "", "provider": end.provider or ""}
        route = "" if record.decision is None else record.decision.route
        self.add("turnout_requests_total", **who, route=route, outcome=end.error or "ok")
        if end.usage is not None:
            self.add("turnout_tokens_total", end.usage.n_input, **who, direction="input")
            self.add("turnout_tokens_total", end.usage.n_output, **who, direction="output")
        self.add("turnout_cost_usd_total", (end.cost_nusd or 0) * 1e-9, **who)
        self.add("turnout_fallbacks_total", end.n_fallbacks, route=route)
        if end.ttft_s is not None:
            self.histogram("turnout_ttft_seconds", SECONDS, end.ttft_s, **who)
        self.histogram("turnout_request_seconds", SECONDS, end.total_s, **who)
        self.histogram("turnout_overhead_seconds", OVERHEAD, end.overhead_s)
        for guard in record.guards:
            self.add("turnout_guard_checks_total", guard=guard.name, stage=guard.stage, action=guard.action)
        self.add("turnout_cache_total", end.cache is not None, route=route, result=end.cache or "")

    def call(self, call):
        at = {"deployment": call.deployment, "provider": call.provider}
        self.add("turnout_attempts_total", **at, outcome=call.error or call.outcome)
        self.add("turnout_attempt_cost_usd_total", (call.cost_nusd or 0) * 1e-9, **at)
        self.add("turnout_retries_total", call.retry_of is not None, deployment=call.deployment)


def expected(records):
    """What the metrics of these Records must be."""
    found = Expected()
    for record in records:
        found.request(record)
        for call in record.attempts:
            found.call(call)
    return found


def differences(text, records):
    """Return where metrics and journal part."""
    said, held = scraped(text), expected(records)
    names = {key[0] for key in held} | {f"{name}_total" for name in ("turnout_requests", "turnout_attempts")}
    keys = {key for key in (*said, *held) if key[0] in names}
    return {
        key: (said.get(key, 0.0), held.get(key, 0.0))
        for key in keys
        if not isclose(said.get(key, 0.0), held.get(key, 0.0), rel_tol=1e-9, abs_tol=1e-12)
    }
