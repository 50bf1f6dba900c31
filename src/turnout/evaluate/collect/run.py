"""Asks every model every prompt, scores the answers and writes them down. Floor 6.

Theory of operation.

1. Work is a list of (prompt, model, sample) in the order of the prompts, so that a run that ends early leaves
   whole prompts behind. A fixed number of workers takes from it.
2. Money: before anything is sent the worst case of the call and of its judge is set aside (`purse`); when the
   next one does not fit into the budget, nothing more is started. What earlier runs into the same file cost
   counts. A model without a price is refused under a budget unless that is allowed.
3. Rate: each model has its own next moment, `60 / rpm` seconds after the last; workers wait for it.
4. A model that fails `GIVE_UP` times in a row is left alone for the rest of the run: its key is wrong or it
   is down, and the time belongs to the others.
5. Everything goes through the engine: retries, breakers and the journal are those of production. Fallbacks
   are off: an answer of another model would be filed under the wrong name.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from turnout.client import Answer, AsyncClient
from turnout.codecs.openai_chat import OpenAIChatDialect
from turnout.errors import ConfigError, TurnoutError
from turnout.evaluate.collect import judge as judging
from turnout.evaluate.collect.prompts import Prompt, Scoring
from turnout.evaluate.collect.purse import Purse
from turnout.evaluate.collect.rows import Row, Sheet, done, spent
from turnout.evaluate.collect.sandbox import passes
from turnout.evaluate.collect.scoring import check, code_of, score
from turnout.server.ids import new_request_id
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest

GIVE_UP: Final = 5
ALONE: Final = Preferences(allow_fallbacks=False)
JUDGED_CHARS: Final = 3
"""Characters a token of an answer has at least, about: what a judge will have to read is reckoned with it."""
Job: TypeAlias = tuple[Prompt, str, int]


class Options(Struct, frozen=True, kw_only=True):
    """How to collect."""

    models: tuple[str, ...]
    scoring: Scoring
    """For prompts that do not say it themselves."""
    samples: int = 1
    max_tokens: int = 1024
    temperature: float | None = None
    budget_nusd: int | None = None
    """None = no bound."""
    rpm: float | None = None
    """Requests a minute and model; None = no bound."""
    concurrency: int = 8
    judge: str | None = None
    judge_all: bool = False
    """Whether the judge also grades answers that are scored without it: what calibrates it."""
    allow_unpriced: bool = False
    keep_responses: bool = True
    allow_code: bool = False


class Forecast(Struct, frozen=True, kw_only=True):
    """What a run would cost, before anything is sent."""

    n_calls: int
    n_already: int
    expected_nusd: int
    worst_nusd: int
    unpriced: tuple[str, ...]


class Summary(Struct, frozen=True, kw_only=True):
    """How a run went."""

    n_asked: int
    n_scored: int
    n_already: int
    spent_nusd: int
    """By every run into this file."""
    errors: dict[str, int] = {}
    """Class of failure -> how often."""
    left_alone: tuple[str, ...] = ()
    stopped: str | None = None
    """Why it ended early; None = it did not."""
    judge: str | None = None
    """How far the judge's grades can be trusted."""


