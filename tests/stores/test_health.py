"""Who is asked last, when that is told, and how it comes back."""

import logging
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.stores.live import BreakerConfig, Fleet, Health, HealthConfig
from turnout.stores.live.health import tail
from turnout.types.record import Attempt

RULES = HealthConfig(ttft_p95_s=2.0, confidence=0.95)


def health(config=RULES, limit=None):
    return Health("a/m", config, limit)


def seen(one, n, bad=0, late=0, now=0.0):
    """Play calls, the first ones failed, the next ones late; return whether it is demoted."""
    for at in range(n):
        if at < bad:
            one.failed(now)
            continue
        one.began(now, 9.0 if at - bad < late else 0.1)
        one.answered(now)
    one.look(now, down=False)
    return one.demoted


@pytest.mark.parametrize(
    ("n", "bad", "late", "demoted"),
    [
        pytest.param(19, 19, 0, False, id="too few calls prove nothing"),
        pytest.param(20, 1, 0, False, id="one of twenty may be bad luck"),
        pytest.param(20, 2, 0, False, id="so may two"),
        pytest.param(20, 3, 0, True, id="three hardly are"),
        pytest.param(50, 1, 0, False, id="two per cent exactly"),
        pytest.param(1000, 24, 0, False, id="a little more than two per cent"),
        pytest.param(1000, 29, 0, True, id="surely more than two per cent"),
        pytest.param(100, 0, 5, False, id="five per cent may be late"),
        pytest.param(100, 0, 12, True, id="more than that are late"),
    ],
)
def test_the_numbers_that_demote(n, bad, late, demoted) -> None:
    assert seen(health(), n, bad, late) is demoted


def test_more_confidence_takes_more_evidence() -> None:
    assert not seen(health(HealthConfig(confidence=0.999)), 20, bad=3)
    assert seen(health(HealthConfig(confidence=0.999)), 20, bad=5)


@settings(derandomize=True)
@given(st.integers(1, 300), st.floats(0.001, 0.6), st.data())
def test_the_tail_is_the_exact_binomial_one(n, p, data) -> None:
    hits = data.draw(st.integers(min(n, int(n * p) + 1), n))
    exact = sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits, n + 1))
    assert tail(n, hits, p) == pytest.approx(exact, rel=1e-6)


def test_certain_failure_is_no_surprise_where_all_may_fail() -> None:
    assert tail(20, 20, 1.0) == 1.0


def test_a_limit_of_its_own_replaces_the_rules() -> None:
    assert not seen(health(limit=10.0), 100, late=100)
    assert seen(health(HealthConfig(), limit=1.0), 100, late=100)


def test_it_is_restored_by_calls_in_a_row() -> None:
    one = health()
    assert seen(one, 50, bad=50)
    assert seen(one, 19)
    assert seen(one, 20, bad=1)
    assert not seen(one, 1)


def test_a_late_answer_breaks_the_row() -> None:
    one = health()
    assert seen(one, 50, bad=50)
    assert seen(one, 30, late=20)
    assert not seen(one, 20)


def test_what_was_seen_before_a_restoration_does_not_demote_again() -> None:
    one = health()
    seen(one, 500, bad=100)
    seen(one, 20)
    assert not seen(one, 50)


def test_a_relapse_takes_twice_as_long() -> None:
    one = health()
    seen(one, 20, bad=20)
    assert not seen(one, 20)
    assert seen(one, 20, bad=20, now=60.0)
    assert seen(one, 39, now=61.0)
    assert not seen(one, 1, now=61.0)


def test_it_is_restored_when_nothing_speaks_against_it_any_more() -> None:
    one = health()
    assert seen(one, 50, bad=50)
    assert seen(one, 0, now=200.0)
    assert not seen(one, 0, now=331.0)


def test_a_demoted_one_is_tried_now_and_then() -> None:
    one = health()
    seen(one, 50, bad=50)
    assert one.share(0.0) == RULES.trial_share == 0.02


