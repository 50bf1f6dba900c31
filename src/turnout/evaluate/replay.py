"""Decisions made again from their Records, and compared. Floor 6.

Theory of operation.

1. A Record holds everything its decision was made from: the shape of the request, what narrowed the choice,
   the signals, every candidate with its live numbers, the place in the rotation, the seed of the lot. The
   strategy, its filters and the deployments come from the configuration, which the Record names by digest.
2. From these the same function that decided decides again. Nothing is sent, and no clock is read.
3. Equal means: the same plan with the same delays, the same candidates dropped for the same reasons, the
   same utilities, terms, propensity and constraints. Numbers are compared exactly; JSON keeps every bit.
4. What a Record does not hold is the text of the conversation. What rules ask of the words is in it, answered
   (`rules.text`). A strategy of your own that reads words instead of signals cannot be replayed; that shows
   as a difference, never as a false "equal".
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from turnout.engine.exchange import Exchange
from turnout.engine.pool import Pool
from turnout.engine.route import Router
from turnout.engine.routed import KEY_ALLOW
from turnout.engine.snapshot import Snapshot
from turnout.errors import TurnoutError
from turnout.strategies.base import Context, Pace
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.deployment import Candidate, Stats
from turnout.types.embed import EmbedRequest
from turnout.types.json import Json
from turnout.types.moment import MOMENT, Moment
from turnout.types.principal import Principal
from turnout.types.record import CandidateView, Decision, LiveView, Quantiles, Record
from turnout.types.signal import Signal

UNSEEN = LiveView()
UNKNOWN = Quantiles(None, None)
AUTO = "auto"
_LATER = ("reason",)
"""Fields that what happened after the decision may have rewritten: a fallback names its own reason."""
_NAMED = ("decision_id", "asked", "input", "config_digest", "policy_version", *_LATER)
"""Fields that are not a result of deciding."""


class Replayed(Struct, frozen=True, kw_only=True):
    """One decision made again."""

    request_id: str
    differences: tuple[str, ...] = ()
    """What came out otherwise, a line each."""
    unable: str | None = None
    """Why it could not be made again; None = it could."""
    other_config: bool = False
    """Whether the Record names another configuration than the one replayed with."""

    @property
    def equal(self) -> bool:
        """Whether the same was decided."""
        return self.unable is None and not self.differences


class Replay(Struct, frozen=True, kw_only=True):
    """Many decisions made again."""

    n: int
    n_equal: int
    n_unable: int
    n_other_config: int
    unable: Mapping[str, int]
    """Why not -> how many."""
    different: tuple[Replayed, ...]
    """The first of those that came out otherwise."""

    @property
    def n_different(self) -> int:
        """How many came out otherwise."""
        return self.n - self.n_equal - self.n_unable


def replay_all(records: Iterable[Record], snapshot: Snapshot, *, shown: int = 10) -> Replay:
    """Make the decisions of many Records again; keep the first `shown` that differ."""
    router = router_of(snapshot)
    n = n_equal = n_other = 0
    unable: Counter[str] = Counter()
    different: list[Replayed] = []
    for record in records:
        found = replay(record, snapshot, router=router)
        n += 1
        n_other += found.other_config
        if found.unable is not None:
            unable[found.unable] += 1
        elif found.equal:
            n_equal += 1
        elif len(different) < shown:
            different.append(found)
    return Replay(
        n=n,
        n_equal=n_equal,
        n_unable=sum(unable.values()),
        n_other_config=n_other,
        unable=dict(unable),
        different=tuple(different),
    )


def replay(record: Record, snapshot: Snapshot, *, router: Router | None = None) -> Replayed:
    """Make the decision of a Record again and compare."""
    then = record.decision
    if then is None:
        return Replayed(request_id=record.request_id, unable="no decision was recorded")
    other = then.config_digest != snapshot.digest
    try:
        now = decide_again(record, then, snapshot, router or router_of(snapshot))
    except TurnoutError as error:
        return Replayed(request_id=record.request_id, unable=error.row.word, other_config=other)
    except LookupError as missing:
        return Replayed(request_id=record.request_id, unable=str(missing.args[0]), other_config=other)
    return Replayed(request_id=record.request_id, differences=differences(then, now), other_config=other)


def router_of(snapshot: Snapshot) -> Router:
    """Return a router that decides again: it knows nothing but the configuration."""
    return Router(snapshot, _nobody)


def decide_again(
    record: Record, then: Decision, snapshot: Snapshot, router: Router, *, anew: bool = False
) -> Decision:
    """Return the decision that the snapshot makes of what a Record holds.

    Args:
        record: The request.
        then: What was decided.
        snapshot: The configuration.
        router: Of this configuration.
        anew: Whether the candidates are those of the configuration: one that the Record does not know has no
            live numbers yet, and one that is no longer configured is left out. False = those of the Record.

    Raises:
        LookupError: A candidate or the route is not configured.
        TurnoutError: No candidate is left.
    """
    wishes = dict(then.asked.constraints)
    globs = wishes.pop(KEY_ALLOW, ())
    ask = Ask(
        request_id=record.request_id,
        endpoint="embeddings" if then.asked.endpoint == "embeddings" else "chat",
        dialect=then.asked.dialect,
        principal=Principal(
            key_id=record.principal,
            project=record.project,
            team=record.team,
            allow=msgspec.convert(globs, tuple[str, ...]),
        ),
        prefer=msgspec.convert(wishes, Preferences),
        surface=record.surface,
        tags=record.tags,
        metadata=record.metadata,
    )
    request = _request(then)
    pool = _pool(then, ask, snapshot, router)
    if anew:
        known = {view.id: view for view in then.candidates}
        candidates = tuple(
            _candidate(known[each.id], snapshot) if each.id in known else Candidate(each, _nobody(""))
            for each in pool.deployments
        )
    else:
        candidates = tuple(_candidate(view, snapshot) for view in then.candidates)
    place = snapshot.surfaces.get(record.surface or "")
    context = msgspec.structs.replace(
        _context(record, then, ask, request, candidates), surface=None if place is None else place.surface
    )
    exchange = Exchange(request, ask, started=0.0, at=record.at, seed=then.rng_seed)
    routed = router.weigh(pool, candidates, context, exchange)
    return routed.decision(exchange)


def differences(then: Decision, now: Decision) -> tuple[str, ...]:
    """Return what two decisions disagree about, a line each."""
    found: list[str] = []
    for name in Decision.__struct_fields__:
        if name in _NAMED or name == "candidates":
            continue
        old, new = getattr(then, name), getattr(now, name)
        if name == "signals":
            old, new = _plain(old), _plain(new)
        if old != new:
            found.append(f"{name}: {_short(old)} then, {_short(new)} now")
    for old_view, new_view in zip(then.candidates, now.candidates, strict=True):
        for name in CandidateView.__struct_fields__:
            old, new = getattr(old_view, name), getattr(new_view, name)
            if old != new:
                found.append(f"{old_view.id} {name}: {_short(old)} then, {_short(new)} now")
    return tuple(found)


def _plain(signals: Mapping[str, object]) -> Json:
    tree: Json = msgspec.to_builtins(signals)
    return tree


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else f"{text[:117]}…"


def _pool(then: Decision, ask: Ask, snapshot: Snapshot, router: Router) -> Pool:
    """Return the pool by the name that was asked for; `auto` may have meant the key's own route."""
    model = then.asked.model
    if then.asked.source == AUTO and then.route in snapshot.routes:
        model = f"turnout/{then.route}"
    pool = router.pool(model, ask)
    if pool.route.name != then.route:
        raise LookupError(f"{then.asked.model!r} now means another route")
    return msgspec.structs.replace(pool, reach=None)  # the candidates of then may be others


