"""The second interpreter of a plan: recorded outcomes instead of upstreams. Floor 6.

Theory of operation. `simulate` walks a plan as the executor does, on a clock that only adds.

1. A `Try` takes the recorded answer of its deployment; a plan that asks a deployment again takes the next
   sample. An answer with `error`, or of a deployment that the caller says is down, is a failure.
2. The other nodes follow the rules of `engine/execute.py` and `engine/race.py`, with the real acceptors and
   reducers on the recorded answers. Tests hold the two interpreters together.
3. A question to a judge is answered by the recorded reading of that judge, one for more samples by the
   samples that are left. Both are billed.
4. Who lost a race is billed in full: what an upstream charges for a cancelled call is not known.
5. What was not recorded cannot be played: such a row is unevaluable, with 0 and 1 as the bounds of its score.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import NamedTuple, assert_never

import msgspec
from msgspec import Struct

from turnout import plan as plans
from turnout.evaluate.dataset import Outcome
from turnout.evaluate.metrics import generator
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Text
from turnout.types.usage import Usage

NOBODY: frozenset[str] = frozenset()


class Recorded(Struct, frozen=True):
    """All that was recorded for one prompt."""

    answers: Mapping[str, tuple[Outcome, ...]]
    """Deployment id -> its answers, in the order of samples."""
    readings: Mapping[tuple[str, str, int], Outcome] = {}
    """(Judge, deployment, sample) -> what the judge made of that answer."""


class Played(Struct, frozen=True, kw_only=True):
    """What a plan would have come to."""

    score: float | None = None
    """Of the answer given; 0 where every attempt failed; None: cannot be said."""
    low: float = 0.0
    """Least and most that the score can be; both are the score where it is known."""
    high: float = 1.0
    cost_nusd: int | None = None
    """Of all calls; None where one of them has no recorded cost."""
    ttft_s: float | None = None
    """Until the plan was committed to an answer; None where a time was not recorded."""
    latency_s: float | None = None
    answered_by: str | None = None
    """Deployment whose answer was given; None: all failed, or a new answer was written."""
    calls: tuple[str, ...] = ()
    """Deployments asked, judges included."""
    n_rejected: int = 0
    """Answers that an acceptor sent on."""
    missing: str = ""
    """What was not recorded."""


class UnevaluableError(Exception):
    """Something the plan needs was not recorded; the message says what."""


class Given(NamedTuple):
    """What a node of a plan came to. `outcome` None = it failed."""

    outcome: Outcome | None
    response: ChatResponse | None
    committed: float | None
    """Seconds since the node was entered; None = not recorded."""
    ended: float | None


def simulate(plan: plans.Plan, row: Recorded, request: ChatRequest, down: frozenset[str] = NOBODY) -> Played:
    """Return what a plan would have come to on a recorded prompt.

    Args:
        plan: What the strategy chose.
        row: What was recorded for the prompt.
        request: The prompt, as acceptors and reducers read it.
        down: Deployments whose calls fail.
    """
    play = _Play(row, request, down)
    try:
        given = play.run(plan)
    except UnevaluableError as missing:
        return Played(calls=tuple(play.calls), cost_nusd=play.cost_nusd, missing=str(missing))
    score = 0.0 if given.outcome is None else given.outcome.score
    return Played(
        score=score,
        low=score,
        high=score,
        cost_nusd=play.cost_nusd,
        ttft_s=given.committed,
        latency_s=given.ended,
        answered_by=None if given.outcome is None else given.outcome.model,
        calls=tuple(play.calls),
        n_rejected=play.n_rejected,
    )


def failing(rates: Mapping[str, float], n: int, *, name: str, seed: int = 0) -> list[frozenset[str]]:
    """Draw which deployments are down for each of `n` prompts, independently at these rates."""
    random = generator(f"availability|{name}", seed)
    names = sorted(rates)
    limits = [rates[each] for each in names]
    drawn = random.random((n, len(names))) < limits
    return [frozenset(each for each, is_down in zip(names, row, strict=True) if is_down) for row in drawn]


def response_of(outcome: Outcome) -> ChatResponse:
    """Return a recorded answer as the acceptors and reducers read it."""
    if outcome.response is None:
        raise UnevaluableError(f"the words of {outcome.model}")
    return ChatResponse(
        id="",
        model=outcome.model,
        choices=(Choice(parts=(Text(outcome.response),)),),
        usage=Usage(input_uncached=outcome.input_tokens, output_text=outcome.output_tokens),
    )


class _Play:
    """One walk over one plan. The only state: which samples were used, and what was billed."""

    __slots__ = ("_down", "_request", "_row", "_used", "calls", "cost_nusd", "n_rejected")

    def __init__(self, row: Recorded, request: ChatRequest, down: frozenset[str]) -> None:
        self._row = row
        self._request = request
        self._down = down
        self._used: Counter[str] = Counter()
        self.calls: list[str] = []
        self.cost_nusd: int | None = 0
        self.n_rejected = 0

    def run(self, plan: plans.Plan) -> Given:
        match plan:
            case plans.Try():
                return self._try(plan.deployment)
            case plans.Sequence():
                return self._sequence(plan)
            case plans.Cascade():
                return self._cascade(plan)
            case plans.Hedge():
                return self._hedge(plan)
            case plans.Fanout():
                return self._fanout(plan)
            case _:
                assert_never(plan)

    def _bill(self, name: str, cost_nusd: int | None) -> None:
        self.calls.append(name)
        total = self.cost_nusd
        self.cost_nusd = None if total is None or cost_nusd is None else total + cost_nusd

    def _try(self, name: str) -> Given:
        answers = self._row.answers.get(name, ())
        at = self._used[name]
        self._used[name] += 1
        if name in self._down:
            self._bill(name, 0)
            return Given(None, None, 0.0, 0.0)
        if at >= len(answers):
            raise UnevaluableError(f"answer {at + 1} of {name}" if at else f"an answer of {name}")
        outcome = answers[at]
        ended = outcome.latency_s
        if outcome.error:
            self._bill(name, outcome.cost_nusd or 0)
            return Given(None, None, ended, ended)
        self._bill(name, outcome.cost_nusd)
        return Given(outcome, None, ended if outcome.ttft_s is None else outcome.ttft_s, ended)

    def _sequence(self, plan: plans.Sequence) -> Given:
        waited: float | None = 0.0
        for node in plan.nodes:
            given = self.run(node)
            if given.outcome is not None:
                return _after(waited, given)
            waited = _sum(waited, given.ended)
        return Given(None, None, waited, waited)

    def _cascade(self, plan: plans.Cascade) -> Given:
        waited: float | None = 0.0
        rejected: Given | None = None
        for node in plan.nodes[:-1]:
            given = self.run(node)
            waited = _sum(waited, given.ended)
            if given.outcome is None:
                continue
            answer = given.response or response_of(given.outcome)
            judgement, asking_s = self._judged(plan.accept.ask(self._request, answer), (given.outcome,))
            waited = _sum(waited, asking_s)
            given = Given(given.outcome, answer, waited, waited)
            if plan.accept.verdict(self._request, answer, judgement).accept:
                return given
            self.n_rejected += 1
            rejected = given
        last = _after(waited, self.run(plan.nodes[-1]))
        if last.outcome is None and rejected is not None:
            return Given(rejected.outcome, rejected.response, last.ended, last.ended)
        return last

    def _hedge(self, plan: plans.Hedge) -> Given:
        first = self.run(plan.first)
        at = first.committed
        if at is None:
            raise UnevaluableError("the time of a hedged call")
        if at <= plan.delay_s:
            return first if first.outcome is not None else _after(at, self.run(plan.second))
        second = _after(plan.delay_s, self.run(plan.second))
        if second.committed is None:
            raise UnevaluableError("the time of a hedged call")
        if first.outcome is None or second.outcome is None:
            return first if second.outcome is None and first.outcome is not None else second
        return second if second.committed < at else first

    def _fanout(self, plan: plans.Fanout) -> Given:
        runs = [self.run(node) for node in plan.nodes]
        for done in _arrivals(runs):
            given = [(run.outcome, run.response) for run in done if run.outcome is not None]
            if not given:
                continue
            outcomes = [outcome for outcome, _ in given]
            answers = [response or response_of(outcome) for outcome, response in given]
            n_left = len(runs) - len(done)
            if n_left and not plan.reduce.decided(self._request, answers, n_left):
                continue
            return self._reduced(plan.reduce, (outcomes, answers), _last([run.ended for run in done]))
        ended = _last([run.ended for run in runs])
        return Given(None, None, ended, ended)

    def _reduced(
        self, reduce: plans.Reduce, found: tuple[list[Outcome], list[ChatResponse]], ended: float | None
    ) -> Given:
        outcomes, answers = found
        judgement, asking_s = self._judged(reduce.ask(self._request, answers), outcomes)
        reduction = reduce.reduce(self._request, answers, judgement)
        if reduction.winner is None:
            raise UnevaluableError(f"the score of what {reduce.name} writes")
        ended = _sum(ended, asking_s)
        return Given(outcomes[reduction.winner], reduction.answer, ended, ended)

    def _judged(
        self, question: plans.Question | None, about: Seq[Outcome]
    ) -> tuple[ChatResponse | None, float | None]:
        """Return what the asked call recorded, and how long it took."""
        if question is None:
            return None, 0.0
        if question.to in self._down:
            self._bill(question.to, 0)
            return None, 0.0
        if question.request.n is not None:
            return self._samples(question.to, question.request.n)
        readings = [self._row.readings.get((question.to, each.model, each.sample_id)) for each in about]
        found = [reading for reading in readings if reading is not None]
        if len(found) < len(about):
            raise UnevaluableError(f"what {question.to} made of an answer")
        costs = [reading.cost_nusd for reading in found]
        self._bill(question.to, None if None in costs else sum(cost or 0 for cost in costs))
        return _reading(found), _last([reading.latency_s for reading in found])

    def _samples(self, name: str, n: int) -> tuple[ChatResponse, float | None]:
        at = self._used[name]
        more = self._row.answers.get(name, ())[at : at + n]
        self._used[name] += n
        if len(more) < n:
            raise UnevaluableError(f"{n} more answers of {name}")
        costs = [each.cost_nusd for each in more]
        self._bill(name, None if None in costs else sum(cost or 0 for cost in costs))
        choices = tuple(response_of(each).choices[0] for each in more)
        return ChatResponse(id="", model=name, choices=choices), _last([each.latency_s for each in more])


def _reading(found: Seq[Outcome]) -> ChatResponse:
    """Return a judge's recorded words; where only its score was kept, the words it would have said."""
    if len(found) == 1 and found[0].response is not None:
        return response_of(found[0])
    best = max(range(len(found)), key=lambda at: found[at].score)
    words = {"score": round(10 * found[best].score, 6), "best": best}
    return response_of(msgspec.structs.replace(found[best], response=msgspec.json.encode(words).decode()))


def _arrivals(runs: list[Given]) -> Iterator[list[Given]]:
    """Yield who is done, as time goes on and in the plan's order; all at once without times."""
    times = [run.ended for run in runs]
    known = [at for at in times if at is not None]
    if len(known) < len(runs):
        yield runs
        return
    for at in sorted(set(known)):
        yield [run for run in runs if run.ended is not None and run.ended <= at]


def _after(waited: float | None, given: Given) -> Given:
    return Given(given.outcome, given.response, _sum(waited, given.committed), _sum(waited, given.ended))


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _last(times: Seq[float | None]) -> float | None:
    known = [at for at in times if at is not None]
    return max(known, default=0.0) if len(known) == len(times) else None
