"""What was learned, as two files: arrays (`.npz`) and a card that says what they are (`.json`). Floor 2.

Theory of operation.

1. The arrays are a plain zip of plain numbers: no pickles, no compression, bounded in size. Equal models give
   equal bytes.
2. The card names everything an array depends on: the encoder, the measures, the canonicaliser, the data and
   settings it was fitted with, and the hash of the arrays. One that does not match is refused.
3. A card expires. Whoever loads it says whether that refuses it or is only told; the clock is an argument.
4. The cells beside the model tell, whatever the method, how unlike the training prompts a prompt is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol, cast, runtime_checkable

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.learn import measures
from turnout.learn.base import Arrays, Floats, QualityModel
from turnout.learn.cells import Cells
from turnout.learn.npz import digest_of, read_arrays, read_card, write_arrays
from turnout.learn.outcomes import Lengths
from turnout.registry import load
from turnout.types.json import Json

SCHEMA: Final = "turnout.artifact/1"
MAX_BYTES: Final = 1 << 29
"""Of the arrays: what is larger was not written by a trainer of ours."""
MIN_GAP_AUC: Final = 0.55
"""A router that orders the queries on which models differ no better than this has nothing to say."""
_CELLS: Final = "cells"
_MODEL: Final = "model."
_LENGTHS: Final = "lengths."
_SEEN: Final = "seen"

When = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
OnExpired = Literal["warn", "refuse"]


class CardEncoder(Struct, frozen=True, kw_only=True):
    """What made the vectors."""

    name: str
    """In `turnout.encoders`; its signal is `embed.<name>`."""
    id: str
    """Name with version and hash of the weights: vectors of another id mean something else."""
    dimensions: Annotated[int, Meta(ge=1)]


class CardModel(Struct, frozen=True, kw_only=True):
    """One model of the pool."""

    id: str
    version: str = ""
    price_date: str = ""
    n_labels: Annotated[int, Meta(ge=0)] = 0
    mean: Share = 0.5
    """Mean score in training: what it is worth where nothing else is known."""
    surfaces: Mapping[str, Share] = {}
    """Domain of the training data -> mean score there."""


class CardData(Struct, frozen=True, kw_only=True):
    """One table it was fitted on."""

    name: str
    sha256: Sha256
    rows: Annotated[int, Meta(ge=0)]
    prompts: Annotated[int, Meta(ge=0)] = 0
    split_rule: str = "all rows"
    dates: str = ""
    licence: str = ""
    judge: str = ""
    excluded_overlap: Annotated[int, Meta(ge=0)] = 0
    """Prompts left out because a table to be reported on has them too."""


class Metrics(Struct, frozen=True, kw_only=True):
    """How well it predicts prompts it was not fitted on: cross-validated inside the training data.

    None: not measured. An interval is (low, high) at 95 %.
    """

    gap_auc: float | None = None
    """Chance to order two queries right by which of two models is better; worst relevant pair of models."""
    brier: float | None = None
    ece: float | None = None
    apgr: float | None = None
    """Two models only."""
    aiq: float | None = None
    quality: float | None = None
    """Mean score of the model it prefers, at no price."""
    best_single: float | None = None
    vs_best_single: tuple[float, float] | None = None
    vs_knn: tuple[float, float] | None = None
    leave_domain_out: float | None = None
    """Quality minus best single, each domain predicted from the others."""
    worst_domain: str | None = None
    worst_domain_gain: float | None = None
    domains: Mapping[str, float] = {}
    """Domain -> quality minus that of the best single model."""


class CardDomain(Struct, frozen=True, kw_only=True):
    """What prompts it knows."""

    cell_histogram: tuple[float, ...] = ()
    """Share of training prompts in each cell."""
    ood_cosine: float = -1.0
    """Below this cosine to the nearest cell a prompt is unlike the training data."""


class Card(Struct, frozen=True, kw_only=True):
    """What an artifact is and may be used for."""

    schema: str = SCHEMA
    kind: str
    """In `turnout.quality_models`."""
    created: When
    expires: When
    turnout_version: str
    encoder: CardEncoder
    measures: str = measures.VERSION
    canonicaliser: str
    """Edition of the rules that find the intent."""
    models: Annotated[tuple[CardModel, ...], Meta(min_length=1)]
    data: tuple[CardData, ...]
    settings: Mapping[str, Json] = {}
    seed: int = 0
    source_weights: Mapping[str, float] = {}
    metrics: Metrics = Metrics()
    domain: CardDomain = CardDomain()
    judged_at: Annotated[float, Meta(ge=0)] = 0.0
    """Quality that one USD was worth when it was judged whether to abstain; 0: quality alone."""
    abstain_reason: str | None = None
    """Set: it never speaks, and this is why. The means of the models take its place."""
    npz_sha256: str = ""
    """Set by `encode`."""

    @property
    def pool(self) -> tuple[str, ...]:
        """Ids of its models, in the order of the columns."""
        return tuple(model.id for model in self.models)

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return now >= self.expires

    def file_name(self, name: str) -> str:
        """Return `<name>-<date>-<hash8>.npz`."""
        return f"{name}-{self.created:%Y-%m-%d}-{self.npz_sha256[:8]}.npz"


@runtime_checkable
class Located(Protocol):
    """A model that knows regions of its own."""

    def nearness(self, embeddings: Floats) -> Floats:
        """Return each vector's cosine to the nearest region."""
        ...

    def home(self, embeddings: Floats) -> NDArray[np.int64]:
        """Return each vector's nearest region."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A model that keeps training prompts."""

    def nearest(self, vector: NDArray[np.float32]) -> Mapping[str, float]:
        """Return the prompts that weigh most in a prediction: id -> cosine; none where it has no ids."""
        ...


