"""Benchmark scores of models: the public starter table and the user's own, one validator for both. Floor 1.

Theory of operation.

1. A score is a measurement with its origin: benchmark, number, sample size, standard error, date, source. A
   table never mixes two benchmarks under one name, and a later own row replaces an earlier one.
2. Files are CSV with the header of `COLUMNS`, or JSON lines with the same keys. Reading is all or nothing:
   every faulty row is told, and none is taken if one is faulty.
3. A model is named as the user names it, `provider/model` or the bare id; the same model at another host has
   the same score, so a look-up falls back from the full name to the bare one.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from math import isfinite
from pkgutil import get_data
from typing import Final, Literal

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError

COLUMNS: Final = ("model", "benchmark", "score", "n", "stderr", "higher_is_better", "date", "source")
MAX_PROBLEMS: Final = 100
"""Rows told of one file: a file in the wrong format has as many problems as rows."""


class Score(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model's result on one benchmark."""

    model: str
    benchmark: str
    score: float
    n: int | None = None
    """Test items."""
    stderr: float | None = None
    """In the unit of `score`."""
    higher_is_better: bool = True
    date: date
    """Day of the measurement or of its publication."""
    source: str
    """Where it was read: an address or the name of a run."""
    origin: Literal["public", "own"] = "own"


class Scores:
    """Every known score, own ones over public ones. Never changed: `with_own` returns another table."""

    __slots__ = ("_by_benchmark", "rows")

    def __init__(self, rows: Iterable[Score] = ()) -> None:
        self.rows = tuple(rows)
        self._by_benchmark: dict[str, dict[str, Score]] = {}
        for row in self.rows:
            self._by_benchmark.setdefault(row.benchmark, {})[_key(row.model)] = row

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of every benchmark, sorted."""
        return tuple(sorted(self._by_benchmark))

    def get(self, benchmark: str, model: str) -> Score | None:
        """Return the score of a model, by its full name or, failing that, its bare id."""
        table = self._by_benchmark.get(benchmark, {})
        return table.get(_key(model)) or table.get(_key(model.rpartition("/")[2]))

    def models(self, benchmark: str) -> tuple[Score, ...]:
        """Return every score of a benchmark."""
        return tuple(self._by_benchmark.get(benchmark, {}).values())

    def with_own(self, rows: Iterable[Score]) -> "Scores":
        """Return a table in which these rows stand before the present ones."""
        return Scores((*self.rows, *rows))

    def __iter__(self) -> Iterator[Score]:
        return (row for table in self._by_benchmark.values() for row in table.values())

    def __len__(self) -> int:
        return sum(map(len, self._by_benchmark.values()))


NO_SCORES: Final = Scores()


def unknown_benchmark(name: str, known: Sequence[str]) -> str:
    """Return what to say of a benchmark without scores: the nearest names, and where to see all."""
    near = get_close_matches(name[:200].casefold(), known, n=3, cutoff=0.5)
    quoted = " or ".join(f'"{each}"' for each in near)
    hint = f"did you mean {quoted}? " if near else ""
    return f"no scores of {name!r} are known; {hint}`turnout scores show` lists the benchmarks"


def _key(model: str) -> str:
    return model.strip().casefold()


class _Public(Struct, frozen=True, forbid_unknown_fields=True):
    as_of: str
    note: str
    benchmarks: Mapping[str, "_PublicBenchmark"]


class _PublicBenchmark(Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    source: str
    date: date
    scores: Mapping[str, float]
    n: int | None = None
    higher_is_better: bool = True


def public_scores() -> Scores:
    """Return the starter table that comes with Turnout."""
    file = msgspec.json.decode(get_data("turnout.catalog", "benchmarks.json") or b"", type=_Public)
    return Scores(
        Score(
            model=model,
            benchmark=name,
            score=score,
            n=row.n,
            higher_is_better=row.higher_is_better,
            date=row.date,
            source=row.source,
            origin="public",
        )
        for name, row in file.benchmarks.items()
        for model, score in row.scores.items()
    )


def read_scores(data: bytes, where: str) -> tuple[Score, ...]:
    """Read a file of scores: CSV with a header, or JSON lines.

    Raises:
        ConfigError: One line per faulty row; nothing is taken then.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError((f"{where}: not UTF-8 text",)) from None
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    problems: list[str] = []
    rows = _json_rows(lines, where, problems) if first[:1] == "{" else _csv_rows(lines, where, problems)
    scores = _checked(rows, where, problems)
    if problems:
        more = len(problems) - MAX_PROBLEMS
        raise ConfigError((*problems[:MAX_PROBLEMS], *((f"{where}: and {more} more",) if more > 0 else ())))
    if not scores:
        raise ConfigError((f"{where}: no scores; expected a header {','.join(COLUMNS)} or JSON lines",))
    return scores


