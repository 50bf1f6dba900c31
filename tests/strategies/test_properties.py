"""What holds for every strategy over random pools, numbers and configurations."""

from collections import Counter
from datetime import UTC, datetime
from math import isnan, nan
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies.kit import Fixed, candidate, context, request, scores, strategy
from turnout.errors import ConfigError, NoEligibleModel
from turnout.plan import Try, deployments, walk
from turnout.strategies.base import Pace, Session, Surface, expected_nusd
from turnout.types.deployment import Candidate
from turnout.types.signal import Signal
from turnout.types.slot import Slot, price_factor

TYPES = (
    *("background", "balanced", "benchmarks", "best", "cascade", "cheapest", "complexity", "consensus"),
    *(
        "fastest",
        "hedge",
        "least_busy",
        "pipeline",
        "priority",
        "round_robin",
        "slo_tiers",
        "two_choices",
        "weighted",
    ),
)
ORDERS = (
    {"type": "best"},
    {"type": "best", "epsilon": 0.3},
    {"type": "least_busy"},
    {"type": "round_robin"},
    {"type": "tiers"},
    {"type": "two_choices"},
    {"type": "weighted"},
    {"type": "weighted", "by": "utility"},
)
SHAPES = (
    {"type": "sequence"},
    {"type": "single"},
    {"type": "hedge"},
    {"type": "cascade", "accept": {"type": "finish"}},
    {"type": "fanout", "k": 2, "reduce": {"type": "majority"}},
)
MODIFIERS = ({"type": "sticky", "lambda": 1.0}, {"type": "paced", "budget_usd": 10}, {"type": "background"})


def a_pool(rng):
    def stats():
        if rng.random() < 0.2:
            return {}
        p50 = rng.choice([0.1, 0.5, 0.5, 2.0])
        return {
            "n_observed": rng.choice([3, 100]),
            "in_flight": rng.randrange(3),
            "error_ratio": rng.choice([None, 0.0, 0.3]),
            "ttft_p50_s": p50,
            "ttft_p95_s": p50 * rng.choice([1, 3]),
            "total_p50_s": p50 * 3,
            "total_p95_s": p50 * 9,
            "tokens_per_s": rng.choice([None, 50.0]),
        }

    def slots():
        hours = f"{rng.randrange(24):02}:00-{rng.randrange(24):02}:30"
        return (Slot(name="cheap", hours=hours, price_factor=rng.choice([0.0, 0.5, 1.5])),)

    made = tuple(
        candidate(
            f"{rng.choice('abc')}/m{n}",
            rng.choice([None, 0.5, 1.0, 1.0, 7.0]),
            weight=rng.choice([0, 1, 2, 2.5]),
            priority=rng.randrange(2),
            codec=rng.choice(["openai_chat", "anthropic"]),
            **stats(),
        )
        for n in range(rng.randrange(1, 8))
    )
    return tuple(
        Candidate(replace(c.deployment, slots=slots() if rng.random() < 0.5 else ()), c.stats) for c in made
    )


def known_scores(rng, pool):
    names = [c.id for c in pool]
    return scores(
        quiz={pool[0].id: 60.0, **{name: rng.uniform(0, 100) for name in names if rng.random() < 0.7}},
        code={pool[0].id: 10.0, **{name: rng.uniform(0, 100) for name in names if rng.random() < 0.7}},
    )


