"""What a strategy is made of: pure parts from a request, candidates and signals to a Plan. Floor 2.

Theory of operation.

1. A strategy chooses among candidates that passed every filter. Everything it may read is an argument: the
   `Context` (request, signals, session, prices of the moment), the candidates with their live numbers, and
   the generator seeded for this request. Equal arguments give an equal `Choice`.
2. A `pipeline` is four kinds of parts. A `Scorer` gives one number per candidate, and the weighted sum is
   the utility; an `Order` turns utilities into a permutation and says with which probability; a `Shape`
   turns the permutation into a `Plan`; a `Modifier` moves prices, adds terms or pins a deployment.
3. A part may need facts that are known only when a configuration is loaded (benchmark scores of the pool,
   time zones). It then has `bind`, which returns the part made ready or raises `ConfigError`.
4. A number that is not finite means "cannot say": such a candidate is never chosen before one that has a
   number (`pipeline.on_bad_score` says what happens to it).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from random import Random
from typing import Literal, Protocol, Self, runtime_checkable

from msgspec import Struct

from turnout.catalog.benchmarks import NO_SCORES, Scores
from turnout.plan import Plan
from turnout.strategies.given import Files as Files  # noqa: PLC0414  part of the contract below, as the next two
from turnout.strategies.given import OnExpired as OnExpired  # noqa: PLC0414
from turnout.strategies.given import Pace as Pace  # noqa: PLC0414
from turnout.strategies.given import Surface as Surface  # noqa: PLC0414
from turnout.strategies.given import in_tool_loop as in_tool_loop  # noqa: PLC0414
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Deployment
from turnout.types.embed import EmbedRequest
from turnout.types.moment import Session as Session  # noqa: PLC0414  part of the contract below
from turnout.types.record import CertificateView, Objective, Reason
from turnout.types.signal import Signals
from turnout.types.task import TaskRequest, reckoned
from turnout.types.usage import NanoUsd, Price, cost, text_cost

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Z_90 = 1.2816
"""One-sided 90 % quantile of the normal: LCB = q - Z_90 * sd (ROUTING.md 3.5, delta = 0.1)."""
Role = Literal["quality", "cost", "latency", "load", "rank"]
"""What a scorer measures. Floors look at `quality`, λ is the weight of `cost`, μ that of `latency`."""


class Context(Struct, frozen=True, kw_only=True):
    """What a filter, scorer or strategy may read beside the candidates."""

    request: ChatRequest | EmbedRequest | TaskRequest
    ask: Ask
    n_tokens_in: int
    """Estimated input tokens."""
    n_tokens_out: int
    """Expected output tokens."""
    max_tokens_out: int
    """Output tokens to reserve for: what the client allows, or the declared default."""
    explicit_max_tokens: bool = False
    """Whether the client itself set the output limit."""
    signals: Signals = {}
    tokens_in: Mapping[str, int] = {}
    """Deployment id -> input tokens as it counts them, where that is known better than `n_tokens_in`."""
    tokens_out: Mapping[str, int] = {}
    """Deployment id -> output tokens expected of it, where its answers say it better than `n_tokens_out`."""
    sequence: int = 0
    """Which request of its route this is, counted from 0: the state of `round_robin`."""
    at: datetime = EPOCH
    """Arrival, aware UTC."""
    session: Session | None = None
    pace: Pace | None = None
    surface: Surface | None = None
    certificate_void: str | None = None
    """Alarm by which the route's certificate does not hold at this moment; None = there is none."""
    may_hedge: bool = True
    """Whether the allowance for extra calls has room."""


class Draw(Protocol):
    """Where a strategy takes its random numbers: a generator seeded per request, made on first use."""

    @property
    def rng(self) -> Random:
        """The seeded generator."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Drops candidates that cannot or may not serve a request."""

    @property
    def name(self) -> str:
        """Word for Records: `allowed`, `capable`, `fits`, `healthy`, `priced` or another."""
        ...

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return the closed word of the reason to drop, or None to keep."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """One number per candidate; higher is better. Frozen; its fields are its configuration."""

    @property
    def name(self) -> str:
        """Word for Records."""
        ...

    @property
    def role(self) -> Role:
        """What it measures."""
        ...

    @property
    def weight(self) -> float:
        """Factor of the number in the utility: λ for cost, μ for latency."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Names of the signals it reads."""
        ...

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return len(candidates) numbers: quality in [0, 1], minus USD, minus seconds. NaN = cannot say."""
        ...


@runtime_checkable
class Abstaining(Protocol):
    """A scorer that sometimes declines to say anything about a request."""

    def abstained(self, context: Context) -> str | None:
        """Return why it fell back on what it says without having read the request; None: it did not."""
        ...


@runtime_checkable
class Uncertain(Protocol):
    """A scorer of quality that knows how sure it is."""

    def spread(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the standard deviation of each number of `score`; empty = they are exact."""
        ...


