"""What was decided, kept as it is, and written out as a `Decision` only when somebody reads it. Floor 4."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from turnout import plan as plans
from turnout.engine.exchange import Exchange
from turnout.engine.pool import Pool
from turnout.engine.sense import reference_tokens
from turnout.engine.snapshot import Snapshot
from turnout.engine.written import Bench, Numbers, Plans, fare_of
from turnout.strategies.accept.shape import has_shape
from turnout.strategies.base import Choice, Context, in_tool_loop, mean_and_worst_nusd
from turnout.strategies.pipeline.lazy import Column, Terms
from turnout.strategies.pipeline.lazy import Lazy as Later
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest, Lazy
from turnout.types.deployment import Candidate, Deployment, Stats
from turnout.types.json import Json
from turnout.types.record import (
    Asked,
    CandidateView,
    CertificateView,
    CostView,
    Decision,
    Dropped,
    HealthView,
    InputView,
    LiveView,
    PaceView,
    PlanKind,
    Quantiles,
    Reason,
    SignalView,
    Status,
)
from turnout.types.signal import Signals
from turnout.types.structured import Structured
from turnout.types.task import TaskRequest
from turnout.types.usage import NanoUsd

T = TypeVar("T")
MOST_BENCHES: Final = 1000
NO_WISHES = Preferences()
NOTHING_SEEN = LiveView()
NO_TERMS: Mapping[str, float] = {}
NO_SIGNALS: Mapping[str, SignalView] = {}
KEY_ALLOW = "key_allow"
"""Constraint that comes from the key and not from the request."""


Numbered: TypeAlias = dict[str, Numbers]


class Told:
    """What was told before and holds yet."""

    __slots__ = ("_benches", "numbers", "plans")

    def __init__(self) -> None:
        self.numbers: Numbered = {}
        """Live numbers as views tell them, by deployment: of those that nobody called they hold on."""
        self.plans = Plans()
        self._benches: dict[int, tuple[Sequence[Deployment], Bench | None]] = {}

    def bench(self, deployments: Sequence[Deployment]) -> Bench | None:
        """Return what was told of a pool's candidates; None where their prices are not that simple."""
        found = self._benches.get(id(deployments))
        if found is None or found[0] is not deployments:
            fares = [fare for each in deployments if (fare := fare_of(each)) is not None]
            bench = Bench(deployments, fares) if len(fares) == len(deployments) else None
            if len(self._benches) >= MOST_BENCHES:
                self._benches.clear()
            found = self._benches[id(deployments)] = (deployments, bench)
        return found[1]


def _numbers(stats: Stats) -> Numbers:
    return Numbers(
        stats,
        Quantiles(stats.ttft_p50_s, stats.ttft_p95_s),
        None if stats.total_p50_s is None else Quantiles(stats.total_p50_s, stats.total_p95_s),
        _health(stats),
        _live(stats),
    )


