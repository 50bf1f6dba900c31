"""Recorded answers of two real models to school mathematics, routed four ways. Floor 7.

The outcome table is that of RouteLLM (GSM8K test set). The emulator says word for word what the two models
said when they were asked; whether that was right is in the table. So accuracy here is the real models', for
the questions that were drawn; only tokens are counted by the emulator's rule, four bytes each.
"""

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from turnout.cli.demo_cast import RECORDED, Player
from turnout.cli.demo_checks import Check
from turnout.types.json import Json

if TYPE_CHECKING:
    from openai import OpenAI

N_QUESTIONS: Final = 60
_SEED: Final = 7
_WORKERS: Final = 4
STRONG_RPM: Final = 30
"""Calls a minute that the strong model takes in the last strategy."""
_TABLE: Final = Path("gsm8k.parquet")
_PRICES: Final = "model_prices_2024.csv"
_LISTED_AS: Final[Mapping[str, str]] = {"mistralai/Mixtral-8x7B-Instruct-v0.1": "open-mixtral-8x7b"}
"""Model in the outcome table -> its name in the price list."""


class Item(Struct, frozen=True):
    """One question with what both models said."""

    prompt: str
    answers: Mapping[str, str]
    """Model -> its recorded answer."""
    scores: Mapping[str, float]
    """Model -> 1 = right."""


class Exam(Struct, frozen=True, kw_only=True):
    """The questions drawn, and the two models."""

    items: tuple[Item, ...]
    strong: Player
    weak: Player
    of: int
    """Questions there were to draw from."""
    path: Path

    @property
    def players(self) -> tuple[Player, Player]:
        """Both models."""
        return self.strong, self.weak

    def script(self) -> dict[str, object]:
        """Return the emulator's script."""
        return {
            "models": {
                player.model: {"answers": {item.prompt: item.answers[player.model] for item in self.items}}
                for player in self.players
            }
        }

    def routes(self) -> dict[str, Json]:
        """Return the routes the strategies need."""
        strong, weak = self.strong.id, self.weak.id
        return {
            "half": {
                "models": [strong, weak],
                "strategy": {"type": "weighted", "weights": {strong: 1, weak: 1}},
            },
            "strong-first": {"models": [strong, weak], "strategy": {"type": "priority"}},
        }


class Sat(Struct, frozen=True, kw_only=True):
    """One question answered under one strategy."""

    item: Item
    request_id: str
    model: str
    """Upstream name of the model that answered; "" = none did."""
    text: str
    reason: str
    cost_usd: float
    error: str = ""


