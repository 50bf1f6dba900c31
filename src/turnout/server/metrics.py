"""Prometheus metrics on a listener of their own. Floor 6.

Labels are closed sets or configured names: no key, user, prompt or free model text (S-65). With several
workers every process writes its numbers to shared files in `PROMETHEUS_MULTIPROC_DIR`, and whichever worker
is scraped adds them up.
"""

import asyncio
import os
import socket
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from turnout.build import Built
from turnout.layers.trace import AccessEvent
from turnout.server.app import Gateway
from turnout.server.http import JSON_TYPE, Receive, Scope, Send, respond
from turnout.stores.live import Change
from turnout.types.record import Attempt

MULTIPROC = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """Counts what requests did."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "turnout_requests",
            "Requests by how they ended; outcome is ok or an error class.",
            ("route", "model", "provider", "outcome"),
            registry=registry,
        )
        self._tokens = _counter(registry, "tokens", "Tokens by direction.", "direction")
        self._cost = _counter(registry, "cost_usd", "What upstream calls cost.")
        self._fallbacks = Counter(
            "turnout_fallbacks", "Moves to the next node of a plan.", ("route",), registry=registry
        )
        self._shaped = Counter(
            "turnout_structured_outputs",
            "Answers that had to have a shape; result is valid, repaired, invalid or unchecked.",
            ("route", "result"),
            registry=registry,
        )
        self._certified, self._void, self._evidence = _certificates(registry)
        self._cache, self._cache_saved = _cache(registry)
        self._ttft = _seconds(registry, "ttft_seconds", "Time to first content.")
        self._total = _seconds(registry, "request_seconds", "Time to the last byte.")
        self._overhead = Histogram(
            "turnout_overhead_seconds",
            "Total minus time spent waiting for upstreams.",
            buckets=_OVERHEAD,
            registry=registry,
        )
        self._in_flight = _gauge(registry, "in_flight", "Attempts under way.", "deployment")
        self._breaker = Gauge(
            "turnout_breaker_state",
            "0 closed, 1 half open, 2 open.",
            ("deployment",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._demoted = _demoted(registry)
        self._changes = Counter(
            "turnout_health_changes",
            "Deployments demoted, restored, shut out by their breaker and let in again.",
            ("deployment", "change"),
            registry=registry,
        )
        self._probes, self._probe_cost = _probes(registry)
        self._open = _gauge(registry, "open_requests", "Requests being served.")
        self._spool = _gauge(registry, "journal_spool_bytes", "Records not yet in the database.")
        self._children: dict[tuple[str, str], tuple[Any, ...]] = {}

    def observe(self, event: AccessEvent) -> None:
        """Count one request that ended."""
        model, provider = event.model or "", event.provider or ""
        route = event.route or ""
        self._requests.labels(route, model, provider, event.error or "ok").inc()
        tokens_in, tokens_out, cost, ttft, total = self._of(model, provider)
        if event.n_input:
            tokens_in.inc(event.n_input)
        if event.n_output:
            tokens_out.inc(event.n_output)
        if event.cost_nusd:
            cost.inc(event.cost_nusd * 1e-9)
        if event.ttft_s is not None:
            ttft.observe(event.ttft_s)
        total.observe(event.total_s)
        self._overhead.observe(event.overhead_s)
        if event.cache is not None:
            self._count_cache(event, event.cache, route)
        if event.certified is not None:
            self._certified.labels(route, event.certified).inc()
        if event.shaped is not None:
            self._shaped.labels(route, event.shaped).inc()
        if event.n_fallbacks:
            self._fallbacks.labels(route).inc(event.n_fallbacks)

    def _count_cache(self, event: AccessEvent, did: str, route: str) -> None:
        self._cache.labels(route, did).inc()
        if event.near:
            self._cache.labels(route, "near").inc()
        if event.saved_nusd:
            self._cache_saved.labels(route).inc(event.saved_nusd)

    def _of(self, model: str, provider: str) -> tuple[Any, ...]:
        """Return the labelled metrics of one model, looked up once."""
        found = self._children.get((model, provider))
        if found is None:
            found = self._children[model, provider] = (
                self._tokens.labels(model, provider, "input"),
                self._tokens.labels(model, provider, "output"),
                self._cost.labels(model, provider),
                self._ttft.labels(model, provider),
                self._total.labels(model, provider),
            )
        return found

    def changed(self, deployment: str, change: Change) -> None:
        """Count a change of health."""
        self._changes.labels(deployment, change).inc()

    def probed(self, attempt: Attempt) -> None:
        """Count a probe that ended."""
        self._probes.labels(attempt.deployment, attempt.provider, attempt.error or attempt.outcome).inc()
        if attempt.cost_nusd:
            self._probe_cost.labels(attempt.deployment, attempt.provider).inc(attempt.cost_nusd * 1e-9)

    def refresh(self, built: Built, gateway: Gateway) -> None:
        """Read the gauges as they are now."""
        vendors = {d.id: d.vendor.name for d in built.engine.registry()}
        for name, stats in built.engine.health().items():
            self._demoted.labels(name, vendors.get(name, "")).set(stats.demoted)
            self._in_flight.labels(name).set(stats.in_flight)
            self._breaker.labels(name).set(_STATES[stats.state])
        for state in built.monitor.standings.states():
            self._void.labels(state.route).set(state.void is not None)
            self._evidence.labels(state.route).set(state.evidence)
        self._open.set(gateway.n_open)
        if built.journal is not None:
            self._spool.set(built.journal.stats().spooled_bytes)

    def text(self) -> bytes:
        """Return the exposition of all workers."""
        if MULTIPROC in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has none
            return generate_latest(registry)
        return generate_latest(self._registry)

    async def serve(self, sock: socket.socket, built: Built, gateway: Gateway, *, local: bool) -> None:
        """Answer scrapes on a listener of its own until cancelled.

        Beyond loopback (`local` is False) whoever asks needs a key with the role scrape, operator, admin or
        owner, except for `/livez`.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            path = scope["path"] if scope["method"] in ("GET", "HEAD") else ""
            if path == "/livez":
                await respond(send, 200, [JSON_TYPE], b'{"status":"ok"}')
            elif path not in ("/metrics", "/readyz"):
                await respond(send, 404, [_TEXT], b"GET /metrics, /readyz or /livez\n")
            elif not local and not gateway.scrapes(scope["headers"], (scope.get("client") or ("",))[0]):
                await respond(send, 401, [_TEXT], b"a key with the role scrape is needed, or one above it\n")
            elif path == "/readyz":
                status, document = gateway.readiness()
                await respond(send, status, [JSON_TYPE], document)
            else:
                self.refresh(built, gateway)
                await respond(send, 200, [_TEXT], self.text())

        config = uvicorn.Config(
            app,
            loop="none",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
        )
        server = _Quiet(config)
        beat = asyncio.create_task(self._beat(built, gateway))
        try:
            await server._serve([sock])  # noqa: SLF001  `serve` would take the signals of the data plane's server
        finally:
            beat.cancel()

    async def _beat(self, built: Built, gateway: Gateway) -> None:
        """Keep this worker's gauges fresh for a scrape that another worker answers."""
        while True:
            self.refresh(built, gateway)
            await asyncio.sleep(5)


