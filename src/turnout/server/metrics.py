"""Prometheus metrics on a listener of their own. Floor 6.

Labels are closed sets or configured names: no key, user, prompt or free model text (S-65). What is counted is
the table of `families`; how several workers count together is told in `tally`.
"""

import asyncio
import os
import socket
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import uvicorn
from msgspec import Struct

from turnout.build import Built
from turnout.layers.trace import AccessEvent
from turnout.server.app import Gateway
from turnout.server.families import COUNTS, FAMILIES, OVERHEAD, SECONDS, TOKENS, WAITS
from turnout.server.http import JSON_TYPE, Receive, Scope, Send, respond
from turnout.server.tally import FOLDER, Tally
from turnout.stores.live import Change
from turnout.types.deployment import Deployment
from turnout.types.record import Attempt
from turnout.types.usage import Usage

_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_STATES = {"closed": 0, "half_open": 1, "open": 2}
_BEAT_S = 5.0
"""Between looks at the gauges: as old as they may be when another worker is scraped."""
_N_WAITS, _N_SECONDS, _N_OVERHEAD, _N_TOKENS = (len(each) + 1 for each in (WAITS, SECONDS, OVERHEAD, TOKENS))
"""Where the sum of a histogram stands, from its first bucket."""
Gauges = Callable[[], Mapping[tuple[str, ...], float]]
"""Numbers that somebody else keeps: family and labels -> value."""
_Key = tuple[str | None, ...]
_Row = TypeVar("_Row")


class _Ended(Struct):
    """Where requests of one route that ended alike are counted."""

    requests: int
    tokens_in: int
    tokens_out: int
    cost: int
    ttft: int
    total: int
    overhead: int
    fallbacks: int


class _Called(Struct):
    """Where calls to one deployment that ended alike are counted."""

    attempts: int
    cost: int
    duration: int
    first: int
    tokens_in: int
    tokens_out: int


