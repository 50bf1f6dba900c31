"""What to evaluate a new model on, and the artifact that it joins. Floor 6."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.evaluate.dataset import Outcome, load_outcomes
from turnout.evaluate.fit import encoder_of
from turnout.evaluate.queries import queries
from turnout.learn.anchors import Anchors
from turnout.learn.artifact import Artifact, CardData, CardModel, decode
from turnout.learn.base import Floats, Queries
from turnout.learn.joining import anchors_for, with_lengths, with_model
from turnout.learn.pooled import Pooled
from turnout.signals.canonical.wrappers import EDITION

CHARACTERS_A_TOKEN: Final = 3.2
"""Of a prompt, where no tokenizer is at hand (ROUTING.md 2.2)."""
TOKENS_OUT: Final = 512
"""Of an answer, where the artifact holds no lengths."""


class Prices(Struct, frozen=True):
    """What the new model costs, in USD per million tokens."""

    input_usd: float
    output_usd: float


class Plan(Struct, frozen=True, eq=False, kw_only=True):
    """Prompts to evaluate, with what they will cost and tell."""

    prompts: tuple[str, ...]
    """Chosen ones, the most telling first."""
    anchors: Anchors
    costs_usd: tuple[float, ...] | None
    """Of every prompt there was to choose from; None: no prices."""


def read_artifact(path: Path, now: datetime) -> Artifact:
    """Return an artifact from its two files. Raises `ConfigError`."""
    beside = path.with_suffix(".json")
    try:
        npz, card = path.read_bytes(), beside.read_bytes()
    except OSError as error:
        raise ConfigError((f"{error.filename}: {error.strerror}",)) from error
    try:
        artifact = decode(npz, card, now=now, canonicaliser=str(EDITION))
    except ConfigError as error:
        raise ConfigError(tuple(f"{path}: {problem}" for problem in error.problems)) from error
    if not isinstance(artifact.model, Pooled):
        kind = artifact.card.kind
        raise ConfigError((f"{path}: a router of kind {kind!r}; models join routers of kind 'pooled' only",))
    return artifact


def read_prompts(path: Path) -> tuple[str, ...]:
    """Return the prompts of a table, or of a text file with one a line; each once. Raises `ConfigError`."""
    content = path.read_bytes()
    if path.suffix.lower() == ".txt":
        found = content.decode(errors="replace").splitlines()
    else:
        found = [str(row["prompt"]) for row in read_cells(path, content) if row.get("prompt")]
    prompts = tuple(dict.fromkeys(prompt for prompt in found if prompt.strip()))
    if not prompts:
        raise ConfigError((f"{path}: no prompts; expected a column prompt, or a .txt with one a line",))
    return prompts


def plan(artifact: Artifact, prompts: Sequence[str], n: int, prices: Prices | None) -> Plan:
    """Return the prompts that tell most about a model that the router does not know.

    Raises:
        ConfigError: There are fewer prompts than wanted, or the encoder is not installed.
    """
    asked = _asked(artifact, prompts)
    try:
        anchors = anchors_for(_pooled(artifact), asked, n)
    except ValueError as error:
        raise ConfigError((str(error),)) from error
    chosen = tuple(prompts[row] for row in anchors.rows)
    costs = None if prices is None else _costs(artifact, prompts, asked, prices)
    return Plan(prompts=chosen, anchors=anchors, costs_usd=costs)


def joined(artifact: Artifact, path: Path, model: str, now: datetime) -> Artifact:
    """Return the artifact with one more model, evaluated in a table of outcomes.

    Raises:
        ConfigError: The table cannot be used or says nothing about the model.
    """
    table = load_outcomes(path, fewest_models=1)
    rows = [row for row in table.rows if row.model == model]
    if not rows:
        raise ConfigError((f"{path}: no outcome of {model!r}; it has {', '.join(table.models)}",))
    if without := [row.row for row in rows if not row.prompt]:
        raise ConfigError((f"{path}: no prompt in row {', '.join(map(str, without[:5]))}",))
    asked = _asked(artifact, [row.prompt for row in rows])
    scores = np.array([row.score for row in rows])
    try:
        grown = with_model(_pooled(artifact), model, asked, scores)
    except ValueError as error:
        raise ConfigError((f"{path}: {error}",)) from error
    lengths = artifact.lengths
    card = msgspec.structs.replace(
        artifact.card,
        created=now,
        expires=now + (artifact.card.expires - artifact.card.created),
        models=(*artifact.card.models, _card_model(model, rows, scores)),
        data=(*artifact.card.data, _card_data(path, table.sha256, rows)),
        settings={**artifact.card.settings, "joined": _joined(artifact, model)},
    )
    return msgspec.structs.replace(
        artifact,
        card=card,
        model=grown,
        lengths=None if lengths is None else with_lengths(lengths, model, asked, _tokens(rows)),
    )


def _pooled(artifact: Artifact) -> Pooled:
    assert isinstance(artifact.model, Pooled)  # `read_artifact` let no other through
    return artifact.model


def _asked(artifact: Artifact, prompts: Sequence[str]) -> Queries:
    encoder = encoder_of(artifact.card.encoder.name)
    if encoder.id != artifact.card.encoder.id:
        problem = (
            f"encoder: it was fitted with {artifact.card.encoder.id!r}, here is {encoder.id!r}; fit again"
        )
        raise ConfigError((problem,))
    return queries(prompts, encoder)


def _costs(artifact: Artifact, prompts: Sequence[str], asked: Queries, prices: Prices) -> tuple[float, ...]:
    n_in = np.array([len(prompt) / CHARACTERS_A_TOKEN for prompt in prompts])
    lengths = artifact.lengths
    n_out = np.full(len(prompts), float(TOKENS_OUT))
    if lengths is not None:
        n_out = lengths.predict(asked).mean.mean(axis=1)
    return tuple(((n_in * prices.input_usd + n_out * prices.output_usd) / 1e6).tolist())


def _card_model(model: str, rows: Sequence[Outcome], scores: Floats) -> CardModel:
    return CardModel(id=model, version=rows[0].model_version, n_labels=len(rows), mean=float(scores.mean()))


def _card_data(path: Path, sha256: str, rows: Sequence[Outcome]) -> CardData:
    prompts = len({row.prompt_id for row in rows})
    return CardData(name=path.name, sha256=sha256, rows=len(rows), prompts=prompts, judge=rows[0].judge)


def _joined(artifact: Artifact, model: str) -> list[str]:
    """Return the models that joined later: the card's metrics are of the pool before them."""
    before = artifact.card.settings.get("joined")
    return [*(str(name) for name in (before if isinstance(before, list) else ())), model]


def _tokens(rows: Sequence[Outcome]) -> Floats:
    return np.array([np.nan if row.output_tokens is None else float(row.output_tokens) for row in rows])