class _Row(Struct, frozen=True):
    n_line: int
    fields: Mapping[str, object]


def _json_rows(lines: Sequence[str], where: str, problems: list[str]) -> Iterator[_Row]:
    for n_line, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _Row(n_line, msgspec.json.decode(line, type=dict[str, object]))
        except msgspec.DecodeError as error:
            problems.append(f"{where}:{n_line}: not a JSON object: {error}")


def _csv_rows(lines: Sequence[str], where: str, problems: list[str]) -> Iterator[_Row]:
    reader = csv.DictReader(lines)
    unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
    missing = [
        name
        for name in ("model", "benchmark", "score", "date", "source")
        if name not in (reader.fieldnames or ())
    ]
    if unknown or missing:
        what = f"unknown column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}"
        problems.append(f"{where}:1: {what}; expected {','.join(COLUMNS)}")
        return
    for row in reader:
        if None in row or None in row.values():
            problems.append(f"{where}:{reader.line_num}: {len(reader.fieldnames or ())} columns expected")
            continue
        yield _Row(reader.line_num, {name: value for name, value in row.items() if value != ""})


def _checked(rows: Iterable[_Row], where: str, problems: list[str]) -> tuple[Score, ...]:
    found: dict[tuple[str, str], Score] = {}
    directions: dict[str, bool] = {}
    for row in rows:
        at = f"{where}:{row.n_line}"
        try:
            # Lax, so that the words of a CSV cell become numbers and truth values.
            score = msgspec.convert(_words(row.fields), Score, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{at}: {_explained(error)}")
            continue
        problem = _fault(score)
        key = (_key(score.model), score.benchmark)
        if problem is None and key in found:
            problem = f"{score.model} on {score.benchmark} stands twice"
        if problem is None and directions.setdefault(score.benchmark, score.higher_is_better) != (
            score.higher_is_better
        ):
            problem = f"higher_is_better of {score.benchmark} differs from an earlier row"
        if problem is None:
            found[key] = score
        else:
            problems.append(f"{at}: {problem}")
    return tuple(found.values())


def _explained(error: msgspec.ValidationError) -> str:
    """Turn msgspec's sentence into ours: the column first, then the fault."""
    fault, _, column = str(error).partition(" - at `$.")
    fault = fault[:1].lower() + fault[1:]
    return f"{column.rstrip('`')}: {fault}" if column else fault


def _words(fields: Mapping[str, object]) -> Mapping[str, object]:
    word = fields.get("higher_is_better")
    if isinstance(word, str):
        return {**fields, "higher_is_better": word.strip().casefold()}
    return fields


def _fault(score: Score) -> str | None:
    if not score.model.strip() or not score.benchmark.strip():
        return "model and benchmark must not be empty"
    if not isfinite(score.score):
        return f"score is {score.score}; expected a number"
    if score.n is not None and score.n < 1:
        return f"n is {score.n}; expected at least 1"
    if score.stderr is not None and not (isfinite(score.stderr) and score.stderr >= 0):
        return f"stderr is {score.stderr}; expected a number of at least 0"
    if not score.source.strip():
        return "source must not be empty: say where the number comes from"
    if score.origin != "own":
        return "origin: imported scores are own"
    return None