class Slate(Struct, frozen=True, kw_only=True):
    """Candidates with what the scorers made of them, column by column."""

    candidates: Sequence[Candidate]
    utilities: Sequence[float]
    """Higher is better; NaN = no number."""
    eligible: Sequence[int]
    """Indices of candidates that satisfy every constraint in force, in the declared order. At least one."""
    quality: Sequence[float] | None = None
    """None = no scorer measures quality."""
    sd: Sequence[float] | None = None
    """None = quality is taken as exact."""
    terms: Mapping[str, Sequence[float]] = {}
    """Scorer name -> its weighted column."""
    pinned: int | None = None
    """Index that must be first (tool loop, session)."""
    explorable: bool = True
    """Whether this request may be used to explore."""


class Arranged(Struct, frozen=True, kw_only=True):
    """A permutation of the eligible candidates, with its law."""

    indices: Sequence[int]
    """Into the slate, first choice first."""
    propensity: float | None = 1.0
    """Probability with which this first choice is made; None = a rotation, which has none."""
    reason: Reason = "highest_score"
    explored: bool = False
    tie_break: str | None = None


@runtime_checkable
class Order(Protocol):
    """Turns utilities into a permutation and its exact probability."""

    @property
    def name(self) -> str:
        """Word for Records."""
        ...

    @property
    def explores(self) -> bool:
        """Whether it may put a worse candidate first on purpose: never done inside a tool loop."""
        ...

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the eligible candidates in the order to ask them."""
        ...


@runtime_checkable
class Shape(Protocol):
    """Turns a permutation into a Plan."""

    @property
    def name(self) -> str:
        """Word for Records."""
        ...

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> Plan:
        """Return a plan that names only candidates of `indices`, the first of them first."""
        ...


class Prices(Struct, frozen=True):
    """What a modifier does to the prices of the objective."""

    lambda_: float = 0.0
    psi: float = 0.0


@runtime_checkable
class Modifier(Protocol):
    """Moves the objective: sessions, pacing."""

    @property
    def name(self) -> str:
        """Word for Records."""
        ...

    def prices(self, context: Context) -> Prices:
        """Return what is added to λ and ψ; λ times the expected cost is charged by the pipeline."""
        ...

    def term(self, context: Context, candidates: Sequence[Candidate]) -> Sequence[float] | None:
        """Return what is added to each utility, or None."""
        ...

    def pin(self, context: Context, candidates: Sequence[Candidate]) -> int | None:
        """Return the index of the candidate that must come first, or None."""
        ...

    def cap_usd(self, context: Context) -> float | None:
        """Return the most a request should cost while this modifier is in force, or None."""
        ...


class Choice(Struct, frozen=True, kw_only=True):
    """What a strategy decided, with everything needed to explain it."""

    plan: Plan
    reason: Reason
    utilities: Mapping[str, float] = {}
    scores: Mapping[str, Mapping[str, float]] = {}
    """Candidate id -> scorer name -> term."""
    objective: Objective = Objective()
    propensity: float | None = None
    explored: bool = False
    abstained: str | None = None
    rule: str | None = None
    """Name of the rule that matched, or `rules[i]`."""
    quality: Mapping[str, float] = {}
    """Candidate id -> predicted quality."""
    sd: Mapping[str, float] = {}
    certificate: CertificateView | None = None
    neighbours: Mapping[str, float] = {}
    """Id of a training prompt that weighed in `quality` -> cosine, the nearest first."""
    tokens_out: Mapping[str, int] = {}
    """Candidate id -> output tokens that were predicted of it; where it has none, the context's hold."""


