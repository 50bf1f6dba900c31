"""Tables in the shapes that others publish, as rows in ours. Floor 6.

The shape is told by the columns of the first row, so that nobody has to name it:

- RouterBench: one row a prompt, per model a column of scores, `MODEL|total_cost` and `MODEL|model_response`.
- RouteLLM's benchmarks: one row a prompt, per model a column of True and False.
- Arena battles (RouteLLM's training data): `winner_model_a`, `winner_model_b`, `winner_tie`.
- AlpacaEval's annotations: `instruction`, `generator_1`, `generator_2` and a `preference` of 1 to 2.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import msgspec

from turnout.types.json import Json

Cells = Mapping[str, Json]

COST: Final = "|total_cost"
RESPONSE: Final = "|model_response"
_ABOUT_A_PROMPT: Final = frozenset(
    {"", "id", "index", "sample_id", "prompt", "eval_name", "oracle_model_to_route_to", "dataset", "category"}
)
_TRUTH: Final[Mapping[Json, float]] = {"True": 1.0, "False": 0.0, "true": 1.0, "false": 0.0}
_TIE: Final = 0.25
"""AlpacaEval's preference is 1.0 for the first, 2.0 for the second: nearer to 1.5 than this is a tie."""


def outcomes(rows: Iterator[Cells]) -> Iterator[Cells]:
    """Return one row a prompt and model, whichever shape they come in."""
    first = next(rows, None)
    if first is None:
        return iter(())
    again = chain((first,), rows)
    if any(name.endswith((COST, RESPONSE)) for name in first):
        return _routerbench(again)
    if "model" not in first and "score" not in first and len(named := _answered(first)) >= 2:
        return _wide(again, named)
    return again


def preferences(rows: Iterator[Cells]) -> Iterator[Cells]:
    """Return one row a comparison, whichever shape they come in."""
    first = next(rows, None)
    if first is None:
        return iter(())
    again = chain((first,), rows)
    if "winner_model_a" in first:
        return map(_battle, again)
    if {"instruction", "generator_1", "generator_2", "preference"} <= first.keys():
        return (row for row in map(_annotation, again) if row)
    return again


def _routerbench(rows: Iterable[Cells]) -> Iterator[Cells]:
    for row in rows:
        models = [name.removesuffix(COST) for name in row if name.endswith(COST)]
        models += [
            m for name in row if name.endswith(RESPONSE) and (m := name.removesuffix(RESPONSE)) not in models
        ]
        about = {
            "prompt": _prompt(row.get("prompt")),
            "item_id": row.get("sample_id"),
            "dataset": row.get("eval_name"),
        }
        for model in models:
            yield {
                **about,
                "model": model,
                "score": row.get(model),
                "cost_usd": row.get(model + COST),
                "response": row.get(model + RESPONSE),
            }


def _prompt(found: Json) -> Json:
    """RouterBench writes a prompt as a list of its turns, sometimes as Python prints one."""
    if isinstance(found, str) and found.startswith("['") and found.endswith("']"):
        return found[2:-2]
    return "\n".join(map(str, found)) if isinstance(found, list) else found


def _answered(row: Cells) -> list[str]:
    return [name for name, cell in row.items() if name not in _ABOUT_A_PROMPT and _truth(cell) is not None]


def _truth(cell: Json) -> float | None:
    if isinstance(cell, bool):
        return float(cell)
    return _TRUTH.get(cell) if isinstance(cell, str) else None


def _wide(rows: Iterable[Cells], models: list[str]) -> Iterator[Cells]:
    for row in rows:
        about = {name: cell for name, cell in row.items() if name in _ABOUT_A_PROMPT and name}
        for model in models:
            answer = row.get(model)
            said = row.get(f"{model}_response", row.get(f"{model} response"))
            # What is neither true nor false stays as it is, and is refused with its row.
            score = answer if (truth := _truth(answer)) is None else truth
            yield {**about, "model": model, "score": score, "response": said}


def _battle(row: Cells) -> Cells:
    won = {
        "a": _number(row.get("winner_model_a")),
        "b": _number(row.get("winner_model_b")),
        "tie": _number(row.get("winner_tie")) + _number(row.get("winner_tie (bothbad)")),
    }
    return {
        "prompt": _turns(row.get("prompt")),
        "model_a": row.get("model_a"),
        "model_b": row.get("model_b"),
        "winner": max(won, key=lambda side: won[side]) if any(won.values()) else None,
        "rater": row.get("judge", "arena"),
    }


def _turns(found: Json) -> Json:
    """Return the last of the user's turns, which arena files keep as a list in a string."""
    if isinstance(found, str) and found.startswith("["):
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError:
            return found
    return found[-1] if isinstance(found, list) and found else found


def _annotation(row: Cells) -> Cells:
    value = row.get("preference")
    if not isinstance(value, int | float | str) or value == "":
        return {}  # the judge gave none
    away = float(value) - 1.5
    return {
        "prompt": row.get("instruction"),
        "model_a": row.get("generator_1"),
        "model_b": row.get("generator_2"),
        "winner": "tie" if abs(away) < _TIE else "a" if away < 0 else "b",
        "rater": row.get("annotator"),
    }


def _number(cell: Json) -> float:
    if isinstance(cell, bool | int | float):
        return float(cell)
    try:
        return float(cell) if isinstance(cell, str) and cell else 0.0
    except ValueError:
        return 0.0
