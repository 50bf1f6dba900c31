"""The promises of the strategies over a simulated fleet, on the jumping clock (docs/explanation/fleet.md).

The same scenarios on real sockets, with twenty thousand requests each: `python -m benchmarks.fleet`.
"""

import pytest
from benchmarks.fleet import consensus, field, virtual
from benchmarks.fleet.field import Run
from benchmarks.fleet.promises import verdicts
from benchmarks.fleet.runs import FLOOR, PROMISES, STRATEGIES
from benchmarks.fleet.scenario import SCENARIOS, Script, Spell, Upstream, clairvoyant, steadiest
from benchmarks.fleet.traffic import Load
from msgspec.structs import replace

from turnout.evaluate.replay import replay
from turnout.strategies.base import EPOCH
from turnout.types.record import Outcome, Record

PLAIN = Load(n=1200, per_s=10.0, long_share=0.0, sensitive_share=0.0)
MIXED = Load(n=2000, per_s=10.0)


def play(name, load, scenario="mixed", strategy=None):
    """Play one run; returns everything seen, and the configuration it was decided with."""
    row = strategy or STRATEGIES[name]
    return virtual.play(Run(name=name, scenario=scenario, strategy=row, load=load))


def promise(name, load=PLAIN):
    scenario, strategy = PROMISES[name]
    return play(name, load, scenario, STRATEGIES[strategy])[0]


def kept(*runs):
    """Fail with what was measured where a promise is broken."""
    found = verdicts(runs)
    assert found
    for each in found:
        assert each.met, each


def test_fastest_is_within_a_tenth_of_a_clairvoyant_choice():
    run, _ = play("fastest", Load(n=6000, per_s=40.0, keep_every=1000))
    kept(run)


def test_fastest_is_as_near_where_nothing_streams():
    run, _ = play("fastest", Load(n=6000, per_s=40.0, stream=False, keep_every=1000))
    kept(run)


def test_cheapest_never_goes_below_its_floor_and_costs_least_above_it():
    run, _ = play("cheapest", MIXED)
    kept(run)
    best, _ = play("best", MIXED)
    kept(best)
    assert run.sums.cost_usd < best.sums.cost_usd / 10
    assert all(run.rows[name].quality >= FLOOR for name in run.sums.shares)


def test_cheapest_keeps_its_floor_while_everybody_above_it_is_demoted():
    quality = {name: row.quality for name, row in SCENARIOS["floored"].items()}
    row = {"type": "cheapest", "q_floor": FLOOR, "quality": quality}
    run, _ = play("cheapest", replace(MIXED, n=600, long_share=0.0), "floored", row)
    demoted = {
        c.id for each in run.sent if each.decision for c in each.decision.candidates if c.health.demoted
    }
    assert demoted >= {"amber/good", "birch/good"}
    assert {a.deployment for each in run.sent for a in each.attempts} <= {"amber/good", "birch/good"}
    assert run.sums.n_errors == 0


def test_a_dead_vendor_costs_no_request_and_at_most_one_timeout():
    kept(promise("steady"), promise("vendor hangs"), promise("vendor closes"))


@pytest.mark.parametrize("name", ["all answer 503", "all hang"])
def test_a_total_outage_makes_no_storm(name):
    run = promise(name, replace(PLAIN, n=2000))
    kept(run)
    assert run.sums.n_errors > 1000


def test_hedging_cuts_the_tail_for_few_extra_calls():
    kept(promise("tailed, alone"), promise("tailed, hedged"))


def test_a_refused_prompt_is_answered_by_a_vendor_without_that_filter():
    run, _ = play("priority", replace(MIXED, n=600, sensitive_share=0.3))
    assert not [each for each in run.sent if each.sensitive and each.error is not None]


def test_a_prompt_that_is_too_long_for_one_is_answered_by_one_with_a_larger_window():
    run, _ = play("cheapest", replace(MIXED, n=600, long_share=0.3))
    assert run.sums.n_errors == 0


@pytest.mark.parametrize("name", ["fastest", "round_robin", "two_choices", "hedge", "cascade", "balanced"])
def test_decisions_made_under_fire_are_equal_when_made_again(name):
    run, snapshot = play(name, replace(MIXED, n=400, keep_every=1))
    decisions = [each.decision for each in run.sent if each.decision is not None]
    assert len(decisions) == 400
    for n, decision in enumerate(decisions):
        record = Record(
            request_id=f"req_{n:026d}",
            at=EPOCH,
            endpoint="chat",
            dialect="",
            decision=decision,
            outcome=Outcome(),
        )
        assert replay(record, snapshot).differences == ()


def test_the_same_seed_plays_the_same_run():
    one, other = (play("two_choices", replace(MIXED, n=300, keep_every=1000))[0].sums for _ in range(2))
    assert one == other


def test_real_sockets_on_the_clock_of_work_add_next_to_nothing():
    load = replace(PLAIN, n=600, per_s=40.0, floor_every=3)
    run = field.play_here(Run(name="steady", scenario="steady", strategy=STRATEGIES["fastest"], load=load))
    assert (run.sums.n_errors, run.sums.n) == (0, 600)
    assert abs(run.sums.floor_s) < 0.03
    assert run.sums.calls_per_request == pytest.approx(1.0)


def test_what_the_harness_adds_is_added_to_the_clairvoyant_too():
    run, _ = play("fastest", replace(PLAIN, n=300))
    sums = replace(run.sums, mean_ttft_s=1.2, clairvoyant_s=1.0)
    told = [
        verdicts([replace(run, sums=replace(sums, floor_s=floor_s))])[0]
        for floor_s in (None, -0.01, 0.1, 0.3)
    ]
    assert [(each.measured, each.met) for each in told] == [
        ("1.200", False),
        ("1.200", False),
        ("1.091", True),
        ("0.923", None),
    ]


def test_the_steadiest_upstream_plays_its_curve_and_nothing_else():
    assert steadiest(SCENARIOS["mixed"], 10.0) == "amber/small"
    assert steadiest(SCENARIOS["mixed"], 200.0) == "cedar/large"


def test_consensus_of_three_on_recorded_answers_pays_where_foretold(shared):
    for each in consensus.verdict(consensus.trios(shared / "data" / "cascade")):
        assert each.met, each


def test_errors_that_always_come_together_are_fully_correlated():
    assert consensus.correlation([[1, 1, 1], [0, 0, 0], [1, 1, 1]]) == consensus.MAX_RHO
    assert consensus.correlation([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) == 0.0


def test_a_script_plays_spells_limits_and_windows():
    script = Script(ttft_s=1.0, jitter=0.0, rps=2.0, window=10, spells=(Spell(since=5, until=6, times=3.0),))
    upstream = Upstream(script, "0")
    assert upstream.turn(0.0, "hi").wait_s == 1.0
    assert upstream.turn(0.0, "a long prompt").error == "context_length_exceeded"
    assert upstream.turn(0.0, "hi").status == 429
    assert upstream.turn(5.0, "hi").wait_s == 3.0
    down = Script(ttft_s=0.1, spells=(Spell(since=1, until=2, down="close"),))
    assert Upstream(down, "0").turn(1.5, "hi").status == 0
    fleet = {
        "a/m": SCENARIOS["steady"]["amber/one"],
        "b/m": replace(SCENARIOS["steady"]["amber/one"], script=down),
    }
    assert clairvoyant(fleet, 0.0) < 0.2 < clairvoyant(fleet, 1.5)
