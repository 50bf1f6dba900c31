import pytest

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


def test_the_latest_few_outlive_the_minutes():
    fleet = Fleet()
    fleet.of("a").first_content(0.0, 0.5)
    assert fleet.stats("a", 1.0).ttft_recent_s == 0.5
    assert fleet.stats("a", 601.0).ttft_recent_s == 0.5


def test_calls_still_waited_for_tell_that_a_deployment_has_become_slow():
    one = recent(*[(at / 40, 0.5) for at in range(40)])
    for n in range(40):
        one.wait(n, 1.0 + n / 40)
    assert one.estimate(1.4) == 0.5
    assert one.estimate(2.0) == 0.5
    assert one.estimate(3.0) == pytest.approx(2.0 - 36 / 40)


def test_a_call_that_is_not_late_yet_says_nothing():
    one = recent((0, 0.5), (60, 0.6), (120, 0.7))
    one.wait("call", 200.0)
    assert [one.estimate(at) for at in (200.1, 200.7, 260.0)] == [0.6, 0.6, 0.6]


def test_what_was_given_up_took_at_least_so_long():
    one = recent((0, 0.5))
    for n in range(3):
        one.wait(n, 10.0)
        one.leave(n, 15.0)
    one.wait("early", 20.0)
    one.leave("early", 20.1)
    assert one.median() == 5.0


def test_a_call_that_answered_is_not_given_up():
    one = recent((0, 0.5))
    one.wait("call", 1.0)
    one.add(2.0, 3.0, "call")
    one.leave("call", 90.0)
    assert recent((0, 0.5), (3.0, 2.0)).median() == one.median() == 0.5


def test_one_fast_answer_of_a_deployment_that_is_rarely_asked_attracts_one_call():
    one = recent((0, 2.0), (60, 2.0), (120, 0.5))
    assert one.estimate(121.0) == 0.5
    one.wait("call", 121.0)
    assert one.estimate(121.0) == 2.0
    one.add(0.5, 121.5, "call")
    one.wait("next", 121.5)
    assert one.estimate(121.5) == 0.5
