"""Scripted incidents: fire once, resolve once, whoever watches and whatever goes up and down."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct
from msgspec.structs import replace

from turnout.errors import StoreUnavailable
from turnout.jobs.alerts.base import EMPTY, Alert, Checked, Reading, Silence
from turnout.jobs.alerts.board import Board
from turnout.jobs.alerts.keep import Kept
from turnout.jobs.alerts.rules import Budgets, Down, Mute, ProviderErrors, Stores
from turnout.jobs.alerts.step import Plan, Sent, advance, crossed_off, due
from turnout.jobs.alerts.watch import Watch
from turnout.stores.desk.sqlite import SqliteDesk
from turnout.testing.clock import now, run

BEGIN = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
RULES = {
    "errors": ProviderErrors(for_s=60, keep_s=120),
    "stores": Stores(for_s=0, keep_s=0),
    "budget": Budgets(),
}


def instant():
    return BEGIN + timedelta(seconds=now())


class Setup(Struct):
    every_s: float
    plan: Plan
    receivers: dict


class Ear:
    """A receiver that hears, or is deaf for a while."""

    def __init__(self, deaf_until=0.0):
        self.heard, self.tries, self.deaf_until = [], 0, deaf_until

    async def tell(self, notice):
        self.tries += 1
        if now() < self.deaf_until:
            return Sent(notice.id, "answered 503")
        self.heard.append((round(now()), notice.what, notice.rule, [dict(a.labels) for a in notice.alerts]))
        return Sent(notice.id)


def script(times):
    """Return readings of provider errors that say yes in these spans of seconds, None = nothing is known."""

    async def ask(rules, at):
        t = (at - BEGIN).total_seconds()
        word = next((word for begin, end, word in times if begin <= t < end), False)
        if word == "down":
            return [Checked(rule="errors", problem="the journal refuses")]
        reading = Reading(labels={"provider": "oai"}, breach=word, value=0.5, limit=0.02, text="bad")
        return [Checked(rule="errors", readings=(reading,) if word != "gone" else ())]

    return ask


def setup_for(receivers, rules=RULES, **fields):
    severities = dict.fromkeys(receivers, "info")
    return Setup(30.0, Plan(rules={"errors": rules["errors"]}, receivers=severities, **fields), receivers)


async def watched(folder, times, seconds, *, receivers, workers=1, **fields):
    """Watch for some time with workers that share a file; return the state."""
    desks = [SqliteDesk(folder / "alerts.db") for _ in range(workers)]
    setup = setup_for(receivers, **fields)
    watches = [
        Watch(f"w{n}", Kept(desk), script(times), lambda: setup, instant) for n, desk in enumerate(desks)
    ]
    tasks = [asyncio.create_task(each.run()) for each in watches]
    await asyncio.sleep(seconds)
    _, state = await Kept(desks[0]).read()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for desk in desks:
        await desk.close()
    return state


ABOUT = [{"provider": "oai"}]


def test_an_outage_is_told_once_and_once_more_when_it_is_over(tmp_path) -> None:
    ear = Ear()
    state = run(watched(tmp_path, [(100, 700, True)], 1500, receivers={"ops": ear}))
    assert ear.heard == [(180, "firing", "errors", ABOUT), (840, "resolved", "errors", ABOUT)]
    (past,) = state.history
    assert (past.state, past.since, past.fired_at, past.ended_at) == (
        "resolved",
        BEGIN + timedelta(seconds=120),
        BEGIN + timedelta(seconds=180),
        BEGIN + timedelta(seconds=840),
    )
    assert (state.alerts, state.outbox, state.counts["ops"].sent) == ((), (), 2)


def test_workers_that_share_a_file_tell_it_once_and_a_killed_one_is_replaced(tmp_path) -> None:
    async def main():
        ear, times = Ear(), [(100, 1000, True)]
        setup = setup_for({"ops": ear})
        desks = [SqliteDesk(tmp_path / "alerts.db") for _ in range(2)]
        first, second = (
            Watch(name, Kept(desk), script(times), lambda: setup, instant)
            for name, desk in zip("ab", desks, strict=True)
        )
        assert await first.round()
        assert not await second.round()
        for _ in range(10):  # the first evaluates up to the alert, then it is killed
            await asyncio.sleep(30)
            await first.round()
        assert len(ear.heard) == 1
        task = asyncio.create_task(second.run())
        await asyncio.sleep(1200)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        state = (await Kept(desks[1]).read())[1]
        return ear.heard, state.holder

    heard, holder = run(main())
    assert [what for _, what, _, _ in heard] == ["firing", "resolved"]
    assert holder == "", "who ends in order lets go"


def test_both_workers_at_once_tell_everything_once(tmp_path) -> None:
    ear = Ear()
    run(watched(tmp_path, [(100, 700, True)], 1500, receivers={"ops": ear}, workers=2))
    assert [what for _, what, _, _ in ear.heard] == ["firing", "resolved"]


def test_what_goes_up_and_down_is_one_alert(tmp_path) -> None:
    ear = Ear()
    flaps = [(t, t + 60, True) for t in range(0, 1200, 120)]
    run(watched(tmp_path, [(0, 90, True), *flaps], 1800, receivers={"ops": ear}))
    assert [(what, rule) for _, what, rule, _ in ear.heard] == [("firing", "errors"), ("resolved", "errors")]


def test_a_short_spike_is_no_alert(tmp_path) -> None:
    ear = Ear()
    state = run(watched(tmp_path, [(100, 140, True)], 600, receivers={"ops": ear}))
    assert (ear.heard, state.alerts, state.history) == ([], (), ())


@pytest.mark.parametrize("word", ["down", None, "gone"])
def test_what_is_not_known_ends_no_alert(tmp_path, word) -> None:
    ear = Ear()
    run(
        watched(tmp_path, [(0, 300, True), (300, 1200, word), (1200, 1500, True)], 2400, receivers={"o": ear})
    )
    assert [what for _, what, _, _ in ear.heard] == ["firing", "resolved"]
    assert ear.heard[1][0] > 1500


def test_an_alert_without_news_for_an_hour_is_over(tmp_path) -> None:
    ear = Ear()
    run(watched(tmp_path, [(0, 90, True), (90, 9000, "gone")], 3900, receivers={"o": ear}))
    assert [(at // 600, what) for at, what, _, _ in ear.heard] == [(0, "firing"), (6, "resolved")]


def test_a_deaf_receiver_holds_up_nobody_and_hears_everything_in_order(tmp_path) -> None:
    deaf, ear = Ear(deaf_until=900), Ear()
    state = run(watched(tmp_path, [(0, 300, True)], 2400, receivers={"deaf": deaf, "ear": ear}))
    assert [what for _, what, _, _ in deaf.heard] == ["firing", "resolved"]
    assert ear.heard[0][0] == 60
    assert deaf.heard[0][0] >= 900
    assert (state.counts["deaf"].sent, state.counts["ear"].failed) == (2, 0)
    assert state.counts["deaf"].failed == deaf.tries - 2 <= 8, "pauses grow"


def test_what_lasts_is_told_again_and_not_while_a_receiver_has_not_heard_the_first(tmp_path) -> None:
    ear = Ear()
    run(watched(tmp_path, [(0, 9000, True)], 1400, receivers={"o": ear}, repeat_s=600.0))
    assert [(at, what) for at, what, _, _ in ear.heard] == [
        (60, "firing"),
        (660, "reminder"),
        (1260, "reminder"),
    ]


def test_a_silence_keeps_quiet_and_what_lasts_is_told_after_it(tmp_path) -> None:
    async def main():
        ear = Ear()
        setup = setup_for({"o": ear})
        kept = Kept(SqliteDesk(tmp_path / "alerts.db"))
        board = Board(lambda: kept, lambda: setup, instant)
        task = asyncio.create_task(Watch("w", kept, script([(0, 3000, True)]), lambda: setup, instant).run())
        await asyncio.sleep(45)  # pending
        (alert,) = (await board.state()).alerts
        await board.silence(alert.id, 600, "ann", "known")
        await asyncio.sleep(1500)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return ear.heard

    assert run(main()) == [(660, "firing", "errors", ABOUT)]


def test_a_restart_repeats_nothing_and_forgets_nothing(tmp_path) -> None:
    async def main():
        ear = Ear()
        await watched(tmp_path, [(0, 9000, True)], 300, receivers={"o": ear})
        await asyncio.sleep(600)
        await watched(tmp_path, [(0, 1200, True)], 900, receivers={"o": ear})
        return ear.heard

    assert [(at, what) for at, what, _, _ in run(main())] == [(60, "firing"), (1320, "resolved")]


def test_a_notice_that_was_decided_and_not_sent_is_sent_by_the_next_process(tmp_path) -> None:
    async def main():
        ear, plan = Ear(), setup_for({"o": None}).plan
        checked = await script([(0, 9000, True)])(RULES, BEGIN)
        state = EMPTY
        for seconds in (0, 60):
            state = advance(state, checked, plan, BEGIN + timedelta(seconds=seconds))
        desk = SqliteDesk(tmp_path / "alerts.db")
        await Kept(desk).swap(0, state)  # and here the process was killed
        await desk.close()
        await asyncio.sleep(61)
        await watched(tmp_path, [(0, 9000, True)], 300, receivers={"o": ear})
        return ear.heard

    assert run(main()) == [(61, "firing", "errors", ABOUT)]


def test_a_store_that_refuses_ends_a_round_and_not_the_watch() -> None:
    class Broken:
        n = 0

        async def get(self, kind, name):
            self.n += 1
            raise StoreUnavailable("no")

        swap = None

    async def main():
        desk, setup = Broken(), setup_for({})
        task = asyncio.create_task(Watch("w", Kept(desk), script([]), lambda: setup, instant).run())
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return desk.n

    assert run(main()) >= 4


# The state itself.

PLAN = Plan(rules=RULES, receivers={"ops": "info", "boss": "critical"})


def readings(*names, rule="stores", severity=None):
    return Checked(
        rule=rule,
        readings=tuple(Reading(labels={"x": n}, breach=True, text=n, severity=severity) for n in names),
    )


def test_alerts_of_one_rule_are_one_notice_and_each_severity_has_its_receivers() -> None:
    checked = [readings("a", "b"), readings("c", rule="budget")]
    state = advance(EMPTY, checked, PLAN, BEGIN)
    told = {(n.receiver, n.what, n.rule, tuple(a.text for a in n.alerts)) for n in state.outbox}
    assert told == {
        ("ops", "firing", "stores", ("a", "b")),
        ("boss", "firing", "stores", ("a", "b")),
        ("ops", "firing", "budget", ("c",)),
    }
    again = advance(state, checked, PLAN, BEGIN + timedelta(seconds=30))
    assert again.outbox == state.outbox, "nothing is told twice"


def test_an_alert_of_a_rule_that_is_gone_is_over() -> None:
    state = advance(EMPTY, [readings("a")], PLAN, BEGIN)
    assert state.alerts[0].state == "firing"
    ended = advance(state, [], replace(PLAN, rules={}), BEGIN + timedelta(seconds=30))
    assert (ended.alerts, [each.text for each in ended.history]) == ((), ["a"])


def test_only_who_was_told_is_told_that_it_is_over() -> None:
    state = advance(EMPTY, [readings("a", severity="warning")], PLAN, BEGIN)
    worse = advance(state, [Checked(rule="stores")], PLAN, BEGIN + timedelta(seconds=30))
    assert [(n.receiver, n.what) for n in worse.outbox] == [("ops", "firing"), ("ops", "resolved")]


def test_a_notice_is_given_up_after_a_day_or_when_there_is_no_use() -> None:
    state = advance(EMPTY, [readings("a")], PLAN, BEGIN)
    first, second = state.outbox
    state = crossed_off(state, [Sent(first.id, "answered 400", final=True), Sent(second.id, "503")], BEGIN)
    assert (state.counts[first.receiver].given_up, state.counts[second.receiver].given_up) == (1, 0)
    assert [each.tries for each in state.outbox] == [1]
    assert due(state, BEGIN) == {}
    late = BEGIN + timedelta(days=1)
    assert [n.id for n in due(state, late)[second.receiver]] == [second.id]
    gone = crossed_off(state, [Sent(second.id, "503")], late)
    assert (gone.outbox, gone.counts[second.receiver].given_up) == ((), 1)


def test_a_pending_alert_that_nobody_looked_at_for_long_begins_anew() -> None:
    plan = replace(PLAN, rules={"down": Down(for_s=120)})
    state = advance(EMPTY, [readings("a", rule="down")], plan, BEGIN)
    later = advance(state, [readings("a", rule="down")], plan, BEGIN + timedelta(hours=5))
    assert later.alerts[0].state == "pending"


@pytest.mark.parametrize(
    ("hour", "quiet"), [("2026-03-06T21:30", True), ("2026-03-07T04:00", True), ("2026-03-07T07:00", False)]
)
def test_a_mute_covers_its_hours_in_its_zone_past_midnight(hour, quiet) -> None:
    mute = Mute(days=("fri",), from_="22:00", to="06:00", zone="Europe/Berlin", below="critical")
    at = datetime.fromisoformat(hour).replace(tzinfo=UTC)
    plan = replace(PLAN, mutes=(mute,))
    state = advance(EMPTY, [readings("a", severity="warning")], plan, at)
    assert (not state.outbox) is quiet
    assert state.alerts[0].state == "firing"
    loud = advance(EMPTY, [readings("a", severity="critical")], plan, at)
    assert len(loud.outbox) == 2, "what is critical is told at any hour"


def test_what_is_kept_is_bounded() -> None:
    state = advance(EMPTY, [readings(*map(str, range(700)))], PLAN, BEGIN)
    assert (len(state.alerts), state.n_left_out) == (500, 200)
    assert [(len(n.alerts), n.n_more) for n in state.outbox] == [(50, 450), (50, 450)]
    over = advance(state, [Checked(rule="stores")], PLAN, BEGIN + timedelta(seconds=30))
    assert (over.alerts, len(over.history)) == ((), 200)


def test_a_silence_that_ended_is_forgotten() -> None:
    past = Silence(id="s", alert="a", until=BEGIN, by="ann", at=BEGIN)
    assert advance(replace(EMPTY, silences=(past,)), [], PLAN, BEGIN).silences == ()
    assert Alert(id="a", rule="r", type="t", severity="info", since=BEGIN, known_at=BEGIN).state == "pending"
