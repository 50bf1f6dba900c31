"""Tables of recorded outcomes and preferences, checked before anything is learned from them. Floor 6.

1. A table is read whole, from CSV, JSON lines or Parquet; its hash is that of the file's bytes.
2. Rows are counted from 1, the header not being one; in a published wide table, from prompt to prompt and
   model to model (`published`). Unknown columns are ignored; an empty cell is absent.
3. What would make a result wrong is refused, with its rows named: scores outside 0-1, repeated rows, one
   model, constant labels, a prompt in two splits. What only weakens a result is a warning.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from turnout.errors import ConfigError
from turnout.evaluate import published
from turnout.evaluate.cells import read_cells
from turnout.evaluate.copies import copy_keys, shared
from turnout.types.json import Json

NANO = 1_000_000_000
SHOWN = 20
"""Problems listed one by one; the rest is counted."""
FAILED_TASK = 0.01
"""A model at or below this on a whole task more likely gave answers that nobody could parse."""
TASK_PROMPTS = 20
"""Prompts that make a task large enough to say so."""

NotNegative: TypeAlias = Annotated[int, Meta(ge=0)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What one model did on one prompt."""

    row: int
    """Its place in the file, from 1."""
    prompt_id: str
    model: str
    score: float
    """Within 0-1; higher is better."""
    prompt: str = ""
    item_id: str = ""
    """Tells apart items with the same prompt."""
    dataset: str = ""
    domain: str = ""
    """Also read from a column `category`."""
    split: str = ""
    model_version: str = ""
    input_tokens: NotNegative | None = None
    output_tokens: NotNegative | None = None
    cost_nusd: NotNegative | None = None
    """Also read from a column `cost_usd`."""
    ttft_s: Seconds | None = None
    latency_s: Seconds | None = None
    response: str | None = None
    sample_id: int = 0
    """Counts repeated answers of one model to one item."""
    turn: int = 1
    error: str = ""
    judge: str = ""
    collected_at: str = ""
    group_id: str = ""
    """What belongs together in a resample: turns, paraphrases. Empty: the prompt itself."""
    contaminated: bool = False
    """Known to a model before it was asked: published protocols leave such rows out."""

    @property
    def group(self) -> str:
        """What the row belongs to when whole groups are resampled."""
        return self.group_id or self.prompt_id


class Preference(Struct, frozen=True, kw_only=True, gc=False):
    """Which of two models answered one prompt better."""

    row: int
    """Its place in the file, from 1."""
    prompt_id: str
    model_a: str
    model_b: str
    winner: Literal["a", "b", "tie"]
    prompt: str = ""
    split: str = ""
    rater: str = ""
    position_swapped: bool = False
    weight: Annotated[float, Meta(gt=0)] = 1.0


Row = TypeVar("Row", Outcome, Preference)


class OutcomeTable(Struct, frozen=True, kw_only=True):
    """Outcomes that passed every check."""

    rows: tuple[Outcome, ...]
    sha256: str
    warnings: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Every model, in the order of the alphabet."""
        return tuple(sorted({row.model for row in self.rows}))


class PreferenceTable(Struct, frozen=True, kw_only=True):
    """Preferences that passed every check."""

    rows: tuple[Preference, ...]
    sha256: str


def prompt_id(prompt: str) -> str:
    """Return a prompt's name: the same for prompts that differ in case and white space only."""
    return hashlib.sha256(" ".join(prompt.lower().split()).encode()).hexdigest()[:16]


def load_outcomes(path: Path, *, fewest_models: int = 2) -> OutcomeTable:
    """Read and check a table of outcomes.

    Args:
        path: CSV, JSON lines or Parquet.
        fewest_models: 1 for the outcomes of a model that joins others; they may also be all alike.

    Raises:
        ConfigError: It cannot be used; a line for each problem, with its row.
    """
    content = path.read_bytes()
    rows, problems, unscored = _convert(
        published.outcomes(read_cells(path, content)), Outcome, ("model", "score")
    )
    problems += _outcome_problems(rows, fewest_models) if not problems else ()
    _refuse(path, problems)
    warnings = (*_unscored(unscored), *_outcome_warnings(rows))
    return OutcomeTable(rows=tuple(rows), sha256=hashlib.sha256(content).hexdigest(), warnings=warnings)


