import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import TAXONOMY
from turnout.stores.live import (
    Breaker,
    BreakerConfig,
    Fleet,
    RetryBudget,
    RetryBudgetConfig,
    Sketch,
    Window,
    blame,
)
from turnout.types.deployment import Stats
from turnout.types.record import Attempt
from turnout.types.usage import Usage

STEADY = BreakerConfig(jitter=0.0)


def breaker(**config) -> Breaker:
    return Breaker(BreakerConfig(**{"jitter": 0.0, **config}), Random(1))


def play(subject: Breaker, script: str) -> list[str]:
    """Play steps such as `0 fail`, `3.5 ok`, `4 limit:2`; return the state seen after each.

    A step that is refused plays `no`.
    """
    seen = []
    for step in script.split(","):
        at, word = step.split()
        now = float(at)
        ticket = subject.admit(now)
        if ticket is None:
            word = "no"
        kind, _, wait = word.partition(":")
        match kind:
            case "ok":
                subject.succeed(ticket, now)
            case "fail":
                subject.fail(ticket, "failure", now)
            case "limit":
                subject.fail(ticket, "limit", now, float(wait) if wait else None)
            case "auth":
                subject.fail(ticket, "account", now)
            case "caller":
                subject.fail(ticket, "none", now)
            case "gone":
                subject.abandon(ticket)
        seen.append(f"{kind} {subject.state(now)} {subject.cooldown_s(now):g}")
    return seen


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("0 fail, 0 fail, 0 fail, 0 fail", ["fail closed 0"] * 4),
        ("0 fail, 0 fail, 0 fail, 0 fail, 0 fail", ["fail closed 0"] * 4 + ["fail open 10"]),
        (
            "0 fail, 0 fail, 0 ok, 0 fail, 0 fail, 0 fail, 0 fail",
            ["fail closed 0"] * 2 + ["ok closed 0"] + ["fail closed 0"] * 4,
        ),
        ("0 caller, 0 caller, 0 caller, 0 caller, 0 caller, 0 caller", ["caller closed 0"] * 6),
        ("0 gone, 0 gone, 0 gone, 0 gone, 0 gone, 0 gone", ["gone closed 0"] * 6),
        ("0 auth", ["auth open 60"]),
        ("0 auth, 59 ok, 60 ok, 60 ok", ["auth open 60", "no open 1", "ok half_open 0", "ok closed 0"]),
        ("0 auth, 60 auth, 119 ok", ["auth open 60", "auth open 60", "no open 1"]),
        ("0 limit:3, 1 ok, 3 ok", ["limit open 3", "no open 2", "ok closed 0"]),
        ("0 limit, 4 ok, 5 ok", ["limit open 5", "no open 1", "ok closed 0"]),
        ("0 limit:3600, 299 ok, 300 ok", ["limit open 300", "no open 1", "ok closed 0"]),
        ("0 limit:0, 0 ok", ["limit closed 0", "ok closed 0"]),
    ],
)
def test_breaker_state_table(script, seen):
    assert play(breaker(), script) == seen


def test_rate_limits_never_open_the_breaker():
    subject = breaker()
    for second in range(100):
        ticket = subject.admit(second)
        assert ticket is not None
        subject.fail(ticket, "limit", second, 1.0)
    assert subject.state(100) == "closed"


def test_breaker_opens_on_the_error_ratio_once_enough_calls_were_seen():
    subject = breaker()
    script = "0 ok, 1 fail, 2 ok, 3 fail, 4 ok, 5 fail, 6 ok, 7 fail, 8 ok, 9 fail"
    assert play(subject, script)[-2:] == ["ok closed 0", "fail open 10"]


def test_failures_that_left_the_window_do_not_open_the_breaker():
    subject = breaker()
    play(subject, "0 fail, 0 fail, 0 fail, 0 ok, 0 fail, 0 fail")
    script = "33 ok, 33 ok, 33 fail, 33 ok, 33 fail, 33 ok, 33 fail, 33 ok, 33 ok, 33 ok"
    assert play(subject, script)[-1] == "ok closed 0"