class Routed(Struct, frozen=True):
    """What was decided, with everything its Decision is written from."""

    pool: Pool
    context: Context
    candidates: tuple[Candidate, ...]
    dropped: Mapping[str, tuple[Dropped, ...]]
    choice: Choice
    snapshot: Snapshot
    told: Told

    @property
    def route(self) -> str:
        """Name of the route."""
        return self.pool.route.name

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self.pool.route.strategy.name

    @property
    def reason(self) -> Reason:
        """Why the first model was chosen."""
        return self.choice.reason

    @property
    def n_tokens_reference(self) -> int:
        """Input tokens estimated in the reference encoding; 0 = nobody estimated."""
        return reference_tokens(self.context.signals)

    @property
    def certificate(self) -> CertificateView | None:
        """The promise it was decided under; None = the route has no certificate."""
        return self.choice.certificate

    def decision(self, exchange: Exchange) -> Decision:
        """Write the Decision in full."""
        plan = self.choice.plan
        chosen = plans.deployments(plan)
        views = self._views(chosen, self._foreseen())
        return self._decision(exchange, views, (plans.to_json(plan), plans.kind(plan), chosen))

    def written(self, exchange: Exchange) -> Decision:
        """Return the Decision to be encoded by the journal, and for nothing else: parts of it are bytes."""
        planned = self.told.plans.of(self.choice.plan)
        views = cast("tuple[CandidateView, ...] | None", self._seated(planned.chosen))
        if views is None:
            views = self._views(planned.chosen, self._foreseen())
        return self._decision(exchange, views, (cast("Json", planned.tree), planned.kind, planned.chosen))

    def _decision(
        self,
        exchange: Exchange,
        views: tuple[CandidateView, ...],
        planned: tuple[Json, PlanKind, tuple[str, ...]],
    ) -> Decision:
        plan, kind, chosen = planned
        ask, pace = self.context.ask, self.context.pace
        return Decision(
            decision_id="dec_" + ask.request_id.removeprefix("req_"),
            route=self.route,
            strategy=self.strategy,
            asked=Asked(
                endpoint=ask.endpoint,
                dialect=ask.dialect,
                model=exchange.original.model,
                source=self.pool.source,
                constraints=_constraints(ask),
            ),
            input=_input(self.context),
            candidates=views,
            plan=plan,
            kind=kind,
            chosen=chosen,
            reason=exchange.fallback_reason or self.choice.reason,
            signals=_signals(self.context.signals) if self.context.signals else NO_SIGNALS,
            objective=self.choice.objective,
            propensity=self.choice.propensity,
            explored=self.choice.explored,
            abstained=self.choice.abstained,
            rule=self.choice.rule,
            certificate=self.choice.certificate,
            neighbours=_plain(self.choice.neighbours),
            rng_seed=exchange.seed,
            sequence=self.context.sequence,
            session=self.context.session,
            pace=None if pace is None else PaceView(pace.lambda_, pace.cap_nusd),
            structured=rule_of(exchange),
            may_hedge=self.context.may_hedge,
            policy_version=self.snapshot.version,
            config_digest=self.snapshot.digest,
        )

    def _foreseen(self) -> Context:
        """Return the context as the strategy saw it: with the lengths that it predicted itself."""
        lengths = self.choice.tokens_out
        if not lengths:
            return self.context
        return msgspec.structs.replace(self.context, tokens_out={**self.context.tokens_out, **lengths})

    def _views(self, chosen: tuple[str, ...], context: Context) -> tuple[CandidateView, ...]:
        choice, told, dropped = self.choice, self.told.numbers, self.dropped
        scores, utilities = _plain(choice.scores), _plain(choice.utilities)
        quality, sd = _plain(choice.quality), _plain(choice.sd)
        tokens_in, tokens_out = context.tokens_in, context.tokens_out
        views: list[CandidateView] = []
        for candidate, cost in zip(self.candidates, expected_costs(self.candidates, context), strict=True):
            deployment, stats = candidate.deployment, candidate.stats
            name = deployment.id
            drops = dropped.get(name, ())
            seen = told.get(name)
            if seen is None or seen.stats is not stats:
                seen = told[name] = _numbers(stats)
            view = CandidateView(
                id=name,
                model=deployment.model.id,
                status=_status(name, drops, chosen),
                filters=drops,
                scores=scores.get(name, NO_TERMS),
                utility=utilities.get(name),
                q=quality.get(name),
                sd=sd.get(name),
                cost_nusd=cost,
                ttft_s=seen.ttft_s,
                total_s=seen.total_s,
                health=seen.health,
                in_flight=stats.in_flight,
                live=seen.live,
                n_tokens_in=tokens_in.get(name),
                n_tokens_out=tokens_out.get(name),
            )
            views.append(view)
        return tuple(views)

    def _seated(self, chosen: tuple[str, ...]) -> Raw | None:
        """Return `_views` as bytes; None where they tell of more than seats have room for."""
        choice, context, candidates = self.choice, self.context, self.candidates
        utilities, scores = choice.utilities, choice.scores
        if (
            self.dropped
            or self.pool.reach is None  # made for this request: its seats would never be asked for again
            or choice.quality
            or choice.sd
            or choice.tokens_out
            or context.tokens_in
            or type(utilities) is not Column
            or type(scores) is not Terms
            or utilities.candidates is not candidates
            or isinstance(context.request, TaskRequest)
        ):
            return None
        terms = _rows(scores.columns, len(candidates))
        if terms is None or not isfinite(sum(utilities.numbers)):
            return None
        bench = self.told.bench(self.pool.deployments)
        if bench is None or len(bench.ids) != len(candidates):
            return None
        bench.follow([candidate.stats for candidate in candidates], _numbers)
        of_out = context.tokens_out
        outs = [of_out.get(name) for name in bench.ids]
        costs = bench.costs(context.n_tokens_in, context.n_tokens_out, context.max_tokens_out, outs)
        return bench.array(bench.statuses(chosen), terms, utilities.numbers, costs, outs)


def _rows(columns: Sequence[tuple[str, Sequence[float]]], n: int) -> Sequence[Mapping[str, float]] | None:
    """Return the terms of each of `n` candidates; None where one is no number."""
    if not columns:  # a strategy that draws, or counts calls, has no terms
        return [NO_TERMS] * n
    if len(columns) == 1:
        ((name, column),) = columns
        return [{name: x} for x in column] if isfinite(sum(column)) else None
    if not all(isfinite(sum(column)) for _, column in columns):
        return None
    names = [name for name, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*[c for _, c in columns], strict=True)]