def load_preferences(path: Path) -> PreferenceTable:
    """Read and check a table of preferences.

    Raises:
        ConfigError: It cannot be used; a line for each problem, with its row.
    """
    content = path.read_bytes()
    rows, problems, _ = _convert(
        published.preferences(read_cells(path, content)), Preference, ("model_a", "model_b", "winner")
    )
    problems += _preference_problems(rows) if not problems else ()
    _refuse(path, problems)
    return PreferenceTable(rows=tuple(rows), sha256=hashlib.sha256(content).hexdigest())


def shared_prompts(train: OutcomeTable, test: OutcomeTable) -> tuple[str, ...]:
    """Return the prompt ids of `train` that are also in `test`, near-copies included: leave them out."""
    ids = {row.prompt_id for row in test.rows}
    near = shared((row.prompt for row in train.rows), (row.prompt for row in test.rows))
    return tuple(sorted({row.prompt_id for row in train.rows if row.prompt_id in ids or row.prompt in near}))


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        rest = len(problems) - SHOWN
        more = (f"{path}: … and {rest} more problems",) if rest > 0 else ()
        raise ConfigError((*(f"{path}: {problem}" for problem in problems[:SHOWN]), *more))


# From bytes to rows


def _convert(
    cells: Iterator[Mapping[str, Json]], kind: type[Row], required: tuple[str, ...]
) -> tuple[list[Row], tuple[str, ...], list[int]]:
    """Return the rows, the problems found on the way, and the numbers of rows without a score."""
    rows: list[Row] = []
    problems: list[str] = []
    unscored: list[int] = []
    texts = frozenset(field.name for field in msgspec.structs.fields(kind) if field.type in (str, str | None))
    for n, raw in enumerate(cells, start=1):
        if missing := _missing(raw, required):
            problems.append(f"row {n}: no column {missing}")
            break  # the other rows will say the same
        try:
            present = _normalised(raw, texts)
            if "score" in required and "score" not in present:
                unscored.append(n)
                continue
            row = msgspec.convert({**present, "row": n}, kind, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"row {n}: {error}")
            continue
        problems.extend(f"row {n}: {problem}" for problem in _row_problems(row))
        rows.append(row)
    if not rows and not problems:
        problems.append("no rows with a score" if unscored else "no rows")
    return rows, tuple(problems), unscored


def _missing(raw: Mapping[str, Json], required: tuple[str, ...]) -> str:
    absent = [name for name in required if name not in raw]
    if "prompt" not in raw and "prompt_id" not in raw:
        absent.append("prompt (or prompt_id)")
    return ", ".join(absent)


def _normalised(raw: Mapping[str, Json], texts: frozenset[str]) -> dict[str, Json]:
    """Return the cells that hold something, under our names and in our units."""
    cells: dict[str, Json] = {}
    for name, cell in raw.items():
        is_nan = isinstance(cell, float) and math.isnan(cell)
        if cell is None or cell == "" or (is_nan and name != "score"):
            continue
        cells[name] = str(cell) if name in texts else cell
    if "category" in cells:
        cells.setdefault("domain", str(cells["category"]))
    if "cost_usd" in cells:
        cells.setdefault("cost_nusd", _nano_usd(str(cells["cost_usd"])))
    if "prompt" in cells:
        cells.setdefault("prompt_id", prompt_id(str(cells["prompt"])))
    return cells


def _nano_usd(usd: str) -> int:
    try:
        return round(float(usd) * NANO)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"cost_usd is {usd!r}; expected a number") from error


