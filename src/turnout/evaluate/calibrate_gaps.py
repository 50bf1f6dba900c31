"""Predicted gaps as a live route would predict them, from an artifact. Floor 6."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import numpy as np

from turnout.errors import ConfigError
from turnout.evaluate.queries import queries
from turnout.learn.artifact import Artifact, decode, decode_card
from turnout.learn.base import Encoder
from turnout.registry import load


def open_artifact(path: Path, now: datetime) -> tuple[Artifact, Encoder]:
    """Return an artifact with its encoder.

    Raises:
        ConfigError: A file is missing or damaged, or was made for something this process does not have.
    """
    try:
        npz, card = path.read_bytes(), path.with_suffix(".json").read_bytes()
    except OSError as error:
        raise ConfigError((f"{error.filename}: cannot be read: {error.strerror}",)) from error
    try:
        name = decode_card(card).encoder.name
        encoder = cast("Callable[[], Encoder]", load("turnout.encoders", name))()
        artifact = decode(npz, card, now=now, encoder=encoder.id)
    except ConfigError as error:
        raise ConfigError(tuple(f"{path}: {problem}" for problem in error.problems)) from error
    return artifact, encoder


def predict_gaps(
    found: tuple[Artifact, Encoder], reference: str, candidates: Sequence[str], prompts: Sequence[str]
) -> Mapping[str, Sequence[float]]:
    """Return, by candidate, the predicted score of the reference minus its own for each prompt.

    A prompt unlike the training data is predicted by the models' means; all are, where the artifact abstains.

    Raises:
        ConfigError: A model is not in the artifact's pool.
    """
    artifact, encoder = found
    pool = artifact.card.pool
    if missing := [name for name in (reference, *candidates) if name not in pool]:
        raise ConfigError((f"artifact: no {', '.join(missing)} in its pool: {', '.join(pool)}",))
    asked = queries(prompts, encoder)
    means = np.array([model.mean for model in artifact.card.models])
    foreign = artifact.is_foreign(asked.embeddings) | ~asked.embeddings.any(axis=1)
    if artifact.card.abstain_reason is not None:
        foreign = np.ones_like(foreign)
    mean = np.where(foreign[:, None], means[None, :], artifact.model.predict(asked).mean)
    best = mean[:, pool.index(reference)]
    return {name: (best - mean[:, pool.index(name)]).tolist() for name in candidates}
