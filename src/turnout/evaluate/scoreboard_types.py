"""The shape of a scoreboard: what `turnout eval --json` prints and a report is drawn from. Floor 6.

None stands for what cannot be said: costs that were not recorded, a share that is never reached.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from turnout.evaluate.metrics import Interval
from turnout.evaluate.scoreboard_measure import Arena, Gains, Gap, Optimal
from turnout.evaluate.simulate_route import Decision

Verdict = Literal["better", "worse", "no difference"]
Protocol = Literal["in_domain", "leave_one_domain_out", "train_file"]


class Data(Struct, frozen=True, kw_only=True):
    """What was evaluated on."""

    files: Mapping[str, str]
    """Name -> SHA-256."""
    protocol: Protocol
    models: tuple[str, ...]
    n_train: int
    n_test: int
    n_evaluated: int
    """Test items on which every model has an outcome and the router could be played."""
    coverage: float
    n_groups: int
    overlap_excluded: int = 0
    """Training items left out because the test items have them too."""
    prices: str = "recorded"
    strong: str | None = None
    weak: str | None = None


class Router(Struct, frozen=True, kw_only=True):
    """What was evaluated."""

    name: str
    kind: Literal["route", "artifact", "trainer", "baseline"]
    digest: str = ""
    """Of the configuration, or of the artifact's arrays."""
    strategy: str = ""
    encoder: str = ""
    price: float | None = None
    """λ, quality per USD."""
    card: str = ""
    """SHA-256 of the card."""
    abstained: str | None = None


class Line(Struct, frozen=True, kw_only=True):
    """What a policy came to."""

    name: str
    quality: Interval
    cost_usd: float | None = None
    """Mean per item."""
    latency_s: float | None = None
    strong_share: float | None = None
    models_used: int | None = None
    entropy: float | None = None
    v_best: float | None = None
    """Quality over that of the best single model of the pool."""
    v_reference: float | None = None
    """Quality over that of the strong model."""
    pgr: float | None = None
    regret: float | None = None
    gains: Gains | None = None
    arena: Arena | None = None
    optimal: Optimal | None = None


class CurveLine(Struct, frozen=True, kw_only=True):
    """What a policy comes to as the price of money is swept."""

    name: str
    costs: tuple[float, ...]
    qualities: tuple[float, ...]
    hull: tuple[tuple[float, float], ...]
    aiq_range: float
    aiq_range_log: float | None
    aiq_repo: float
    audc: float
    qnc: float | None
    """None: the best single model's quality is never reached."""
    peak: float
    cost_at_95: float | None
    """Least cost with 95 % of the reference's quality."""
    perf_gain: float
    """Peak over the best single model's quality, minus 1."""
    cost_save: float | None
    """1 - QNC."""
    pareto_distance: float
    """Of its operating point from the hull of the single models, both axes scaled to that hull's range."""
    band: tuple[tuple[float, float, float], ...] = ()
    """(cost, low, high): the hull's pointwise 95 % band."""


class TwoLine(Struct, frozen=True, kw_only=True):
    """Two models: how much of the gap is recovered with how many strong calls."""

    name: str
    apgr: Interval
    apgr_10: float
    apgr_quantiles: float
    cpt_50: float | None
    cpt_80: float | None
    cpt_50_interp: float
    cpt_80_interp: float
    curve: tuple[float, ...]
    """Gap recovered at 0, 1, … 100 % strong calls."""
    minus: Interval | None = None
    """The router's area minus this one's."""


class Forecast(Struct, frozen=True, kw_only=True):
    """How right predicted scores are."""

    name: str
    brier: float
    ece: float
    gap: Gap
    bins: tuple[tuple[float, float, int], ...]
    """(Mean predicted, mean observed, items), of equal mass."""


class Difference(Struct, frozen=True, kw_only=True):
    """The router minus another policy, paired."""

    minus: str
    of: Literal["quality", "aiq_range", "apgr"]
    value: Interval
    verdict: Verdict


class Place(Struct, frozen=True, kw_only=True):
    """One domain or cluster."""

    name: str
    n: int
    quality: float
    best_single: float
    """Of the model chosen on training data."""
    oracle: float
    difference: Interval
    """Router minus best single."""
    verdict: Verdict
    cost_usd: float | None = None
    most_used: str = ""


class Fit(Struct, frozen=True, kw_only=True):
    """How right the training quantiles of the chosen models are about what was recorded."""

    n: int
    pinball_50: float
    pinball_90: float
    coverage_50: float
    coverage_90: float
    log_bias: float
    """Mean of log(expected / recorded)."""


class Scoreboard(Struct, frozen=True, kw_only=True):
    """Everything, in the order a report shows it."""

    schema: str = "turnout.scoreboard/1"
    turnout_version: str
    command: str
    data: Data
    router: Router
    best_single: str
    gap: Interval | None = None
    """Strong minus weak, two models only."""
    refused: tuple[str, ...] = ()
    """Numbers that would mislead, and why they are not given."""
    bounds: tuple[float, float]
    """The router's mean score with everything not recorded as 0, and as 1."""
    lines: tuple[Line, ...]
    singles: tuple[Line, ...]
    curves: tuple[CurveLine, ...] = ()
    two_models: tuple[TwoLine, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    differences: tuple[Difference, ...] = ()
    domains: tuple[Place, ...] = ()
    clusters: tuple[Place, ...] = ()
    cost_fit: Fit | None = None
    latency_fit: Fit | None = None
    escalated: float | None = None
    """Share of items on which an acceptor sent an answer on."""
    decisions: tuple[Decision, ...] = ()
    partial: tuple[str, ...] = ()
    """Parts left out because the time was up."""
    warnings: tuple[str, ...] = ()


def verdict_of(value: Interval) -> Verdict:
    """Return the word for a difference with its interval."""
    if value.contains_zero:
        return "no difference"
    return "better" if value.mean > 0 else "worse"