class _Quiet(uvicorn.Server):
    """Leaves signals alone: the data plane's server handles them."""


def _demoted(registry: CollectorRegistry) -> Gauge:
    return Gauge(
        "turnout_provider_demoted",
        "1 while a deployment is unwell and asked last.",
        ("deployment", "provider"),
        registry=registry,
        multiprocess_mode="livemax",
    )


def _probes(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """Return how probes ended, and what they cost."""
    probes = Counter(
        "turnout_probes",
        "Probes by how they ended; outcome is ok or an error class. They are no requests.",
        ("deployment", "provider", "outcome"),
        registry=registry,
    )
    cost = Counter(
        "turnout_probe_cost_usd", "What probes cost.", ("deployment", "provider"), registry=registry
    )
    return probes, cost


def _cache(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """Return what the cache did, and what its hits had cost."""
    did = Counter(
        "turnout_cache",
        "Requests of routes that cache, by what it did; near = a like question's answer was not given.",
        ("route", "result"),
        registry=registry,
    )
    saved = Counter(
        "turnout_cache_saved_nusd",
        "Nano-USD that answers given again had cost.",
        ("route",),
        registry=registry,
    )
    return did, saved


def _certificates(registry: CollectorRegistry) -> tuple[Counter, Gauge, Gauge]:
    """Return how certified requests ended, which certificates do not hold, and what speaks against."""
    endings = Counter(
        "turnout_certified_requests",
        "Requests of routes under a certificate, by how they ended or why nothing is promised.",
        ("route", "ending"),
        registry=registry,
    )
    void, evidence = (
        Gauge(
            f"turnout_certificate_{name}", about, ("route",), registry=registry, multiprocess_mode="livemax"
        )
        for name, about in (
            ("void", "1 while a route's certificate does not hold."),
            ("evidence", "Log evidence that the promised loss is exceeded; an alarm at log(100)."),
        )
    )
    return endings, void, evidence


def _counter(registry: CollectorRegistry, name: str, about: str, *labels: str) -> Counter:
    return Counter(f"turnout_{name}", about, ("model", "provider", *labels), registry=registry)


def _seconds(registry: CollectorRegistry, name: str, about: str) -> Histogram:
    return Histogram(f"turnout_{name}", about, ("model", "provider"), buckets=_SECONDS, registry=registry)


def _gauge(registry: CollectorRegistry, name: str, about: str, *labels: str) -> Gauge:
    return Gauge(f"turnout_{name}", about, labels, registry=registry, multiprocess_mode="livesum")
