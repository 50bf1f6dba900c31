"""Which models suit a request, best first: a decision that is explained and not carried out. Floor 4.

Theory of operation.
1. The router decides as it would for a call: same names, filters, signals and strategy, on the same snapshot.
   Only live numbers and the catalogue are read; nothing is sent, reserved or recorded.
2. Models that were listed without a route have no strategy of their own. They are judged by one objective,
   quality - λ·cost - μ·latency, with the declared prices `LAMBDA` and `MU`.
3. Where the strategy did not measure quality, public benchmark scores say what is known of it. What nobody
   measured is None, never a guess.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from math import inf, isfinite
from typing import TypeVar

import msgspec
from msgspec import Struct

from turnout.catalog.benchmarks import Scores, public_scores
from turnout.engine.exchange import Exchange
from turnout.engine.pool import AUTO, Pool
from turnout.engine.route import CHARS_PER_TOKEN, Router
from turnout.engine.routed import Routed
from turnout.errors import ConfigError, Forbidden, InvalidRequest
from turnout.strategies.base import Filter, Scorer, Setting
from turnout.strategies.orders.best import Best
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.scorers.benchmarks import Benchmarks
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.latency import Latency
from turnout.strategies.scorers.quality import Quality
from turnout.strategies.shapes.fallback import Chain
from turnout.strategies.wishes import InRegion, SoonEnough
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts
from turnout.types.deployment import Deployment
from turnout.types.recommendation import Constraints, Features, Ranked, Recommendation
from turnout.types.record import CandidateView, CostView, Decision, Quantiles
from turnout.types.signal import Signal, Signals
from turnout.types.usage import NanoUsd

LAMBDA = 8.0
"""Quality that one USD is worth when nobody says otherwise: a hundredth for an eighth of a cent."""
MU = 0.01
"""Quality that one second is worth when nobody says otherwise."""
NO_CONSTRAINTS = Constraints()
_NO_COST = CostView(None, None)
_NO_TIME = Quantiles(None, None)
T = TypeVar("T", int, float)


class Wanted(Struct, frozen=True, kw_only=True):
    """What is asked of a recommendation beside the request."""

    constraints: Constraints = NO_CONSTRAINTS
    top_k: int | None = None
    """How many to name; None = all."""


def recommend(
    router: Router, exchange: Exchange, wanted: Wanted, scores: Callable[[], Scores] | None = None
) -> Recommendation:
    """Rank the models that could serve a request.

    Args:
        router: Chooses for one snapshot.
        exchange: The request, with an ask that was `narrowed`.
        wanted: What else is asked.
        scores: Benchmark scores to judge quality by; default: the public ones.

    Raises:
        TurnoutError: As a call would, when no model is left.
    """
    table = (scores or _public)()
    exchange.explain_only = True
    pool = _allowed(_pool(router, exchange), exchange.ask)
    prefer = exchange.ask.prefer
    if pool.route.name == router.direct.name and not (prefer.sort or prefer.order_providers):
        pool = _judged(pool, prefer.weights, table)
    routed = router.choose(exchange, _bounded(pool, wanted.constraints))
    return Recommendation(
        decision=routed.decision(exchange), ranked=_ranked(routed, exchange, table)[: wanted.top_k]
    )


def described(features: Features, model: str) -> tuple[ChatRequest, Signals]:
    """Return a request of the size and shape described, without words, and the signals that came with it."""
    facts = Facts(
        n_chars=-int(-features.tokens_in * CHARS_PER_TOKEN // 1),
        modalities=features.modalities,
        n_tools=features.n_tools,
        structured="json_schema" if features.structured else "",
    )
    given: dict[str, Signal] = {name: Signal(value) for name, value in features.signals.items()}
    if features.language is not None:
        given["language"] = Signal(features.language)
    if features.embedding is not None:
        given["embedding"] = Signal(list(features.embedding))
    if features.tokens_out is not None:
        given["tokens.out_hat"] = Signal(features.tokens_out)
    request = ChatRequest(
        model=model, messages=(), max_tokens=features.max_tokens, stream=features.stream, facts=facts
    )
    return request, given


def narrowed(ask: Ask, constraints: Constraints) -> Ask:
    """Return the ask with the bounds that the preferences of any request can hold."""
    prefer = ask.prefer
    if constraints.max_cost_usd is not None:
        cap = NanoUsd(round(constraints.max_cost_usd * 1e9))
        own = prefer.max_cost_nusd
        prefer = msgspec.structs.replace(prefer, max_cost_nusd=cap if own is None else min(cap, own))
    if constraints.min_quality is not None:
        least = max(constraints.min_quality, prefer.min_quality or 0.0)
        prefer = msgspec.structs.replace(prefer, min_quality=least)
    return msgspec.structs.replace(ask, prefer=prefer)


@cache
def _public() -> Scores:
    return public_scores()


def _pool(router: Router, exchange: Exchange) -> Pool:
    """Return what the request names; all that is served, where neither it nor a default says which."""
    model, ask, snapshot = exchange.request.model, exchange.ask, router.snapshot
    prefer = ask.prefer
    named = prefer.candidates or prefer.route or ask.principal.default_route or snapshot.default_route
    if model in AUTO and not named:
        return Pool(snapshot.direct, tuple(snapshot.deployments.values()), "auto", pinned=False)
    return router.pool(model, ask)


def _allowed(pool: Pool, ask: Ask) -> Pool:
    """Leave out what the key may not use: a recommendation must not tell that it is served."""
    globs = ask.principal.allow
    if not globs:
        return pool
    kept = tuple(d for d in pool.deployments if _matches(d, globs))
    if not kept:
        raise Forbidden("no allowed model is left")
    return msgspec.structs.replace(pool, deployments=kept)


def _matches(deployment: Deployment, globs: Sequence[str]) -> bool:
    names = (deployment.model.id, deployment.vendor.name)
    return any(fnmatchcase(name, glob) for name in names for glob in globs)


def _judged(pool: Pool, weights: Mapping[str, float], scores: Scores) -> Pool:
    """Return the pool with the recommender's own objective."""
    score = (*_quality(pool.deployments, weights, scores), Cost(lambda_=LAMBDA), Latency(mu=MU))
    strategy = Pipeline(score=score, order=Best(), shape=Chain(vendor_first=False), label="recommend")
    route = msgspec.structs.replace(pool.route, strategy=strategy, guarded=None, senses=())
    return msgspec.structs.replace(pool, route=route)


