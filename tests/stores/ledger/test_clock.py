"""A machine's clock that leaps, and what a ledger makes of it."""

import pytest

from turnout.stores.ledger.base import KEPT_S, Granted, Refused, Sliding, Take
from turnout.stores.ledger.clock import LASTED_S, TOLERATED_S, SteadyClock
from turnout.stores.ledger.file import FileLedger
from turnout.testing.ledger import START

DAY = 86_400.0
SPENT = Take("usd", Sliding(DAY), 60, 100)
ASKED = Take("usd", Sliding(DAY), 0, 100)


class Machine:
    """Two clocks: one that is set, one that runs."""

    def __init__(self):
        self.ran, self.set = 1000.0, START - 1000.0

    def wall(self):
        return self.ran + self.set

    def lived(self):
        return self.ran

    def clock(self, path=None):
        return SteadyClock(path, self.wall, self.lived)


@pytest.fixture
def machine():
    return Machine()


def test_small_steps_are_followed_and_a_leap_is_not(machine):
    clock = machine.clock()
    machine.set += TOLERATED_S
    machine.ran += 5
    assert clock() == START + 5 + TOLERATED_S
    machine.set += 30 * DAY
    machine.ran += 5
    assert (clock(), clock.is_settled) == (START + 10 + TOLERATED_S, False)
    machine.set -= 30 * DAY
    assert (clock(), clock.is_settled) == (START + 10 + TOLERATED_S, True)


def test_a_leap_that_lasts_is_believed_and_forgets_nothing_for_a_day(machine):
    clock = machine.clock()
    machine.set += 30 * DAY
    assert clock() == START
    machine.ran += LASTED_S
    assert (clock(), clock.is_settled) == (START + 30 * DAY + LASTED_S, False)
    machine.ran += KEPT_S
    assert clock.is_settled


def test_processes_of_a_machine_go_by_one_time_until_it_is_started_anew(machine, tmp_path, monkeypatch):
    path = tmp_path / "clock"
    one = machine.clock(path)
    machine.set -= 30 * DAY
    assert one() == START
    other = machine.clock(path)
    assert (other(), other.is_settled) == (START, False)
    machine.ran += LASTED_S
    assert one() == other() == START + LASTED_S - 30 * DAY
    monkeypatch.setattr("turnout.stores.ledger.clock._boot", lambda: "another")
    machine.set += 7 * DAY
    assert machine.clock(path)() == START + LASTED_S - 23 * DAY


def test_a_machine_that_does_not_tell_its_starts_apart_is_not_taken_back_by_the_last_one(
    machine, tmp_path, monkeypatch
):
    monkeypatch.setattr("turnout.stores.ledger.clock._boot", lambda: "")
    path = tmp_path / "clock"
    machine.clock(path)()
    machine.set, machine.ran = START + 10 * DAY, 0.0  # off for a while, and started anew
    assert (machine.clock(path)(), path.exists()) == (START + 10 * DAY, False)


async def test_spend_is_never_forgotten_by_a_leap_of_years_and_counts_once_it_is_over(machine, tmp_path):
    path, shared = tmp_path / "ledger.db", tmp_path / "clock"

    def opened():
        return FileLedger(path, now=machine.clock(shared), full_bytes=300)

    ledger = opened()
    assert await ledger.reserve("before", [SPENT], lease_s=60) == Granted((60,))
    machine.set += 700 * DAY
    assert isinstance(await ledger.reserve("at once", [SPENT], lease_s=60), Refused)
    await ledger.close()
    ledger = opened()
    assert isinstance(await ledger.reserve("started anew", [SPENT], lease_s=60), Refused)
    machine.ran += LASTED_S
    assert await ledger.reserve("believed", [SPENT], lease_s=60) == Granted((60,))
    for n in range(9):
        await ledger.reserve(f"r{n}", [Take("other", Sliding(60.0), 1, None)], lease_s=60)
    await ledger.close()
    ledger = opened()
    machine.set -= 700 * DAY
    await ledger.used([ASKED])
    machine.ran += LASTED_S
    assert await ledger.used([ASKED]) == (120,), "what was spent before the leap, and in it"
    await ledger.close()
