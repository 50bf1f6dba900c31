"""Columns of the shared tables as matrices of prompts x models, and prompts as vectors."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from pyarrow import parquet

from turnout.evaluate.queries import queries
from turnout.learn.base import Encoder, Floats, Queries
from turnout.registry import load

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RESULTS = Path(__file__).resolve().parent.parent / "results" / "routing"


class Matrix(Struct, frozen=True, eq=False):
    """One or more columns of a table."""

    prompts: tuple[str, ...]
    models: tuple[str, ...]
    split: np.ndarray
    """`train` or `dev`, one a prompt."""
    values: dict[str, Floats]
    """Column -> prompts x models; NaN where there is none."""

    def part(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split == split)


def matrix(path: str, columns: Sequence[str], keep: dict[str, str] | None = None) -> Matrix:
    """Return columns of a table; repeated cells are averaged. `keep` picks rows by the value of a column."""
    names = ["prompt", "model", "split", *columns, *(keep or {})]
    table = parquet.read_table(SHARED / path, columns=list(dict.fromkeys(names)))
    rows = table.to_pydict()
    wanted = [
        i
        for i in range(table.num_rows)
        if all(rows[name][i] == value for name, value in (keep or {}).items())
    ]
    prompts = {p: n for n, p in enumerate(dict.fromkeys(rows["prompt"][i] for i in wanted))}
    models = {m: n for n, m in enumerate(sorted({rows["model"][i] for i in wanted}))}
    at = np.array([prompts[rows["prompt"][i]] for i in wanted])
    m = np.array([models[rows["model"][i]] for i in wanted])
    split = np.empty(len(prompts), dtype="<U5")
    split[at] = [rows["split"][i] for i in wanted]
    values = {}
    for name in columns:
        cells = np.array([np.nan if rows[name][i] is None else rows[name][i] for i in wanted], dtype=float)
        known = ~np.isnan(cells)
        sums, counts = np.zeros((len(prompts), len(models))), np.zeros((len(prompts), len(models)))
        np.add.at(sums, (at[known], m[known]), cells[known])
        np.add.at(counts, (at[known], m[known]), 1.0)
        values[name] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Matrix(tuple(prompts), tuple(models), split, values)


def vectors(prompts: Sequence[str], encoder: str = "static") -> Queries:
    """Return prompts as a live request would show them: vectors and surface measures."""
    made: Encoder = load("turnout.encoders", encoder)()
    return queries(prompts, made)


def rows_of(queries: Queries, rows: np.ndarray) -> Queries:
    return Queries(queries.embeddings[rows], queries.measures[rows])


def write(name: str, found: dict) -> None:
    """Print what was found and keep it beside the command that made it."""
    found = {"command": f"python -m benchmarks.routing.{name} {' '.join(sys.argv[1:])}".strip(), **found}
    text = json.dumps(found, indent=1, sort_keys=False)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
