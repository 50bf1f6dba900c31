"""Stations 3 to 5: candidates, signals, plan. Floor 4.

Names become a pool (`engine/pool.py`); filters drop with a reason; the strategy chooses.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from turnout import plan as plans
from turnout.engine.allowance import Allowance
from turnout.engine.beside import Beside
from turnout.engine.exchange import Exchange, Request
from turnout.engine.outputs import NOTHING, Outputs
from turnout.engine.pace import Remembered
from turnout.engine.pool import Pool, Pools
from turnout.engine.repeats import Repeats
from turnout.engine.reply import Reply
from turnout.engine.retired import in_service
from turnout.engine.routed import Routed, Told
from turnout.engine.sense import sense, with_signals
from turnout.engine.snapshot import Place, Route, Snapshot
from turnout.engine.tasks import one_by_one
from turnout.engine.unwell import Candidates, behind, parted
from turnout.errors import (
    BudgetExceeded,
    CapacityExhausted,
    ContextLengthExceeded,
    Forbidden,
    NoEligibleModel,
    PriceUnknown,
    TurnoutError,
    UnsupportedParameter,
)
from turnout.stores.live import Reader
from turnout.strategies.base import Choice, Context, Draw, Filter, Strategy, Surface
from turnout.strategies.filters import asked
from turnout.strategies.priority import Priority
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Stats
from turnout.types.moment import Moment, Session
from turnout.types.record import Dropped, Reason
from turnout.types.signal import Canonical, Signal, Signals

CHARS_PER_TOKEN = 3.2
"""Declared default of the `tokens.in` signal (ROUTING.md 2.2)."""
MEDIA_TOKENS = 800
"""Reckoned per picture, sound or document when the provider has not told: a mid-size image."""
EMBED_TOKENS_OUT = 0
_NOT_GIVEN = Signal(error="not_given")

StatsOf = Callable[[str], Stats]
"""Deployment id -> live numbers now."""


class Router:
    """Chooses for one snapshot of the configuration."""

    __slots__ = (
        "_allowances",
        "_counts",
        "_only",
        "_outputs",
        "_pacers",
        "_pools",
        "_repeats",
        "_sessions",
        "_snapshot",
        "_standings",
        "_stats",
        "_told",
    )

    def __init__(self, snapshot: Snapshot, stats: StatsOf, remembered: Remembered | None = None) -> None:
        self._snapshot = snapshot
        self._stats = stats
        self._sessions = None if remembered is None else remembered.sessions
        self._pacers = None if remembered is None else remembered.pacers
        self._outputs = Outputs() if remembered is None else remembered.outputs
        self._repeats = Repeats() if remembered is None else remembered.repeats
        self._standings = None if remembered is None else remembered.standings
        self._pools = Pools(snapshot)
        self._only: dict[tuple[str, bool], Choice] = {}
        """Deployment, and whether it was named -> the choice of it where nobody else is a candidate."""
        self._told = Told()
        self._counts: dict[str, int] = {}
        """Route -> requests decided so far."""
        self._allowances: dict[str, Allowance] = {}
        """Route -> extra calls it may make, for routes that hedge."""

    @property
    def snapshot(self) -> Snapshot:
        """The configuration it chooses under."""
        return self._snapshot

    @property
    def direct(self) -> Route:
        """The route of requests that name models instead of a route."""
        return self._snapshot.direct

    async def sense(self, exchange: Exchange, beside: Beside) -> None:
        """Compute the signals of a route that has slow ones, and put them on the exchange's ask.

        Without this, a decision reads its slow senses in the calling thread.
        """
        ask = exchange.ask
        if ask.given is not None:
            return
        pool = self._pools.pool(exchange.request.model, ask)
        if not pool.route.slow:
            return
        candidates = tuple(Candidate(d, self._stats(d.id)) for d in pool.deployments)
        session = None if self._sessions is None else self._sessions.of(ask)
        outputs = self._outputs.of(pool.route.name, self._limit(exchange.request))
        moment = self._moment(exchange, candidates, session, outputs)
        given = await beside.sense(pool.route.senses, exchange.request, ask, moment)
        self._note(exchange, given)
        exchange.ask = msgspec.structs.replace(ask, given=given)

    def decide(self, exchange: Exchange) -> Routed:
        """Choose a plan for the exchange. Raises a `TurnoutError` when no candidate is left."""
        return self.choose(exchange, self._pools.pool(exchange.request.model, exchange.ask))

    def pool(self, model: str, ask: Ask) -> Pool:
        """Resolve what a request names. Raises `ModelNotFound`."""
        return self._pools.pool(model, ask)

    def choose(self, exchange: Exchange, pool: Pool) -> Routed:
        """Choose a plan within a pool. Raises a `TurnoutError` when no candidate is left."""
        if self._snapshot.retiring:
            pool = in_service(pool, self._snapshot.retiring, exchange.at.date().isoformat())
        ask, route = exchange.ask, pool.route
        stats = self._stats
        if isinstance(stats, Reader):
            candidates = stats.candidates(pool.deployments)
        else:
            candidates = tuple([Candidate(d, stats(d.id)) for d in pool.deployments])
        place = self._place(exchange) if ask.surface is not None else None
        context = self._context(exchange, route, candidates, None if place is None else place.surface)
        routed = self.weigh(pool, candidates, context, exchange)
        if ask.prefer.route and ask.prefer.route != route.name:
            exchange.warnings.append("route_ignored")
        exchange.warnings += pool.warnings
        exchange.policy = route.policy
        if exchange.deadline is not None:
            exchange.deadline.within(route.policy.total_s)
        if _hedges(routed.choice.plan):
            exchange.allowance = self._allowances.setdefault(route.name, Allowance())
        exchange.routing = routed
        return routed

    def weigh(self, pool: Pool, candidates: tuple[Candidate, ...], context: Context, draw: Draw) -> Routed:
        """Choose a plan among candidates as they are described. Pure: the same arguments, the same choice.

        Raises a `TurnoutError` when no candidate is left.
        """
        ask, route = context.ask, pool.route
        place = self._snapshot.surfaces.get(ask.surface) if ask.surface is not None else None
        filters = route.filters if place is None else (*place.filters, *route.filters)
        unwell = [c for c in candidates if (s := c.stats).demoted or s.share < 1 or s.state == "open"]
        kept, dropped = _filter(
            asked(filters, context, pool.reach, all_closed=not unwell), context, candidates
        )
        if not kept:
            raise _nothing_left(candidates, dropped, context)
        strategy = route.strategy
        if route.guarded is not None and (place is not None or ask.prefer.min_quality is not None):
            strategy = route.guarded
        first, last, drawn = parted(context, kept, draw) if unwell else (kept, (), False)
        if last:
            choice = _set_aside(strategy, context, (kept, first, last), draw)
        elif len(candidates) == 1 and type(strategy) is Priority:
            choice = self._alone(kept[0].id, pinned=pool.pinned)
        else:
            choice = strategy.choose(context, kept, draw)
        if not isinstance(context.request, ChatRequest):
            choice = msgspec.structs.replace(choice, plan=one_by_one(choice.plan))
        if drawn:
            choice = msgspec.structs.replace(choice, propensity=None)
        reason = _why(choice, pool, ask, n=len(candidates))
        if reason != choice.reason:
            choice = msgspec.structs.replace(choice, reason=reason)
        return Routed(pool, context, candidates, dropped, choice, self._snapshot, self._told)

    def _alone(self, name: str, *, pinned: bool) -> Choice:
        """Return the choice of `priority` where there is none: the same for every request."""
        choice = self._only.get((name, pinned))
        if choice is None:
            reason: Reason = "pinned_by_caller" if pinned else "only_candidate"
            choice = self._only[name, pinned] = Choice(plan=plans.Try(name), reason=reason, propensity=1.0)
        return choice

    def remember(self, ask: Ask, deployment: str, context: Context) -> None:
        """Take in who answers a turn of a conversation."""
        if self._sessions is not None:
            n_in = context.tokens_in.get(deployment, context.n_tokens_in)
            self._sessions.note(ask, deployment, n_in)

    def _context(
        self, exchange: Exchange, route: Route, candidates: tuple[Candidate, ...], surface: Surface | None
    ) -> Context:
        request = exchange.request
        facts = request.facts
        n_in = int(facts.n_chars / CHARS_PER_TOKEN) + facts.n_media * MEDIA_TOKENS + 4 * facts.n_messages
        limit = self._limit(request)
        sequence, allowance = self._next(route.name, exchange), self._allowances.get(route.name)
        if allowance is not None:
            allowance.earn(sequence)
        session = None if self._sessions is None else self._sessions.of(exchange.ask)
        context = Context(
            request=request,
            session=session,
            ask=exchange.ask,
            at=exchange.at,
            sequence=sequence,
            pace=None if self._pacers is None else self._pacers.pace(route.name, exchange.at),
            may_hedge=allowance is None or allowance.has_room,
            certificate_void=None if self._standings is None else self._standings.void(route.name),
            surface=surface,
            n_tokens_in=n_in,
            n_tokens_out=min(limit, 512),
            max_tokens_out=limit,
            explicit_max_tokens=isinstance(request, ChatRequest) and request.max_tokens is not None,
            tokens_out=self._outputs.of(route.name, limit) if limit else NOTHING,
        )
        if exchange.ask.given is not None:
            absent = {each.name: _NOT_GIVEN for each in route.senses}
            return with_signals(context, {**absent, **exchange.ask.given})
        if route.senses:
            moment = self._moment(exchange, candidates, session, context.tokens_out)
            signals = sense(route.senses, request, exchange.ask, moment)
            self._note(exchange, signals)
            context = with_signals(context, signals)
        return context

    def _moment(
        self,
        exchange: Exchange,
        candidates: tuple[Candidate, ...],
        session: Session | None,
        outputs: Mapping[str, int],
    ) -> Moment:
        at = exchange.at
        return Moment(
            value=at.timestamp(),
            at=at,
            candidates=candidates,
            session=session,
            outputs=outputs,
            repeated=self._repeats.of(_tenant(exchange.ask)),
        )

    def _note(self, exchange: Exchange, signals: Signals) -> None:
        """Count the blocks of what was asked, unless it was only asked what would happen."""
        canonical = signals.get("canonical")
        if isinstance(canonical, Canonical) and not exchange.explain_only:
            self._repeats.note(_tenant(exchange.ask), canonical.blocks)

    def _limit(self, request: Request) -> int:
        if isinstance(request, ChatRequest):
            return request.max_tokens or self._snapshot.default_max_tokens
        return EMBED_TOKENS_OUT

    def learn(self, exchange: Exchange, reply: Reply) -> None:
        """Take in how much an answer that ended was."""
        routing, usage = exchange.routing, reply.usage
        if routing is not None and usage is not None and reply.finish is not None:
            self._outputs.note(routing.route, reply.deployment.id, usage.n_output)

    def _place(self, exchange: Exchange) -> Place | None:
        place = self._snapshot.surfaces.get(exchange.ask.surface or "")
        if place is None and self._snapshot.surfaces:
            exchange.warnings.append("surface_ignored")
        return place

    def _next(self, route: str, exchange: Exchange) -> int:
        """Return the number of this request in its route. Asking what would happen takes none."""
        n = self._counts.get(route, 0)
        if not exchange.explain_only:
            self._counts[route] = n + 1
        return n


def _tenant(ask: Ask) -> str:
    return ask.principal.organisation or ask.principal.key_id or ""


def _hedges(plan: plans.Plan) -> bool:
    """Tell whether a plan begins with a race; deeper ones are the business of whoever wrote them."""
    return isinstance(plan, plans.Hedge) or (
        isinstance(plan, plans.Sequence) and isinstance(plan.nodes[0], plans.Hedge)
    )


def _why(choice: Choice, pool: Pool, ask: Ask, *, n: int) -> Reason:
    """Return why the first model was chosen, where something else than the strategy says it."""
    if ask.diverted is not None:
        return "rewritten_by_policy"
    if ask.downgrade is not None:
        return "budget_downgrade"
    if pool.pinned or (n == 1 and choice.reason == "pinned_by_caller"):
        return "pinned_by_caller"
    return "only_candidate" if n == 1 else choice.reason


def _set_aside(
    strategy: Strategy, context: Context, parts: tuple[Candidates, Candidates, Candidates], draw: Draw
) -> Choice:
    """Choose among the well, with the others behind them, where no constraint is given up for it.

    Being unwell is a reason to be asked last, not a reason to break a floor: where the well alone cannot keep
    the constraints, all are chosen among, and nobody follows whom the strategy would not have named.
    """
    kept, first, last = parts
    among_all = strategy.choose(context, kept, draw)
    try:
        choice = strategy.choose(context, first, draw)
    except NoEligibleModel:
        return among_all
    if set(choice.objective.relaxed) - set(among_all.objective.relaxed):
        return among_all
    if _uncertified(choice) and not _uncertified(among_all):
        return among_all  # an unwell reference is still the reference
    named = plans.deployments(among_all.plan)
    behind_it = [candidate for candidate in last if candidate.id in named]
    if not behind_it or not context.ask.prefer.allow_fallbacks:
        return choice
    return msgspec.structs.replace(choice, plan=behind(choice.plan, behind_it))


def _uncertified(choice: Choice) -> bool:
    return choice.certificate is not None and choice.certificate.uncertified is not None


def _filter(
    filters: Sequence[Filter], context: Context, candidates: tuple[Candidate, ...]
) -> tuple[tuple[Candidate, ...], Mapping[str, tuple[Dropped, ...]]]:
    dropped: dict[str, tuple[Dropped, ...]] = {}
    for candidate in candidates if filters else ():
        for each in filters:
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
        case "priced" if "over_budget" in first.values():
            left = (context.ask.left_nusd or 0) * 1e-9
            return BudgetExceeded(f"what is left of the budget, {left:g} USD, may not be enough: {listing}")
        case "priced" if set(first.values()) == {"price_unknown"}:
            return PriceUnknown(f"the price is not known: {listing}")
        case _ if not candidates:
            return NoEligibleModel(
                "no model to choose among; configure one, set a provider's key, or name some"
            )
        case _:
            return NoEligibleModel(f"every candidate was filtered out: {listing}")
