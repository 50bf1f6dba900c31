"""Hours in which calls are cheaper: what they hold, when they open next."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.types.slot import DAYS, Slot, price_factor

NIGHT = Slot(name="night", hours="22:00-06:00", days=("fri",), zone="Europe/Zurich", price_factor=0.5)


def at(day, hour, minute=0, month=7):
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_hours_over_midnight_belong_to_the_day_they_begin_on():
    # 3 July 2026 is a Friday; Zurich is two hours ahead of UTC.
    assert [NIGHT.holds(each) for each in (at(3, 19, 59), at(3, 20), at(4, 3, 59), at(4, 4), at(4, 21))] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_the_next_opening_is_in_the_zone_of_the_slot():
    assert NIGHT.opens(at(3, 19)) == at(3, 20)
    assert NIGHT.opens(at(3, 20)) == at(10, 20)
    assert NIGHT.opens(at(1, 12, month=1)) == at(2, 21, month=1)


def test_the_next_closing_is_that_of_the_day_it_began_on():
    assert NIGHT.closes(at(3, 19)) == at(4, 4)
    assert NIGHT.closes(at(4, 1)) == at(4, 4)
    assert NIGHT.closes(at(4, 4)) == at(11, 4)
    whole = Slot(name="sunday", days=("sun",), price_factor=0.5)
    assert (whole.opens(at(3, 19)), whole.closes(at(5, 19))) == (at(5, 0), at(6, 0))


def test_the_least_factor_of_the_open_slots_holds():
    always = Slot(name="always", price_factor=0.9)
    assert price_factor((NIGHT, always), at(3, 21)) == 0.5
    assert price_factor((NIGHT, always), at(3, 12)) == 0.9
    assert price_factor((NIGHT,), at(3, 12)) == 1.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hours": "22-6"}, "hours: '22-6' is no span of hours"),
        ({"hours": "25:00-26:00"}, "no time of the day"),
        ({"hours": "06:00-06:00"}, "is empty"),
        ({"zone": "Mars/Base"}, "zone: 'Mars/Base' is no known IANA zone"),
        ({"price_factor": -1.0}, "price_factor is -1.0"),
        ({"days": ()}, "days: name at least one"),
        ({"name": ""}, "name: expected"),
    ],
)
def test_what_is_no_slot_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Slot(**{"name": "x", "price_factor": 0.5, **fields})


@given(
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    zone=st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
    moment=st.floats(0, 730).map(lambda days: at(1, 0, month=1) + timedelta(days=days)),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_the_next_opening_lies_ahead_and_inside(begin, length, days, zone, moment):
    end = (begin + length) % 1440
    hours = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    slot = Slot(name="x", hours=hours, days=tuple(days), zone=zone, price_factor=0.5)
    opening = slot.opens(moment)
    assert moment < opening <= moment + timedelta(days=8, hours=2)
    # An opening inside the hour that spring takes away begins when the clocks go on.
    assert slot.holds(opening) or length <= 60
    closing = slot.closes(moment)
    assert moment < closing <= moment + timedelta(days=8, hours=2)
    # The other way round: an ending inside the hour that autumn repeats is the first of the two.
    assert not slot.holds(closing) or slot.holds(closing - timedelta(minutes=1)) or length >= 1380
