"""Calibration samples from files: who answered what, how well, and with which predicted gap. Floor 6.

1. Two shapes, told by their columns. *Pairs*: one row an item and candidate, with `reference_score` and
   `score`. *Outcomes*: one row an item and model, as everywhere else in the workbench.
2. Predicted gaps stand in a column, or are predicted from the prompts by an artifact, just as the route does.
3. Without a file of other requests a third of the items, drawn by the hash of their ids, gives its labels up
   and serves for the thresholds: labels and thresholds may never come from the same items.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.evaluate.certify_items import Item, Option
from turnout.evaluate.dataset import Outcome, load_outcomes
from turnout.types.json import Json

NANO = 1_000_000_000
OTHER_SHARE = 1 / 3
SHOWN = 20
"""Faulty rows told one by one; the rest is counted."""

GapsOf: TypeAlias = Callable[[Sequence[str]], Mapping[str, Sequence[float]]]
"""Prompts -> candidate -> predicted gap of each."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be read from a file."""

    reference: str
    candidates: tuple[str, ...]
    column: str | None = None
    """Column of predicted gaps; None: they are predicted."""
    predict: GapsOf | None = None
    by_surface: bool = False
    """Whether the column `surface` parts the items."""


class Read(Struct, frozen=True, kw_only=True):
    """What a file holds."""

    items: tuple[Item, ...]
    begins: datetime | None = None
    ends: datetime | None = None


class Pair(Struct, frozen=True, kw_only=True):
    """A row of pairs."""

    id: str
    gap: float
    reference_score: float | None = None
    score: float | None = None
    model: str = ""
    """Empty: the only candidate."""
    prompt: str = ""
    reference_cost_nusd: int = 0
    cost_nusd: int = 0
    wish: float = 0.0
    group_id: str = ""
    turn: int = 1
    surface: str = ""
    probability: float = 1.0
    collected_at: str = ""


def read_sample(path: Path, wanted: Wanted) -> Read:
    """Return the items of a file of pairs or outcomes.

    Raises:
        ConfigError: It cannot be used; a line for each problem, with its row.
    """
    content = _bytes(path)
    first = next(iter(read_cells(path, content)), None)
    if first is None:
        raise ConfigError((f"{path}: no rows",))
    return _pairs(path, content, wanted) if "reference_score" in first else _outcomes(path, content, wanted)


def read_other(path: Path, wanted: Wanted) -> list[float]:
    """Return the smallest predicted gap of each request of an unlabelled file.

    Raises:
        ConfigError: It cannot be used.
    """
    gaps: dict[str, float] = {}
    prompts: dict[str, str] = {}
    problems: list[str] = []
    for n, cells in enumerate(read_cells(path, _bytes(path)), start=1):
        prompt = str(cells.get("prompt") or "")
        name = str(cells.get("id") or cells.get("item_id") or cells.get("prompt_id") or prompt or n)
        if wanted.column is None:
            prompts[name] = prompt
            if not prompt:
                problems.append(f"{path}: row {n}: no prompt to predict from")
            continue
        gap = _number(cells.get(wanted.column))
        if gap is None:
            if cells.get("model", "") != wanted.reference:
                problems.append(f"{path}: row {n}: {wanted.column} is no finite number")
            continue
        gaps[name] = min(gaps.get(name, math.inf), gap)
    _refuse(problems)
    if wanted.column is not None:
        return list(gaps.values())
    columns = _predicted(list(prompts.values()), wanted).values()
    return [min(row) for row in zip(*columns, strict=True)]


def parted(items: Sequence[Item]) -> tuple[list[Item], list[float]]:
    """Return the items that keep their labels, and the smallest gaps of those that give them up."""
    kept: list[Item] = []
    other: list[float] = []
    for item in items:
        key = item.group or item.id  # a session's turns stay together
        drawn = int(hashlib.sha256(f"other|{key}".encode()).hexdigest()[:8], 16) < OTHER_SHARE * 2**32
        if drawn:
            other.append(min((option.gap for option in item.options), default=math.inf))
        else:
            kept.append(item)
    return kept, other


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from error


# Pairs


