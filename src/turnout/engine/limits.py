"""Which budgets and quotas a request falls under, and what they are called in the ledger. Floor 4.

Theory of operation.

1. A limit is about a level (a key, a team, a model …) and a subject: one of that level, or `*`, each of them
   by itself. Limits are looked up by level and subject, so their number does not matter to a request.
2. Who asks is known when the request comes; whom it goes to, attempt by attempt. So limits of callers are
   looked at before anything is decided, and those of routes, models and providers with each call.
3. Calendar windows are worked out here, in their zone, and kept until they end; the ledger has the last word
   on what time it is.
4. Few callers make many requests, so what applies to whom is worked out once and kept.
5. The worst case of a call is what can be billed at most: a token for every character of its text, every
   output token it may use, at the dearest price that can apply. Text of which a character makes more than
   one token is corrected when it is settled, as a debt.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from turnout.engine.exchange import Request
from turnout.stores.ledger.base import FOREVER, Fixed, Held, Sliding, Span, Take
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.limits import EACH, Budget, Calendar, Level, Lifetime, Quota, Unit, Window
from turnout.types.principal import Principal
from turnout.types.task import TaskRequest, reckoned
from turnout.types.usage import NanoUsd, Price, Usage, cost

Subject: TypeAlias = tuple[Level, str]
Limit = TypeVar("Limit", Budget, Quota)
CALLER: Final[frozenset[Level]] = frozenset(
    ("organisation", "project", "team", "key", "customer", "tag", "surface")
)
CALLEE: Final[frozenset[Level]] = frozenset(("provider", "model", "route"))
MESSAGE_TOKENS: Final = 8
"""Most tokens that a message's role and marks take."""
MEDIA_TOKENS: Final = 4_000
"""Most tokens reckoned for a picture, a sound or a document whose size nobody knows."""
DEFAULT_OUTPUT: Final = 4_096
"""Output reserved where neither the client nor the catalogue knows a limit."""
MOST_KEPT: Final = 20_000
"""Callers, and pairs of caller and callee, for whom is kept what applies to them."""
SESSION_WINDOW: Final = 32_768
"""Input reserved for a response of a realtime session whose model's window nobody knows."""


class Line:
    """One limit as it holds for one subject: what a take from that account looks like, worked out once."""

    __slots__ = ("_span", "_window", "account", "most", "of", "of_in", "of_one", "of_out")

    def __init__(self, limit: Budget | Quota, subject: str) -> None:
        self._window = limit.window
        self._span: Span | None = None
        self.of = "usd" if isinstance(limit, Budget) else limit.of
        self.account = account_of(limit, subject)
        self.most: int | None
        """Most that may be used; None = only counted."""
        if isinstance(limit, Budget):
            self.most = limit.limit_nusd if limit.hard else None
        else:
            self.most = limit.limit
        # What `amount_of` says, as factors of tokens in, tokens out and one.
        self.of_in = amount_of(self.of, 1, 0) - amount_of(self.of, 0, 0)
        self.of_out = amount_of(self.of, 0, 1) - amount_of(self.of, 0, 0)
        self.of_one = amount_of(self.of, 0, 0)

    def span(self, now: float) -> Span:
        """Return what is counted at an instant, in Unix seconds."""
        span = self._span
        if span is None or (type(span) is Fixed and not span.begins <= now < span.ends):
            span = self._span = Held() if self.of == "concurrent" else span_of(self._window, now)
        return span