def _quality(
    deployments: tuple[Deployment, ...], weights: Mapping[str, float], scores: Scores
) -> tuple[Scorer, ...]:
    """Return what measures quality; nothing where nothing is known of any model."""
    setting = Setting(pool=deployments, scores=scores)
    if not weights:
        try:
            return (Quality().bind(setting),)
        except ConfigError:
            return ()
    total = sum(weights.values())
    try:
        return (Benchmarks(weights={name: w / total for name, w in weights.items()}).bind(setting),)
    except (ConfigError, ValueError, ZeroDivisionError) as error:
        raise InvalidRequest(f"turnout.weights: {error}", param="turnout.weights") from None


def _bounded(pool: Pool, constraints: Constraints) -> Pool:
    filters: list[Filter] = []
    if constraints.max_ttft_ms is not None:
        filters.append(SoonEnough(constraints.max_ttft_ms / 1000))
    if constraints.regions:
        filters.append(InRegion(constraints.regions))
    if not filters:
        return pool
    route = msgspec.structs.replace(pool.route, filters=(*pool.route.filters, *filters))
    return msgspec.structs.replace(pool, route=route)


def _ranked(routed: Routed, exchange: Exchange, scores: Scores) -> tuple[Ranked, ...]:
    decision = routed.decision(exchange)
    kept = [view for view in decision.candidates if not view.filters]
    quality = {view.id: view.q for view in kept if view.q is not None}
    if not quality:
        for part in _quality(routed.pool.deployments, {}, scores):
            numbers = part.score(routed.context, routed.candidates)
            named = zip(routed.candidates, numbers, strict=True)
            quality = {candidate.id: q for candidate, q in named if isfinite(q)}
    floor = exchange.ask.prefer.min_quality or 0.0
    ordered = sorted(kept, key=lambda view: _place(view, decision.chosen, quality.get(view.id), floor))
    marks = _marks(ordered, quality)
    return tuple(
        Ranked(
            rank=at,
            id=view.id,
            model=view.model,
            q=quality.get(view.id),
            sd=view.sd,
            cost_nusd=view.cost_nusd or _NO_COST,
            ttft_s=view.ttft_s or _NO_TIME,
            utility=view.utility,
            reasons=(_reason(at, view, decision, quality.get(view.id), floor), *marks[view.id]),
        )
        for at, view in enumerate(ordered, 1)
    )


def _place(
    view: CandidateView, chosen: tuple[str, ...], q: float | None, floor: float
) -> tuple[bool, bool, float, int]:
    """Sort key: the decision's first choice, then what reaches the floor, by falling utility, by the plan."""
    below = q is not None and q < floor
    at = chosen.index(view.id) if view.id in chosen else len(chosen)
    return at > 0, below, inf if view.utility is None else -view.utility, at


def _reason(at: int, view: CandidateView, decision: Decision, q: float | None, floor: float) -> str:
    if at == 1:
        return decision.reason
    if q is not None and q < floor:
        return "below_min_quality"
    return "next_choice" if view.utility is None else "lower_utility"


def _marks(views: Sequence[CandidateView], quality: Mapping[str, float]) -> dict[str, list[str]]:
    """Say of each what it is best at among the ranked, and what is not known of it."""
    costs = {v.id: v.cost_nusd.mean for v in views if v.cost_nusd and v.cost_nusd.mean is not None}
    times = {v.id: v.ttft_s.p50 for v in views if v.ttft_s and v.ttft_s.p50 is not None}
    best = {
        "best_quality": _leaders({name: -q for name, q in quality.items()}),
        "cheapest": _leaders(costs),
        "soonest": _leaders(times),
    }
    unknown: dict[str, Mapping[str, float]] = {
        "quality_unknown": quality,
        "price_unknown": costs,
        "ttft_unknown": times,
    }
    return {
        v.id: [word for word, ids in best.items() if v.id in ids]
        + [word for word, known in unknown.items() if v.id not in known]
        for v in views
    }


def _leaders(column: Mapping[str, T]) -> frozenset[str]:
    """Return who has the least; nobody where there is nothing to compare."""
    if len(column) < 2 or len(set(column.values())) == 1:
        return frozenset()
    least = min(column.values())
    return frozenset(name for name, value in column.items() if value == least)
