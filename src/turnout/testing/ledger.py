"""What every ledger must do, as runnable checks. Floor 6.

    async def test_my_ledger_keeps_the_contract():
        await check_ledger(lambda now: MyLedger(now=now))

A check raises AssertionError with a sentence that names the broken promise.
"""

from collections.abc import Callable

from turnout.stores.ledger.base import (
    CELLS,
    FOREVER,
    Fixed,
    Granted,
    Held,
    Ledger,
    Refused,
    Skewed,
    Sliding,
    Take,
)

START = 1_767_225_600.0
"""The first moment of 2026, in Unix seconds."""
MINUTE = Sliding(60.0)
DAY = Fixed(START, START + 86_400)
GOOD = Fixed(0.0, FOREVER)


class Time:
    """Unix seconds that a check moves by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


Make = Callable[[Time], Ledger]


async def check_ledger(make: Make) -> None:
    """Run every check, each on a new ledger with nothing in it.

    Args:
        make: Returns an empty ledger that reads the given clock.
    """
    for check in (_all_or_none, _once, _settled, _leases, _windows, _held, _resets, _skew, _waits, _leap):
        time = Time()
        ledger = make(time)
        try:
            await check(ledger, time)
        finally:
            await ledger.close()
            await ledger.close()


async def _all_or_none(ledger: Ledger, time: Time) -> None:
    takes = [Take("a", DAY, 6, 10), Take("b", GOOD, 6, 10)]
    assert await ledger.reserve("r1", takes, lease_s=60) == Granted((6, 6)), "what fits is granted"
    found = await ledger.reserve("r2", [Take("a", DAY, 4, 10), Take("b", GOOD, 5, 10)], lease_s=60)
    assert found == Refused(1, 6, None), "the first take that does not fit is named"
    assert await ledger.used(takes) == (6, 6), "a refusal takes nothing from any account"
    assert await ledger.reserve("r3", [Take("a", DAY, 4, 10)], lease_s=60) == Granted((10,)), "to the limit"
    counted = [Take("a", DAY, 100, None)]
    assert await ledger.reserve("r4", counted, lease_s=60) == Granted((110,)), "without a limit: counted"


async def _once(ledger: Ledger, time: Time) -> None:
    takes = [Take("a", DAY, 6, 10)]
    await ledger.reserve("r", takes, lease_s=60)
    assert await ledger.reserve("r", takes, lease_s=60) == Granted((6,)), "the same id takes nothing twice"
    assert await ledger.settle("r", [2]), "an open reservation is settled"
    assert not await ledger.settle("r", [9]), "a second settlement is told that nothing was open"
    assert await ledger.used(takes) == (2,), "and changes nothing"
    assert not await ledger.settle("never", [1]), "nor does one of a reservation that never was"


async def _settled(ledger: Ledger, time: Time) -> None:
    take = Take("a", DAY, 6, 10)
    await ledger.reserve("low", [take], lease_s=60)
    await ledger.settle("low", [1])
    assert await ledger.used([take]) == (1,), "what was not used comes back"
    await ledger.reserve("released", [take], lease_s=60)
    await ledger.settle("released", [0])
    assert await ledger.used([take]) == (1,), "a release gives everything back"
    await ledger.reserve("debt", [take], lease_s=60)
    await ledger.settle("debt", [12])
    assert await ledger.used([take]) == (13,), "more than reserved is counted"
    found = await ledger.reserve("next", [Take("a", DAY, 1, 10)], lease_s=60)
    assert isinstance(found, Refused), "and blocks what follows"


async def _leases(ledger: Ledger, time: Time) -> None:
    take, held = Take("a", DAY, 6, 10), Take("h", Held(), 1, 1)
    await ledger.reserve("dead", [take, held], lease_s=60)
    assert await ledger.sweep() == (), "a lease that runs is left alone"
    time.now += 61
    assert await ledger.sweep() == ("dead",), "one that has ended is closed"
    assert await ledger.sweep() == (), "once"
    assert await ledger.used([take, held]) == (6, 0), "money stays counted, places are given back"
    assert await ledger.settle("dead", [2, 0]), "a late settlement still corrects"
    assert await ledger.used([take, held]) == (2, 0), "and gives no place back twice"


async def _windows(ledger: Ledger, time: Time) -> None:
    take = Take("a", MINUTE, 1, 10)
    for n in range(10):
        found = await ledger.reserve(f"r{n}", [take], lease_s=600)
        assert isinstance(found, Granted), "a whole window may be used at once"
    time.now += 59
    assert isinstance(await ledger.reserve("early", [take], lease_s=600), Refused), "a window is a window"
    time.now += 1 + 60 / CELLS
    assert await ledger.reserve("late", [take], lease_s=600) == Granted((1,)), "what is old counts no more"
    assert await ledger.settle("r0", [0]), "and its settlement is taken"
    assert await ledger.used([take]) == (1,), "without effect on what counts"
    day = Take("d", DAY, 10, 10)
    await ledger.reserve("today", [day], lease_s=600)
    time.now = START + 86_400
    tomorrow = Take("d", Fixed(START + 86_400, START + 2 * 86_400), 10, 10)
    assert await ledger.reserve("tomorrow", [tomorrow], lease_s=600) == Granted((10,)), "days are apart"
    await ledger.settle("today", [3])
    assert await ledger.used([tomorrow]) == (10,), "a settlement belongs to the window of its reserve"


async def _held(ledger: Ledger, time: Time) -> None:
    take = Take("h", Held(), 1, 2)
    for name in ("one", "two"):
        assert isinstance(await ledger.reserve(name, [take], lease_s=60), Granted)
    assert await ledger.reserve("three", [take], lease_s=60) == Refused(0, 2, None), "no third place of two"
    await ledger.settle("one", [1])
    assert await ledger.reserve("three", [take], lease_s=60) == Granted((2,)), "a place is free when left"


async def _resets(ledger: Ledger, time: Time) -> None:
    take = Take("a", DAY, 4, 10)
    await ledger.reserve("past", [take], lease_s=60)
    await ledger.settle("past", [4])
    await ledger.reserve("open", [take], lease_s=60)
    await ledger.reset(["a", "unknown"])
    assert await ledger.used([take]) == (4,), "a reset forgets the past and keeps what is under way"
    await ledger.settle("open", [1])
    assert await ledger.used([take]) == (1,), "which settles as before"


async def _skew(ledger: Ledger, time: Time) -> None:
    time.now = START + 86_400 + 5
    found = await ledger.reserve("r", [Take("a", DAY, 1, 10)], lease_s=60)
    assert found == Skewed(START + 86_405), "yesterday's window is not taken from today"
    before = await ledger.reserve("r", [Take("a", Fixed(START + 90_000, FOREVER), 1, 10)], lease_s=60)
    assert isinstance(before, Skewed), "nor one that has not begun"


async def _waits(ledger: Ledger, time: Time) -> None:
    await ledger.reserve("r", [Take("d", DAY, 10, 10)], lease_s=60)
    time.now += 400
    found = await ledger.reserve("s", [Take("d", DAY, 1, 10)], lease_s=60)
    assert found == Refused(0, 10, 86_000.0), "a fixed window says when it ends"
    await ledger.reserve("t", [Take("m", MINUTE, 10, 10)], lease_s=60)
    time.now += 10
    found = await ledger.reserve("u", [Take("m", MINUTE, 1, 10)], lease_s=60)
    assert isinstance(found, Refused), "a full window refuses"
    assert found.wait_s is not None, "and says when room is made"
    time.now += found.wait_s
    assert await ledger.reserve("u", [Take("m", MINUTE, 1, 10)], lease_s=60) == Granted((1,)), "truly"
    never = await ledger.reserve("v", [Take("m", MINUTE, 11, 10)], lease_s=60)
    assert never == Refused(0, 1, None), "what can never fit has no time"


async def _leap(ledger: Ledger, time: Time) -> None:
    take = Take("m", MINUTE, 4, 10)
    await ledger.reserve("before", [take], lease_s=60)
    time.now += 7_200
    assert await ledger.sweep() == ("before",)
    assert await ledger.reserve("ahead", [take], lease_s=60) == Granted((4,)), "a window goes by the clock"
    time.now -= 7_200
    assert await ledger.used([take]) == (8,), "what was spent stays spent when a clock comes back"
    found = await ledger.reserve("back", [take], lease_s=60)
    assert isinstance(found, Refused), "so a leap gives no money twice"