def _plain(found: Mapping[str, T]) -> Mapping[str, T]:
    return found.plain() if isinstance(found, Later) else found


def _constraints(ask: Ask) -> dict[str, Json]:
    """Return what narrowed the choice, by the names of `Preferences`; nothing for most requests."""
    found: dict[str, Json] = {}
    if ask.prefer != NO_WISHES:
        tree = msgspec.to_builtins(ask.prefer, str_keys=True)
        plain = msgspec.to_builtins(NO_WISHES, str_keys=True)
        found.update({name: value for name, value in tree.items() if value != plain[name]})
    if ask.principal.allow:
        found[KEY_ALLOW] = list(ask.principal.allow)
    return found


def _live(stats: Stats) -> LiveView | None:
    view = LiveView(
        n_observed=stats.n_observed,
        ttft_recent_s=stats.ttft_recent_s,
        total_recent_s=stats.total_recent_s,
        tokens_per_s=stats.tokens_per_s,
        tokens_ratio=stats.tokens_ratio,
        peak_ewma_s=stats.peak_ewma_s,
    )
    return view if view != NOTHING_SEEN else None


def _health(stats: Stats) -> HealthView:
    share = stats.share if stats.share < 1 else None
    return HealthView(stats.state, stats.error_ratio, stats.cooldown_s, stats.demoted, share)


def _status(name: str, drops: tuple[Dropped, ...], chosen: tuple[str, ...]) -> Status:
    if drops:
        return "cooling" if drops[0].filter == "healthy" else "filtered"
    if chosen and name == chosen[0]:
        return "chosen"
    return "eligible" if name in chosen else "lost"


def expected_cost(deployment: Deployment, context: Context) -> CostView:
    """Predict the money of one call; None where the price is not known."""
    price = deployment.model.price
    if price is None:
        return CostView(None, None)
    return CostView(*mean_and_worst_nusd(context, deployment, price), price.as_of)


def expected_costs(candidates: Iterable[Candidate], context: Context) -> list[CostView]:
    """Predict the money of a call to each: `expected_cost`, with what is the same for all looked up once."""
    is_task = isinstance(context.request, TaskRequest)
    n_in, n_out, most = context.n_tokens_in, context.n_tokens_out, context.max_tokens_out
    of_in, of_out = context.tokens_in, context.tokens_out
    found: list[CostView] = []
    for candidate in candidates:
        deployment = candidate.deployment
        price = deployment.model.price
        if is_task or price is None or price.tiers:
            found.append(expected_cost(deployment, context))
            continue
        name, dear_in, dear_out = deployment.id, price.input, price.output
        own_in = of_in.get(name, n_in)
        flat = own_in * dear_in + (price.per_request or 0)
        mean = flat + of_out.get(name, n_out) * dear_out
        if price.cache_write_5m is not None or price.cache_write_1h is not None:
            flat += own_in * (max(dear_in, price.cache_write_5m or 0, price.cache_write_1h or 0) - dear_in)
        if price.reasoning is not None and price.reasoning > dear_out:
            dear_out = price.reasoning
        worst = flat + most * dear_out
        found.append(CostView(NanoUsd(-(-mean // 1000)), NanoUsd(-(-worst // 1000)), price.as_of))
    return found


def _signals(signals: Signals) -> dict[str, SignalView]:
    return {
        name: SignalView(value=s.value, confidence=s.confidence if s.error is None else None, error=s.error)
        for name, s in signals.items()
    }


def rule_of(exchange: Exchange) -> Structured | None:
    """Return what the route does about this request's shape; None = nothing, or it has none."""
    rule, request = exchange.policy.structured, exchange.request
    if rule is None or not rule.validate or not isinstance(request, ChatRequest):
        return None
    return rule if has_shape(request) else None


def _input(context: Context) -> InputView:
    request = context.request
    facts = request.facts
    messages = request.messages if isinstance(request, ChatRequest) else ()
    was_read = not isinstance(messages, Lazy) or messages.is_made
    return InputView(
        n_tokens=context.n_tokens_in,
        n_tokens_source="estimate",
        max_tokens_out=context.max_tokens_out,
        modalities=tuple(sorted(facts.modalities)) if facts.modalities else (),
        n_tools=facts.n_tools,
        structured=bool(facts.structured),
        stream=isinstance(request, ChatRequest) and request.stream,
        n_messages=facts.n_messages,
        n_tokens_out=context.n_tokens_out,
        explicit_max_tokens=context.explicit_max_tokens,
        tool_loop=was_read and in_tool_loop(request),
        server_tools=facts.server_tools,
        native_wire=facts.native_wire,
    )