def _candidate(view: CandidateView, snapshot: Snapshot) -> Candidate:
    deployment = snapshot.deployments.get(view.id)
    if deployment is None:
        raise LookupError("a candidate is no longer configured")
    health, live = view.health, view.live or UNSEEN
    ttft, total = view.ttft_s or UNKNOWN, view.total_s or UNKNOWN
    stats = Stats(
        state="closed" if health is None else health.state,
        cooldown_s=0.0 if health is None else health.cooldown_s,
        demoted=health is not None and health.demoted,
        share=1.0 if health is None or health.share is None else health.share,
        error_ratio=None if health is None else health.error_rate,
        in_flight=view.in_flight,
        ttft_p50_s=ttft.p50,
        ttft_p95_s=ttft.p95,
        total_p50_s=total.p50,
        total_p95_s=total.p95,
        n_observed=live.n_observed,
        ttft_recent_s=live.ttft_recent_s,
        total_recent_s=live.total_recent_s,
        tokens_per_s=live.tokens_per_s,
        tokens_ratio=live.tokens_ratio,
        peak_ewma_s=live.peak_ewma_s,
    )
    return Candidate(deployment, stats)


def _request(then: Decision) -> ChatRequest | EmbedRequest:
    """Return a request of the same shape: the words are not in the Record."""
    seen = then.input
    if then.asked.endpoint == "embeddings":
        return EmbedRequest(model=then.asked.model, input=())
    facts = Facts(
        n_messages=seen.n_messages,
        modalities=frozenset(seen.modalities),
        n_tools=seen.n_tools,
        structured="json_schema" if seen.structured else "",
        server_tools=seen.server_tools,
        native_wire=seen.native_wire,
    )
    last = Message("tool" if seen.tool_loop else "user", (Text(""),))
    return ChatRequest(
        model=then.asked.model,
        messages=(last,),
        max_tokens=seen.max_tokens_out if seen.explicit_max_tokens else None,
        stream=seen.stream,
        facts=facts,
    )


def _context(
    record: Record,
    then: Decision,
    ask: Ask,
    request: ChatRequest | EmbedRequest,
    candidates: tuple[Candidate, ...],
) -> Context:
    seen, pace = then.input, then.pace
    signals: dict[str, Signal] = {
        name: Signal(view.value, 1.0 if view.confidence is None else view.confidence, view.error)
        for name, view in then.signals.items()
    }
    if MOMENT in signals:
        signals[MOMENT] = Moment(
            value=signals[MOMENT].value, at=record.at, candidates=candidates, session=then.session
        )
    return Context(
        request=request,
        ask=ask,
        at=record.at,
        n_tokens_in=seen.n_tokens,
        n_tokens_out=seen.n_tokens_out or 0,
        max_tokens_out=seen.max_tokens_out or 0,
        explicit_max_tokens=seen.explicit_max_tokens,
        signals=signals,
        tokens_out={v.id: v.n_tokens_out for v in then.candidates if v.n_tokens_out is not None},
        tokens_in={v.id: v.n_tokens_in for v in then.candidates if v.n_tokens_in is not None},
        sequence=then.sequence,
        session=then.session,
        pace=None if pace is None else Pace(lambda_=pace.lambda_, cap_nusd=pace.cap_nusd),
        may_hedge=then.may_hedge,
        certificate_void=None if then.certificate is None else then.certificate.void,
    )


def _nobody(_: str) -> Stats:
    return Stats()
