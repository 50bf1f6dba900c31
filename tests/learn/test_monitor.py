"""The promise watched while it is kept, and while it is not: sequential validity by simulation."""

import math

import numpy as np
import pytest

from turnout.learn.calibrate import alarm_delay, log_alarm
from turnout.learn.monitor import Difference, Interval, LossWatch, ShiftWatch, shift


def games(mean, discordant, n_games, n, seed=0):
    """Losses of -1, 0 and 1 with a mean and a share of requests on which the sides differ."""
    random = np.random.default_rng(seed)
    lost, won = (discordant + mean) / 2, (discordant - mean) / 2
    u = random.random((n_games, n))
    return np.where(u < lost, 1.0, np.where(u < lost + won, -1.0, 0.0))


def test_many_games_at_once_are_what_one_watch_sees():
    losses = games(0.03, 0.2, 2, 300)
    watches = [LossWatch(0.02), LossWatch(0.02)]
    for watch, row in zip(watches, losses, strict=True):
        for loss in row:
            watch.take(float(loss))
    assert log_alarm(losses, 0.02)[:, -1] == pytest.approx([watch.log_evidence for watch in watches])
    assert [watch.n for watch in watches] == [300, 300]
    assert watches[0].total == pytest.approx(losses[0].sum())


@pytest.mark.parametrize("discordant", [0.15, 0.25])
def test_a_kept_promise_alarms_in_at_most_one_of_a_hundred_runs(discordant):
    evidence = log_alarm(games(0.02, discordant, 500, 6000), 0.02)
    assert (evidence.max(axis=1) >= math.log(100)).mean() <= 0.01


@pytest.mark.parametrize(("mean", "expected"), [(0.05, 2230), (0.07, 785), (0.12, 295)])
def test_a_broken_promise_is_noticed_after_about_as_many_pairs_as_published(mean, expected):
    delay = alarm_delay(games(mean, 0.2, 500, 6000), 0.02)
    assert 0.75 * expected <= delay <= 1.25 * expected


def test_a_promise_that_is_kept_is_never_said_to_be_noticed_broken():
    assert alarm_delay(games(0.0, 0.2, 20, 500), 0.02) is None


def test_a_watch_alarms_and_stays_alarmed_while_losses_go_on():
    watch = LossWatch(0.02)
    for _ in range(30):
        watch.take(1.0)
    assert watch.alarms
    assert not LossWatch(0.02).alarms
    with pytest.raises(ValueError, match="loss is 2; expected within -1 and 1"):
        watch.take(2)


def test_traffic_as_expected_does_not_shift_and_other_traffic_does():
    random = np.random.default_rng(0)
    bounds = [i / 50 for i in range(1, 50)]
    watch = ShiftWatch(bounds, bounds)
    assert [watch.take(float(gap)) for gap in random.random(5000)] == [False] * 5000
    assert watch.index < 0.1
    moved = [watch.take(float(gap) ** 2) for gap in random.random(1000)]
    assert moved == [False] * 999 + [True]
    assert watch.index > 0.25


def test_a_gap_on_a_bound_belongs_below_it():
    watch = ShiftWatch([0.1, 0.2], [0.5, 1.0])
    for gap in (0.1, 0.15, 0.2, 0.3):
        watch.take(gap)
    assert watch.counts == [1, 2, 1]


def test_the_index_is_the_sum_over_cells_of_difference_times_log_ratio():
    assert shift((0.5, 0.5), (1_000_000, 3_000_000)) == pytest.approx(0.5 * math.log(3) / 2, rel=1e-3)
    assert shift((0.5, 0.5), (500, 500)) == 0.0


def difference_of(seed, n, share=0.5, means=(0.7, 0.6)):
    random = np.random.default_rng(seed)
    watch, missed = Difference(share), False
    for first, u in zip(random.random(n) < share, random.random(n), strict=True):
        watch.take(first=bool(first), score=float(u < means[0 if first else 1]), expected=(0.65, 0.65))
        low, high = watch.interval.low, watch.interval.high
        missed |= not low <= means[0] - means[1] <= high
    return missed, watch.interval


def test_the_interval_of_a_difference_holds_at_every_step_of_nearly_every_run():
    runs = [difference_of(seed, 500) for seed in range(100)]
    assert sum(missed for missed, _ in runs) <= 5


def test_the_interval_narrows():
    widths = [difference_of(0, n)[1] for n in (100, 1000, 5000)]
    spans = [each.high - each.low for each in widths]
    assert spans[0] > spans[1] > spans[2]
    assert spans[2] < 0.25


def test_half_widths_on_coin_flips_are_about_those_published():
    random, watch, found = np.random.default_rng(1), Difference(0.5), []
    for n, u in enumerate(random.random(5000), start=1):
        watch._take(float(u < 0.7))
        if n in {100, 1000, 5000}:
            found.append((math.log(40) + watch._penalty) / watch._stakes)
    assert found == pytest.approx([0.159, 0.056, 0.029], rel=0.1)


def test_nothing_is_known_before_the_first_answer():
    assert Difference(0.1).interval == Interval(0.0, -1.0, 1.0)
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        Difference(1.5)
