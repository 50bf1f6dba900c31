"""What answers say beside their body: the response headers of docs/design/WIRE.md section 6. Floor 6."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil

from turnout.engine.exchange import Exchange, Room, Routing
from turnout.errors import Retry, TurnoutError
from turnout.server.http import RawHeaders
from turnout.types.cache import CacheView
from turnout.types.compress import CompressView
from turnout.types.record import Outcome
from turnout.types.usage import usd

_WORD = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,64}")
_MOST_WORDS = 32
"""Of a list in a header: names of fields are the client's own, as many as it likes to invent."""


def chosen(routing: Routing, reason: str) -> RawHeaders:
    """Return the headers that name the decision."""
    return [
        (b"x-turnout-route", routing.route.encode()),
        (b"x-turnout-strategy", routing.strategy.encode()),
        (b"x-turnout-reason", reason.encode()),
    ]


def answered_by(model: str, provider: str) -> RawHeaders:
    """Return the headers that name who answered, or who was asked last."""
    return [(b"x-turnout-model", model.encode()), (b"x-turnout-provider", provider.encode())]


def effort(exchange: Exchange) -> RawHeaders:
    """Return the headers that tell how often the request went out, as far as that is known."""
    headers = [
        (b"x-turnout-decision-id", b"dec_" + exchange.ask.request_id[4:].encode()),
        (b"x-turnout-attempts", b"%d" % exchange.n_calls),
        (b"x-turnout-fallbacks", b"%d" % exchange.n_fallbacks),
    ]
    if exchange.n_repairs:
        headers.append((b"x-turnout-repaired", b"%d" % exchange.n_repairs))
    return headers


def notices(exchange: Exchange) -> RawHeaders:
    """Return the headers that tell what was left out or deserves a look; mostly none."""
    headers: RawHeaders = []
    if exchange.dropped:
        headers.append((b"x-turnout-dropped-params", _words(exchange.dropped)))
    warnings = (*exchange.ask.warnings, *exchange.warnings)
    if warnings:
        headers.append((b"x-turnout-warnings", _words(warnings)))
    return headers


def guards(exchange: Exchange) -> RawHeaders:
    """Return what each guard did so far, the gravest of its stages, as `name=action`."""
    did: dict[str, str] = {}
    for view in exchange.guards:
        if view.name not in did or did[view.name] == "pass":
            did[view.name] = view.action
    return [(b"x-turnout-guards", ",".join(f"{name}={action}" for name, action in did.items()).encode())]


def cached(view: CacheView) -> RawHeaders:
    """Return what the cache did: the word, the key's first digits, the age of what was given again."""
    headers = [(b"x-turnout-cache", view.status.encode())]
    if view.key:
        headers.append((b"x-turnout-cache-key", view.key.encode()))
    if view.age_s is not None:
        headers.append((b"x-turnout-cache-age-s", b"%d" % view.age_s))
    return headers


def compressed(view: CompressView) -> RawHeaders:
    """Return how a conversation was shortened: tokens before and after, and what each step took away."""
    steps = "".join(f",{each.step}={each.n_tokens}" for each in view.steps)
    return [(b"x-turnout-compressed", f"before={view.n_before},after={view.n_after}{steps}".encode())]


def room(left: Room, at: datetime, *, wire: str) -> RawHeaders:
    """Return what the tightest quotas leave, as clients of OpenAI read it, and those of Anthropic theirs."""
    headers: RawHeaders = []
    for (limit_at, left_at, reset_at, kind), found in (
        (_OF_REQUESTS, left.requests),
        (_OF_TOKENS, left.tokens),
    ):
        if found is None:
            continue
        limit, remaining, reset_s = found
        headers += (
            (limit_at, b"%d" % limit),
            (left_at, b"%d" % remaining),
            (reset_at, duration(reset_s).encode()),
        )
        if wire == "anthropic":
            reset = (at + timedelta(seconds=ceil(reset_s))).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers += [
                (b"anthropic-ratelimit-" + kind + b"-limit", b"%d" % limit),
                (b"anthropic-ratelimit-" + kind + b"-remaining", b"%d" % remaining),
                (b"anthropic-ratelimit-" + kind + b"-reset", reset.encode()),
            ]
    return headers


_OF_REQUESTS, _OF_TOKENS = (
    (*(b"x-ratelimit-%b-%b" % (what, kind) for what in (b"limit", b"remaining", b"reset")), kind)
    for kind in (b"requests", b"tokens")
)


def duration(seconds: float) -> str:
    """Write a time as OpenAI does: `6ms`, `1m30s`, `2h0m1s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    whole = ceil(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def spent(outcome: Outcome, upstream_s: float) -> RawHeaders:
    """Return the headers known once everything is settled."""
    headers = [
        (b"x-turnout-cost-state", outcome.cost_state.encode()),
        (b"x-turnout-overhead-ms", b"%.3f" % (outcome.overhead_s * 1000)),
        (b"x-turnout-upstream-ms", b"%.3f" % (upstream_s * 1000)),
    ]
    if outcome.cost_nusd is not None:
        headers.append((b"x-turnout-cost-usd", usd(outcome.cost_nusd).encode()))
    return headers


def failed(error: TurnoutError, exchange: Exchange | None) -> RawHeaders:
    """Return the headers of a failure: its class, whether and when to come back, what had been decided."""
    headers: RawHeaders = [(b"x-turnout-error-class", error.row.word.encode())]
    wait_s = error.retry_after_s
    if wait_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(wait_s))))
        headers.append((b"retry-after-ms", b"%d" % ceil(wait_s * 1000)))
    headers.append((b"x-should-retry", b"true" if should_retry(error) else b"false"))
    if exchange is not None and exchange.room is not None:
        headers += room(exchange.room, exchange.at, wire="")
    if exchange is not None and exchange.guards:
        headers += guards(exchange)
    if exchange is not None and exchange.cached is not None:
        headers += cached(exchange.cached)
    if exchange is not None and exchange.routing is not None:
        headers += chosen(exchange.routing, exchange.fallback_reason or exchange.routing.reason)
        headers += effort(exchange)
        if exchange.attempts:
            last = exchange.attempts[-1]
            headers += answered_by(last.model, last.provider)
        headers += notices(exchange)
    return headers


def should_retry(error: TurnoutError) -> bool:
    """Tell whether the same request may succeed when sent again: in the upstream's word, else in ours."""
    if error.upstream is not None and error.upstream.should_retry is not None:
        return error.upstream.should_retry
    return error.row.retry not in (Retry.NO, Retry.OTHER_KEY)


def _words(words: Iterable[str]) -> bytes:
    """Write words as a list; what is not a word stays out: names of fields may be a client's invention."""
    fit = [word for word in dict.fromkeys(words) if _WORD.fullmatch(word)]
    return ",".join(fit[:_MOST_WORDS]).encode()
