"""Each strategy by the word people use: literal plans."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from tests.strategies.kit import Fixed, candidate, choose, context, price, request, scores, seen, strategy
from turnout.errors import ConfigError, NoEligibleModel
from turnout.plan import Cascade, Fanout, Hedge, Sequence, Try, deployments
from turnout.strategies.base import Pace, Session, Surface
from turnout.types.chat import Message, Text, ToolCall, ToolResult
from turnout.types.deployment import Candidate
from turnout.types.signal import Signal
from turnout.types.slot import Slot


def first(choice):
    return deployments(choice.plan)[0]


def problem(row, candidates, known=None):
    with pytest.raises(ConfigError) as caught:
        strategy(row, candidates, known)
    return caught.value.problems


CHEAP, MIDDLE, DEAR = candidate("a/small", 1), candidate("b/middle", 3), candidate("a/large", 9)
POOL = (DEAR, CHEAP, MIDDLE)
KNOWN = scores(quiz={"a/small": 50, "b/middle": 70, "a/large": 90})


# cheapest


def test_cheapest_asks_by_rising_cost():
    choice = choose({"type": "cheapest"}, POOL)
    assert choice.plan == Sequence((Try("a/small"), Try("b/middle"), Try("a/large")))
    assert choice.reason == "cheapest_above_floor"
    assert choice.utilities == pytest.approx({"a/small": -0.002, "b/middle": -0.006, "a/large": -0.018})


def test_cheapest_keeps_its_floor_for_fallbacks_too():
    choice = choose({"type": "cheapest", "q_floor": 0.6, "benchmark": "quiz"}, POOL, known=KNOWN)
    assert choice.plan == Sequence((Try("b/middle"), Try("a/large")))
    assert choice.objective.binding == ("floor",)
    assert choice.objective.quality_floor == 0.6


def test_a_model_of_unknown_quality_is_below_every_floor():
    row = {"type": "cheapest", "q_floor": 0.6, "quality": {"a/large": 0.9}}
    assert choose(row, POOL).plan == Try("a/large")


def test_an_unknown_price_is_asked_last_by_cheapest():
    free = candidate("c/unknown", None)
    assert deployments(choose({"type": "cheapest"}, (free, DEAR, CHEAP)).plan) == (
        "a/small",
        "a/large",
        "c/unknown",
    )


def test_cheapest_over_its_price_cap_refuses_where_it_stands_alone():
    made = strategy({"type": "cheapest", "max_cost_per_1k": 0.0005}, POOL)
    with pytest.raises(NoEligibleModel, match="every candidate was filtered out"):
        made.choose(context(), POOL, Fixed())


# fastest


def test_fastest_takes_the_least_median_time_to_first_content():
    pool = (candidate("a/x", **seen(0.9)), candidate("b/y", **seen(0.3)), candidate("c/z", **seen(0.5)))
    choice = choose({"type": "fastest", "epsilon": 0}, pool, context(request(stream=True)))
    assert choice.plan == Sequence((Try("b/y"), Try("c/z"), Try("a/x")))
    assert (choice.reason, choice.propensity) == ("fastest", 1.0)


def test_fastest_by_a_high_quantile_prefers_the_steady_one():
    pool = (candidate("a/wild", **seen(0.2, 5.0)), candidate("b/steady", **seen(0.4, 0.5)))
    assert first(choose({"type": "fastest", "epsilon": 0}, pool)) == "a/wild"
    assert first(choose({"type": "fastest", "epsilon": 0, "quantile": 0.95}, pool)) == "b/steady"


def test_a_deployment_that_nobody_has_called_gets_one_call_at_a_time():
    others = (candidate("b/slow", **seen(1.5)), candidate("c/fast", **seen(0.5)))
    streamed = context(request(stream=True))

    def order(**stats):
        pool = (candidate("a/new", **stats), *others)
        return deployments(choose({"type": "fastest", "epsilon": 0}, pool, streamed).plan)

    assert order() == ("a/new", "c/fast", "b/slow")
    assert order(in_flight=1) == ("c/fast", "a/new", "b/slow")
    assert order(n_observed=1, ttft_recent_s=0.9) == ("c/fast", "a/new", "b/slow")


def test_where_nothing_is_known_those_that_nobody_waits_for_come_first():
    pool = (candidate("a/busy", in_flight=1), candidate("b/idle"))
    assert first(choose({"type": "fastest", "epsilon": 0}, pool)) == "b/idle"


def test_few_observations_are_blended_with_the_least_that_is_known():
    few = candidate("a/few", **{**seen(1.4), "n_observed": 5})
    pool = (few, candidate("b/known", **seen(0.6)))
    choice = choose({"type": "fastest", "epsilon": 0}, pool, context(request(stream=True)))
    assert choice.utilities == {"a/few": pytest.approx(-(5 * 1.4 + 15 * 0.6) / 20), "b/known": -0.6}


def test_fastest_goes_by_the_whole_answer_where_nothing_streams():
    early = candidate("a/early", n_observed=50, ttft_p50_s=0.2, total_p50_s=9.0)
    pool = (early, candidate("b/brisk", n_observed=50, ttft_p50_s=0.8, total_p50_s=2.0))
    row = {"type": "fastest", "epsilon": 0}
    assert first(choose(row, pool, context(request(stream=True)))) == "a/early"
    assert first(choose(row, pool, context(request()))) == "b/brisk"
    assert first(choose({**row, "measure": "ttft"}, pool, context(request()))) == "a/early"


def test_a_fast_deployment_that_fails_often_is_damped():
    failing = candidate("a/flaky", **seen(0.3, 0.6, error_ratio=0.5))
    pool = (failing, candidate("b/sound", **seen(0.5)))
    assert first(choose({"type": "fastest", "epsilon": 0, "damp_failures": False}, pool)) == "a/flaky"
    assert first(choose({"type": "fastest", "epsilon": 0}, pool)) == "b/sound"


# best, benchmarks, balanced


def test_best_takes_the_highest_quality_and_falls_to_the_next_best():
    choice = choose({"type": "best", "benchmark": "quiz"}, POOL, known=KNOWN)
    assert choice.plan == Sequence((Try("a/large"), Try("b/middle"), Try("a/small")))
    assert choice.quality == {"a/small": 0.5, "b/middle": 0.7, "a/large": 0.9}


def test_best_within_the_noise_takes_the_cheaper():
    row = {"type": "best", "quality": {"a/large": 0.90, "b/middle": 0.89, "a/small": 0.5}, "sd": 0.05}
    choice = choose(row, POOL)
    assert first(choice) == "b/middle"
    assert choice.objective.tie_break == "cheaper"


def test_benchmarks_weighs_what_it_is_told_to():
    known = scores(code={"a/small": 90, "a/large": 60}, maths={"a/small": 20, "a/large": 80})
    pool = (CHEAP, DEAR)
    coder = {"type": "benchmarks", "weights": {"code": 0.9, "maths": 0.1}}
    mathematician = {"type": "benchmarks", "weights": {"code": 10, "maths": 90}}
    assert first(choose(coder, pool, known=known)) == "a/small"
    assert first(choose(mathematician, pool, known=known)) == "a/large"


def test_balanced_pays_for_quality_what_it_is_worth():
    row = {"type": "balanced", "benchmark": "quiz", "mu": 0}
    assert first(choose({**row, "lambda": 0.1}, POOL, known=KNOWN)) == "a/large"
    assert first(choose({**row, "lambda": 100}, POOL, known=KNOWN)) == "a/small"
    choice = choose({**row, "lambda": 30}, POOL, known=KNOWN)
    assert choice.objective.lambda_ == 30
    assert choice.scores["b/middle"] == {"quality": 0.7, "cost": pytest.approx(-0.18)}


# balancing


def test_round_robin_takes_turns_by_weight_evenly_spread():
    pool = (candidate("a/x", weight=2), candidate("b/y", weight=1), candidate("c/z", weight=1))
    made = strategy({"type": "round_robin"}, pool)
    turns = [first(made.choose(context(sequence=n), pool, Fixed())) for n in range(8)]
    assert turns == ["a/x", "b/y", "c/z", "a/x"] * 2


def test_a_rotation_has_no_propensity():
    assert choose({"type": "round_robin"}, POOL).propensity is None


def test_least_busy_looks_at_the_share_of_the_limit():
    pool = (candidate("a/x", limit=10, in_flight=5), candidate("b/y", limit=100, in_flight=20))
    choice = choose({"type": "least_busy"}, pool)
    assert (first(choice), choice.propensity) == ("b/y", 1.0)


def test_two_choices_never_takes_the_busiest():
    pool = tuple(candidate(f"v/m{n}", in_flight=n, **seen(1.0)) for n in range(4))
    made = strategy({"type": "two_choices"}, pool)
    choices = [made.choose(context(), pool, Fixed(seed)) for seed in range(200)]
    assert {first(c) for c in choices} == {"v/m0", "v/m1", "v/m2"}
    assert {first(c): c.propensity for c in choices} == {"v/m0": 3 / 6, "v/m1": 2 / 6, "v/m2": 1 / 6}


# tiers


def test_slo_tiers_prefers_the_tier_and_then_the_price():
    pool = (
        candidate("a/cheap", 1, **seen(2.0, 2.5)),
        candidate("b/quick", 9, **seen(0.5, 1.0)),
        candidate("c/quick-cheap", 5, **seen(0.6, 1.4)),
        candidate("d/hopeless", 0.1, **seen(9.0, 30.0)),
    )
    choice = choose({"type": "slo_tiers", "max_fallbacks": 3}, pool, context(request(stream=True)))
    assert deployments(choice.plan) == ("c/quick-cheap", "b/quick", "a/cheap", "d/hopeless")


TIERED = {"type": "complexity", "tiers": [["a/small"], ["b/middle"], ["a/large"]], "thresholds": [0.3, 0.7]}


@pytest.mark.parametrize(
    ("hard", "expected"),
    [
        (0.1, ("a/small", "b/middle", "a/large")),
        (0.3, ("b/middle", "a/large", "a/small")),
        (0.9, ("a/large", "b/middle", "a/small")),
    ],
)
def test_complexity_asks_the_tier_that_is_needed_and_then_goes_up(hard, expected):
    ctx = context(signals={"complexity": Signal(hard)})
    assert deployments(choose(TIERED, POOL, ctx).plan) == expected


def test_complexity_without_its_signal_takes_the_declared_default():
    assert first(choose({**TIERED, "default": 0.9}, POOL)) == "a/large"
    broken = context(signals={"complexity": Signal(error="timeout")})
    assert first(choose({**TIERED, "default": 0.1}, POOL, broken)) == "a/small"


def test_threshold_is_read_off_the_share_of_own_traffic():
    sample = [n / 1000 for n in range(1000)]
    row = {"type": "threshold", "weak": "a/small", "strong": "a/large", "strong_share": 0.2, "sample": sample}
    made = strategy(row, (CHEAP, DEAR))
    strong = sum(
        first(made.choose(context(signals={"complexity": Signal(w)}), (CHEAP, DEAR), Fixed())) == "a/large"
        for w in sample
    )
    assert (strong, made.name) == (200, "threshold")


# several calls


def test_hedge_starts_the_second_after_the_observed_tail_of_the_first():
    pool = (candidate("a/x", **seen(0.3, 0.8)), candidate("b/y", **seen(0.4)), candidate("c/z", **seen(0.5)))
    choice = choose({"type": "hedge"}, pool, context(request(stream=True)))
    assert choice.plan == Sequence((Hedge(Try("a/x"), Try("b/y"), 0.8), Try("c/z")))


def test_hedge_without_allowance_is_a_sequence():
    pool = (candidate("a/x", **seen(0.3)), candidate("b/y", **seen(0.4)))
    assert choose({"type": "hedge"}, pool, context(may_hedge=False)).plan == Sequence(
        (Try("a/x"), Try("b/y"))
    )


def test_hedge_never_runs_tools_of_the_upstream_twice():
    pool = (candidate("a/x", **seen(0.3)), candidate("b/y", **seen(0.4)))
    ctx = context(request(server_tools=True, n_messages=1))
    assert choose({"type": "hedge"}, pool, ctx).plan == Sequence((Try("a/x"), Try("b/y")))


def test_hedge_does_not_start_what_the_cap_cannot_pay_twice():
    pool = (candidate("a/x", 1, **seen(0.3)), candidate("b/y", 1, **seen(0.4)))
    once = 5000 * 1000  # 5,000 tokens at 1 USD per million, in nano-USD
    capped = context(prefer={"max_cost_nusd": once + 1})
    assert choose({"type": "hedge"}, pool, capped).plan == Sequence((Try("a/x"), Try("b/y")))
    enough = context(prefer={"max_cost_nusd": 2 * once})
    assert isinstance(choose({"type": "hedge"}, pool, enough).plan, Hedge)


CASCADE = {"type": "cascade", "accept": {"type": "finish"}}


def test_cascade_goes_from_the_cheapest_to_the_best():
    plan = choose({**CASCADE, "benchmark": "quiz"}, POOL, known=KNOWN).plan
    assert isinstance(plan, Cascade)
    assert plan.nodes == (Try("a/small"), Sequence((Try("a/large"), Try("b/middle"))))


def test_a_cascade_without_known_quality_rises_in_cost():
    plan = choose({**CASCADE, "steps": 3}, POOL).plan
    assert plan.nodes == (Try("a/small"), Try("b/middle"), Try("a/large"))


def test_a_step_that_is_dearer_and_no_better_is_left_out():
    known = scores(quiz={"a/small": 80, "b/middle": 70, "a/large": 90})
    plan = choose({**CASCADE, "steps": 3, "benchmark": "quiz"}, POOL, known=known).plan
    assert plan.nodes == (Try("a/small"), Sequence((Try("a/large"), Try("b/middle"))))


def test_consensus_asks_the_best_k_at_once():
    row = {"type": "consensus", "k": 2, "reduce": {"type": "majority"}, "benchmark": "quiz"}
    choice = choose(row, POOL, known=KNOWN)
    assert isinstance(choice.plan, Fanout)
    assert (choice.plan.nodes, choice.reason) == ((Try("a/large"), Try("b/middle")), "consensus")


def test_consensus_asks_no_more_than_the_cap_pays():
    row = {"type": "consensus", "k": 3, "reduce": {"type": "majority"}}
    cap = (9 + 1) * 5000 * 1000
    assert choose(row, POOL, context(prefer={"max_cost_nusd": cap})).plan.nodes == (
        Try("a/large"),
        Try("a/small"),
    )


# schedule


PEAK = {
    "type": "schedule",
    "windows": [
        {
            "days": ["mon", "tue", "wed", "thu", "fri"],
            "from": "08:00",
            "to": "18:00",
            "zone": "Europe/Berlin",
            "visibility": "user",
            "strategy": {"type": "best", "benchmark": "quiz"},
        }
    ],
    "otherwise": {"type": "cheapest"},
}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 7, 6, 6, 30, tzinfo=UTC), "a/large"),  # Monday 08:30 in Berlin, summer
        (datetime(2026, 1, 5, 6, 30, tzinfo=UTC), "a/small"),  # Monday 07:30 in Berlin, winter
        (datetime(2026, 7, 6, 16, 0, tzinfo=UTC), "a/small"),  # 18:00: the first minute outside
        (datetime(2026, 7, 5, 8, 0, tzinfo=UTC), "a/small"),  # Sunday
    ],
)
def test_schedule_follows_the_clocks_of_its_zone(at, expected):
    assert first(choose(PEAK, POOL, context(at=at), known=KNOWN)) == expected


def test_schedule_keeps_a_window_for_users_from_background_work():
    at = datetime(2026, 7, 6, 8, tzinfo=UTC)
    background = context(at=at, surface=Surface(name="nightly", visibility="background"))
    assert first(choose(PEAK, POOL, background, known=KNOWN)) == "a/small"
    job = context(at=at)
    job = replace(job, ask=replace(job.ask, visibility="background"))
    assert first(choose(PEAK, POOL, job, known=KNOWN)) == "a/small"


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on():
    night = {
        "from": "22:00",
        "to": "06:00",
        "days": ["fri"],
        "strategy": {"type": "best", "benchmark": "quiz"},
    }
    row = {"type": "schedule", "windows": [night], "otherwise": {"type": "cheapest"}}

    def at(day, hour):
        return first(choose(row, POOL, context(at=datetime(2026, 7, day, hour, tzinfo=UTC)), known=KNOWN))

    assert (at(3, 23), at(4, 5), at(4, 23), at(3, 5)) == ("a/large", "a/large", "a/small", "a/small")


# modifiers


def sticky(**fields):
    return {
        "type": "best",
        "quality": {"a/small": 0.80, "b/middle": 0.805, "a/large": 0.5},
        "modify": [{"type": "sticky", "psi": 0.02, **fields}],
    }


def test_sticky_stays_while_leaving_costs_more_than_it_gains():
    warm = context(session=Session(deployment="a/small", idle_s=10))
    assert first(choose(sticky(), POOL)) == "b/middle"
    assert first(choose(sticky(), POOL, warm)) == "a/small"
    cold = context(session=Session(deployment="a/small", idle_s=3000))
    assert first(choose(sticky(), POOL, cold)) == "b/middle"


def test_sticky_reckons_with_the_warm_prompt_cache():
    cached = price(1.0, cache_read=100_000, cache_write_5m=1_250_000)
    pool = (candidate("a/x", cached), candidate("b/y", cached))
    row = {
        "type": "best",
        "quality": {"a/x": 0.8, "b/y": 0.81},
        "modify": [{"type": "sticky", "psi": 0, "lambda": 1.0}],
    }
    short = context(session=Session(deployment="a/x", prefix_tokens=1_000))
    long = context(session=Session(deployment="a/x", prefix_tokens=100_000))
    assert (first(choose(row, pool, short)), first(choose(row, pool, long))) == ("b/y", "a/x")


def test_results_of_tools_go_to_the_deployment_that_asked_for_them():
    call = Message("assistant", (ToolCall(id="1", name="f", arguments="{}"),))
    result = Message("tool", (ToolResult(call_id="1", content=(Text("7"),)),))
    loop = request(messages=(Message("user", (Text("hi"),)), call, result), n_tools=1, n_messages=3)
    other = candidate("c/other", 5, codec="anthropic")
    pool = (*POOL, other)
    row = {
        "type": "best",
        "quality": {"a/small": 0.1, "b/middle": 0.8, "a/large": 0.9, "c/other": 0.95},
        "modify": [{"type": "sticky"}],
    }
    choice = choose(row, pool, context(loop, session=Session(deployment="a/small", idle_s=5)))
    assert choice.plan == Sequence((Try("a/small"), Try("a/large"), Try("b/middle")))
    assert (choice.reason, choice.propensity) == ("session_sticky", 1.0)


def test_paced_raises_the_price_of_money():
    row = {"type": "best", "benchmark": "quiz", "modify": [{"type": "paced", "budget_usd": 100}]}
    assert first(choose(row, POOL, known=KNOWN)) == "a/large"
    hurried = choose(row, POOL, context(pace=Pace(lambda_=100.0)), known=KNOWN)
    assert (first(hurried), hurried.objective.lambda_) == ("a/small", 100.0)


def test_the_cap_of_the_pacer_is_the_first_to_be_given_up():
    row = {"type": "best", "benchmark": "quiz", "modify": [{"type": "paced", "budget_usd": 100}]}
    tight = choose(row, POOL, context(pace=Pace(lambda_=0.0, cap_nusd=6_000_000)), known=KNOWN)
    assert (first(tight), tight.objective.binding) == ("b/middle", ("pacing",))
    nothing = choose(row, POOL, context(pace=Pace(lambda_=0.0, cap_nusd=1)), known=KNOWN)
    assert (first(nothing), nothing.objective.relaxed) == ("a/large", ("pacing",))


def at_night(each):
    night = Slot(name="night", hours="22:00-06:00", price_factor=0.25)
    return Candidate(replace(each.deployment, slots=(night,)), each.stats)


DAYTIME, NIGHT = (
    context(at=datetime(2026, 7, 6, 12, tzinfo=UTC)),
    context(at=datetime(2026, 7, 6, 23, tzinfo=UTC)),
)


def test_background_work_goes_where_the_hour_is_cheapest():
    pool = (at_night(MIDDLE), CHEAP)
    for row in ({"type": "background"}, {"type": "cheapest", "modify": [{"type": "background"}]}):
        assert first(choose(row, pool, DAYTIME)) == "a/small"
        assert first(choose(row, pool, NIGHT)) == "b/middle"
    assert first(choose({"type": "cheapest"}, pool, NIGHT)) == "a/small"


def test_background_counts_the_price_of_the_hour_into_the_utility():
    choice = choose({"type": "background"}, (at_night(MIDDLE),), NIGHT)
    assert choice.plan == Try("b/middle")
    assert choice.utilities == pytest.approx({"b/middle": -0.006 * 0.25})
    assert dict(choice.scores["b/middle"]) == pytest.approx({"cost": -0.006, "background": 0.0045})
    assert choice.reason == "cheapest_above_floor"


def test_background_keeps_its_floor_at_any_hour():
    row = {"type": "background", "q_floor": 0.65, "benchmark": "quiz"}
    pool = (at_night(CHEAP), MIDDLE, DEAR)
    assert deployments(choose(row, pool, NIGHT, known=KNOWN).plan) == ("b/middle", "a/large")


# refused when loaded


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"type": "cheapest", "q_floor": 0.95, "benchmark": "quiz"},
            "strategy.q_floor is 0.95; the best model of the route reaches 0.9",
        ),
        ({"type": "cheapest", "q_floor": 1.5}, "strategy.q_floor is 1.5; expected between 0 and 1"),
        (
            {"type": "best", "benchmark": "qiz"},
            "strategy.benchmark: no scores of 'qiz' are known; did you mean \"quiz\"?",
        ),
        ({"type": "benchmarks", "weights": {"quiz": 0.9}}, "strategy.weights sum to 0.9; make them sum to 1"),
        (
            {"type": "best", "quality": {"a/smal": 0.5}},
            "strategy.quality: 'a/smal' is not in the route's models; did you mean \"a/small\"?",
        ),
        ({"type": "fastest", "epsilon": 2}, "strategy.epsilon is 2.0; expected between 0 and 1"),
        ({"type": "fastest", "quantil": 0.9}, 'strategy.quantil: unknown key; did you mean "quantile"?'),
        ({"type": "fastst"}, "strategy.type: turnout.strategies: no 'fastst'; did you mean \"fastest\"?"),
        ({**TIERED, "thresholds": [0.5]}, "strategy.thresholds: 1 given for 3 tiers; expected one fewer"),
        ({**TIERED, "tiers": [["a/small"], ["a/large"]], "thresholds": [0.5]}, "'b/middle' is in no tier"),
        (
            {"type": "threshold", "weak": "a/small", "strong": "a/large", "strong_share": 0.2},
            "strategy.sample: 0 values given; a share is read off at least 500",
        ),
        ({"type": "pipeline", "score": [{"type": "cost", "lambda": -1}]}, "strategy.score[0].lambda is -1.0"),
        ({"type": "pipeline", "score": [{"type": "cost"}, {"type": "cost"}]}, "'cost' stands twice"),
        ({"type": "slo_tiers", "limits_s": [3, 1]}, "limits_s: expected rising positive seconds"),
    ],
)
def test_what_cannot_work_is_refused_with_its_path(row, expected):
    (line,) = problem(row, POOL, KNOWN)
    assert expected in line


def test_a_floor_without_any_known_quality_is_refused():
    row = {"type": "pipeline", "score": [{"type": "cost"}], "q_floor": 0.5}
    assert problem(row, POOL) == (
        "strategy.q_floor: nothing says how good the route's models are; add a quality scorer",
    )