class Metrics:
    """Counts what requests did."""

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER)
        self.tally = Tally(FAMILIES, None if folder is None else Path(folder))
        self._ended: dict[_Key, _Ended] = {}
        self._called: dict[_Key, _Called] = {}
        self.deployment: Callable[[str], Deployment | None] = lambda _: None
        """What a deployment's name stands for; wired to the engine where there is one."""
        self.gauges: list[Gauges] = []

    def observe(self, event: AccessEvent) -> None:
        """Count one request that ended."""
        numbers = self.tally.numbers
        key = (event.route, event.model, event.provider, event.error)
        row = self._ended.get(key) or self._end(key)
        numbers[row.requests] += 1
        if event.n_input:
            numbers[row.tokens_in] += event.n_input
        if event.n_output:
            numbers[row.tokens_out] += event.n_output
        if event.cost_nusd:
            numbers[row.cost] += event.cost_nusd * 1e-9
        if event.ttft_s is not None:
            numbers[row.ttft + bisect_left(SECONDS, event.ttft_s)] += 1
            numbers[row.ttft + _N_SECONDS] += event.ttft_s
        numbers[row.total + bisect_left(SECONDS, event.total_s)] += 1
        numbers[row.total + _N_SECONDS] += event.total_s
        numbers[row.overhead + bisect_left(OVERHEAD, event.overhead_s)] += 1
        numbers[row.overhead + _N_OVERHEAD] += event.overhead_s
        if event.n_fallbacks:
            numbers[row.fallbacks] += event.n_fallbacks
        for attempt in event.attempts:
            self._count_call(event, attempt)
        if event.cache or event.certified or event.shaped or event.guards or event.compressed:
            self._count_rest(event, event.route or "")

    def _count_call(self, event: AccessEvent, attempt: Attempt) -> None:
        numbers = self.tally.numbers
        key = (attempt.deployment, event.endpoint, attempt.error or attempt.outcome)
        row = self._called.get(key) or self._call(key, attempt)
        numbers[row.attempts] += 1
        if attempt.cost_nusd:
            numbers[row.cost] += attempt.cost_nusd * 1e-9
        numbers[row.duration + bisect_left(WAITS, attempt.duration_s)] += 1
        numbers[row.duration + _N_WAITS] += attempt.duration_s
        if attempt.retry_of is not None:
            numbers[self.tally.at("turnout_retries", attempt.deployment)] += 1
        if attempt.ttft_s is not None and event.stream:
            numbers[row.first + bisect_left(WAITS, attempt.ttft_s)] += 1
            numbers[row.first + _N_WAITS] += attempt.ttft_s
        if attempt.cache_saved_nusd is not None:
            self._count_prompt_cache(attempt, event.route or "")
        usage = attempt.usage
        if usage is not None and not attempt.usage_estimated:
            alone = usage is event.usage  # then it is added up already
            if n := event.n_input if alone else usage.n_input:
                numbers[row.tokens_in + bisect_left(TOKENS, n)] += 1
                numbers[row.tokens_in + _N_TOKENS] += n
            if n := event.n_output if alone else usage.n_output:
                numbers[row.tokens_out + bisect_left(TOKENS, n)] += 1
                numbers[row.tokens_out + _N_TOKENS] += n

    def _count_prompt_cache(self, attempt: Attempt, route: str) -> None:
        at, numbers = self.tally.at, self.tally.numbers
        usage, saved = attempt.usage or Usage(), attempt.cache_saved_nusd or 0
        written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
        kinds = (("read", usage.cache_read), ("written", written), ("uncached", usage.input_uncached))
        for kind, n in kinds:
            if n:
                numbers[at("turnout_prompt_cache_tokens", route, kind)] += n
        what = "turnout_prompt_cache_saved_nusd" if saved >= 0 else "turnout_prompt_cache_lost_nusd"
        numbers[at(what, route)] += abs(saved)

    def _count_rest(self, event: AccessEvent, route: str) -> None:
        at, numbers = self.tally.at, self.tally.numbers
        if event.cache is not None:
            numbers[at("turnout_cache", route, event.cache)] += 1
            if event.near:
                numbers[at("turnout_cache", route, "near")] += 1
            if event.saved_nusd:
                numbers[at("turnout_cache_saved_nusd", route)] += event.saved_nusd
        for each in event.compressed:
            numbers[at("turnout_compressed_tokens", route, each.step)] += each.n_tokens
        if event.certified is not None:
            numbers[at("turnout_certified_requests", route, event.certified)] += 1
        if event.shaped is not None:
            numbers[at("turnout_structured_outputs", route, event.shaped)] += 1
        for guard in event.guards:
            numbers[at("turnout_guard_checks", guard.name, guard.stage, guard.action)] += 1

    def _end(self, key: _Key) -> _Ended:
        route, model, provider, error = (each or "" for each in key)
        at = self.tally.at
        found = _Ended(
            requests=at("turnout_requests", route, model, provider, error or "ok"),
            tokens_in=at("turnout_tokens", model, provider, "input"),
            tokens_out=at("turnout_tokens", model, provider, "output"),
            cost=at("turnout_cost_usd", model, provider),
            ttft=at("turnout_ttft_seconds", model, provider),
            total=at("turnout_request_seconds", model, provider),
            overhead=at("turnout_overhead_seconds"),
            fallbacks=at("turnout_fallbacks", route),
        )
        _room(self._ended)[key] = found
        return found

    def _call(self, key: _Key, attempt: Attempt) -> _Called:
        _, endpoint, outcome = (each or "" for each in key)
        at, place = self.tally.at, self.deployment(attempt.deployment)
        provider = attempt.provider if place is None else place.vendor.telemetry or attempt.provider
        model = attempt.model if place is None else place.upstream_model
        what = (endpoint, provider, model)
        failure = attempt.error or ("" if attempt.outcome == "ok" else attempt.outcome)
        found = _Called(
            attempts=at("turnout_attempts", attempt.deployment, attempt.provider, outcome),
            cost=at("turnout_attempt_cost_usd", attempt.deployment, attempt.provider),
            duration=at("gen_ai_client_operation_duration_seconds", *what, failure),
            first=at("gen_ai_client_operation_time_to_first_chunk_seconds", *what),
            tokens_in=at("gen_ai_client_token_usage", *what, "input"),
            tokens_out=at("gen_ai_client_token_usage", *what, "output"),
        )
        _room(self._called)[key] = found
        return found

    def changed(self, deployment: str, change: Change) -> None:
        """Count a change of health."""
        self.tally.numbers[self.tally.at("turnout_health_changes", deployment, change)] += 1

    def probed(self, attempt: Attempt) -> None:
        """Count a probe that ended."""
        at, numbers = self.tally.at, self.tally.numbers
        outcome = attempt.error or attempt.outcome
        numbers[at("turnout_probes", attempt.deployment, attempt.provider, outcome)] += 1
        if attempt.cost_nusd:
            cost = at("turnout_probe_cost_usd", attempt.deployment, attempt.provider)
            numbers[cost] += attempt.cost_nusd * 1e-9

    def count(self, family: str, *labels: str) -> None:
        """Count one of what happens beside requests, such as feedback that was given."""
        assert family in COUNTS, family
        self.tally.numbers[self.tally.at(family, *labels)] += 1

    def refresh(self, built: Built, gateway: Gateway) -> None:
        """Read the gauges as they are now."""
        put = self.tally.set
        vendors = {d.id: d.vendor.name for d in built.engine.registry()}
        for name, stats in built.engine.health().items():
            put("turnout_provider_demoted", name, vendors.get(name, ""), to=stats.demoted)
            put("turnout_in_flight", name, to=stats.in_flight)
            put("turnout_breaker_state", name, to=_STATES[stats.state])
        for state in built.monitor.standings.states():
            put("turnout_certificate_void", state.route, to=state.void is not None)
            put("turnout_certificate_evidence", state.route, to=state.evidence)
        put("turnout_open_requests", to=gateway.n_open)
        if built.journal is not None:
            put("turnout_journal_spool_bytes", to=built.journal.stats().spooled_bytes)
        if (books := built.books) is not None:
            put("turnout_ledger_down", to=books.is_down)
            put("turnout_ledger_unsettled", to=books.n_unsettled)
        put("turnout_metrics_series_refused", to=self.tally.n_other)
        for told in self.gauges:
            for (family, *labels), value in told().items():
                put(family, *labels, to=value)

    def text(self) -> bytes:
        """Return the exposition of all workers."""
        return self.tally.text()

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
        await _Quiet(config)._serve([sock])  # noqa: SLF001  `serve` would take the data plane's signals

    async def beat(self, built: Built, gateway: Gateway) -> None:
        """Keep this worker's gauges fresh for a scrape that another worker answers, or an export."""
        while True:
            self.refresh(built, gateway)
            await asyncio.sleep(_BEAT_S)


class _Quiet(uvicorn.Server):
    """Leaves signals alone: the data plane's server handles them."""


_MOST_ROWS = 10_000


def _room(rows: dict[_Key, _Row]) -> dict[_Key, _Row]:
    """Return rows that have room: what they point at is kept by the tally."""
    if len(rows) >= _MOST_ROWS:
        rows.clear()
    return rows