def test_open_time_doubles_up_to_its_limit_and_starts_over_after_closing():
    subject = breaker(consecutive_failures=1)
    now, waits = 0.0, []
    for _ in range(6):
        ticket = subject.admit(now)
        subject.fail(ticket, "failure", now)
        waits.append(subject.cooldown_s(now))
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 120, 120]
    for _ in range(2):
        subject.succeed(subject.admit(now), now)
    assert subject.state(now) == "closed"
    subject.fail(subject.admit(now), "failure", now)
    assert subject.cooldown_s(now) == 10


def test_a_deployment_down_for_weeks_keeps_the_longest_wait():
    subject = breaker(consecutive_failures=1, open_for_s=1.0, max_open_s=2.0)
    now = 0.0
    for _ in range(5000):
        subject.fail(subject.admit(now), "failure", now)
        now += subject.cooldown_s(now)
    assert subject.cooldown_s(now - 2.0) == 2.0


def test_open_times_are_spread_by_jitter():
    waits = []
    for seed in range(50):
        subject = Breaker(BreakerConfig(consecutive_failures=1, jitter=0.1), Random(seed))
        subject.fail(subject.admit(0), "failure", 0)
        waits.append(subject.cooldown_s(0))
    assert 9 <= min(waits) < 9.5
    assert 10.5 < max(waits) <= 11


def test_half_open_admits_one_probe_at_a_time():
    subject = breaker(consecutive_failures=1)
    subject.fail(subject.admit(0), "failure", 0)
    probe = subject.admit(10)
    assert probe is not None
    assert [subject.admit(10), subject.admit(1000)] == [None, None]
    subject.succeed(probe, 11)
    assert subject.state(11) == "half_open"
    probe = subject.admit(11)
    assert subject.admit(11) is None
    subject.succeed(probe, 12)
    assert subject.state(12) == "closed"


def test_an_abandoned_probe_makes_room_for_another():
    subject = breaker(consecutive_failures=1)
    subject.fail(subject.admit(0), "failure", 0)
    for _ in range(3):
        probe = subject.admit(10)
        assert probe is not None
        subject.abandon(probe)
    assert subject.state(10) == "half_open"


def test_a_rate_limited_probe_neither_opens_nor_closes():
    subject = breaker(consecutive_failures=1)
    subject.fail(subject.admit(0), "failure", 0)
    subject.fail(subject.admit(10), "limit", 10, 2.0)
    assert (subject.state(10), subject.state(12)) == ("open", "half_open")
    assert subject.admit(12) is not None


def test_a_failed_probe_opens_again():
    subject = breaker(consecutive_failures=1)
    assert play(subject, "0 fail, 10 fail, 29 ok, 30 ok, 30 fail") == [
        "fail open 10",
        "fail open 20",
        "no open 1",
        "ok half_open 0",
        "fail open 40",
    ]


def test_a_result_from_before_the_breaker_opened_moves_nothing():
    subject = breaker(consecutive_failures=1)
    late_ok, late_failure, first = subject.admit(0), subject.admit(0), subject.admit(0)
    subject.fail(first, "failure", 1)
    probe = subject.admit(11)
    subject.succeed(late_ok, 11)
    subject.fail(late_failure, "failure", 11)
    subject.abandon(late_failure)
    assert (subject.state(11), subject.admit(11)) == ("half_open", None)
    subject.succeed(probe, 11)
    assert subject.admit(11) is not None


def test_streams_that_break_after_commit_open_the_breaker():
    subject = breaker()
    for _ in range(10):
        ticket = subject.admit(0)
        subject.succeed(ticket, 0)
        subject.broke(ticket, "failure", 0)
    assert subject.state(0) == "open"


def test_a_probe_whose_stream_breaks_opens_again():
    subject = breaker(consecutive_failures=1)
    subject.fail(subject.admit(0), "failure", 0)
    probe = subject.admit(10)
    subject.succeed(probe, 10)
    subject.broke(probe, "failure", 11)
    assert (subject.state(11), subject.cooldown_s(11)) == ("open", 20)