def test_a_restored_one_gets_a_rising_share() -> None:
    one = health()
    seen(one, 50, bad=50)
    seen(one, 20, now=100.0)
    shares = [one.share(at) for at in (100.0, 130.0, 159.0, 160.0)]
    assert shares == pytest.approx([0.1, 0.55, 0.985, 1.0])
    assert [one.is_plain(at) for at in (159.0, 160.0)] == [False, True]


def test_one_that_was_shut_out_comes_back_slowly_too() -> None:
    one = health()
    assert not one.look(0.0, down=True)
    assert one.share(0.0) == 1.0
    assert one.look(10.0, down=False)
    assert one.share(10.0) == pytest.approx(0.1)


def test_each_change_is_told_once(caplog) -> None:
    one, told = health(), []
    one.on_change = lambda name, change: told.append((name, change))
    with caplog.at_level(logging.WARNING, "turnout.health"):
        seen(one, 50, bad=5)
        for _ in range(3):
            one.failed(0.0)
            one.look(0.0, down=False)
        seen(one, 20)
        one.look(1.0, down=True)
        one.look(2.0, down=True)
        one.look(3.0, down=False)
    assert [record.getMessage() for record in caplog.records] == [
        "a/m is demoted: 5 of 50 calls failed",
        "a/m is restored; its share of calls rises over 60 s",
        "a/m is shut out",
        "a/m is let in again",
    ]
    assert told == [("a/m", change) for change in ("demoted", "restored", "shut_out", "let_in")]


def test_what_is_off_judges_nothing() -> None:
    assert not seen(health(HealthConfig(enabled=False)), 100, bad=100)


@pytest.mark.parametrize(
    "rule",
    [
        {"error_ratio": 0.0},
        {"confidence": 1.0},
        {"least_share": 0.0},
        {"trial_share": 0.5},
        {"min_calls": 0},
        {"calls_to_restore": 0},
    ],
)
def test_rules_that_mean_nothing_are_refused(rule) -> None:
    with pytest.raises(ValueError, match=next(iter(rule))):
        HealthConfig(**rule)


def observed(fleet, n, now, **fields) -> None:
    row = {"n": 1, "deployment": "a/m", "model": "a/m", "provider": "a", "start_s": 0, "duration_s": 1}
    for _ in range(n):
        fleet.observe(Attempt(**row, **fields), now=now)


def test_the_fleet_tells_it_with_the_live_numbers() -> None:
    fleet, told = Fleet(BreakerConfig(enabled=False), health=RULES), []
    fleet.of("a/m")
    fleet.listen(lambda name, change: told.append((name, change)))
    for _ in range(4):
        observed(fleet, 19, 1.0, outcome="ok", ttft_s=0.1)
        observed(fleet, 4, 1.0, outcome="failed", error="timeout_idle")
    ill = fleet.stats("a/m", 1.0)
    assert (ill.demoted, ill.share, ill.n_observed, ill.error_ratio) == (
        True,
        0.02,
        92,
        pytest.approx(16 / 92),
    )
    observed(fleet, 20, 50.0, outcome="ok", ttft_s=0.1)
    back = fleet.stats("a/m", 50.0)
    assert (back.demoted, back.share, back.n_observed, back.error_ratio) == (
        False,
        pytest.approx(0.1),
        112,
        0.0,
    )
    assert fleet.stats("a/m", 110.0).share == 1.0
    assert told == [("a/m", "demoted"), ("a/m", "restored")]


def test_rate_limits_are_no_failures() -> None:
    fleet = Fleet(health=RULES)
    observed(fleet, 100, 1.0, outcome="failed", error="provider_rate_limited")
    stats = fleet.stats("a/m", 1000.0)
    assert (stats.demoted, stats.error_ratio, stats.n_observed) == (False, None, 0)


def test_other_rules_hold_at_once() -> None:
    fleet = Fleet()
    live = fleet.of("a/m")
    fleet.watch(HealthConfig(error_ratio=0.5), {"a/m": 9.0})
    assert (live.health.config.error_ratio, live.health.ttft_limit_s) == (0.5, 9.0)
    assert fleet.of("b/m").health.config.error_ratio == 0.5
