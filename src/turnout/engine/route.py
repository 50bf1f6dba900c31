"""Stations 3 to 5: candidates, signals, plan. Floor 4.

Names become a pool (`engine/pool.py`); filters drop with a reason; the strategy chooses.
"""

from collections.abc import Callable, Mapping

import msgspec

from turnout.engine.exchange import Exchange
from turnout.engine.pool import Pools
from turnout.engine.routed import Routed
from turnout.engine.sense import sense, with_signals
from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import (
    CapacityExhausted,
    ContextLengthExceeded,
    Forbidden,
    NoEligibleModel,
    PriceUnknown,
    TurnoutError,
    UnsupportedParameter,
)
from turnout.strategies.base import Context
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Stats
from turnout.types.moment import Moment
from turnout.types.record import Dropped

CHARS_PER_TOKEN = 3.2
"""Declared default of the `tokens.in` signal (ROUTING.md 2.2)."""
MEDIA_TOKENS = 800
"""Reckoned per picture, sound or document when the provider has not told: a mid-size image."""
EMBED_TOKENS_OUT = 0

StatsOf = Callable[[str], Stats]
"""Deployment id -> live numbers now."""


class Router:
    """Chooses for one snapshot of the configuration."""

    __slots__ = ("_pools", "_snapshot", "_stats")

    def __init__(self, snapshot: Snapshot, stats: StatsOf) -> None:
        self._snapshot = snapshot
        self._stats = stats
        self._pools = Pools(snapshot)

    def decide(self, exchange: Exchange) -> Routed:
        """Choose a plan for the exchange. Raises a `TurnoutError` when no candidate is left."""
        request, ask = exchange.request, exchange.ask
        pool = self._pools.pool(request.model, ask)
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
        exchange.warnings += pool.warnings
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