class Applied:
    """The limits that something falls under, each with the subject whose account it is.

    Attributes:
        exact_at: Clock reading before which a request of these callers sets nothing aside for its first call
            beforehand, as a budget has little left (`layers.quota`).
        hard: What each budget allows at most, where all of them refuse and none has a threshold; else empty.
    """

    __slots__ = (
        "_begins",
        "_ends",
        "_spans",
        "budget_lines",
        "budgets",
        "exact_at",
        "hard",
        "quota_lines",
        "quotas",
    )

    def __init__(self, budgets: Sequence[tuple[Budget, str]], quotas: Sequence[tuple[Quota, str]]) -> None:
        self.budgets, self.quotas = tuple(budgets), tuple(quotas)
        self.budget_lines = tuple([Line(*each) for each in budgets])
        self.quota_lines = tuple([Line(*each) for each in quotas])
        self.exact_at = 0.0
        plain = all(each.hard and not each.thresholds for each, _ in self.budgets)
        self.hard = tuple([each.limit_nusd for each, _ in self.budgets]) if plain else ()
        self._spans: tuple[Span, ...] = ()
        self._begins = self._ends = 0.0

    def spans(self, now: float) -> tuple[Span, ...]:
        """Return what is counted at an instant, in Unix seconds: by the quotas, then by the budgets."""
        if not self._begins <= now < self._ends:
            found = [line.span(now) for line in (*self.quota_lines, *self.budget_lines)]
            turns = [span for span in found if isinstance(span, Fixed)]
            self._begins = max([span.begins for span in turns], default=0.0)
            self._ends = min([span.ends for span in turns], default=FOREVER)
            self._spans = tuple(found)
        return self._spans


class Limits:
    """The budgets and quotas in force. Immutable.

    Args:
        budgets: Money.
        quotas: Requests and tokens.
    """

    __slots__ = (
        "_applied",
        "_budgets",
        "_callers",
        "_levels",
        "_quotas",
        "_spans",
        "budgets",
        "has_callees",
        "is_empty",
        "quotas",
    )

    def __init__(self, budgets: Sequence[Budget] = (), quotas: Sequence[Quota] = ()) -> None:
        self._budgets = _by_subject(budgets)
        self._quotas = _by_subject(quotas)
        self._spans: dict[Window, Span] = {}
        self._levels: set[Level] = {each.level for each in budgets} | {each.level for each in quotas}
        self.budgets: Mapping[str, Budget] = {budget.id: budget for budget in budgets}
        self.quotas: Mapping[str, Quota] = {quota.id: quota for quota in quotas}
        self.is_empty = not self._levels
        self.has_callees = not self._levels.isdisjoint(CALLEE)
        self._callers: dict[tuple[object, ...], tuple[Subject, ...]] = {}
        self._applied: dict[tuple[tuple[Subject, ...], tuple[Subject, ...] | None], Applied] = {}

    def all(self) -> tuple[Budget | Quota, ...]:
        """Return every limit: budgets, then quotas."""
        return (*self.budgets.values(), *self.quotas.values())

    def callers(self, ask: Ask) -> tuple[Subject, ...]:
        """Return whom a request is asked by, at every level that any limit is about."""
        by, surface = ask.principal, ask.surface
        customer = by.customer or (ask.end_user if by.names_customers else None)
        key = (by.key_id, by.team, by.project, by.organisation, customer, surface, by.tags)
        found = self._callers.get(key)
        if found is None:
            if len(self._callers) >= MOST_KEPT:
                self._callers.clear()
            found = self._callers[key] = self._named(by, customer, surface)
        return found

    def _named(self, by: Principal, customer: str | None, surface: str | None) -> tuple[Subject, ...]:
        levels = self._levels
        named: tuple[tuple[Level, str | None], ...] = (
            ("key", by.key_id),
            ("team", by.team),
            ("project", by.project),
            ("organisation", by.organisation),
            ("customer", customer),
            ("surface", surface),
        )
        found: list[Subject] = [
            (level, name) for level, name in named if name is not None and level in levels
        ]
        if "tag" in levels:
            found += [("tag", tag) for tag in by.tags]
        return tuple(found)

    def callees(self, deployment: Deployment, route: str | None) -> tuple[Subject, ...]:
        """Return whom a call goes to, at every level that any limit is about."""
        levels = self._levels
        if not self.has_callees:
            return ()
        named: tuple[tuple[Level, str | None], ...] = (
            ("provider", deployment.vendor.name),
            ("model", deployment.model.id),
            ("route", route),
        )
        return tuple([(level, name) for level, name in named if name is not None and level in levels])

    def of_request(self, callers: tuple[Subject, ...]) -> Applied:
        """Return the limits of those who ask."""
        found = self._applied.get((callers, None))
        if found is None:
            both = self.budgets_of(callers), self.quotas_of(callers)
            found = self._keep((callers, None), Applied(*both))
        return found

    def of_call(self, callers: tuple[Subject, ...], callees: tuple[Subject, ...]) -> Applied:
        """Return the limits of one call: budgets of either side, and the quotas of whom it goes to."""
        found = self._applied.get((callers, callees))
        if found is None:
            both = self.budgets_of((*callers, *callees)), self.quotas_of(callees)
            found = self._keep((callers, callees), Applied(*both))
        return found

    def _keep(self, key: tuple[tuple[Subject, ...], tuple[Subject, ...] | None], found: Applied) -> Applied:
        if len(self._applied) >= MOST_KEPT:
            self._applied.clear()
        self._applied[key] = found
        return found

    def budgets_of(self, subjects: Iterable[Subject]) -> list[tuple[Budget, str]]:
        """Return the budgets of some subjects, each with the subject whose account it is."""
        return [(budget, s[1]) for s in subjects for budget in _of(self._budgets, s)]

    def quotas_of(self, subjects: Iterable[Subject]) -> list[tuple[Quota, str]]:
        """Return the quotas of some subjects, each with the subject whose account it is."""
        return [(quota, s[1]) for s in subjects for quota in _of(self._quotas, s)]

    def span(self, window: Window, now: float) -> Span:
        """Return what a window covers at an instant, in Unix seconds."""
        span = self._spans.get(window)
        if span is None or (isinstance(span, Fixed) and not span.begins <= now < span.ends):
            span = self._spans[window] = span_of(window, now)
        return span

    def take(self, limit: Budget | Quota, subject: str, amount: int, now: float) -> Take:
        """Return what a limit takes for a request.

        Args:
            limit: The limit.
            subject: Whose account.
            amount: Nano-USD, tokens or requests.
            now: Unix seconds.
        """
        if isinstance(limit, Budget):
            most = limit.limit_nusd if limit.hard else None
            return Take(account_of(limit, subject), self.span(limit.window, now), amount, most)
        span = Held() if limit.of == "concurrent" else self.span(limit.window, now)
        return Take(account_of(limit, subject), span, amount, limit.limit)


