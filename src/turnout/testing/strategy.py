"""What every strategy must do, as runnable checks. Floor 6.

    def test_my_strategy_keeps_the_contract():
        check_strategy(MyStrategy())

A check raises AssertionError with a sentence that names the broken promise. A plug-in offers its strategy as
the entry point `turnout.strategies`; the name of the entry point is the `type` that a route names.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from math import isfinite
from time import perf_counter
from typing import get_args

from turnout import plan as plans
from turnout.catalog.benchmarks import Score, Scores
from turnout.errors import NoEligibleModel
from turnout.strategies.base import Choice, Context, Preset, Session, Setting, Strategy
from turnout.strategies.rows import bound, expanded
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest, Facts, Message, Text, ToolResult
from turnout.types.deployment import Candidate, Deployment, Model, Stats, Vendor
from turnout.types.embed import EmbedRequest
from turnout.types.record import Reason
from turnout.types.usage import PicoUsd, Price

SIZES = (1, 2, 3, 10, 100, 1000)
MAX_S = 0.25
"""Longest decision among 1,000 candidates: far above the budget, so that a busy machine passes."""
SEEDS = range(8)
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
Outcome = Choice | NoEligibleModel


class SeededDraw:
    """A generator as a request has it: seeded, made on first use."""

    __slots__ = ("_rng", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng: random.Random | None = None

    @property
    def rng(self) -> random.Random:
        """The seeded generator."""
        if self._rng is None:
            self._rng = random.Random(self._seed)  # noqa: S311  a draw, not a secret
        return self._rng


def check_strategy(strategy: Strategy | Preset) -> None:
    """Check that a strategy keeps the contract of strategies/base.py.

    It names itself and what it reads; among 1 to 1,000 candidates of every kind, without signals, it
    returns a plan of theirs, with a reason of the closed list, finite numbers and a probability; equal
    arguments give equal choices; nothing but the request's own generator is drawn from.

    Args:
        strategy: As configured. A preset is expanded and what needs its pool is bound, as when a
            configuration is loaded.

    Raises:
        AssertionError: Naming the promise that is broken.
        ConfigError: It cannot be bound to a pool of models with prices and benchmark scores.
    """
    for size in SIZES:
        candidates = made_candidates(size)
        ready = ready_for(strategy, candidates)
        _check_names(ready)
        for context in contexts(candidates):
            for seed in SEEDS if size <= 10 else SEEDS[:2]:
                _check_one(ready, context, candidates, seed)
    _check_quick(ready, candidates)


def ready_for(strategy: Strategy | Preset, candidates: Sequence[Candidate]) -> Strategy:
    """Return the strategy made ready for a pool."""
    pool = tuple(candidate.deployment for candidate in candidates)
    rows = [
        Score(model=d.model.id, benchmark=name, score=(i % 97) / 100, date=date(2026, 1, 1), source="made up")
        for name in ("mmlu", "safety")
        for i, d in enumerate(pool)
    ]
    return bound(expanded(strategy), Setting(pool=pool, scores=Scores(rows), today=AT.date()))


def made_candidates(n: int) -> tuple[Candidate, ...]:
    """Return candidates of every kind: dear, free and unpriced, seen and unseen, well and unwell."""
    return tuple(Candidate(_deployment(i), _STATS[i % len(_STATS)]) for i in range(n))


def contexts(candidates: Sequence[Candidate]) -> Iterator[Context]:
    """Return requests of every kind over these candidates."""
    ask = Ask(request_id="req_1")
    yield _context(_QUESTION, ask)
    yield _context(EmbedRequest(model="auto", input=["x"]), ask)
    yield _context(_QUESTION, Ask(request_id="req_1", prefer=Preferences(allow_fallbacks=False)), sequence=7)
    session = Session(deployment=candidates[-1].id, prefix_tokens=1000, idle_s=5.0)
    yield _context(_QUESTION, ask, session=session)
    yield _context(_LOOP, ask, session=session)
    yield _context(_QUESTION, ask, session=Session(deployment="gone"), may_hedge=False)


_TEXT = Message("user", (Text("two plus two?"),))
_QUESTION = ChatRequest(model="auto", messages=(_TEXT,), facts=Facts(n_chars=13, n_messages=1))
_LOOP = ChatRequest(
    model="auto",
    messages=(_TEXT, Message("tool", (ToolResult(call_id="call_1", content=(Text("4"),)),))),
    stream=True,
    facts=Facts(n_chars=14, n_messages=2, n_tools=1),
)
_STATS = (
    Stats(),
    Stats(n_observed=100, error_ratio=0.0, ttft_p50_s=0.2, ttft_p95_s=0.9, total_p50_s=1.0, total_p95_s=3.0),
    Stats(n_observed=3, error_ratio=1.0, in_flight=50, peak_ewma_s=9.0, tokens_per_s=10.0),
    Stats(state="half_open", demoted=True, share=0.5, n_observed=60, error_ratio=0.2, ttft_p50_s=5.0),
)


def _deployment(i: int) -> Deployment:
    name = f"vendor-{i % 5}"
    price = None if i % 4 == 3 else Price(input=PicoUsd(i * 1000), output=PicoUsd(i * 4000))
    return Deployment(
        id=f"{name}/model-{i}",
        vendor=Vendor(name=name, base_url="http://127.0.0.1:9/v1", codec=("openai_chat", "anthropic")[i % 2]),
        model=Model(id=f"{name}/model-{i}", price=price),
        upstream_model=f"model-{i}",
        weight=float(i % 3),
        priority=i % 2,
    )


def _context(
    request: ChatRequest | EmbedRequest,
    ask: Ask,
    *,
    session: Session | None = None,
    sequence: int = 0,
    may_hedge: bool = True,
) -> Context:
    return Context(
        request=request,
        ask=ask,
        n_tokens_in=1000,
        n_tokens_out=200,
        max_tokens_out=1000,
        at=AT,
        session=session,
        sequence=sequence,
        may_hedge=may_hedge,
    )


def _check_names(strategy: Strategy) -> None:
    assert isinstance(strategy.name, str), "name: expected a word for Records"
    assert strategy.name, "name: expected a word for Records"
    assert isinstance(strategy.needs, frozenset), "needs: expected a frozenset of signals' names"


def _check_one(strategy: Strategy, context: Context, candidates: tuple[Candidate, ...], seed: int) -> None:
    before = random.getstate()
    first = _chosen(strategy, context, candidates, seed)
    assert random.getstate() == before, "it draws from the process's generator; draw from draw.rng"
    if isinstance(first, Choice):
        _check_choice(first, {candidate.id for candidate in candidates})
    again = _chosen(strategy, context, candidates, seed)
    assert _written(first) == _written(again), (
        "equal arguments gave another choice; is there a state or a clock?"
    )


def _chosen(strategy: Strategy, context: Context, candidates: tuple[Candidate, ...], seed: int) -> Outcome:
    try:
        return strategy.choose(context, candidates, SeededDraw(seed))
    except NoEligibleModel as refusal:  # a strategy may be configured to refuse
        return refusal


def _written(outcome: Outcome) -> object:
    if isinstance(outcome, NoEligibleModel):
        return outcome.message
    scores = {name: dict(terms) for name, terms in outcome.scores.items()}
    return (
        outcome.plan,
        outcome.reason,
        dict(outcome.utilities),
        scores,
        outcome.propensity,
        outcome.explored,
    )


def _check_choice(choice: Choice, ids: set[str]) -> None:
    named = plans.deployments(choice.plan)
    assert named, "the plan names nobody"
    strangers = set(named) - ids
    assert not strangers, f"the plan names {min(strangers)!r}, which is no candidate"
    assert choice.reason in get_args(Reason), f"reason: {choice.reason!r} is not in the closed list"
    p = choice.propensity
    assert p is None or 0 < p <= 1 + 1e-9, f"propensity is {p}; expected above 0 and at most 1, or None"
    for what, column in (("utilities", choice.utilities), ("quality", choice.quality), ("sd", choice.sd)):
        assert set(column) <= ids, f"{what}: names somebody who is no candidate"
        assert all(isfinite(x) for x in column.values()), (
            f"{what}: not a finite number; leave the candidate out"
        )


def _check_quick(strategy: Strategy, candidates: tuple[Candidate, ...]) -> None:
    context = next(contexts(candidates))
    began = perf_counter()
    _chosen(strategy, context, candidates, 0)
    took_s = perf_counter() - began
    assert took_s < MAX_S, f"a decision among {len(candidates)} took {took_s:.2f} s; expected O(candidates)"
