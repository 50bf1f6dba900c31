"""Has a judge compare collected answers with those of a reference model. Floor 6.

It works on the file of a collection alone, so it can be run later, again, and with another judge; comparisons
that are there already are not made twice.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from turnout.client import AsyncClient
from turnout.errors import ConfigError, TurnoutError
from turnout.evaluate.collect import judge as judging
from turnout.evaluate.collect.purse import Purse
from turnout.evaluate.collect.rows import PairRow, Row
from turnout.evaluate.collect.run import ALONE
from turnout.server.ids import new_request_id
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest

CONCURRENCY: Final = 8
_DECODER: Final = msgspec.json.Decoder(PairRow)
Pair = tuple[Row, Row]
"""The model's answer and the reference's."""


class Compared(Struct, frozen=True, kw_only=True):
    """How the comparisons went."""

    n: int
    n_already: int
    wins: dict[str, int]
    ties: dict[str, int]
    losses: dict[str, int]
    """Of each model against the reference."""
    n_unreadable: int
    n_failed: int
    spent_nusd: int
    stopped: str | None = None


class Comparison:
    """One judge over the answers of a collection.

    Args:
        client: Entered.
        judge: Who compares.
        reference: Whose answers the others are compared with.
        budget_nusd: None = no bound.
    """

    def __init__(
        self, client: AsyncClient, judge: str, reference: str, budget_nusd: int | None = None
    ) -> None:
        self._client = client
        self._judge = judge
        self._reference = reference
        self._purse = Purse(budget_nusd)
        self._stopped: str | None = None
        self._n_failed = self._n_unreadable = self._n = 0

    async def run(
        self, rows: Sequence[Row], path: Path, tick: Callable[[PairRow], None] = lambda _: None
    ) -> Compared:
        """Compare what was not compared yet, and add a line to `path` for each.

        Raises:
            ConfigError: The reference answered nothing, or answers were not kept.
        """
        before = read_pairs(path)
        have = {(row.prompt_id, row.model_a, row.model_b, row.rater) for row in before}
        pairs = list(_pairs(rows, self._reference))
        if not pairs:
            raise ConfigError((f"{self._reference}: no answers beside another model's to compare with",))
        if self._judge in {self._reference, *(mine.model for mine, _ in pairs)}:
            raise ConfigError((f"{self._judge} would judge its own answers; name another judge",))
        left = [p for p in pairs if (p[0].prompt_id, p[0].model, p[1].model, self._judge) not in have]
        path.parent.mkdir(parents=True, exist_ok=True)
        found = list(before)
        with path.open("ab") as file:

            def keep(row: PairRow) -> None:
                file.write(msgspec.json.encode(row) + b"\n")
                file.flush()
                found.append(row)
                tick(row)

            todo = iter(left)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CONCURRENCY, len(left))):
                    group.create_task(self._work(todo, keep))
        return self._summary(found, len(pairs) - len(left))

    async def _work(self, todo: Iterator[Pair], keep: Callable[[PairRow], None]) -> None:
        for mine, reference in todo:
            requests = judging.pair_requests(mine.prompt, mine.response or "", reference.response or "")
            worst = sum(self._worst(request) for request in requests)
            if self._stopped is not None or not self._purse.set_aside(worst):
                self._stopped = "budget"
                return
            cost = worst
            try:
                row, cost = await self._compare(mine, reference, requests)
            finally:
                self._purse.settle(worst, cost)
            if row is not None:
                keep(row)

    async def _compare(
        self, mine: Row, reference: Row, requests: tuple[ChatRequest, ChatRequest]
    ) -> tuple[PairRow | None, int]:
        self._n += 1
        cost = 0
        said = []
        for request in requests:
            try:
                answer = await self._client.send(
                    msgspec.structs.replace(request, model=self._judge),
                    Ask(request_id=new_request_id(), prefer=ALONE),
                )
            except TurnoutError:
                self._n_failed += 1
                return None, cost
            cost += answer.cost_nusd or 0
            said.append(answer.response)
        winner = judging.winner(said[0], said[1])
        if winner is None:
            self._n_unreadable += 1
            return None, cost
        row = PairRow(
            prompt_id=mine.prompt_id,
            prompt=mine.prompt,
            model_a=mine.model,
            model_b=reference.model,
            winner=winner,
            rater=self._judge,
            split=mine.split,
        )
        return row, cost

    def _worst(self, request: ChatRequest) -> int:
        request = msgspec.structs.replace(request, model=self._judge)
        decision = self._client.decide(request, Ask(request_id=new_request_id(), prefer=ALONE))
        views = [view.cost_nusd for view in decision.candidates if view.id in decision.chosen]
        return max((view.worst or 0 for view in views if view is not None), default=0)

    def _summary(self, rows: Sequence[PairRow], n_already: int) -> Compared:
        counts: dict[str, dict[str, int]] = {"a": {}, "tie": {}, "b": {}}
        for row in rows:
            if row.model_b == self._reference and row.rater == self._judge:
                tally = counts[row.winner]
                tally[row.model_a] = tally.get(row.model_a, 0) + 1
        return Compared(
            n=self._n,
            n_already=n_already,
            wins=counts["a"],
            ties=counts["tie"],
            losses=counts["b"],
            n_unreadable=self._n_unreadable,
            n_failed=self._n_failed,
            spent_nusd=self._purse.spent,
            stopped=self._stopped,
        )


def read_pairs(path: Path) -> list[PairRow]:
    """Return the comparisons of an earlier run; a line cut at the end is dropped."""
    if not path.exists():
        return []
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        content = content[: content.rfind(b"\n") + 1]
        path.write_bytes(content)
    try:
        return [_DECODER.decode(line) for line in content.splitlines() if line]
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError((f"{path}: {error}; is this a file of `turnout collect`?",)) from None


def _pairs(rows: Sequence[Row], reference: str) -> Iterator[Pair]:
    """Yield each answer with the reference's answer to the same question: first samples only."""
    answered = {
        (row.prompt_id, row.item_id): row
        for row in rows
        if row.model == reference and row.sample_id == 0 and row.response
    }
    for row in rows:
        other = answered.get((row.prompt_id, row.item_id))
        if other is not None and row.model != reference and row.sample_id == 0 and row.response:
            yield row, other