def _row_problems(row: Outcome | Preference) -> Iterator[str]:
    if row.prompt and row.prompt_id != (expected := prompt_id(row.prompt)):
        yield f"prompt_id is {row.prompt_id!r}, but the prompt's is {expected!r}"
    if isinstance(row, Preference):
        if row.model_a == row.model_b:
            yield f"model_a and model_b are both {row.model_a!r}"
        if not math.isfinite(row.weight):
            yield f"weight is {row.weight}; expected a number"
    elif not 0 <= row.score <= 1:
        yield f"score is {row.score}; expected 0-1 (graded scores are rescaled before import)"


# What makes a table unusable, and what the report must say about it


def _outcome_problems(rows: Sequence[Outcome], fewest_models: int) -> tuple[str, ...]:
    first: dict[tuple[str, str, str, str, int, int, str], int] = {}
    problems = []
    for row in rows:
        key = (row.dataset, row.prompt_id, row.item_id, row.model, row.sample_id, row.turn, row.judge)
        if (before := first.setdefault(key, row.row)) != row.row:
            problems.append(f"row {row.row}: repeats row {before} (same item, model and sample)")
    problems.extend(_across_splits(rows))
    models = {row.model for row in rows}
    if fewest_models == 1:
        return tuple(problems)
    if len(models) == 1:
        problems.append(f"only one model, {models.pop()!r}; expected two or more")
    if len({row.score for row in rows}) == 1:
        problems.append(f"every score is {rows[0].score}; nothing can be learned from constant labels")
    return tuple(problems)


def _preference_problems(rows: Sequence[Preference]) -> tuple[str, ...]:
    problems = list(_across_splits(rows))
    if len({row.winner for row in rows}) == 1:
        problems.append(f"every winner is {rows[0].winner!r}; nothing can be learned from constant labels")
    return tuple(problems)


def _across_splits(rows: Iterable[Outcome | Preference]) -> Iterator[str]:
    home: dict[str, Outcome | Preference] = {}
    told: set[str] = set()
    for row in rows:
        first = home.setdefault(row.prompt_id, row)
        if row.split != first.split and row.prompt_id not in told:
            told.add(row.prompt_id)
            yield (
                f"row {row.row}: prompt {row.prompt_id} is in split {row.split!r}, "
                f"but in {first.split!r} at row {first.row}"
            )


def _unscored(rows: Sequence[int]) -> Iterator[str]:
    if rows:
        yield f"rows without a score, left out: {len(rows)}, the first being row {rows[0]}"


def _outcome_warnings(rows: Sequence[Outcome]) -> Iterator[str]:
    items: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    tasks: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        items[row.model].add((row.prompt_id, row.item_id))
        tasks[row.model, row.dataset, row.domain].append(row.score)
    n_items = len(set().union(*items.values()))
    for model in sorted(items):
        if (lacking := n_items - len(items[model])) > 0:
            yield f"{model}: no outcome for {lacking} of {n_items} items"
    for (model, dataset, domain), scores in sorted(tasks.items()):
        if len(scores) >= TASK_PROMPTS and sum(scores) <= FAILED_TASK * len(scores):
            task = "/".join(part for part in (dataset, domain) if part) or "the whole table"
            yield f"{model}: scores about 0 on {task}; were its answers parsed?"
    judges = Counter(row.judge for row in rows if row.judge)
    if len(judges) > 1:
        yield f"{len(judges)} judges in one table ({', '.join(sorted(judges))}): never average over them"
    yield from _near_copies(rows)


def _near_copies(rows: Iterable[Outcome]) -> Iterator[str]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    where: dict[str, int] = {}
    prompts = {row.prompt_id: row for row in rows if row.prompt}
    for key, row in zip(copy_keys([row.prompt for row in prompts.values()]), prompts.values(), strict=True):
        splits[key].add(row.split)
        where.setdefault(key, row.row)
    copied = [key for key, homes in splits.items() if len(homes) > 1]
    if copied:
        yield (
            f"prompts with near-copies in another split (first 100 letters and digits): {len(copied)}, "
            f"the first at row {min(where[key] for key in copied)}"
        )