def test_an_old_stream_that_breaks_does_not_disturb_probing():
    subject = breaker(consecutive_failures=1)
    old, bad = subject.admit(0), subject.admit(0)
    subject.succeed(old, 0)
    subject.fail(bad, "failure", 0)
    probe = subject.admit(10)
    subject.broke(old, "failure", 10)
    subject.broke(old, "limit", 10)
    subject.succeed(probe, 10)
    assert subject.state(10) == "half_open"


def test_a_waiter_may_come_back_a_timer_tick_early():
    subject = breaker()
    subject.fail(subject.admit(0), "limit", 0, 2.0)
    assert subject.admit(1.9) is None
    assert subject.admit(1.9995) is not None


def test_reset_closes_whatever_was_seen():
    subject = breaker()
    subject.fail(subject.admit(0), "account", 0)
    subject.reset()
    assert (subject.state(0), subject.cooldown_s(0)) == ("closed", 0)


STEPS = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(["succeed", "failure", "limit", "account", "none", "abandon", "hold", "broke"]),
    ),
    max_size=60,
)


@given(STEPS)
def test_breaker_never_admits_more_probes_than_allowed_and_always_recovers(steps):
    subject = breaker(consecutive_failures=2, half_open_probes=2)
    now, held = 0.0, []
    for pause, word in steps:
        now += pause
        ticket = subject.admit(now)
        if ticket is None:
            continue
        if subject.state(now) == "half_open":
            out = [each for each in held if each == ticket]
            assert len(out) < 2
        if word == "hold":
            held.append(ticket)
        elif word == "succeed":
            subject.succeed(ticket, now)
        elif word == "abandon":
            subject.abandon(ticket)
        elif word == "broke":
            subject.succeed(ticket, now)
            subject.broke(ticket, "failure", now)
        else:
            subject.fail(ticket, word, now, 1.0)
    for ticket in held:
        subject.abandon(ticket)
    now += 1000
    for _ in range(3):
        ticket = subject.admit(now)
        assert ticket is not None
        subject.succeed(ticket, now)
    assert subject.state(now) == "closed"


def test_every_class_of_failure_has_its_blame():
    blamed = {word: blame(word) for word in TAXONOMY if blame(word) != "none"}
    assert blamed == {
        "provider_overloaded": "failure",
        "provider_error": "failure",
        "provider_unreachable": "failure",
        "provider_bad_response": "failure",
        "provider_model_unavailable": "failure",
        "timeout_connect": "failure",
        "timeout_ttft": "failure",
        "timeout_idle": "failure",
        "stream_interrupted": "failure",
        "provider_rate_limited": "limit",
        "provider_auth": "account",
        "provider_quota_exhausted": "account",
    }


def test_window_forgets_slot_by_slot():
    window = Window(10.0, 10)
    seen = []
    for second in range(15):
        window.count(second)
        if second % 2:
            window.hit(second)
        seen.append((window.n, window.hits))
    assert seen[:3] == [(1, 0), (2, 1), (3, 1)]
    assert seen[9:] == [(10, 5)] * 6
    window.roll(1000)
    assert (window.n, window.hits) == (0, 0)


@given(st.lists(st.tuples(st.floats(0, 7), st.booleans()), max_size=80))
def test_window_counts_what_happened_in_its_slots(steps):
    window = Window(10.0, 5)
    now, events = 0.0, []
    for pause, is_hit in steps:
        now += pause
        window.count(now)
        if is_hit:
            window.hit(now)
        events.append((int(now / 2.0), is_hit))
        current = int(now / 2.0)
        inside = [hit for slot, hit in events if slot > current - 5]
        assert (window.n, window.hits) == (len(inside), sum(inside))


def test_window_ignores_a_clock_that_steps_back():
    window = Window(10.0, 10)
    window.count(100)
    window.count(3)
    assert window.n == 2


