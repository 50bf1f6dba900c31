"""What happened: the decision, the attempts and the outcome of one request. Floor 0.

The JSON of a Record is the contract of docs/design/WIRE.md section 10. Text of prompts and answers is
not in it; `content` holds it only where the operator asked.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from turnout.types.cache import CacheView
from turnout.types.compress import CompressView
from turnout.types.deployment import BreakerState
from turnout.types.json import Json
from turnout.types.moment import Session
from turnout.types.structured import Structured
from turnout.types.usage import NanoUsd, Usage

Status = Literal["chosen", "eligible", "filtered", "cooling", "lost"]
PlanKind = Literal["single", "sequence", "cascade", "fanout", "hedge", "cached"]
CostState = Literal["exact", "estimated", "unknown"]
Shaped = Literal["valid", "repaired", "invalid", "unchecked"]
"""How an answer that must have a shape ended; `unchecked`: its schema cannot be checked."""
AttemptOutcome = Literal["ok", "failed", "rejected", "cancelled", "lost"]
"""`rejected` = an acceptor refused the answer; `lost` = a contender was faster."""

Reason = Literal[
    "pinned_by_caller",
    "rewritten_by_policy",
    "only_candidate",
    "rule_matched",
    "highest_score",
    "cheapest_above_floor",
    "fastest",
    "weighted_draw",
    "session_sticky",
    "cache_hit",
    "exploration",
    "escalated",
    "consensus",
    "default_abstain",
    "budget_downgrade",
    "fallback_rate_limited",
    "fallback_timeout",
    "fallback_error",
    "fallback_context",
    "fallback_content",
]


class Dropped(Struct, frozen=True):
    """A filter removed a candidate."""

    filter: str
    reason: str
    """A closed word, such as `no_tools`, `window_too_small`, `breaker_open`."""


class CostView(Struct, frozen=True, omit_defaults=True):
    """Predicted cost; None where the price is unknown."""

    mean: NanoUsd | None
    worst: NanoUsd | None
    price_version: str = ""


class HealthView(Struct, frozen=True, omit_defaults=True):
    """Breaker state and error ratio of a candidate when the decision was made."""

    state: BreakerState
    error_rate: float | None
    cooldown_s: float
    demoted: bool = False
    """Unwell: asked last."""
    share: float | None = None
    """Share of its calls that it should get; None = all."""


class Quantiles(Struct, frozen=True):
    """Observed latency quantiles in seconds."""

    p50: float | None
    p95: float | None


class LiveView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The live numbers of a candidate that no other view holds: with them a decision can be made again."""

    n_observed: int = 0
    ttft_recent_s: float | None = None
    total_recent_s: float | None = None
    tokens_per_s: float | None = None
    tokens_ratio: float | None = None
    peak_ewma_s: float | None = None


class CandidateView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate as the decision saw it."""

    id: str
    model: str
    status: Status
    filters: tuple[Dropped, ...] = ()
    scores: Mapping[str, float] = {}
    """Scorer name -> its term."""
    utility: float | None = None
    q: float | None = None
    sd: float | None = None
    cost_nusd: CostView | None = None
    ttft_s: Quantiles | None = None
    total_s: Quantiles | None = None
    health: HealthView | None = None
    in_flight: int = 0
    live: LiveView | None = None
    n_tokens_out: int | None = None
    """Output tokens expected of it: predicted from the prompt, or the mean of its answers on the route."""
    n_tokens_in: int | None = None
    """Input tokens as this candidate counts them, where that is known better than the request's estimate."""


class SignalView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signal as the decision saw it: a value with confidence, or the reason it is absent."""

    value: Json = None
    confidence: float | None = None
    error: str | None = None


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client asked for, in its words."""

    endpoint: str
    dialect: str
    model: str
    source: str
    """Which rule of precedence chose the pool: `body.model`, `body.models`, `body.route`, `header.route`,
    `alias` or `auto`."""
    constraints: Mapping[str, Json] = {}


class InputView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Size and shape of the request."""

    n_tokens: int
    n_tokens_source: str
    max_tokens_out: int | None = None
    modalities: tuple[str, ...] = ()
    n_tools: int = 0
    structured: bool = False
    stream: bool = False
    n_messages: int = 0
    n_tokens_out: int | None = None
    """Expected output tokens."""
    explicit_max_tokens: bool = False
    """Whether the client itself set the output limit."""
    tool_loop: bool = False
    """Whether results of tool calls wait for an answer; not looked for where no strategy asked."""
    server_tools: bool = False
    native_wire: str = ""


class PaceView(Struct, frozen=True):
    """What the budget pacer said."""

    lambda_: float = field(name="lambda")
    cap_nusd: NanoUsd | None = None


class Objective(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices and constraints that ruled the choice (ROUTING.md 1.2)."""

    lambda_: float | None = field(default=None, name="lambda")
    mu: float | None = None
    psi: float | None = None
    quality_floor: float | None = None
    binding: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    tie_break: str | None = None


