"""Stations 3 to 5: candidates, signals, plan. Floor 4.

Names become a pool by the precedence of docs/design/WIRE.md section 8; filters drop with a reason; the
strategy chooses. What was decided is kept as it is and written out as a `Decision` only when somebody
reads it.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from turnout import plan as plans
from turnout.engine.exchange import Exchange
from turnout.engine.sense import sense, with_signals
from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import (
    CapacityExhausted,
    ContextLengthExceeded,
    Forbidden,
    ModelNotFound,
    NoEligibleModel,
    PriceUnknown,
    TurnoutError,
    UnsupportedParameter,
)
from turnout.strategies.base import Choice, Context
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Deployment, Stats
from turnout.types.moment import Moment
from turnout.types.record import (
    Asked,
    CandidateView,
    CostView,
    Decision,
    Dropped,
    HealthView,
    InputView,
    Quantiles,
    Reason,
    SignalView,
    Status,
)
from turnout.types.usage import NanoUsd, Usage, cost

CHARS_PER_TOKEN = 3.2
"""Declared default of the `tokens.in` signal (ROUTING.md 2.2)."""
MEDIA_TOKENS = 800
"""Reckoned per picture, sound or document when the provider has not told: a mid-size image."""
EMBED_TOKENS_OUT = 0
_AUTO = ("auto", "")
"""Names that leave the choice to the key's or the server's default route."""

StatsOf = Callable[[str], Stats]
"""Deployment id -> live numbers now."""


class Pool(Struct, frozen=True):
    """The deployments a request may go to, and the route whose rules apply."""

    route: Route
    deployments: tuple[Deployment, ...]
    source: str
    """Which rule of precedence chose it."""
    pinned: bool
    """The caller named one model."""


class Routed(Struct, frozen=True):
    """What was decided, with everything its Decision is written from."""

    pool: Pool
    context: Context
    candidates: tuple[Candidate, ...]
    dropped: Mapping[str, tuple[Dropped, ...]]
    choice: Choice
    snapshot: Snapshot

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

    def decision(self, exchange: Exchange) -> Decision:
        """Write the Decision in full."""
        chosen = plans.deployments(self.choice.plan)
        ask = self.context.ask
        return Decision(
            decision_id="dec_" + ask.request_id.removeprefix("req_"),
            route=self.route,
            strategy=self.strategy,
            asked=Asked(
                endpoint=ask.endpoint,
                dialect=ask.dialect,
                model=exchange.original.model,
                source=self.pool.source,
            ),
            input=_input(self.context),
            candidates=tuple(self._view(candidate, chosen) for candidate in self.candidates),
            plan=plans.to_json(self.choice.plan),
            kind=plans.kind(self.choice.plan),
            chosen=chosen,
            reason=exchange.fallback_reason or self.choice.reason,
            signals={
                name: SignalView(
                    value=s.value, confidence=s.confidence if s.error is None else None, error=s.error
                )
                for name, s in self.context.signals.items()
            },
            objective=self.choice.objective,
            propensity=self.choice.propensity,
            explored=self.choice.explored,
            abstained=self.choice.abstained,
            rng_seed=exchange.seed,
            policy_version=self.snapshot.version,
            config_digest=self.snapshot.digest,
        )

    def _view(self, candidate: Candidate, chosen: tuple[str, ...]) -> CandidateView:
        drops = self.dropped.get(candidate.id, ())
        stats = candidate.stats
        return CandidateView(
            id=candidate.id,
            model=candidate.deployment.model.id,
            status=_status(candidate, drops, chosen),
            filters=drops,
            scores=self.choice.scores.get(candidate.id, {}),
            utility=self.choice.utilities.get(candidate.id),
            cost_nusd=expected_cost(candidate.deployment, self.context),
            ttft_s=Quantiles(stats.ttft_p50_s, stats.ttft_p95_s),
            health=HealthView(stats.state, stats.error_ratio, stats.cooldown_s),
            in_flight=stats.in_flight,
        )


def _status(candidate: Candidate, drops: tuple[Dropped, ...], chosen: tuple[str, ...]) -> Status:
    if drops:
        return "cooling" if drops[0].filter == "healthy" else "filtered"
    if chosen and candidate.id == chosen[0]:
        return "chosen"
    return "eligible" if candidate.id in chosen else "lost"


def expected_cost(deployment: Deployment, context: Context) -> CostView:
    """Predict the money of one call; None where the price is not known."""
    price = deployment.model.price
    if price is None:
        return CostView(None, None)
    mean = cost(Usage(input_uncached=context.n_tokens_in, output_text=context.n_tokens_out), price)
    dearest = max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0)
    worst = NanoUsd(
        -(
            -(
                context.n_tokens_in * dearest
                + context.max_tokens_out * max(price.output, price.reasoning or 0)
            )
            // 1000
        )
        + -(-(price.per_request or 0) // 1000)
    )
    return CostView(mean, max(mean, worst), price.as_of)


def _input(context: Context) -> InputView:
    request = context.request
    return InputView(
        n_tokens=context.n_tokens_in,
        n_tokens_source="estimate",
        max_tokens_out=context.max_tokens_out,
        modalities=tuple(sorted(request.facts.modalities)),
        n_tools=request.facts.n_tools,
        structured=bool(request.facts.structured),
        stream=isinstance(request, ChatRequest) and request.stream,
        n_messages=request.facts.n_messages,
    )


class Router:
    """Chooses for one snapshot of the configuration."""

    __slots__ = ("_by_name", "_snapshot", "_stats")

    def __init__(self, snapshot: Snapshot, stats: StatsOf) -> None:
        self._snapshot = snapshot
        self._stats = stats
        self._by_name: dict[str, Pool] = {}
        """Plain names resolved before: bounded by the configured names, as unknown ones raise."""

    def decide(self, exchange: Exchange) -> Routed:
        """Choose a plan for the exchange. Raises a `TurnoutError` when no candidate is left."""
        request, ask = exchange.request, exchange.ask
        pool = self.pool(request.model, ask)
        route = pool.route
        stats = self._stats
        candidates = tuple(Candidate(d, stats(d.id)) for d in pool.deployments)
        context = self._context(exchange, route, candidates)
        kept, dropped = self._filter(route, context, candidates)
        if not kept:
            raise _nothing_left(candidates, dropped, context)
        choice = route.strategy.choose(context, kept, exchange)
        if len(candidates) == 1 and choice.reason != "pinned_by_caller":
            choice = msgspec.structs.replace(
                choice, reason="pinned_by_caller" if pool.pinned else "only_candidate"
            )
        elif pool.pinned:
            choice = msgspec.structs.replace(choice, reason="pinned_by_caller")
        if ask.prefer.route and ask.prefer.route != route.name:
            exchange.warnings.append("route_ignored")
        exchange.policy = route.policy
        if exchange.deadline is not None:
            exchange.deadline.within(route.policy.total_s)
        routed = Routed(pool, context, candidates, dropped, choice, self._snapshot)
        exchange.routing = routed
        return routed

    def _context(self, exchange: Exchange, route: Route, candidates: tuple[Candidate, ...]) -> Context:
        request = exchange.request
        facts = request.facts
        n_in = int(facts.n_chars / CHARS_PER_TOKEN) + facts.n_media * MEDIA_TOKENS + 4 * facts.n_messages
        if isinstance(request, ChatRequest):
            limit = request.max_tokens or self._snapshot.default_max_tokens
        else:
            limit = EMBED_TOKENS_OUT
        context = Context(
            request=request,
            ask=exchange.ask,
            at=exchange.at,
            n_tokens_in=n_in,
            n_tokens_out=min(limit, 512),
            max_tokens_out=limit,
            explicit_max_tokens=isinstance(request, ChatRequest) and request.max_tokens is not None,
        )
        if route.senses:
            moment = Moment(value=exchange.at.timestamp(), at=exchange.at, candidates=candidates)
            context = with_signals(context, sense(route.senses, request, exchange.ask, moment))
        return context

    def _filter(
        self, route: Route, context: Context, candidates: tuple[Candidate, ...]
    ) -> tuple[tuple[Candidate, ...], Mapping[str, tuple[Dropped, ...]]]:
        dropped: dict[str, tuple[Dropped, ...]] = {}
        for candidate in candidates:
            for each in route.filters:
                reason = each.drop(context, candidate)
                if reason is not None:
                    dropped[candidate.id] = (*dropped.get(candidate.id, ()), Dropped(each.name, reason))
        if not dropped:
            return candidates, dropped
        return tuple(c for c in candidates if c.id not in dropped), dropped

    def pool(self, model: str, ask: Ask) -> Pool:
        """Resolve what the request names to a pool, by the precedence of WIRE.md section 8."""
        prefer = ask.prefer
        if model in _AUTO and ask.principal.default_route:
            return self._preferred(model, ask)  # means something else for each key: not to be remembered
        if not (prefer.candidates or prefer.fallbacks or prefer.route or prefer.order_providers):
            pool = self._by_name.get(model)
            if pool is None:
                pool = self._by_name[model] = self._named(model, ask)
            return pool
        return self._preferred(model, ask)

    def _preferred(self, model: str, ask: Ask) -> Pool:
        prefer = ask.prefer
        concrete = self._deployments(model)
        if concrete or (prefer.candidates and model not in _AUTO):
            names = [model, *prefer.candidates, *prefer.fallbacks]
            source = "body.models" if prefer.candidates else "body.model"
            return self._listed(names, source, ask, pinned=bool(concrete) and not prefer.candidates)
        if prefer.candidates:
            return self._listed([*prefer.candidates, *prefer.fallbacks], "body.models", ask, pinned=False)
        base = self._by_route(prefer.route) if prefer.route else self._named(model, ask)
        if not prefer.fallbacks:
            return base
        extra = self._listed(list(prefer.fallbacks), base.source, ask, pinned=False).deployments
        return Pool(base.route, _unique((*base.deployments, *extra)), base.source, pinned=False)

    def _listed(self, names: list[str], source: str, ask: Ask, *, pinned: bool) -> Pool:
        found: list[Deployment] = []
        for name in names:
            deployments = self._deployments(name) or self._named(name, ask).deployments
            order = ask.prefer.order_providers
            if order:
                deployments = tuple(sorted(deployments, key=lambda d: _rank(order, d.vendor.name)))
            found += deployments
        return Pool(self._snapshot.direct, _unique(found), source, pinned)

    def _named(self, model: str, ask: Ask) -> Pool:
        snapshot = self._snapshot
        concrete = self._deployments(model)
        if concrete:
            return Pool(snapshot.direct, concrete, "body.model", pinned=True)
        if model.startswith("turnout/"):
            return self._by_route(model.removeprefix("turnout/"))
        alias = snapshot.aliases.get(model)
        if alias is not None:
            pool = self._named(alias, ask)
            return Pool(pool.route, pool.deployments, "alias", pool.pinned)
        if model in _AUTO:
            name = ask.principal.default_route or snapshot.default_route
            if name is not None:
                pool = self._by_route(name)
                return Pool(pool.route, pool.deployments, "auto", pinned=False)
        raise self._unknown(model)

    def _by_route(self, name: str) -> Pool:
        route = self._snapshot.routes.get(name)
        if route is None:
            raise self._unknown(f"turnout/{name}")
        return Pool(route, route.deployments, "body.route", pinned=False)

    def _deployments(self, name: str) -> tuple[Deployment, ...]:
        snapshot = self._snapshot
        name = name.removesuffix("[1m]")
        found = snapshot.models.get(name)
        if found is None and name in snapshot.bare:
            found = snapshot.models.get(snapshot.bare[name])
        if found is None and name in snapshot.deployments:
            found = (snapshot.deployments[name],)
        return found or ()

    def _unknown(self, name: str) -> ModelNotFound:
        snapshot = self._snapshot
        names = [*snapshot.models, *snapshot.aliases, *(f"turnout/{route}" for route in snapshot.routes)]
        near = difflib.get_close_matches(name[:200], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; GET /v1/models lists what is served"
        return ModelNotFound(f"the model {name[:200]!r} is not served here{hint}", param="model")


def allows(globs: Sequence[str], deployment: Deployment) -> bool:
    """Tell whether any glob matches the model or provider name."""
    model, vendor = deployment.model.id, deployment.vendor.name
    return any(fnmatchcase(model, glob) or fnmatchcase(vendor, glob) for glob in globs)


def _rank(order: tuple[str, ...], vendor: str) -> int:
    return order.index(vendor) if vendor in order else len(order)


def _unique(deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    return tuple({d.id: d for d in deployments}.values())


def _nothing_left(
    candidates: tuple[Candidate, ...], dropped: Mapping[str, tuple[Dropped, ...]], context: Context
) -> TurnoutError:
    """Return the failure that says best why every candidate was dropped."""
    first = {drops[0].filter: drops[0].reason for drops in dropped.values()}
    listing = "; ".join(
        f"{c.deployment.model.id}: {', '.join(f'{d.filter} ({d.reason})' for d in dropped[c.id])}"
        for c in candidates[:10]
    )
    only = next(iter(first)) if len(first) == 1 else ""
    match only:
        case "healthy":
            waits = [c.stats.cooldown_s for c in candidates if c.stats.cooldown_s > 0]
            return CapacityExhausted(
                f"every model is cooling down: {listing}", retry_after_s=min(waits, default=1.0)
            )
        case "fits":
            return ContextLengthExceeded(
                f"prompt is too long: about {context.n_tokens_in} tokens; {listing}", param="messages"
            )
        case "capable":
            return UnsupportedParameter(f"no model can do what the request needs: {listing}")
        case "allowed":
            return Forbidden(f"no allowed model is left: {listing}")
        case "priced" if set(first.values()) == {"price_unknown"}:
            return PriceUnknown(f"the price is not known: {listing}")
        case _:
            return NoEligibleModel(f"every candidate was filtered out: {listing}")
