"""The file outcomes are collected into: a line for each answer, added as it comes. Floor 6.

Theory of operation.

1. A line is written and flushed when its answer is scored. A stopped run loses the answers under way and
   nothing else; the next run reads the file, skips what is there and asks the rest.
2. A line that the end of a process cut in two is dropped on reading, and asked again.
3. A failure is a line with `error` and no score. Tables leave such lines out; the next run asks again, and
   its line takes the place of the failure when the file is finished (`finish`).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line; the columns of an outcome table (ROUTING.md 4.1)."""

    prompt_id: str
    prompt: str
    model: str
    sample_id: int = 0
    score: float | None = None
    item_id: str = ""
    dataset: str = ""
    domain: str = ""
    split: str = ""
    group_id: str = ""
    model_version: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nusd: int | None = None
    ttft_s: float | None = None
    latency_s: float | None = None
    response: str | None = None
    error: str = ""
    judge: str = ""
    judge_score: float | None = None
    """As the judge gave it, where `score` is its calibrated value or was found without the judge."""
    judge_cost_nusd: int | None = None
    collected_at: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What the row is about."""
        return (self.prompt_id, self.item_id, self.model, self.sample_id)


class PairRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One comparison; the columns of a preference table."""

    prompt_id: str
    prompt: str
    model_a: str
    model_b: str
    winner: str
    rater: str
    position_swapped: bool = True
    split: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Row)


class Sheet:
    """The open file. Must be closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows = read(path)
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n") and content:
            _replace(path, content[: content.rfind(b"\n") + 1])  # a line was cut: nothing may be glued to it
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab")

    def add(self, row: Row | PairRow) -> None:
        """Write a line."""
        self._file.write(_ENCODER.encode(row) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Make sure that it is on the disk."""
        os.fsync(self._file.fileno())
        self._file.close()


def read(path: Path) -> list[Row]:
    """Return the rows of an earlier run; none without a file.

    Raises:
        ConfigError: It is no file of ours.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows: list[Row] = []
    for n, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rows.append(_DECODER.decode(line))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            if n == len(lines):
                break  # cut by the end of a process
            raise ConfigError((f"{path}: line {n}: {error}; is this a file of `turnout collect`?",)) from None
    return rows


def finish(path: Path, calibrated: Mapping[tuple[str, str, str, int], float] | None = None) -> list[Row]:
    """Leave one row a question and answer, the last one asked, and return them.

    Args:
        path: The file.
        calibrated: New scores by row, for those that a judge graded.
    """
    last: dict[tuple[str, str, str, int], Row] = {}
    for row in read(path):
        if row.score is not None or row.key not in last:
            last[row.key] = row
    rows = [
        row if calibrated is None or row.key not in calibrated else _calibrated(row, calibrated[row.key])
        for row in last.values()
    ]
    _replace(path, b"".join(_ENCODER.encode(row) + b"\n" for row in rows))
    return rows


def done(rows: Iterable[Row]) -> set[tuple[str, str, str, int]]:
    """Return what need not be asked again."""
    return {row.key for row in rows if row.score is not None}


def _calibrated(row: Row, score: float) -> Row:
    raw = row.score if row.judge_score is None else row.judge_score
    return msgspec.structs.replace(row, score=score, judge_score=raw)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def spent(rows: Sequence[Row]) -> int:
    """Return what the rows cost, in nano-USD."""
    return sum((row.cost_nusd or 0) + (row.judge_cost_nusd or 0) for row in rows)
