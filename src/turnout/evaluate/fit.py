"""From tables to an artifact: fitted, judged on rows that it did not see, described on its card. Floor 6.

1. Everything on the card is computed inside the training rows: by folds for figures and the decision to
   abstain, by folds of whole domains for what a new domain would get.
2. A router that shows no edge over the best single model is written all the same, with the reason why it will
   not speak (ROUTING.md 1.2).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol, cast, runtime_checkable

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.evaluate import fit_card, fit_sources
from turnout.evaluate.dataset import OutcomeTable
from turnout.evaluate.fit_tables import Source, read_sources
from turnout.evaluate.queries import Grid, grid, labels_of
from turnout.learn.abstain import Edge, edge
from turnout.learn.artifact import Artifact, Card, CardDomain, CardEncoder, Located
from turnout.learn.base import Encoder, Floats, Labels, Pairs, QualityModel, Queries, Trainer
from turnout.learn.cells import Cells, find_cells
from turnout.learn.knn import Knn
from turnout.learn.links import COMPARES, fit_linked
from turnout.registry import load
from turnout.signals.canonical.wrappers import EDITION
from turnout.types.json import Json

N_FOLDS: Final = 5
VALID_DAYS: Final = 90
OOD_SHARE: Final = 0.01
"""Of training prompts that count as unlike the others."""


@runtime_checkable
class HeldOut(Protocol):
    """A trainer that predicts its own training rows by models which did not see them."""

    def fit_held_out(self, labels: Labels, seed: int = 0) -> tuple[QualityModel, Floats]:
        """Return the fitted model and those predictions."""
        ...


class Setting(Struct, frozen=True, kw_only=True):
    """What to fit, on what."""

    data: tuple[Path, ...]
    encoder: str = "hash"
    kind: str = "pooled"
    settings: Mapping[str, Json] = {}
    """Of the trainer."""
    pairs: Path | None = None
    votes: Path | None = None
    split: tuple[str, ...] | None = None
    excluding: tuple[Path, ...] = ()
    seed: int = 0
    valid_days: int = VALID_DAYS
    price: float = 0.0
    """Quality that one USD is worth, as in the route: whether to abstain is judged by utility at it."""
    leave_domain_out: bool = True


class Fitted(Struct, frozen=True, eq=False, kw_only=True):
    """An artifact with how it came about."""

    artifact: Artifact
    edge: Edge
    train_s: float
    """Of the fit alone, choice of settings included; reading and encoding the prompts are not."""
    encode_s: float
    warnings: tuple[str, ...]


def fit_artifact(setting: Setting, *, now: datetime, version: str, tell: Callable[[str], None]) -> Fitted:
    """Return the artifact of some tables.

    Args:
        setting: What to fit, on what.
        now: When; goes on the card.
        version: Of Turnout; goes on the card.
        tell: Hears about each step.

    Raises:
        ConfigError: Data, encoder or settings cannot be used; one line for each problem.
    """
    trainer, encoder = trainer_of(setting.kind, setting.settings), encoder_of(setting.encoder)
    sources = read_sources(setting.data, split=setting.split, excluding=setting.excluding)
    n_rows = sum(len(source.table.rows) for source in sources)
    tell(f"read {n_rows} rows of {len(sources)} table{'s' * (len(sources) != 1)}")
    found = grid(_one_table(sources))
    began = time.perf_counter()
    labels = labels_of(found, encoder)
    encode_s = time.perf_counter() - began
    tell(f"encoded {labels.queries.n} prompts with {encoder.id} in {encode_s:.1f} s")
    labels, weights = _with_others(labels, setting, encoder, trainer)
    began = time.perf_counter()
    n = len(found.items)
    try:
        model, outside = fit_held_out(trainer, labels, setting.seed)
    except ValueError as error:
        raise ConfigError((f"{', '.join(map(str, setting.data))}: {error}",)) from error
    train_s = time.perf_counter() - began
    tell(f"fitted {setting.kind} on {n} prompts and {len(found.models)} models in {train_s:.2f} s")
    table = _one_table(sources)
    costs = fit_card.mean_costs(table, found)
    judged = fit_card.judge(found, outside[:n], setting.price, costs)
    metrics = fit_card.metrics(found, outside[:n], _rival(setting.kind, labels, n, setting.seed), costs)
    if setting.leave_domain_out and (folds := _domain_folds(found)) is not None:
        tell("asking what a new domain would get")
        metrics = msgspec.structs.replace(
            metrics, leave_domain_out=_new_domain(trainer, labels, found, folds, setting.seed)
        )
    card = Card(
        kind=setting.kind,
        created=now,
        expires=now + timedelta(days=setting.valid_days),
        turnout_version=version,
        encoder=CardEncoder(name=setting.encoder, id=encoder.id, dimensions=encoder.dimensions),
        canonicaliser=str(EDITION),
        models=fit_card.card_models(found),
        data=tuple(source.data for source in sources),
        settings=dict(trainer.settings()),
        seed=setting.seed,
        source_weights=weights,
        metrics=metrics,
        judged_at=setting.price,
        abstain_reason=judged.reason,
    )
    warnings = tuple(f"{s.path}: {warning}" for s in sources for warning in s.warnings)
    artifact = _complete(_placed(card, model, labels.queries, setting.seed), table, found, labels.queries)
    return Fitted(artifact=artifact, edge=judged, train_s=train_s, encode_s=encode_s, warnings=warnings)


def _complete(artifact: Artifact, table: OutcomeTable, found: Grid, asked: Queries) -> Artifact:
    """Return the artifact with what it knows of lengths, and of the prompts that it has seen."""
    seen = np.array(sorted({int(item.prompt_id, 16) for item in found.items}), dtype=np.uint64)
    lengths = fit_card.lengths(table, found, asked)
    return msgspec.structs.replace(artifact, lengths=lengths, seen=seen)


def trainer_of(kind: str, settings: Mapping[str, Json]) -> Trainer:
    """Return a trainer by name. Raises `ConfigError`."""
    cls = cast("type[Trainer]", load("turnout.trainers", kind))  # what the group holds
    try:
        return msgspec.convert(dict(settings), cls, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError((f"settings of {kind}: {error}",)) from error


def encoder_of(name: str) -> Encoder:
    """Return an encoder by name. Raises `ConfigError`."""
    made = cast("Callable[[], Encoder]", load("turnout.encoders", name))  # what the group holds
    return made()


def fit_held_out(trainer: Trainer, labels: Labels, seed: int) -> tuple[QualityModel, Floats]:
    """Return the fitted model, and what models like it predict of rows that they did not see."""
    compares = labels.pairs is None or trainer.kind in COMPARES
    if isinstance(trainer, HeldOut) and compares:
        return trainer.fit_held_out(labels, seed)
    random = np.random.Generator(np.random.PCG64(seed))
    folds = random.permutation(labels.queries.n) % N_FOLDS
    return _fitted(trainer, labels, seed), held_out(trainer, labels, folds, seed)


def held_out(trainer: Trainer, labels: Labels, folds: NDArray[np.int64], seed: int) -> Floats:
    """Return predictions of each row by models fitted on the other folds."""
    found = np.empty_like(labels.scores)
    for at in np.unique(folds):
        held = folds == at
        model = _fitted(trainer, _only(labels, ~held), seed)
        found[held] = model.predict(labels.queries.only(held)).mean
    return found


def _fitted(trainer: Trainer, labels: Labels, seed: int) -> QualityModel:
    if labels.pairs is None or trainer.kind in COMPARES:
        return trainer.fit(labels, seed)
    return fit_linked(trainer, labels, seed).model


def _only(labels: Labels, rows: NDArray[np.bool_]) -> Labels:
    pairs = labels.pairs
    if pairs is not None:
        kept = rows[pairs.query]
        place = np.cumsum(rows) - 1
        query = place[pairs.query[kept]]
        pairs = Pairs(query, pairs.a[kept], pairs.b[kept], pairs.outcome[kept], pairs.weight[kept])
    return Labels(
        models=labels.models,
        queries=labels.queries.only(rows),
        scores=labels.scores[rows],
        weights=None if labels.weights is None else labels.weights[rows],
        pairs=pairs,
        covariates=labels.covariates,
    )


def _one_table(sources: Sequence[Source]) -> OutcomeTable:
    if len(sources) == 1:
        return sources[0].table
    rows = tuple(
        msgspec.structs.replace(row, dataset=row.dataset or source.path.stem)
        for source in sources
        for row in source.table.rows
    )
    return OutcomeTable(rows=rows, sha256="", warnings=())


def _with_others(
    labels: Labels, setting: Setting, encoder: Encoder, trainer: Trainer
) -> tuple[Labels, Mapping[str, float]]:
    """Return the labels with comparisons and votes at the weights that held-out outcomes give them."""

    def fit(part: Labels) -> QualityModel:
        return _fitted(trainer, part, setting.seed)

    sources = []
    if setting.pairs is not None:
        sources.append(fit_sources.comparisons(setting.pairs, labels.models, encoder))
    if setting.votes is not None:
        sources.append(fit_sources.votes(setting.votes, labels, encoder, fit))
    return fit_sources.weighed(labels, sources, fit, setting.seed)


def _rival(kind: str, labels: Labels, n: int, seed: int) -> Floats | None:
    """Return what kNN-100 predicts of the first rows by folds; None where it is the method, or cannot."""
    if kind == "knn":
        return None
    random = np.random.Generator(np.random.PCG64(seed))
    own = _only(labels, np.arange(labels.queries.n) < n)
    try:
        return held_out(Knn(), own, random.permutation(n) % N_FOLDS, seed)
    except ValueError:
        return None  # no vectors, or a fold without labels


def _domain_folds(found: Grid) -> NDArray[np.int64] | None:
    """Return whole domains in at most five folds, about equally large; None with fewer than two domains."""
    places = np.array([item.domain or item.dataset for item in found.items])
    names, home, counts = np.unique(places, return_inverse=True, return_counts=True)
    if names.size < 2:
        return None
    loads, fold_of = np.zeros(min(N_FOLDS, names.size)), np.zeros(names.size, dtype=np.int64)
    for at in np.argsort(-counts, kind="stable"):
        fold_of[at] = loads.argmin()
        loads[fold_of[at]] += counts[at]
    found_folds: NDArray[np.int64] = fold_of[home]
    return found_folds


def _new_domain(
    trainer: Trainer, labels: Labels, found: Grid, folds: NDArray[np.int64], seed: int
) -> float | None:
    """Return quality minus that of the best single model, where each domain is predicted from the others."""
    n = len(found.items)
    own = _only(labels, np.arange(labels.queries.n) < n)
    try:
        outside = held_out(trainer, own, folds, seed)
    except ValueError:
        return None  # some model was evaluated in one domain only
    return edge(np.clip(outside, 0.0, 1.0), found.scores).difference.mean


def _placed(card: Card, model: QualityModel, asked: Queries, seed: int) -> Artifact:
    """Return the artifact that knows where its training prompts lie."""
    rows = asked.embeddings[asked.embeddings.any(axis=1)]
    cells: Cells | None = None if isinstance(model, Located) else find_cells(rows, seed=seed)
    where = model if isinstance(model, Located) else cells
    if where is None:
        return Artifact(card, model)
    counts = np.bincount(where.home(rows))
    domain = CardDomain(
        cell_histogram=tuple(float(share) for share in counts / counts.sum()),
        # Rounded down: a prompt of the training data itself must not become foreign in float32.
        ood_cosine=float(np.quantile(where.nearness(rows), OOD_SHARE)) - 1e-4,
    )
    return Artifact(msgspec.structs.replace(card, domain=domain), model, cells)