def account_of(limit: Budget | Quota, subject: str) -> str:
    """Return what the ledger calls the account of a limit and a subject."""
    if isinstance(limit, Budget):
        return f"usd:{limit.id}:{subject}"
    return f"{'open' if limit.of == 'concurrent' else limit.of}:{limit.id}:{subject}"


class Worst(Struct, frozen=True):
    """The most that one call can use."""

    n_in: int
    n_out: int
    cost_nusd: NanoUsd | None
    """None = its price is not known."""


def worst_case(request: Request, deployment: Deployment | None) -> Worst:
    """Return the most a call can use; of no deployment in particular when None."""
    if isinstance(request, TaskRequest):
        return _worst_task(request, None if deployment is None else deployment.model.price)
    facts = request.facts
    n_in = facts.n_chars + MESSAGE_TOKENS * (facts.n_messages + 1) + MEDIA_TOKENS * facts.n_media
    n_out = 0
    if isinstance(request, ChatRequest):
        known = None if deployment is None else deployment.model.max_output
        n_out = (request.max_tokens or known or DEFAULT_OUTPUT) * (request.n or 1)
    if facts.realtime and deployment is not None:  # each response reads all that was said before it
        n_in = deployment.model.max_input or deployment.model.context_window or SESSION_WINDOW
    if deployment is None or deployment.model.price is None:
        return Worst(n_in, n_out, None)
    price = deployment.model.price
    dearest_in = max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0, price.audio_in or 0)
    dearest_out = max(price.output, price.reasoning or 0, price.audio_out or 0)
    flat = n_in * dearest_in + n_out * dearest_out + (price.per_request or 0)
    flat += facts.n_media * (price.per_image or 0)
    tiered = cost(Usage(input_uncached=n_in, output_text=n_out), price) if price.tiers else 0
    return Worst(n_in, n_out, NanoUsd(max(-(-flat // 1000), tiered)))


class Dearest(Struct, frozen=True):
    """The highest prices of any model, in pico-USD."""

    input: int
    output: int
    image: int
    request: int
    max_output: int
    """Most that any may say where the client names no limit."""

    def bound_nusd(self, request: ChatRequest, n_in: int) -> int:
        """Return about what a call of so many tokens costs at most, whoever answers it."""
        n_out = (request.max_tokens or self.max_output) * (request.n or 1)
        pico = n_in * self.input + n_out * self.output + request.facts.n_media * self.image + self.request
        return pico // 1000 + 1


def dearest_of(deployments: Iterable[Deployment]) -> Dearest | None:
    """Return the highest prices of deployments; None where one's are not known."""
    models = [each.model for each in deployments]
    prices = [model.price for model in models if model.price is not None]
    if len(prices) < len(models):
        return None
    inputs = [max(p.input, p.cache_write_5m or 0, p.cache_write_1h or 0, p.audio_in or 0) for p in prices]
    outputs = [max(p.output, p.reasoning or 0, p.audio_out or 0) for p in prices]
    tiers = [tier for price in prices for tier in price.tiers]
    return Dearest(
        input=max([*inputs, *(tier.input for tier in tiers)], default=0),
        output=max([*outputs, *(tier.output for tier in tiers)], default=0),
        image=max((price.per_image or 0 for price in prices), default=0),
        request=max((price.per_request or 0 for price in prices), default=0),
        max_output=max((model.max_output or 0 for model in models), default=0) or DEFAULT_OUTPUT,
    )


def _worst_task(request: TaskRequest, price: Price | None) -> Worst:
    """Return the most an operation can use: tokens at one for each character, and its units."""
    used = reckoned(request, price)
    used = replace(used, input_uncached=max(request.facts.n_chars, used.input_uncached or 0))
    return Worst(used.n_input, used.n_output, None if price is None else cost(used, price))


def amount_of(of: str, n_in: int, n_out: int) -> int:
    """Return what a request of these tokens takes from a quota of something."""
    match of:
        case "tokens":
            return n_in + n_out
        case "tokens_in":
            return n_in
        case "tokens_out":
            return n_out
        case _:
            return 1


def span_of(window: Window, now: float) -> Span:
    """Return what a window covers at an instant, in Unix seconds."""
    match window:
        case Lifetime():
            return Fixed(0.0, FOREVER)
        case Calendar(unit=unit, zone=zone):
            return _turn(datetime.fromtimestamp(now, ZoneInfo(zone)), unit)
        case _:
            return Sliding(window.seconds)


def _turn(at: datetime, unit: Unit) -> Fixed:
    """Return the turn of the calendar that an instant is in; a day with a change of clocks differs."""
    zone = at.tzinfo
    if unit in ("minute", "hour"):
        seconds = 60 if unit == "minute" else 3600
        offset = int((at.utcoffset() or timedelta()).total_seconds())
        begins = (int(at.timestamp()) + offset) // seconds * seconds - offset
        return Fixed(float(begins), float(begins + seconds))
    day = datetime(at.year, at.month, at.day, tzinfo=zone)
    if unit == "day":
        first, last = day, _plus_days(day, 1)
    elif unit == "week":
        first = _plus_days(day, -day.weekday())
        last = _plus_days(first, 7)
    elif unit == "month":
        first = day.replace(day=1)
        last = first.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
    else:
        first = day.replace(month=1, day=1)
        last = first.replace(year=at.year + 1)
    return Fixed(first.timestamp(), last.timestamp())


def _plus_days(day: datetime, n: int) -> datetime:
    """Return midnight so many calendar days away; in aware arithmetic that is the wall clock's."""
    return day + timedelta(days=n)


def _by_subject(limits: Sequence[Limit]) -> dict[Subject, list[Limit]]:
    found: dict[Subject, list[Limit]] = {}
    for limit in limits:
        found.setdefault((limit.level, limit.subject), []).append(limit)
    return found


def _of(limits: dict[Subject, list[Limit]], subject: Subject) -> list[Limit]:
    return limits.get(subject, []) + limits.get((subject[0], EACH), [])


NO_LIMITS: Final = Limits()