@runtime_checkable
class Strategy(Protocol):
    """Chooses. Frozen; its fields are its configuration."""

    @property
    def name(self) -> str:
        """Word for Records and headers."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Names of the signals it reads."""
        ...

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Decide among candidates that passed every filter (at least one). Pure.

        The plan names only ids in `candidates`.
        """
        ...


class Setting(Struct, frozen=True, kw_only=True):
    """What is known when a configuration is loaded."""

    pool: tuple[Deployment, ...]
    """The route's deployments, in the declared order."""
    scores: Scores = NO_SCORES
    today: date = EPOCH.date()
    files: Files | None = None
    """None = no file can be opened here."""


@runtime_checkable
class Bindable(Protocol):
    """A part that needs facts of the configuration before it can work."""

    def bind(self, setting: Setting) -> Self:
        """Return the part made ready.

        Raises:
            ConfigError: It cannot work with this pool; each problem begins with the field's name.
        """
        ...


@runtime_checkable
class Preset(Protocol):
    """A strategy by name that stands for a pipeline."""

    def expand(self) -> Strategy:
        """Return what it stands for."""
        ...


class Estimate(Struct, frozen=True, kw_only=True):
    """What one call is expected to be like. None = not known."""

    q: float | None = None
    sd: float | None = None
    lcb: float | None = None
    """Quality that is reached with 90 % confidence."""
    cost_mean_nusd: NanoUsd | None = None
    cost_worst_nusd: NanoUsd | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    warm_tokens: int = 0
    """Prompt tokens that a cache at this deployment may still hold."""


def estimate(context: Context, candidate: Candidate, q: float | None = None, sd: float = 0.0) -> Estimate:
    """Gather what is expected of one call to a candidate, for explanations and acceptors."""
    stats, session = candidate.stats, context.session
    mean, worst = expected_nusd(context, candidate.deployment), worst_nusd(context, candidate.deployment)
    return Estimate(
        q=q,
        sd=sd if q is not None else None,
        lcb=None if q is None else q - Z_90 * sd,
        cost_mean_nusd=mean,
        cost_worst_nusd=worst,
        ttft_p50_s=stats.ttft_p50_s,
        ttft_p95_s=stats.ttft_p95_s,
        total_p50_s=stats.total_p50_s,
        total_p95_s=stats.total_p95_s,
        warm_tokens=session.prefix_tokens if session and session.deployment == candidate.id else 0,
    )


def n_tokens_in(context: Context, deployment: Deployment) -> int:
    """Return the input tokens as a deployment counts them; the largest estimate where that is not known."""
    return context.tokens_in.get(deployment.id, context.n_tokens_in)


def n_tokens_out(context: Context, deployment: Deployment) -> int:
    """Return the output tokens expected of a deployment; those expected of any where it is not known."""
    return context.tokens_out.get(deployment.id, context.n_tokens_out)


def expected_nusd(context: Context, deployment: Deployment) -> NanoUsd | None:
    """Return the expected cost of a call; None where the price is not known."""
    price = deployment.model.price
    if price is None:
        return None
    if isinstance(context.request, TaskRequest):
        return cost(reckoned(context.request, price), price)
    n_in, n_out = n_tokens_in(context, deployment), n_tokens_out(context, deployment)
    return text_cost(price, n_in, n_out)


def worst_nusd(context: Context, deployment: Deployment) -> NanoUsd | None:
    """Return the most a call can cost: nothing cached, all output tokens used; None where not known."""
    price = deployment.model.price
    return None if price is None else mean_and_worst_nusd(context, deployment, price)[1]


def mean_and_worst_nusd(context: Context, deployment: Deployment, price: Price) -> tuple[NanoUsd, NanoUsd]:
    """Return the expected and the greatest cost of a call: what every candidate's view tells."""
    if isinstance(context.request, TaskRequest):
        known = cost(reckoned(context.request, price), price)
        return known, known
    name, most = deployment.id, context.max_tokens_out
    n_in = context.tokens_in.get(name, context.n_tokens_in)
    mean = text_cost(price, n_in, context.tokens_out.get(name, context.n_tokens_out))
    flat = n_in * max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0)
    flat += most * max(price.output, price.reasoning or 0) + (price.per_request or 0)
    dearest = NanoUsd(-(-flat // 1000))
    return mean, max(text_cost(price, n_in, most), dearest) if price.tiers else dearest