def test_retry_budget_has_a_reserve_and_a_share_of_the_calls():
    budget = RetryBudget(RetryBudgetConfig())
    assert [budget.withdraw(0) for _ in range(11)] == [True] * 10 + [False]
    for _ in range(20):
        budget.deposit(0)
    assert [budget.withdraw(0) for _ in range(5)] == [True] * 4 + [False]


def test_retry_budget_fills_up_again_with_time():
    budget = RetryBudget(RetryBudgetConfig())
    for _ in range(10):
        budget.withdraw(0.5)
    assert [budget.withdraw(at) for at in (9.9, 10.0)] == [False, True]


def test_retry_budget_does_not_carry_savings_over():
    budget = RetryBudget(RetryBudgetConfig())
    for _ in range(1000):
        budget.deposit(0)
    assert (budget.available(9), budget.available(10)) == (210, 10)


VALUES = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=300)


@given(VALUES, st.floats(0, 1))
def test_sketch_quantiles_are_within_two_per_cent_of_exact(values, q):
    sketch = Sketch()
    for at, value in enumerate(values):
        sketch.add(value, at * 0.5)
    exact = sorted(values)[int(q * (len(values) - 1))]
    assert sketch.quantile(q, len(values) * 0.5) == pytest.approx(exact, rel=0.0201)


@given(VALUES)
def test_sketch_summary_under_load_is_close_to_exact_ranks(values):
    sketch = Sketch()
    for at, value in enumerate(values):
        sketch.add(value, 0.0)
        p50, p95 = sketch.summary(0.0)
        seen = sorted(values[: at + 1])
        for q, estimate in ((0.5, p50), (0.95, p95)):
            slack = (at + 1) / 16 + 1
            low = seen[max(0, math.floor(q * at - slack))]
            high = seen[min(at, math.ceil(q * at + slack))]
            assert low * 0.98 <= estimate <= high * 1.0201


@given(VALUES, VALUES)
def test_merged_sketches_equal_one_that_saw_everything(some, others):
    one, two, both = Sketch(), Sketch(), Sketch()
    for at, value in enumerate(some):
        one.add(value, at)
        both.add(value, at)
    for at, value in enumerate(others):
        two.add(value, at)
        both.add(value, at)
    now = max(len(some), len(others))
    one.merge(two)
    for q in (0.0, 0.5, 0.95, 1.0):
        assert one.quantile(q, now) == both.quantile(q, now)
    assert one.count(now) == both.count(now)


def test_sketch_forgets_minutes_that_left_the_window():
    sketch = Sketch()
    for minute in range(7):
        sketch.add(float(10**minute), minute * 60 + 1)
    counts = [sketch.count(minute * 60 + 59) for minute in (6, 7, 9, 10, 11)]
    assert counts == [5, 4, 2, 1, 0]
    assert sketch.quantile(0.5, 11 * 60) is None
    assert sketch.summary(11 * 60) == (None, None)


def test_sketch_takes_zero_and_negative_values_as_the_smallest():
    sketch = Sketch()
    for value in (0.0, -1.0, 1e-12):
        sketch.add(value, 0)
    assert sketch.quantile(0.5, 0) == 1e-9


def test_sketches_of_different_windows_do_not_merge():
    with pytest.raises(ValueError, match="cannot merge"):
        Sketch().merge(Sketch(window_s=10))


def test_quantiles_rise_with_q():
    sketch, rng = Sketch(), Random(3)
    for _ in range(500):
        sketch.add(rng.expovariate(1.0) + 1e-3, 0)
    grid = [sketch.quantile(q / 20, 0) for q in range(21)]
    assert all(low <= high for low, high in pairwise(grid))


def test_a_deployment_never_called_has_empty_stats():
    fleet = Fleet()
    assert fleet.stats("acme/small", 0) == Stats()