class Artifact(Struct, frozen=True, eq=False):
    """A fitted model with its card, ready to predict."""

    card: Card
    model: QualityModel
    cells: Cells | None = None
    """Beside a model without regions of its own; None and no such model: nothing is foreign."""
    lengths: Lengths | None = None
    """None: it was fitted without numbers of output tokens."""
    seen: NDArray[np.uint64] | None = None
    """The ids of the prompts it was fitted on, as numbers, rising: whoever reports on it leaves them out."""

    def is_foreign(self, embeddings: Floats) -> NDArray[np.bool_]:
        """Tell for each row whether it is unlike the training data."""
        where: Located | Cells | None = self.model if isinstance(self.model, Located) else self.cells
        if where is None:
            return np.zeros(embeddings.shape[0], dtype=np.bool_)
        return where.nearness(embeddings) < self.card.domain.ood_cosine


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Card)


def encode(artifact: Artifact) -> tuple[bytes, bytes]:
    """Return the bytes of the arrays and of the card, which gets their hash."""
    arrays = {f"{_MODEL}{name}": np.asarray(array) for name, array in artifact.model.arrays().items()}
    if artifact.cells is not None:
        arrays[_CELLS] = artifact.cells.centres.astype(np.float32)
    if artifact.lengths is not None:
        arrays |= {
            f"{_LENGTHS}{name}": np.asarray(array) for name, array in artifact.lengths.arrays().items()
        }
    if artifact.seen is not None:
        arrays[_SEEN] = artifact.seen
    npz, digest = write_arrays(arrays)
    card = msgspec.structs.replace(artifact.card, npz_sha256=digest)
    return npz, msgspec.json.format(_ENCODER.encode(card), indent=2) + b"\n"


def decode_card(card: bytes) -> Card:
    """Return a card alone, unchecked against its arrays.

    Raises:
        ConfigError: It is no card of this schema.
    """
    return read_card(card, SCHEMA, _DECODER)


def seen_in(npz: bytes) -> NDArray[np.uint64] | None:
    """Return the ids of the prompts that an artifact's arrays say it was fitted on; None: they do not say."""
    return _ids(read_arrays(npz, MAX_BYTES).get(_SEEN))


def decode(
    npz: bytes,
    card: bytes,
    *,
    now: datetime,
    on_expired: OnExpired = "refuse",
    encoder: str | None = None,
    canonicaliser: str | None = None,
) -> Artifact:
    """Return the artifact in two files.

    Args:
        npz: The arrays.
        card: The card.
        now: Reading of the clock, aware.
        on_expired: What an expired card does; with `warn` the caller asks `card.is_expired` and tells.
        encoder: Id of the encoder at hand; None: not checked.
        canonicaliser: Edition at hand; None: not checked.

    Raises:
        ConfigError: A file is damaged, they do not belong together, or they were made for something else.
    """
    found = decode_card(card)
    problems = [*_strange(found, encoder, canonicaliser)]
    if digest_of(npz) != found.npz_sha256:
        problems.append("npz_sha256: the arrays are not the ones that the card was written for")
    if on_expired == "refuse" and found.is_expired(now):
        problems.append(f"expires: expired on {found.expires:%Y-%m-%d}; fit again, or set on_expired: warn")
    if problems:
        raise ConfigError(tuple(problems))
    arrays = read_arrays(npz, MAX_BYTES)
    centres = arrays.get(_CELLS)
    try:
        cells = None if centres is None else Cells(_unit_rows(centres, found.encoder.dimensions))
        kind = cast("type[QualityModel]", load("turnout.quality_models", found.kind))  # what the group holds
        spoken = _part(arrays, _LENGTHS)
        lengths = Lengths.of(found.pool, spoken) if spoken else None
        model = kind.of(found.pool, _part(arrays, _MODEL))
        return Artifact(found, model, cells, lengths, _ids(arrays.get(_SEEN)))
    except (ValueError, KeyError) as error:
        raise ConfigError((f"arrays: {error}",)) from error


def _strange(card: Card, encoder: str | None, canonicaliser: str | None) -> list[str]:
    """Return what the card was made for and this process does not have."""
    pairs = (
        ("measures", card.measures, measures.VERSION),
        ("encoder", card.encoder.id, encoder),
        ("canonicaliser", card.canonicaliser, canonicaliser),
    )
    return [
        f"{name}: it was fitted with {made!r}, here is {here!r}; fit again"
        for name, made, here in pairs
        if here is not None and made != here
    ]


def _part(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays of one part, under their own names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _unit_rows(centres: NDArray[np.generic], dimensions: int) -> Floats:
    if centres.ndim != 2 or centres.shape[1] != dimensions:
        raise ValueError(f"cells have shape {centres.shape}; expected rows of {dimensions}")
    return centres.astype(np.float64)


def _ids(found: NDArray[np.generic] | None) -> NDArray[np.uint64] | None:
    if found is None:
        return None
    if found.ndim != 1 or found.dtype != np.uint64:
        raise ValueError(f"{_SEEN}: expected one row of unsigned 64-bit numbers")
    return found.view(np.uint64)
