"""`check_strategy`: what Turnout brings passes, and each broken promise is found."""

import random

import pytest
from msgspec import Struct

from turnout import plan as plans
from turnout.registry import load, names
from turnout.strategies.base import Choice
from turnout.strategies.listed import Listed
from turnout.strategies.priority import Priority
from turnout.testing.strategy import check_strategy

NEED_FIELDS = {"benchmarks": {"weights": {"mmlu": 1.0}}, "pipeline": {}}


def built_in():
    for name in names("turnout.strategies"):
        cls = load("turnout.strategies", name)
        try:
            yield pytest.param(cls(**NEED_FIELDS.get(name, {})), id=name)
        except (TypeError, ValueError):
            continue  # needs parts of its own; shown by its own tests


@pytest.mark.parametrize("strategy", [*built_in(), pytest.param(Listed(), id="listed")])
def test_what_turnout_brings_keeps_the_contract(strategy) -> None:
    check_strategy(strategy)


class Bad(Struct, frozen=True):
    """Behaves except in what a test says."""

    how: object = None
    name: str = "bad"
    needs: frozenset = frozenset()

    def choose(self, context, candidates, draw):
        return self.how(context, candidates, draw)


def plain(candidates, **fields):
    return Choice(plan=plans.Try(candidates[0].id), **{"reason": "highest_score", **fields})


def stateful():
    calls = iter(range(10**9))
    return lambda context, candidates, draw: plain(candidates, propensity=1 / (1 + next(calls)))


@pytest.mark.parametrize(
    ("how", "promise"),
    [
        (lambda c, cs, d: Choice(plan=plans.Try("nobody"), reason="highest_score"), "no candidate"),
        (lambda c, cs, d: plain(cs, reason="because"), "closed list"),
        (lambda c, cs, d: plain(cs, propensity=0.0), "propensity"),
        (lambda c, cs, d: plain(cs, utilities={cs[0].id: float("nan")}), "finite"),
        (lambda c, cs, d: plain(cs, quality={"x": 1.0}), "no candidate"),
        (lambda c, cs, d: plain([random.choice(cs)]), "process's generator"),
        (stateful(), "equal arguments"),
    ],
)
def test_a_broken_promise_is_named(how, promise) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_strategy(Bad(how=how))


def test_a_slow_decision_is_named(monkeypatch) -> None:
    monkeypatch.setattr("turnout.testing.strategy.MAX_S", 0.0)
    with pytest.raises(AssertionError, match="a decision among 1000 took"):
        check_strategy(Priority())


def test_names_are_checked() -> None:
    with pytest.raises(AssertionError, match="needs"):
        check_strategy(Bad(how=Priority().choose, needs=["tokens.in"]))
    with pytest.raises(AssertionError, match="name"):
        check_strategy(Bad(how=Priority().choose, name=""))