class CertificateView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The promise a decision was made under (ROUTING.md section 5)."""

    id: str
    """Empty where the route is to have a certificate and has none yet."""
    tau: float | None = None
    """Threshold in force; None = nobody but the reference."""
    gap: float | None = None
    """Smallest predicted gap of any candidate to the reference."""
    routed: tuple[str, ...] = ()
    """Deployments within the threshold: whose answer, beside the reference's, is within the promise."""
    void: str | None = None
    """Alarm that stood when the decision was made."""
    uncertified: str | None = None
    """Why nothing is promised of this decision; None = it is within the promise."""


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why this model. Reproducible from itself: strategy, candidates, signals and seed are all here."""

    decision_id: str
    route: str
    strategy: str
    asked: Asked
    input: InputView
    candidates: tuple[CandidateView, ...]
    plan: Json
    """The plan as a tree, in the form of `plan.to_json`."""
    kind: PlanKind
    chosen: tuple[str, ...]
    """Deployment ids in the order the plan names them first."""
    reason: Reason
    signals: Mapping[str, SignalView] = {}
    objective: Objective = Objective()
    propensity: float | None = None
    explored: bool = False
    abstained: str | None = None
    rule: str | None = None
    """Name of the rule that matched, or `rules[i]`."""
    certificate: CertificateView | None = None
    """None = the route has no certificate."""
    neighbours: Mapping[str, float] = {}
    """Ids of the training prompts that weighed most in the predicted quality -> cosine, the nearest first."""
    rng_seed: int = 0
    sequence: int = 0
    """Which request of its route this was: the state of rotations."""
    session: Session | None = None
    """The conversation as it stood before this turn."""
    pace: PaceView | None = None
    structured: Structured | None = None
    """What follows if the answer misses its shape; None = it needs none, or the route does not look."""
    may_hedge: bool = True
    """Whether the allowance for extra calls had room."""
    policy_version: int = 0
    config_digest: str = ""


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call to one deployment."""

    n: int
    deployment: str
    model: str
    provider: str
    start_s: float
    """Since the request's start."""
    ttft_s: float | None = None
    """From the attempt's start to its first content."""
    duration_s: float
    outcome: AttemptOutcome
    error: str | None = None
    """Class word of the taxonomy."""
    status: int | None = None
    """The upstream's HTTP status."""
    committed: bool = False
    retry_of: int | None = None
    repair: str | None = None
    """What was wrong with the answer that this call was to mend; None = it mends none."""
    usage: Usage | None = None
    usage_estimated: bool = False
    """Whether `usage` was reckoned from text length because the upstream told none, or not all."""
    cost_nusd: NanoUsd | None = None
    cost_state: CostState = "unknown"
    cache_saved_nusd: NanoUsd | None = None
    """What the provider's prompt cache saved, at the price in force; negative where it was written and not
    read. None = nothing was read or written, or the price is not known."""
    express: bool = False
    upstream_id: str | None = None
    upstream_model: str | None = None
    """The upstream's own name of the model that answered, where that is not the name it was asked by."""
    verdict: str | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the request ended."""

    error: str | None = None
    """Class word; None = served. `client_closed` when the client hung up."""
    finish: str | None = None
    model: str | None = None
    provider: str | None = None
    usage: Usage | None = None
    usage_source: Literal["provider", "estimated", "none"] = "none"
    cost_nusd: NanoUsd | None = None
    """Over all attempts."""
    cost_state: CostState = "unknown"
    cache: str | None = None
    ttft_s: float | None = None
    total_s: float = 0.0
    overhead_s: float = 0.0
    """Total minus the time spent waiting for upstreams."""
    n_attempts: int = 0
    n_fallbacks: int = 0
    shaped: Shaped | None = None
    """None = nothing was asked of its shape, or its route does not look."""


class Content(Struct, frozen=True, omit_defaults=True):
    """Text, stored only where the operator asked for it."""

    request: str | None = None
    response: str | None = None


class GuardView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one guard said at one stage: how often it found what, never the text."""

    name: str
    type: str
    stage: Literal["in", "out", "stream"]
    action: Literal["pass", "block", "redact", "flag", "monitor", "skipped", "failed_open", "failed_closed"]
    found: Mapping[str, int] = {}
    """Kind -> findings."""
    duration_s: float = 0.0


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything kept about one request."""

    schema: str = "turnout.record/1"
    request_id: str
    client_request_id: str | None = None
    at: datetime
    """Aware UTC instant of arrival."""
    endpoint: str
    dialect: str
    principal: str | None = None
    """Key id."""
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    customer: str | None = None
    """The end customer the key belongs to, or, where the key may name customers, the one it named."""
    end_user_hash: str | None = None
    session_hash: str | None = None
    surface: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    trace_id: str | None = None
    query_hash: str | None = None
    """Keyed digest of the last user message, for joining equal questions without storing them."""
    decision: Decision | None = None
    attempts: tuple[Attempt, ...] = ()
    outcome: Outcome
    warnings: tuple[str, ...] = ()
    dropped_params: tuple[str, ...] = ()
    guards: tuple[GuardView, ...] = ()
    """In the order they were asked."""
    cache: CacheView | None = None
    """What the cache did; None = its route has none."""
    compressed: CompressView | None = None
    """How its conversation was shortened; None = nobody looked."""
    content: Content | None = None
