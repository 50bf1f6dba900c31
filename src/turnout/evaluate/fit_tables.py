"""Which rows of which tables a router may be fitted on. Floor 6.

1. RouterArena's data is for evaluation only, there and here: training on it disqualifies. It is recognised by
   its name, in the file's or the rows' data set, or by the columns in which only it is published.
2. Prompts of a table that will be reported on are left out, near-copies included (`--exclude-overlap`).
3. Rows marked as contaminated are left out, as the published protocols do.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.evaluate.dataset import Outcome, OutcomeTable, load_outcomes, shared_prompts
from turnout.learn.artifact import CardData

ARENA = re.compile(r"router[\W_]*arena", re.IGNORECASE)
ARENA_COLUMNS = (
    frozenset({"item_id", "category", "metric", "cost_usd", "response"}),
    frozenset({"global_index", "evaluation_result"}),
    frozenset({"global index", "evaluation_result"}),
)
"""Columns that together mean RouterArena: of its outcomes as rows, and of its own cached results."""


class Source(Struct, frozen=True, kw_only=True):
    """One table's rows that may be learned from."""

    path: Path
    table: OutcomeTable
    data: CardData
    warnings: tuple[str, ...] = ()


def read_sources(
    paths: Sequence[Path], *, split: Sequence[str] | None, excluding: Sequence[Path]
) -> tuple[Source, ...]:
    """Return the tables to learn from.

    Raises:
        ConfigError: A table cannot be used, is reserved for evaluation, or nothing is left of it; one line
            for each problem, with the file.
    """
    problems: list[str] = []
    tables: list[tuple[Path, OutcomeTable]] = []
    for path in paths:
        try:
            refuse_arena(path)
            table = load_outcomes(path)
            _refuse_arena_rows(path, table.rows)
            _refuse_without_prompts(path, table.rows)
            tables.append((path, table))
        except ConfigError as error:
            problems += error.problems
    others = _read_all(excluding, problems)
    if not problems:
        problems += _across_tables(tables) if split is not None else ()
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(_source(path, table, split, others) for path, table in tables)


def refuse_arena(path: Path) -> None:
    """Refuse a file that is RouterArena's by name or columns. Raises `ConfigError`."""
    why = "its name says so" if ARENA.search(path.name) else None
    if why is None:
        first = next(iter(read_cells(path, path.read_bytes())), None)
        columns = frozenset(first or ())
        found = next((known for known in ARENA_COLUMNS if known <= columns), None)
        why = None if found is None else f"its columns {', '.join(sorted(found))} say so"
    if why is not None:
        raise ConfigError(
            (f"{path}: RouterArena data ({why}) is for evaluation only; nothing is fitted on it",)
        )


def _refuse_arena_rows(path: Path, rows: Iterable[Outcome]) -> None:
    row = next((row for row in rows if ARENA.search(row.dataset)), None)
    if row is not None:
        why = f"dataset {row.dataset!r} in row {row.row} says so"
        raise ConfigError(
            (f"{path}: RouterArena data ({why}) is for evaluation only; nothing is fitted on it",)
        )


def _refuse_without_prompts(path: Path, rows: Iterable[Outcome]) -> None:
    row = next((row for row in rows if not row.prompt), None)
    if row is not None:
        raise ConfigError((f"{path}: row {row.row}: no prompt text; a router reads prompts, not their ids",))


def _read_all(paths: Sequence[Path], problems: list[str]) -> list[OutcomeTable]:
    found = []
    for path in paths:
        try:
            found.append(load_outcomes(path))
        except ConfigError as error:
            problems += error.problems
    return found


def _across_tables(tables: Sequence[tuple[Path, OutcomeTable]]) -> Iterable[str]:
    home: dict[str, tuple[Path, Outcome]] = {}
    told: set[str] = set()
    for path, table in tables:
        for row in table.rows:
            first_path, first = home.setdefault(row.prompt_id, (path, row))
            if first_path != path and first.split != row.split and row.prompt_id not in told:
                told.add(row.prompt_id)
                yield (
                    f"{path}: row {row.row}: prompt {row.prompt_id} is in split {row.split!r}, "
                    f"but in {first.split!r} in {first_path} at row {first.row}"
                )


def _source(
    path: Path, table: OutcomeTable, split: Sequence[str] | None, others: Sequence[OutcomeTable]
) -> Source:
    left_out = {found for other in others for found in shared_prompts(table, other)}
    rows = tuple(
        row
        for row in table.rows
        if not row.contaminated and row.prompt_id not in left_out and (split is None or row.split in split)
    )
    if not rows:
        splits = ", ".join(sorted({repr(row.split) for row in table.rows}))
        raise ConfigError((f"{path}: no row is left to fit on; its splits are {splits}",))
    kept = msgspec.structs.replace(table, rows=rows)
    judges = {row.judge for row in rows if row.judge}
    data = CardData(
        name=path.name,
        sha256=table.sha256,
        rows=len(rows),
        prompts=len({row.prompt_id for row in rows}),
        split_rule="all rows" if split is None else f"split in {', '.join(split)}",
        dates=_dates(rows),
        judge=", ".join(sorted(judges)),
        excluded_overlap=len(left_out),
    )
    return Source(path=path, table=kept, data=data, warnings=table.warnings)


def _dates(rows: Sequence[Outcome]) -> str:
    days = sorted(row.collected_at[:10] for row in rows if row.collected_at)
    return f"{days[0]} to {days[-1]}" if days else ""
