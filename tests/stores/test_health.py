"""Who is asked last, when that is told, and how it comes back."""

import logging

import pytest

from turnout.stores.live import BreakerConfig, Fleet, Health, HealthConfig
from turnout.types.record import Attempt

RULES = HealthConfig(ttft_p95_s=2.0)


def health(config=RULES, limit=None):
    return Health("a/m", config, limit)


def looked(one, now=0.0, n=0, hits=0, p95=None, *, down=False):
    one.look(now, (n, hits), p95, down=down)
    return one.demoted


@pytest.mark.parametrize(
    ("n", "hits", "p95", "demoted"),
    [
        pytest.param(49, 49, 9.0, False, id="too few calls prove nothing"),
        pytest.param(50, 1, 1.9, False, id="two per cent exactly"),
        pytest.param(50, 2, None, True, id="more than two per cent"),
        pytest.param(100, 0, 2.1, True, id="first content too late"),
    ],
)
def test_the_numbers_that_demote(n, hits, p95, demoted) -> None:
    assert looked(health(), n=n, hits=hits, p95=p95) is demoted


def test_a_limit_of_its_own_replaces_the_rules() -> None:
    assert not looked(health(limit=3.0), n=100, p95=2.5)
    assert looked(health(limit=1.0), n=100, p95=1.5)


def test_it_is_restored_below_half_the_ratio() -> None:
    one = health()
    assert looked(one, n=100, hits=3)
    assert looked(one, n=100, hits=2)
    assert not looked(one, n=100, hits=1)


def test_it_is_restored_when_the_window_holds_too_little() -> None:
    one = health()
    assert looked(one, n=50, hits=50)
    assert not looked(one, now=300, n=3, hits=3)


def test_a_restored_one_gets_a_rising_share() -> None:
    one = health()
    looked(one, n=50, hits=50)
    looked(one, now=100.0, n=0)
    shares = [one.share(at) for at in (100.0, 130.0, 159.0, 160.0)]
    assert shares == pytest.approx([0.1, 0.55, 0.985, 1.0])
    assert one.is_plain


def test_one_that_was_shut_out_comes_back_slowly_too() -> None:
    one = health()
    looked(one, down=True)
    assert one.share(0.0) == 1.0
    looked(one, now=10.0)
    assert one.share(10.0) == pytest.approx(0.1)


def test_each_change_is_told_once(caplog) -> None:
    one = health()
    with caplog.at_level(logging.WARNING, "turnout.health"):
        for _ in range(3):
            looked(one, n=50, hits=5)
        looked(one, n=50, hits=0)
    assert [record.getMessage() for record in caplog.records] == [
        "a/m is demoted: 5 of 50 calls failed",
        "a/m is restored; its share of calls rises over 60 s",
    ]


def test_what_is_off_judges_nothing() -> None:
    assert not looked(health(HealthConfig(enabled=False)), n=100, hits=100)


def test_the_fleet_tells_it_with_the_live_numbers() -> None:
    fleet = Fleet(BreakerConfig(enabled=False), health=RULES)
    for i in range(60):
        ok = {"outcome": "ok", "ttft_s": 0.1}
        bad = {"outcome": "failed", "error": "timeout_idle"}
        seen = Attempt(
            n=1,
            deployment="a/m",
            model="a/m",
            provider="a",
            start_s=0,
            duration_s=1,
            **(bad if i % 20 == 0 else ok),
        )
        fleet.observe(seen, now=float(i) / 10)
    assert fleet.stats("a/m", 6.0).demoted
    assert (fleet.stats("a/m", 400.0).demoted, fleet.stats("a/m", 400.0).share) == (False, pytest.approx(0.1))
    assert fleet.stats("a/m", 461.0).share == 1.0


def test_other_rules_hold_at_once() -> None:
    fleet = Fleet()
    live = fleet.of("a/m")
    fleet.watch(HealthConfig(error_ratio=0.5), {"a/m": 9.0})
    assert (live.health.config.error_ratio, live.health.ttft_limit_s) == (0.5, 9.0)
    assert fleet.of("b/m").health.config.error_ratio == 0.5