class Collection:
    """One run over a prompt set.

    Args:
        client: Entered; its configuration says how each model is reached.
        prompts: What to ask.
        options: How.
        tick: Called after each answer with what it became.

    Raises:
        ConfigError: A prompt cannot be scored as asked; a line for each.
    """

    def __init__(
        self,
        client: AsyncClient,
        prompts: Sequence[Prompt],
        options: Options,
        tick: Callable[[Row], None] = lambda _: None,
    ) -> None:
        _check(prompts, options)
        self._client = client
        self._prompts = prompts
        self._options = options
        self._tick = tick
        self._purse = Purse(options.budget_nusd)
        self._next_s: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._n_asked = self._n_scored = 0
        self._stopped: str | None = None

    def jobs(self, rows: Sequence[Row]) -> list[Job]:
        """Return what these rows leave to ask."""
        have = done(rows)
        return [
            (prompt, model, sample)
            for prompt in self._prompts
            for model in self._options.models
            for sample in range(self._options.samples)
            if (prompt.prompt_id, prompt.item_id, model, sample) not in have
        ]

    def forecast(self, rows: Sequence[Row]) -> Forecast:
        """Return what asking the rest would cost, judges' calls included; nothing is sent."""
        jobs = self.jobs(rows)
        expected = worst = 0
        unpriced: set[str] = set()
        for prompt, model, _ in jobs:
            for name, request in self._calls(prompt, model):
                mean, most = self._price(name, request)
                if mean is None or most is None:
                    unpriced.add(name)
                expected, worst = expected + (mean or 0), worst + (most or 0)
        n_all = len(self._prompts) * len(self._options.models) * self._options.samples
        return Forecast(
            n_calls=len(jobs),
            n_already=n_all - len(jobs),
            expected_nusd=expected,
            worst_nusd=worst,
            unpriced=tuple(sorted(unpriced)),
        )

    async def run(self, sheet: Sheet) -> Summary:
        """Ask everything that is left.

        Raises:
            ConfigError: There is a budget, and a model whose price is not known.
        """
        forecast = self.forecast(sheet.rows)
        if forecast.unpriced and self._options.budget_nusd is not None and not self._options.allow_unpriced:
            raise ConfigError(
                tuple(f"{model}: no price is known, so no budget can hold" for model in forecast.unpriced)
            )
        self._purse = Purse(self._options.budget_nusd, spent(sheet.rows))
        left = iter(self.jobs(sheet.rows))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._options.concurrency, forecast.n_calls)):
                group.create_task(self._work(left, sheet))
        return Summary(
            n_asked=self._n_asked,
            n_scored=self._n_scored,
            n_already=forecast.n_already,
            spent_nusd=self._purse.spent,
            errors=dict(self._errors),
            left_alone=tuple(sorted(model for model, n in self._failures.items() if n >= GIVE_UP)),
            stopped=self._stopped,
        )

    async def _work(self, left: Iterator[Job], sheet: Sheet) -> None:
        for prompt, model, sample in left:
            if self._failures[model] >= GIVE_UP:
                continue
            worst = sum(self._price(name, request)[1] or 0 for name, request in self._calls(prompt, model))
            if self._stopped is not None or not self._purse.set_aside(worst):
                self._stopped = "budget"
                return
            cost = worst  # cut off under way, a call counts as if it had used everything
            try:
                await self._turn(model)
                row = await self._ask(prompt, model, sample)
                cost = (row.cost_nusd or 0) + (row.judge_cost_nusd or 0)
            finally:
                self._purse.settle(worst, cost)
            sheet.add(row)
            self._tick(row)

    async def _turn(self, model: str) -> None:
        """Wait until this model may be asked again."""
        if self._options.rpm is None:
            return
        now = asyncio.get_running_loop().time()
        at = max(now, self._next_s.get(model, now))
        self._next_s[model] = at + 60 / self._options.rpm
        await asyncio.sleep(at - now)

    async def _ask(self, prompt: Prompt, model: str, sample: int) -> Row:
        self._n_asked += 1
        row = Row(
            prompt_id=prompt.prompt_id,
            prompt=prompt.prompt,
            model=model,
            sample_id=sample,
            item_id=prompt.item_id,
            dataset=prompt.dataset,
            domain=prompt.domain,
            split=prompt.split,
            group_id=prompt.group_id,
            collected_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            answer = await self._send(self._request(prompt, model))
        except TurnoutError as error:
            self._failures[model] += 1
            self._errors[error.row.word] += 1
            return msgspec.structs.replace(row, error=error.row.word)
        self._failures[model] = 0
        return await self._scored(prompt, answer, _told(row, answer, keep=self._options.keep_responses))

    async def _scored(self, prompt: Prompt, answer: Answer, row: Row) -> Row:
        scoring = prompt.scoring or self._options.scoring
        found: float | None = None
        if scoring == "code":
            found = float(await passes(code_of(answer.text), prompt.tests or ""))
        elif scoring != "judge":
            found = score(prompt, scoring, answer.text)
        if self._options.judge is not None and (scoring == "judge" or self._options.judge_all):
            row = await self._judged(prompt, answer, row)
        if scoring == "judge":
            found = row.judge_score
        self._n_scored += found is not None
        judge = self._options.judge or "" if scoring == "judge" else ""
        return msgspec.structs.replace(row, score=found, judge=judge)

    async def _judged(self, prompt: Prompt, answer: Answer, row: Row) -> Row:
        request = judging.grade_request(prompt.prompt, answer.response)
        try:
            said = await self._send(msgspec.structs.replace(request, model=self._options.judge or ""))
        except TurnoutError as error:
            self._errors[f"judge_{error.row.word}"] += 1
            return msgspec.structs.replace(row, error=f"judge_{error.row.word}")
        grade = judging.grade(said.response)
        if grade is None:
            self._errors["judge_unreadable"] += 1
        return msgspec.structs.replace(
            row,
            judge_score=grade,
            judge_cost_nusd=said.cost_nusd,
            error="judge_unreadable" if grade is None else "",
        )

    async def _send(self, request: ChatRequest) -> Answer:
        return await self._client.send(request, Ask(request_id=new_request_id(), prefer=ALONE))

    def _request(self, prompt: Prompt, model: str) -> ChatRequest:
        tree: dict[str, object] = {
            "model": model,
            "messages": prompt.turns,
            "max_tokens": self._options.max_tokens,
        }
        if self._options.temperature is not None:
            tree["temperature"] = self._options.temperature
        return OpenAIChatDialect().parse(msgspec.json.encode(tree)).request

    def _calls(self, prompt: Prompt, model: str) -> Iterator[tuple[str, ChatRequest]]:
        """Yield what asking and judging one answer would send, at its longest."""
        yield model, self._request(prompt, model)
        judged = (prompt.scoring or self._options.scoring) == "judge" or self._options.judge_all
        if judged and self._options.judge is not None:
            longest = "x" * (self._options.max_tokens * JUDGED_CHARS)
            request = judging.grade_request(prompt.prompt, judging.saying(longest))
            yield self._options.judge, request

    def _price(self, model: str, request: ChatRequest) -> tuple[int | None, int | None]:
        """Return the expected and the greatest cost of a call, as the engine reckons them."""
        request = msgspec.structs.replace(request, model=model)
        decision = self._client.decide(request, Ask(request_id=new_request_id(), prefer=ALONE))
        views = [view.cost_nusd for view in decision.candidates if view.id in decision.chosen]
        known = [view for view in views if view is not None]
        if not known or any(view.worst is None for view in known):
            return None, None
        return max(view.mean or 0 for view in known), max(view.worst or 0 for view in known)


def _told(row: Row, answer: Answer, *, keep: bool) -> Row:
    """Return the row with what the answer and its last attempt say."""
    last = answer.attempts[-1] if answer.attempts else None
    return msgspec.structs.replace(
        row,
        model_version=answer.response.model or "",
        input_tokens=None if answer.usage is None else answer.usage.n_input,
        output_tokens=None if answer.usage is None else answer.usage.n_output,
        cost_nusd=answer.cost_nusd,
        ttft_s=None if last is None else last.ttft_s,
        latency_s=None if last is None else last.duration_s,
        response=answer.text if keep else None,
    )


def _check(prompts: Sequence[Prompt], options: Options) -> None:
    problems: list[str] = []
    for prompt in prompts:
        scoring = prompt.scoring or options.scoring
        try:
            check(prompt, scoring)
        except ConfigError as error:
            problems += error.problems
        if scoring == "judge" and options.judge is None:
            problems.append(f"row {prompt.row}: scoring 'judge' needs a judge; name one with --judge")
        if scoring == "code" and not options.allow_code:
            problems.append(f"row {prompt.row}: scoring 'code' runs what a model wrote; see --allow-code")
    if options.judge is not None and options.judge in options.models:
        problems.append(f"{options.judge} would judge its own answers; name another judge")
    if problems:
        raise ConfigError(tuple(problems[:20]))
