"""Consensus of three on recorded answers: does it beat its best member, and is that known beforehand?

For every three models of a table, the real reducer votes over recorded answers. What the training prompts say
is the forecast, what the held-out prompts say is the result. Beside it stands the forecast by formula
(`majority_quality`), which knows only how strong the members are and how much their errors go together.
Evaluation only: nothing is fitted or kept.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from pathlib import Path

from msgspec import Struct

from benchmarks.fleet.promises import Verdict
from turnout.strategies.reduce.choose import Majority, majority_quality
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Text

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "cascade"
TABLES = ("math_responses.parquet", "mmlu_pro_responses.parquet")
HELD_OUT = "dev"
Z_95 = 1.96
MAX_RHO = 0.99
ASK = ChatRequest(model="recorded", messages=())


class Cell(Struct, frozen=True):
    """What one model answered to one prompt."""

    answer: str
    score: float


Table = Mapping[str, Mapping[str, Cell]]
"""Prompt id -> model -> cell."""


class Trio(Struct, frozen=True, kw_only=True):
    """Three models and one table."""

    table: str
    models: tuple[str, str, str]
    """Best first, as the training prompts say."""
    n: int
    rho: float
    formula: float
    """Gain over the best member that `majority_quality` foretells."""
    predicted: float
    """Gain over the best member on the training prompts."""
    sure: float
    """Half of its 95 % interval (paired)."""
    measured: float
    """Gain over the best member on the held-out prompts."""
    margin: float
    """Half of its 95 % interval (paired)."""

    @property
    def foretold(self) -> bool:
        """Whether the training prompts leave no doubt that the vote pays."""
        return self.predicted - self.sure > 0

    @property
    def falls_short(self) -> bool:
        """Whether the vote is significantly worse than its best member."""
        return self.measured + self.margin < 0


def trios(folder: Path = SHARED) -> list[Trio]:
    """Return every trio of every table. Raises `FileNotFoundError` where the recordings are not there."""
    found: list[Trio] = []
    for name, (train, held) in sorted(_tables(folder).items()):
        models = sorted({model for cells in train.values() for model in cells})
        found += [_trio(name, three, train, held) for three in combinations(models, 3)]
    return found


def verdict(found: Sequence[Trio]) -> list[Verdict]:
    """Return what the promise came to."""
    foretold = [trio for trio in found if trio.foretold]
    short = [trio for trio in found if trio.falls_short]
    missed = [trio for trio in short if trio.predicted > 0]
    won = sum(trio.measured > 0 for trio in foretold)
    by_formula = sum(trio.formula > 0 for trio in found)
    paid = sum(trio.measured - trio.margin > 0 for trio in found if trio.formula <= 0)
    best = max(foretold, key=lambda trio: trio.measured, default=None)
    worst = min(short, key=lambda trio: trio.measured, default=None)
    return [
        Verdict(
            promise="consensus of 3 beats its best member where foretold",
            target="none significantly below, most above",
            measured=f"{won} of {len(foretold)} above, {sum(t.falls_short for t in foretold)} below",
            met=not any(t.falls_short for t in foretold) and 2 * won > len(foretold) if foretold else None,
            why=f"best: {_told(best)}" if best else "no trio had errors independent enough",
        ),
        Verdict(
            promise="consensus of 3 says so where it does not",
            target="no trio that falls short was foretold to gain",
            measured=f"{len(short)} of {len(found)} fall short, {len(missed)} of them foretold to gain",
            met=not missed,
            why=(f"worst: {_told(worst)}; " if worst else "")
            + f"the formula alone foretells a gain for {by_formula} and is too careful: {paid} it warns of "
            "pay, because wrong answers rarely agree and ties go to the best member",
        ),
    ]


def _told(trio: Trio) -> str:
    return (
        f"{trio.table} {' + '.join(trio.models)}: {trio.measured:+.3f} ± {trio.margin:.3f} measured, "
        f"{trio.predicted:+.3f} foretold, {trio.formula:+.3f} by formula, rho {trio.rho:.2f}"
    )


def _tables(folder: Path) -> dict[str, tuple[Table, Table]]:
    from pyarrow import parquet  # noqa: PLC0415  only where recordings are read

    found: dict[str, tuple[dict[str, dict[str, Cell]], dict[str, dict[str, Cell]]]] = {}
    columns = ["prompt_id", "dataset", "model", "score", "answer_extracted", "split"]
    for name in TABLES:
        for row in parquet.read_table(folder / name, columns=columns).to_pylist():
            half = found.setdefault(row["dataset"], ({}, {}))[row["split"] == HELD_OUT]
            cell = Cell(row["answer_extracted"] or "", row["score"])
            half.setdefault(row["prompt_id"], {})[row["model"]] = cell
    return {name: (train, held) for name, (train, held) in found.items()}


def _trio(name: str, three: Sequence[str], train: Table, held: Table) -> Trio:
    rows = [[cells[m].score for m in three] for cells in train.values() if all(m in cells for m in three)]
    strength = [sum(row[at] for row in rows) / len(rows) for at in range(3)]
    order = sorted(range(3), key=lambda at: -strength[at])
    ranked = (three[order[0]], three[order[1]], three[order[2]])
    rho = correlation(rows)
    predicted, sure, _ = _gain(ranked, train)
    measured, margin, n = _gain(ranked, held)
    return Trio(
        table=name,
        models=ranked,
        n=n,
        rho=rho,
        formula=majority_quality(sum(strength) / 3, 3, rho) - max(strength),
        predicted=predicted,
        sure=sure,
        measured=measured,
        margin=margin,
    )


def _gain(ranked: Sequence[str], prompts: Table) -> tuple[float, float, int]:
    """Return the mean gain of the vote over its first member, half of the 95 % interval, and the prompts."""
    vote = Majority()
    gains: list[float] = []
    for cells in prompts.values():
        if not all(model in cells for model in ranked):
            continue
        answers = [_answer(cells[model].answer, model) for model in ranked]
        winner = vote.reduce(ASK, answers, None).winner or 0
        gains.append(cells[ranked[winner]].score - cells[ranked[0]].score)
    mean = sum(gains) / len(gains)
    spread = sqrt(sum((gain - mean) ** 2 for gain in gains) / max(1, len(gains) - 1))
    return mean, Z_95 * spread / sqrt(len(gains)), len(gains)


def correlation(rows: Sequence[Sequence[float]]) -> float:
    """Return the intra-class correlation of rows of k scores: (MSB - MSW) / (MSB + (k-1) MSW), in [0, 0.99].

    Source: docs/design/ROUTING.md section 1.5.
    """
    n, k = len(rows), len(rows[0])
    means = [sum(row) / k for row in rows]
    grand = sum(means) / n
    between = k * sum((mean - grand) ** 2 for mean in means) / (n - 1)
    within = sum((x - mean) ** 2 for row, mean in zip(rows, means, strict=True) for x in row) / (n * (k - 1))
    total = between + (k - 1) * within
    return min(MAX_RHO, max(0.0, (between - within) / total)) if total else MAX_RHO


def _answer(text: str, model: str) -> ChatResponse:
    return ChatResponse(id="", model=model, choices=(Choice(parts=(Text(text),)),))