def test_stats_tell_what_happened():
    fleet = Fleet(STEADY)
    live = fleet.of("acme/small")
    live.begin()
    live.begin()
    live.end()
    live.first_content(1.0, 0.5)
    live.answered(1.0, 2.0, 40.0)
    live.first_content(1.0, 0.5)
    live.answered(1.0, 2.0, 40.0)
    live.failed(2.0, "provider_error")
    stats = fleet.stats("acme/small", 3.0)
    assert stats == Stats(
        error_ratio=1 / 3,
        n_observed=3,
        in_flight=1,
        ttft_p50_s=pytest.approx(0.5, rel=0.021),
        ttft_p95_s=pytest.approx(0.5, rel=0.021),
        ttft_recent_s=0.5,
        total_p50_s=pytest.approx(2.0, rel=0.021),
        total_p95_s=pytest.approx(2.0, rel=0.021),
        total_recent_s=2.0,
        tokens_per_s=pytest.approx(40.0, rel=0.021),
        peak_ewma_s=2.0,
    )
    assert (live.last_error, live.last_error_at) == ("provider_error", 2.0)


def test_a_snapshot_is_kept_until_something_moves():
    fleet = Fleet()
    live = fleet.of("a")
    live.answered(1.0, 2.0, None)
    first = live.snapshot(2.0)
    assert live.snapshot(3.0) is first
    live.begin()
    assert live.snapshot(3.0).in_flight == 1


def test_a_snapshot_expires_with_the_window_even_if_nothing_moves():
    fleet = Fleet()
    fleet.of("a").answered(1.0, 2.0, None)
    assert fleet.stats("a", 2.0).n_observed == 1
    assert fleet.stats("a", 301.0) == Stats(total_recent_s=2.0)


def test_a_snapshot_follows_the_breaker_through_its_cooldown():
    fleet = Fleet(STEADY)
    live = fleet.of("a")
    live.breaker.fail(live.breaker.admit(0), "account", 0)
    seen = [(stats.state, stats.cooldown_s) for stats in (fleet.stats("a", at) for at in (0, 59, 60))]
    assert seen == [("open", 60), ("open", 1), ("half_open", 0)]
    for _ in range(2):
        live.breaker.succeed(live.breaker.admit(60), 60)
    assert fleet.stats("a", 60).state == "closed"


def test_a_fleet_outlives_the_configuration():
    fleet = Fleet()
    live = fleet.of("a")
    fleet.of("b")
    fleet.keep({"a": object(), "c": object()})
    assert fleet.of("a") is live
    assert fleet.of("b") is not None
    fleet.configure(BreakerConfig(open_for_s=3), {"b": BreakerConfig(open_for_s=7, window_s=5)})
    settings = [fleet.of(name).breaker.config.open_for_s for name in ("a", "b", "new")]
    assert settings == [3, 7, 3]


def attempt(outcome: str, error: str | None = None) -> Attempt:
    return Attempt(
        n=1,
        deployment="a",
        model="a",
        provider="acme",
        start_s=0.0,
        ttft_s=1.0,
        duration_s=3.0,
        outcome=outcome,
        error=error,
        usage=Usage(output_text=100),
    )


def test_calls_made_elsewhere_move_health_and_latency():
    fleet = Fleet(STEADY)
    for _ in range(3):
        fleet.observe(attempt("ok"), 0.0)
    fleet.observe(attempt("cancelled"), 0.0)
    fleet.observe(attempt("failed", "invalid_request"), 0.0)
    stats = fleet.stats("a", 0.0)
    assert (stats.n_observed, stats.error_ratio) == (3, 0.0)
    assert stats.tokens_per_s == pytest.approx(50.0, rel=0.021)
    fleet.observe(attempt("failed", "provider_auth"), 0.0)
    stats = fleet.stats("a", 0.0)
    assert (stats.state, stats.error_ratio) == ("open", 0.25)


def test_the_peak_mean_rises_at_once_and_decays_over_seconds():
    live = Fleet(seed=1).of("a")
    live.answered(0.0, 1.0, None)
    live.answered(1.0, 9.0, None)
    assert live.snapshot(1.0).peak_ewma_s == 9.0
    live.answered(11.0, 1.0, None)
    assert live.snapshot(11.0).peak_ewma_s == pytest.approx(9 * 0.3679 + 1 * 0.6321, abs=1e-3)