def own_fields(kind, rng, pool):
    names = [c.id for c in pool]
    cut = max(1, len(names) // 2)
    return {
        "balanced": {"benchmark": "quiz"},
        "benchmarks": {
            "weights": {"quiz": 0.6, "code": 0.4},
            "missing": rng.choice(["low", "renormalise", "exclude"]),
            "normalise": rng.choice(["minmax", "z"]),
            "min_coverage": rng.choice([0.0, 0.5]),
        },
        "best": {"benchmark": "quiz", "sd": rng.choice([0.0, 0.1])},
        "cascade": {"accept": {"type": "finish"}},
        "complexity": {"tiers": [names[:cut], names[cut:]], "thresholds": [0.5]},
        "consensus": {"reduce": {"type": "majority"}},
        "pipeline": {
            "score": rng.sample([{"type": "cost", "lambda": 3.0}, {"type": "latency"}, {"type": "load"}], 2),
            "order": rng.choice(ORDERS),
            "shape": rng.choice(SHAPES),
        },
    }.get(kind, {})


def a_row(rng, pool):
    kind = rng.choice(TYPES)
    row = {"type": kind, **own_fields(kind, rng, pool)}
    if kind in ("priority", "weighted"):
        return row
    row["modify"] = rng.sample(MODIFIERS, rng.randrange(3))
    row["on_infeasible"] = rng.choice(["relax", "relax", "refuse"])
    if rng.random() < 0.4:
        row["q_floor"] = rng.choice([0.2, 0.5])
        row |= {} if kind == "pipeline" else {"benchmark": "quiz"}
    if rng.random() < 0.3:
        row["slo"] = {"ttft_s": rng.choice([0.3, 1.5]), "total_s": 3.0}
    return row


def a_context(rng, pool):
    return context(
        request(stream=rng.random() < 0.5, n_messages=1),
        prefer={"allow_fallbacks": rng.random() < 0.8},
        sequence=rng.randrange(100),
        at=datetime(2026, 7, rng.randrange(1, 29), rng.randrange(24), tzinfo=UTC),
        session=Session(deployment=rng.choice(pool).id, prefix_tokens=5000) if rng.random() < 0.5 else None,
        pace=Pace(lambda_=rng.choice([0.0, 5.0]), cap_nusd=rng.choice([None, 1, 3_000_000])),
        surface=rng.choice([None, Surface(name="s", q_floor=0.4, ttft_s=1.0)]),
        may_hedge=rng.random() < 0.5,
        signals={"complexity": Signal(rng.choice([0.2, 0.9, nan]))},
    )


def decided(made, ctx, pool, seed):
    """What is kept of a decision, compared by value; `refused` where the configuration says so."""
    try:
        choice = made.choose(ctx, pool, Fixed(seed))
    except NoEligibleModel as error:
        return ("refused", error.message)
    return (
        choice.plan,
        choice.reason,
        choice.propensity,
        choice.explored,
        dict(choice.utilities),
        {name: dict(terms) for name, terms in choice.scores.items()},
        choice.objective,
        dict(choice.quality),
        dict(choice.sd),
    )


def test_ten_thousand_random_configurations_decide_the_same_again_and_name_only_candidates():
    rng = Random(11)
    tried = Counter()
    for n in range(10_000):
        pool = a_pool(rng)
        row = a_row(rng, pool)
        try:
            made = strategy(row, pool, known_scores(rng, pool))
        except ConfigError:
            tried["refused at load"] += 1
            continue
        subset = tuple(c for c in pool if rng.random() < 0.8) or pool
        ctx = a_context(rng, pool)
        outcome = decided(made, ctx, subset, n)
        assert outcome == decided(made, ctx, subset, n), row
        tried[row["type"]] += 1
        if outcome[0] == "refused":
            continue
        names = deployments(outcome[0])
        assert names
        assert set(names) <= {c.id for c in subset}, row
        tries = [node for node in walk(outcome[0]) if isinstance(node, Try)]
        assert len(tries) == len(names) <= 64, row
        assert outcome[2] is None or 0 < outcome[2] <= 1 + 1e-12, row
    assert min(tried[kind] for kind in TYPES) > 300, tried
    assert tried["refused at load"] < 2500, tried


@given(
    seeds=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(
        [
            {"type": "fastest", "epsilon": 0.3},
            {"type": "best", "benchmark": "quiz", "q_floor": 0.1},
            {"type": "two_choices"},
            {"type": "least_busy"},
            {"type": "pipeline", "score": [{"type": "latency"}], "order": {"type": "weighted"}},
            {"type": "pipeline", "order": {"type": "weighted", "by": "weight"}},
            {"type": "weighted"},
        ]
    ),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_propensities_are_the_law_of_the_first_choice(seeds, kind):
    pool = a_pool(Random(seeds))
    try:
        made = strategy(kind, pool, scores(quiz=dict.fromkeys((c.id for c in pool), 50.0)))
    except ConfigError:
        return
    law = {}
    for seed in range(400):
        choice = made.choose(context(), pool, Fixed(seed))
        first = deployments(choice.plan)[0]
        assert law.setdefault(first, choice.propensity) == pytest.approx(choice.propensity)
    total = sum(law.values())
    assert total <= 1 + 1e-9
    assert total > 0.93, "what 400 draws never showed is rare"


def test_propensity_is_the_frequency_over_many_draws():
    pool = tuple(candidate(f"v/m{n}", in_flight=n, n_observed=99, ttft_p50_s=1.0) for n in range(4))
    made = strategy({"type": "fastest", "epsilon": 0.2}, pool)
    seen, law = Counter(), {}
    for seed in range(20_000):
        choice = made.choose(context(), pool, Fixed(seed))
        first = deployments(choice.plan)[0]
        seen[first] += 1
        law[first] = choice.propensity
    assert sum(law.values()) == pytest.approx(1)
    squares = sum((seen[k] - 20_000 * p) ** 2 / (20_000 * p) for k, p in law.items())
    assert squares < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


@given(numbers=st.lists(st.sampled_from([0.1, 0.5, 0.9, nan, float("inf")]), min_size=1, max_size=6))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_a_number_that_is_none_never_comes_before_one(numbers):
    pool = tuple(candidate(f"v{n}/m", None if isnan(q) else 1.0) for n, q in enumerate(numbers))
    choice = strategy({"type": "cheapest", "max_fallbacks": 63}, pool).choose(context(), pool, Fixed())
    names = list(deployments(choice.plan))
    priced = [c.id for c in pool if c.deployment.model.price is not None]
    assert names[: len(priced)] == priced
    assert sorted(names) == sorted(c.id for c in pool)
    assert set(choice.utilities) == set(priced)


def test_a_missing_number_refuses_the_request_where_that_is_declared():
    pool = (candidate("a/x", 1), candidate("b/y", None))
    row = {"type": "pipeline", "score": [{"type": "cost"}], "on_bad_score": "refuse"}
    with pytest.raises(NoEligibleModel, match="no score for b/y"):
        strategy(row, pool).choose(context(), pool, Fixed())


@given(
    quality=st.lists(st.sampled_from([0.5, 0.7, 0.9]), min_size=2, max_size=6),
    usd=st.lists(st.sampled_from([None, 1.0, 2.0]), min_size=6, max_size=6),
    stays=st.integers(0, 5),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_ties_follow_the_rule(quality, usd, stays):
    pool = tuple(candidate(f"v{n}/m", usd[n]) for n in range(len(quality)))
    row = {"type": "best", "quality": {c.id: q for c, q in zip(pool, quality, strict=True)}}
    session = Session(deployment=pool[stays].id) if stays < len(pool) else None
    choice = strategy(row, pool).choose(context(session=session), pool, Fixed())
    tied = [n for n, q in enumerate(quality) if q == max(quality)]
    if stays in tied:
        expected = stays
    else:
        prices = [usd[n] for n in tied if usd[n] is not None]
        cheapest = [n for n in tied if prices and usd[n] == min(prices)]
        expected = (cheapest or tied)[0]
    assert deployments(choice.plan)[0] == pool[expected].id


@given(
    quality=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8),
    floor=st.floats(0.01, 0.99),
    refuse=st.booleans(),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_cheapest_never_goes_below_a_floor_that_somebody_reaches(quality, floor, refuse):
    pool = tuple(candidate(f"v{n}/m", 1 + n) for n in range(len(quality)))
    row = {
        "type": "cheapest",
        "quality": {c.id: q for c, q in zip(pool, quality, strict=True)},
        "on_infeasible": "refuse" if refuse else "relax",
    }
    made = strategy(row, pool)
    ctx = context(surface=Surface(name="s", q_floor=floor))
    reaching = [n for n, q in enumerate(quality) if q >= floor - 1e-12]
    if not reaching and refuse:
        with pytest.raises(NoEligibleModel, match="no candidate satisfies floor"):
            made.choose(ctx, pool, Fixed())
        return
    choice = made.choose(ctx, pool, Fixed())
    names = deployments(choice.plan)
    if reaching:
        assert names == tuple(pool[n].id for n in reaching[:6])
        assert choice.objective.relaxed == ()
    else:
        assert names == tuple(pool[n].id for n, q in enumerate(quality) if q == max(quality))[:6]
        assert choice.objective.relaxed == ("floor",)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_background_asks_by_rising_price_of_the_hour(seed):
    rng = Random(seed)
    pool = a_pool(rng)
    ctx = context(at=datetime(2026, 7, rng.randrange(1, 29), rng.randrange(24), tzinfo=UTC))
    made = strategy({"type": "background", "max_fallbacks": 10}, pool)
    named = deployments(made.choose(ctx, pool, Fixed(seed)).plan)

    def price(candidate):
        nusd = expected_nusd(ctx, candidate.deployment)
        return None if nusd is None else nusd * price_factor(candidate.deployment.slots, ctx.at)

    prices = {c.id: price(c) for c in pool}
    known = [prices[name] for name in named if prices[name] is not None]
    assert known == pytest.approx(sorted(known))
    assert [prices[name] for name in named] == [*known, *[None] * (len(named) - len(known))]
