"""When a job runs: the cheapest hour that leaves enough time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.jobs.booking import Option, Span, book, instants
from turnout.stores.queue import Booking
from turnout.types.slot import Slot

NOON = datetime(2026, 7, 6, 12, tzinfo=UTC)
QUICK = Span(600.0, 2.0, 10.0)
NIGHT = Slot(name="night", hours="22:00-06:00", price_factor=0.5)


def after(hours):
    return NOON + timedelta(hours=hours)


def option(hours, price, span=QUICK, **more):
    return Option(at=after(hours), price_nusd=price, span=span, deployment="v/m", model="v/m", **more)


def test_prices_change_where_slots_open_and_close():
    assert instants([NIGHT], NOON, after(24)) == [NOON, after(10), after(18)]
    assert instants([NIGHT], NOON, after(10)) == [NOON]
    assert instants([], NOON, after(24)) == [NOON]
    assert len(instants([NIGHT], NOON, after(10_000))) == 48


def test_a_job_waits_for_the_cheapest_slot_before_its_deadline():
    found = book([option(0, 1000), option(10, 500, slot="night", price_factor=0.5)], after(24), eta=0.05)
    assert found == Booking(
        start_at=after(10),
        latest_at=after(24) - timedelta(seconds=10),
        slot="night",
        deployment="v/m",
        model="v/m",
        price_nusd=500,
        price_factor=0.5,
        plain_nusd=1000,
        p_done=1.0,
        promoted=False,
    )


def test_at_the_same_price_it_runs_now():
    assert book([option(0, 500), option(10, 500)], after(24), eta=0.05).start_at == NOON


def test_a_slot_that_leaves_too_little_time_is_not_waited_for():
    options = [option(0, 1000), option(10, 500)]
    late = after(10) + timedelta(seconds=9)
    assert book(options, late, eta=0.05).start_at == NOON
    assert book(options, late, eta=0.2).start_at == after(10)
    assert book(options, late, eta=0.2, wait_s=60).start_at == NOON


def test_a_job_that_cannot_wait_is_promoted():
    found = book([option(0, 1000), option(10, 500)], NOON + timedelta(seconds=5), eta=0.05)
    assert (found.start_at, found.latest_at, found.promoted) == (NOON, NOON, True)
    assert found.p_done == pytest.approx(0.8255, abs=1e-3)


def test_of_what_was_never_observed_the_time_out_has_to_fit():
    unseen = Span(600.0)
    options = [option(0, 1000, unseen), option(1, 500, unseen)]
    assert book(options, after(2), eta=0.05).start_at == after(1)
    found = book(options, after(1.1), eta=0.05)
    assert (found.start_at, found.p_done, found.promoted) == (NOON, None, False)
    assert book(options, after(0.1), eta=0.05).promoted


def test_an_unknown_price_is_dearer_than_any():
    assert book([option(0, None), option(10, 10**12)], after(24), eta=0.05).start_at == after(10)
    assert book([option(0, None), option(10, None)], after(24), eta=0.05).start_at == NOON


options_ = st.lists(
    st.tuples(
        st.integers(1, 48), st.one_of(st.none(), st.integers(0, 5)), st.floats(0.1, 9000), st.floats(1, 20)
    ),
    min_size=1,
    max_size=8,
)


@given(rows=options_, hours=st.floats(0.001, 60), eta=st.floats(0.001, 0.5), wait_s=st.floats(0, 7200))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_no_feasible_hour_is_cheaper_than_the_booked_one(rows, hours, eta, wait_s):
    options = [
        option(at if n else 0, price, Span(600.0, p50, p50 * ratio))
        for n, (at, price, p50, ratio) in enumerate(rows)
    ]
    deadline = after(hours)
    found = book(options, deadline, eta=eta, wait_s=wait_s)

    def chance(each):
        return each.span.p_within((deadline - each.at).total_seconds() - wait_s)

    able = [each for each in options if chance(each) >= 1 - eta]
    assert found.start_at >= NOON
    assert NOON <= found.latest_at <= max(deadline, NOON)
    if not able:
        assert found.promoted
        assert found.start_at == NOON
        return
    cheapest = min(float("inf") if each.price_nusd is None else each.price_nusd for each in able)
    assert (float("inf") if found.price_nusd is None else found.price_nusd) == cheapest


@given(p50=st.floats(0.01, 1e4), ratio=st.floats(1.001, 50), low=st.floats(0, 1e5), more=st.floats(0, 1e5))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_more_time_is_never_less_likely_to_do(p50, ratio, low, more):
    span = Span(600.0, p50, p50 * ratio)
    assert 0 <= span.p_within(low) <= span.p_within(low + more) <= 1
    if p50 > 0.05:
        assert span.p_within(p50) == pytest.approx(0.5, abs=1e-6)
        assert span.p_within(p50 * ratio) == pytest.approx(0.95, abs=1e-3)
