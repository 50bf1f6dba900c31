"""Prompts as the numbers that learned models read, and tables as labels. Floor 6.

A prompt goes through the senses of a live request: the same canonicaliser, the same measures, the same
windows under the encoder. What is learned offline is therefore read off exactly what is served.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from turnout.evaluate.dataset import Outcome, OutcomeTable
from turnout.learn.base import Encoder, Floats, Labels, Queries
from turnout.learn.measures import MEASURES, NEEDS, measures
from turnout.registry import load
from turnout.signals.base import Sense, canonical_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.signal import Signal, Signals

ASK = Ask(request_id="req_00000000000000000000000000")
"""Of a prompt that nobody sent."""


class Item(Struct, frozen=True):
    """One thing that was asked of models."""

    prompt: str
    prompt_id: str
    dataset: str = ""
    domain: str = ""
    group: str = ""
    """What is resampled together."""


class Grid(Struct, frozen=True, eq=False):
    """A table with one row an item and one column a model; repeated answers are averaged."""

    models: tuple[str, ...]
    items: tuple[Item, ...]
    scores: Floats
    """NaN: not evaluated."""


def queries(prompts: Sequence[str], encoder: Encoder) -> Queries:
    """Return prompts as numbers, each as if a user had sent it as a conversation's only message."""
    senses = _senses()
    windows: list[str] = []
    ends: list[int] = []
    rows: list[Floats] = []
    for prompt in prompts:
        request = ChatRequest(model="", messages=(Message("user", (Text(prompt),)),))
        signals = _read(senses, request)
        rows.append(measures(signals))
        windows.extend(canonical_of(request, signals).windows)
        ends.append(len(windows))
    vectors = _pooled(encoder.embed_all(windows), ends, encoder.dimensions)
    return Queries(vectors, np.array(rows) if rows else np.empty((0, len(MEASURES))))


def grid(table: OutcomeTable, split: Sequence[str] | None = None, models: Sequence[str] = ()) -> Grid:
    """Return a table as a matrix.

    Args:
        table: Outcomes.
        split: Splits to keep; None: every row.
        models: Columns; none: every model of the table.
    """
    columns = {model: at for at, model in enumerate(models or table.models)}
    at: dict[tuple[str, str, str, int], int] = {}
    items: list[Item] = []
    cells: list[tuple[int, int, float]] = []
    for row in table.rows:
        if row.model not in columns or (split is not None and row.split not in split):
            continue
        key = (row.dataset, row.prompt_id, row.item_id, row.turn)
        if key not in at:
            at[key] = len(items)
            items.append(_item(row))
        cells.append((at[key], columns[row.model], row.score))
    sums, counts = np.zeros((len(items), len(columns))), np.zeros((len(items), len(columns)))
    if cells:
        i, m, score = (np.array(part) for part in zip(*cells, strict=True))
        np.add.at(sums, (i, m), score)
        np.add.at(counts, (i, m), 1.0)
    scores = np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)
    return Grid(tuple(columns), tuple(items), scores)


def labels(table: OutcomeTable, encoder: Encoder, split: Sequence[str] | None = None) -> Labels:
    """Return what a table says about which answers were good. See `grid`."""
    return labels_of(grid(table, split), encoder)


def labels_of(found: Grid, encoder: Encoder) -> Labels:
    """Return the labels of a grid."""
    asked = queries([item.prompt for item in found.items], encoder)
    ids = np.array([int(item.prompt_id, 16) for item in found.items], dtype=np.uint64)
    asked = msgspec.structs.replace(asked, ids=ids)
    return Labels(models=found.models, queries=asked, scores=found.scores)


def _item(row: Outcome) -> Item:
    return Item(row.prompt, row.prompt_id, row.dataset, row.domain, row.group)


def _senses() -> tuple[Sense, ...]:
    """Return the senses that measures need, each after those it needs itself."""
    found: dict[str, Sense] = {}

    def add(name: str) -> None:
        sense: Sense = load("turnout.signals", name)  # type: ignore[assignment]  # the registry holds senses
        for need in sorted(sense.needs - found.keys()):
            add(need)
        found.setdefault(name, sense)

    for name in sorted(NEEDS):
        add(name)
    return tuple(found.values())


def _read(senses: Sequence[Sense], request: ChatRequest) -> Signals:
    found: dict[str, Signal] = {}
    for sense in senses:
        found[sense.name] = sense.read(request, ASK, found)
    return found


def _pooled(windows: Floats, ends: Sequence[int], dimensions: int) -> Floats:
    """Return one unit vector a prompt: the mean of its windows, as float32 holds it; zero without any."""
    found = np.zeros((len(ends), dimensions))
    begin = 0
    for at, end in enumerate(ends):
        if end > begin:
            found[at] = windows[begin:end].mean(axis=0) if end > begin + 1 else windows[begin]
        begin = end
    lengths = np.sqrt(np.einsum("ij,ij->i", found, found))[:, None]
    unit = found / np.where(lengths > 0, lengths, 1.0)
    return unit.astype(np.float32).astype(np.float64)
