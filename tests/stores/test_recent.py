from turnout.stores.live.fleet import Fleet
from turnout.stores.live.recent import LEAST, MOST, SPAN_S, Recent


def recent(*values):
    found = Recent()
    for now, value in values:
        found.add(value, now)
    return found


def test_nothing_is_known_before_the_first_value():
    assert Recent().median() is None


def test_one_odd_value_of_three_decides_nothing():
    assert recent((0, 0.5), (60, 9.0), (120, 0.6)).median() == 0.6


def test_a_busy_deployment_that_turns_slow_is_known_by_half_of_the_latest_values():
    fast = [(at / 40, 0.5) for at in range(400)]
    slow = [(10 + at / 40, 2.0) for at in range(MOST // 2 + 1)]
    assert recent(*fast, *slow[:-1]).median() == 0.5
    assert recent(*fast, *slow).median() == 2.0


def test_old_values_count_only_while_there_are_few():
    old = [(at / 10, 0.5) for at in range(20)]
    assert recent(*old, (60, 2.0)).median() == 0.5
    assert recent(*old, *[(60 + at, 2.0) for at in range(LEAST - 1)]).median() == 2.0
    assert recent(*old, (2 + SPAN_S / 2, 2.0)).median() == 0.5


def test_the_minutes_that_are_forgotten_take_the_latest_few_with_them():
    fleet = Fleet()
    fleet.of("a").first_content(0.0, 0.5)
    assert fleet.stats("a", 1.0).ttft_recent_s == 0.5
    assert fleet.stats("a", 601.0).ttft_recent_s is None