def _pairs(path: Path, content: bytes, wanted: Wanted) -> Read:
    rows: list[Pair] = []
    problems: list[str] = []
    for n, cells in enumerate(read_cells(path, content), start=1):
        try:
            row = msgspec.convert(_present(cells, wanted), Pair, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{path}: row {n}: {error}")
            continue
        if row.model and row.model not in wanted.candidates:
            problems.append(f"{path}: row {n}: model {row.model!r} is none of the candidates")
        if not row.model and len(wanted.candidates) > 1:
            problems.append(f"{path}: row {n}: no model; with several candidates each row names its own")
        problems.extend(f"{path}: row {n}: {problem}" for problem in _score_problems(row))
        rows.append(row)
    problems += _twice(path, rows)
    _refuse(problems)
    if wanted.column is None:
        found = _predicted([row.prompt for row in rows], wanted)
        only = wanted.candidates[0]
        rows = [msgspec.structs.replace(row, gap=found[row.model or only][at]) for at, row in enumerate(rows)]
    return _read([row.collected_at for row in rows], list(_items(rows, wanted)))


def _score_problems(row: Pair) -> Iterator[str]:
    for name, score in (("reference_score", row.reference_score), ("score", row.score)):
        if score is not None and not 0 <= score <= 1:
            yield f"{name} is {score}; expected 0-1 (graded scores are rescaled before import)"


def _twice(path: Path, rows: Sequence[Pair]) -> Iterator[str]:
    first: dict[tuple[str, str], int] = {}
    for n, row in enumerate(rows, start=1):
        if (before := first.setdefault((row.id, row.model), n)) != n:
            yield f"{path}: row {n}: id {row.id!r} appears twice; it is in row {before} too"


def _present(cells: Mapping[str, Json], wanted: Wanted) -> dict[str, Json]:
    """Return the cells that hold something, under our names and in our units."""
    found: dict[str, Json] = {name: cell for name, cell in cells.items() if cell is not None and cell != ""}
    for name in ("id", "model", "prompt", "group_id", "surface", "collected_at"):
        if name in found:
            found[name] = str(found[name])
    if "id" not in found:
        own = next((found[each] for each in ("item_id", "prompt_id") if each in found), None)
        if own is None:
            raise ValueError("no id (or item_id, prompt_id)")
        found["id"] = str(own)
    for name in ("cost", "reference_cost"):
        if f"{name}_usd" in found:
            found.setdefault(f"{name}_nusd", round(float(str(found[f"{name}_usd"])) * NANO))
    if wanted.column is not None:
        gap = _number(found.get(wanted.column))
        if gap is None:
            raise ValueError(f"{wanted.column} is {found.get(wanted.column)!r}; expected a finite number")
        found["gap"] = gap
    else:
        found["gap"] = 0.0
    return found


def _items(rows: Sequence[Pair], wanted: Wanted) -> Iterator[Item]:
    together: dict[str, list[Pair]] = {}
    for row in rows:
        together.setdefault(row.id, []).append(row)
    for name, found in together.items():
        first = found[0]
        yield Item(
            id=name,
            options=tuple(
                Option(
                    model=row.model or wanted.candidates[0],
                    gap=row.gap,
                    score=row.score,
                    cost_nusd=row.cost_nusd,
                    wish=row.wish,
                )
                for row in found
            ),
            reference_score=first.reference_score,
            reference_cost_nusd=first.reference_cost_nusd,
            group=first.group_id,
            turn=first.turn,
            segment=first.surface if wanted.by_surface else "",
            probability=first.probability,
        )


# Outcomes


def _outcomes(path: Path, content: bytes, wanted: Wanted) -> Read:
    table = load_outcomes(path)
    known = set(table.models)
    missing = [name for name in (wanted.reference, *wanted.candidates) if name not in known]
    if missing:
        raise ConfigError((f"{path}: no outcome of {', '.join(missing)}; it has {', '.join(table.models)}",))
    gaps = {} if wanted.column is None else _column(path, content, wanted)
    rows: dict[tuple[str, str, str, int], dict[str, list[Outcome]]] = {}
    for row in table.rows:
        key = (row.dataset, row.prompt_id, row.item_id, row.turn)
        rows.setdefault(key, {}).setdefault(row.model, []).append(row)
    whole = [
        found
        for found in rows.values()
        if wanted.reference in found and any(name in found for name in wanted.candidates)
    ]
    predicted: Mapping[str, Sequence[float]] = {}
    if wanted.column is None:
        predicted = _predicted([found[wanted.reference][0].prompt for found in whole], wanted)
    items = [_item(found, at, wanted, gaps, predicted) for at, found in enumerate(whole)]
    return _read([row.collected_at for row in table.rows], items)


def _item(
    found: Mapping[str, Sequence[Outcome]],
    at: int,
    wanted: Wanted,
    gaps: Mapping[int, float],
    predicted: Mapping[str, Sequence[float]],
) -> Item:
    best = found[wanted.reference]
    first = best[0]
    options = []
    for name in wanted.candidates:
        answers = found.get(name)
        if answers:
            gap = predicted[name][at] if wanted.column is None else gaps[answers[0].row]
            options.append(Option(model=name, gap=gap, score=_mean(answers), cost_nusd=_cost(answers)))
    return Item(
        id="|".join((first.dataset, first.prompt_id, first.item_id, str(first.turn))),
        options=tuple(options),
        reference_score=_mean(best),
        reference_cost_nusd=_cost(best),
        group=first.group_id,
        turn=first.turn,
        segment=first.domain if wanted.by_surface else "",
    )


def _column(path: Path, content: bytes, wanted: Wanted) -> dict[int, float]:
    """Return the predicted gap of each candidate's row, by its number."""
    found: dict[int, float] = {}
    problems: list[str] = []
    for n, cells in enumerate(read_cells(path, content), start=1):
        if cells.get("model") not in wanted.candidates:
            continue
        gap = _number(cells.get(wanted.column or ""))
        if gap is None:
            problems.append(f"{path}: row {n}: {wanted.column} is no finite number")
        else:
            found[n] = gap
    _refuse(problems)
    return found


def _mean(rows: Sequence[Outcome]) -> float:
    return sum(row.score for row in rows) / len(rows)


def _cost(rows: Sequence[Outcome]) -> int:
    return round(sum(row.cost_nusd or 0 for row in rows) / len(rows))


# Both


def _predicted(prompts: Sequence[str], wanted: Wanted) -> Mapping[str, Sequence[float]]:
    if wanted.predict is None:
        raise ConfigError(("gaps: name their column with --gaps, or give an --artifact that predicts them",))
    if not all(prompts):
        raise ConfigError(("prompt: an artifact predicts from prompts, and rows lack theirs",))
    return wanted.predict(prompts)


def _read(moments: Sequence[str], items: Sequence[Item]) -> Read:
    known = sorted(at for text in moments if text and (at := _moment(text)) is not None)
    return Read(items=tuple(items), begins=known[0] if known else None, ends=known[-1] if known else None)


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _number(cell: Json) -> float | None:
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        rest = len(problems) - SHOWN
        raise ConfigError((*problems[:SHOWN], *([f"… and {rest} more problems"] if rest > 0 else ())))
