"""Intents: which of a list of wishes a text expresses, or none of them. Floor 2.

Theory of operation.

1. An artifact has one *head* for each encoder of a chain (minilm → static → hash): vectors of two encoders
   cannot be compared, so what replaces a vector that is absent needs something fitted for itself.
2. A head gives each label a score. `top`: mean of the k highest cosines to the label's utterances; `max`: the
   highest; `centroid`: the cosine to their mean; `logistic`: the logit of a fitted linear layer.
3. The label with the highest score is taken if the score reaches the label's own threshold and leads the
   runner-up by the margin. Otherwise there is no intent: `none`.
4. Two files hold it: arrays (`.npz`, no pickles) and a card (`.json`) with the arrays' hash. The utterances
   themselves are in neither.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.learn.artifact import CardData, CardEncoder
from turnout.learn.base import Floats
from turnout.learn.npz import digest_of, read_arrays, read_card, write_arrays

SCHEMA: Final = "turnout.intent/1"
NONE: Final = "none"
"""What a text that expresses none of the intents is called; no intent can have this name."""
MAX_BYTES: Final = 1 << 28
SCALE: Final = 8.0
"""Unit vectors are stretched by this before the linear layer, so that its weights stay small."""

Method = Literal["top", "max", "centroid", "logistic"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
When = Annotated[datetime, Meta(tz=True)]
Float32 = NDArray[np.float32]


class Report(Struct, frozen=True, kw_only=True):
    """How a head does on utterances it was not fitted with. None: there were none of that kind."""

    n: int
    """Utterances of intents."""
    n_none: int
    """Utterances of none."""
    accuracy: float | None = None
    """Share of utterances of an intent whose highest score is its own, before thresholds."""
    accuracy_routed: float | None = None
    """The same after thresholds: one that is turned away counts as wrong."""
    none_recall: float | None = None
    """Share of utterances of none that are turned away."""
    none_auroc: float | None = None
    """Chance that an utterance of an intent scores higher than one of none."""
    macro_f1: float | None = None
    """Mean F1 over the intents, and none where there are such utterances."""


class CardHead(Struct, frozen=True, kw_only=True):
    """One head."""

    encoder: CardEncoder
    method: Method
    k: Annotated[int, Meta(ge=1)] = 5
    fitted: Report
    """Cross-validated on the data it was fitted with: what the thresholds were chosen by, so it flatters."""
    held_out: Report | None = None
    """On rows with another split than `train`, which nothing was chosen by."""


class Card(Struct, frozen=True, kw_only=True):
    """What an intent artifact is."""

    schema: str = SCHEMA
    created: When
    turnout_version: str
    canonicaliser: str
    labels: Annotated[tuple[Name, ...], Meta(min_length=2)]
    utterances: tuple[int, ...]
    """Of each label."""
    negatives: int
    """Utterances of none."""
    margin: Annotated[float, Meta(ge=0)] = 0.0
    heads: Annotated[tuple[CardHead, ...], Meta(min_length=1)]
    data: tuple[CardData, ...] = ()
    npz_sha256: str = ""
    """Set by `encode`."""


class Head(Struct, frozen=True, eq=False, kw_only=True):
    """Scores of one encoder's vectors."""

    method: Method
    k: int
    thresholds: Floats
    """One a label."""
    vectors: Float32
    """`top`, `max`: utterances; `centroid`: labels; `logistic`: labels, with the bias as the last column."""
    rows: NDArray[np.int64]
    """`top`, `max`: labels x most utterances of any, rows of `vectors`, -1 where there is none."""

    def scores(self, vectors: Floats) -> Floats:
        """Return one row of scores for each row of vectors; one column a label."""
        asked = vectors.astype(np.float32)
        if self.method == "logistic":
            logits = SCALE * (asked @ self.vectors[:, :-1].T) + self.vectors[:, -1]
            return np.asarray(logits, np.float64)
        cosines = asked @ self.vectors.T
        if self.method == "centroid":
            return cosines.astype(np.float64)
        grouped = np.where(self.rows >= 0, cosines[:, self.rows], -np.inf)
        return highest(grouped, 1 if self.method == "max" else self.k)

    def decide(self, scores: Floats, margin: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the best label of each row of scores, and whether it is taken."""
        best = scores.argmax(axis=1)
        at = np.arange(len(scores))
        taken = scores[at, best] >= self.thresholds[best]
        if margin > 0:
            others = scores.copy()
            others[at, best] = -np.inf
            taken &= scores[at, best] - others.max(axis=1) >= margin
        return best, taken


class IntentModel(Struct, frozen=True, eq=False):
    """A fitted artifact."""

    card: Card
    heads: tuple[Head, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its intents."""
        return self.card.labels

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders of its heads, best first."""
        return tuple(head.encoder.name for head in self.card.heads)


_DECODER: Final = msgspec.json.Decoder(Card)


def highest(grouped: NDArray[np.floating], k: int) -> Floats:
    """Return the mean of the k highest numbers along the last axis; of fewer where fewer are finite."""
    width = min(k, grouped.shape[-1])
    top = -np.partition(-grouped, width - 1, axis=-1)[..., :width].astype(np.float64)
    known = np.isfinite(top)
    total: Floats = np.where(known, top, 0.0).sum(axis=-1)
    counts = known.sum(axis=-1)
    return np.where(counts > 0, total / np.maximum(counts, 1), -np.inf)


def encode(model: IntentModel) -> tuple[bytes, bytes]:
    """Return the bytes of the arrays and of the card, which gets their hash."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for at, head in enumerate(model.heads):
        arrays |= {
            f"{at}.rows": head.rows,
            f"{at}.thresholds": head.thresholds,
            f"{at}.vectors": head.vectors.astype(np.float16 if head.method in ("top", "max") else np.float32),
        }
    npz, digest = write_arrays(arrays)
    card = msgspec.structs.replace(model.card, npz_sha256=digest)
    return npz, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def decode(npz: bytes, card: bytes) -> IntentModel:
    """Return the model in two files.

    Raises:
        ConfigError: A file is damaged, or they do not belong together.
    """
    found = read_card(card, SCHEMA, _DECODER)
    if digest_of(npz) != found.npz_sha256:
        raise ConfigError(("npz_sha256: the arrays are not the ones that the card was written for",))
    arrays = read_arrays(npz, MAX_BYTES)
    try:
        heads = tuple(_head(head, at, arrays, len(found.labels)) for at, head in enumerate(found.heads))
    except (KeyError, ValueError) as error:
        raise ConfigError((f"arrays: {error}",)) from None
    return IntentModel(found, heads)


def _head(card: CardHead, at: int, arrays: Mapping[str, NDArray[np.generic]], n_labels: int) -> Head:
    head = Head(
        method=card.method,
        k=card.k,
        thresholds=arrays[f"{at}.thresholds"].astype(np.float64),
        vectors=arrays[f"{at}.vectors"].astype(np.float32),
        rows=arrays[f"{at}.rows"].astype(np.int64),
    )
    width = card.encoder.dimensions + (card.method == "logistic")
    if head.vectors.ndim != 2 or head.vectors.shape[1] != width:
        raise ValueError(f"vectors of head {at} have shape {head.vectors.shape}; expected rows of {width}")
    if head.thresholds.shape != (n_labels,) or not np.isfinite(head.vectors).all():
        raise ValueError(f"head {at} has no finite threshold and vector for each of {n_labels} labels")
    grouped = card.method in ("top", "max")
    if grouped and (
        head.rows.ndim != 2 or len(head.rows) != n_labels or head.rows.max() >= len(head.vectors)
    ):
        raise ValueError(f"rows of head {at} do not fit {n_labels} labels and {len(head.vectors)} vectors")
    if not grouped and len(head.vectors) != n_labels:
        raise ValueError(f"head {at} has {len(head.vectors)} rows for {n_labels} labels")
    return head