class Result(Struct, frozen=True, kw_only=True):
    """How one strategy did."""

    strategy: str
    sat: tuple[Sat, ...]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(each.item.scores.get(each.model, 0.0) for each in self.sat) / len(self.sat)

    @property
    def error(self) -> float:
        """Standard error of the accuracy, from the number of questions."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / len(self.sat))

    @property
    def cost_usd(self) -> float:
        """Cost of all answers."""
        return sum(each.cost_usd for each in self.sat)

    def share_of(self, player: Player) -> float:
        """Share of questions one model answered."""
        return sum(each.model == player.model for each in self.sat) / len(self.sat)


def find(data: Path | None) -> Path | None:
    """Return the outcome table: below `--data`, $TURNOUT_SHARED, or a folder `shared` here or beside here."""
    if data is not None:
        bases = [data, data / "routellm", data / "data" / "routellm"]
    else:
        named = os.environ.get("TURNOUT_SHARED")
        roots = [Path(named)] if named else [Path("shared"), Path("..") / "shared"]
        bases = [root / "data" / "routellm" for root in roots]
    return next((base / _TABLE for base in bases if (base / _TABLE).is_file()), None)


def draw(table: Path) -> Exam:
    """Read the table and draw questions, always the same ones.

    Raises ImportError without pyarrow, OSError or ValueError for a table that is not one.
    """
    items = tuple(_items(table))
    models = sorted({model for item in items for model in item.answers})
    if len(models) != 2:
        raise ValueError(f"{table}: expected answers of two models, found {len(models)}")
    accuracy = {model: sum(item.scores[model] for item in items) for model in models}
    weak, strong = sorted(models, key=lambda model: accuracy[model])
    prices = _prices(table)
    drawn = Random(_SEED).sample(items, min(N_QUESTIONS, len(items)))  # noqa: S311  the same questions each time
    return Exam(
        items=tuple(drawn),
        strong=_player(strong, prices),
        weak=_player(weak, prices),
        of=len(items),
        path=table,
    )


def _items(table: Path) -> Iterator[Item]:
    from pyarrow import parquet

    columns = ["prompt", "model", "score", "response", "contaminated"]
    grouped: dict[str, Item] = {}
    for row in parquet.read_table(table, columns=columns).to_pylist():
        if row["contaminated"] or not row["response"]:
            continue
        known = grouped.get(row["prompt"], Item(row["prompt"], {}, {}))
        grouped[row["prompt"]] = Item(
            row["prompt"],
            {**known.answers, row["model"]: row["response"]},
            {**known.scores, row["model"]: row["score"]},
        )
    return (item for item in grouped.values() if len(item.answers) == 2)


def _prices(table: Path) -> Mapping[str, tuple[str, str]]:
    """Return what the models cost, from the price list beside the table; nothing where there is none."""
    path = table.parent.parent / _PRICES
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            row["model"]: (row["input_usd_per_mtok"], row["output_usd_per_mtok"])
            for row in csv.DictReader(lines)
        }


def _player(model: str, prices: Mapping[str, tuple[str, str]]) -> Player:
    listed = _LISTED_AS.get(model, model)
    if listed not in prices:
        raise ValueError(f"{_PRICES} beside the table has no price of {listed}")
    return Player(
        provider=RECORDED,
        model=model,
        codec="openai_chat",
        input_usd=prices[listed][0],
        output_usd=prices[listed][1],
        about="recorded answers",
    )


def sit(client: "OpenAI", exam: Exam, strategy: str, model: str) -> Result:
    """Ask every question under one model or route name."""

    def one(item: Item) -> Sat:
        return _ask(client, item, model)

    with ThreadPoolExecutor(_WORKERS) as threads:
        return Result(strategy=strategy, sat=tuple(threads.map(one, exam.items)))


def _ask(client: "OpenAI", item: Item, model: str) -> Sat:
    import openai

    try:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": item.prompt}]
        )
    except openai.APIError as error:
        return Sat(item=item, request_id="", model="", text="", reason="", cost_usd=0.0, error=str(error))
    headers = raw.headers
    return Sat(
        item=item,
        request_id=headers["x-turnout-request-id"],
        model=headers["x-turnout-model"].partition("/")[2],
        text=raw.parse().choices[0].message.content or "",
        reason=headers["x-turnout-reason"],
        cost_usd=float(headers.get("x-turnout-cost-usd", "nan")),
    )


def check(exam: Exam, results: Sequence[Result]) -> Iterator[Check]:
    """Say whether the recorded answers came through, and whether the strategies did what they are called."""
    yield Check("recorded answers came through word for word", tuple(_unfaithful(results)))
    yield Check("each strategy asked the models it is made of", tuple(_untrue(exam, results)))


def _unfaithful(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        for sat in result.sat:
            if sat.error:
                yield f"{result.strategy}: {sat.error[:160]}"
            elif sat.text != sat.item.answers.get(sat.model):
                yield f"{result.strategy}: {sat.request_id} is not what {sat.model} said"


def _untrue(exam: Exam, results: Sequence[Result]) -> Iterator[str]:
    strong, weak, half, first = (result.share_of(exam.strong) for result in results)
    if (strong, weak) != (1.0, 0.0):
        yield f"strong alone {strong:.0%}, weak alone {weak:.0%}"
    if not 0.0 < half < 1.0:
        yield f"a draw by halves gave {half:.0%} to the strong model"
    if first * len(exam.items) != min(STRONG_RPM, len(exam.items)):
        yield f"the strong model took {first:.0%} of the questions, not {STRONG_RPM} in all"
    if not any(sat.reason == "fallback_rate_limited" for sat in results[-1].sat):
        yield "no rate limit led to a fallback"
