"""Comparisons and votes beside outcomes: each weighed by what it is worth on held-out outcomes. Floor 6.

1. A comparison is a row of a preference table (prompt, model_a, model_b, winner).
2. A vote is a row with prompt, model and `up` (0-1), and where known `user` and `chance`, how likely an
   answer like this is voted on at all. Rare votes weigh more, no user more than 1 % of all (`learn.links`).
3. How readily each user votes up is estimated first, at what a fit on the outcomes alone predicts; a vote
   then says what is left. That is the first sweep of `fit_linked`: votes are too noisy to need a second.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.evaluate.dataset import load_preferences
from turnout.evaluate.queries import queries
from turnout.learn.base import Encoder, Labels, Pairs, QualityModel
from turnout.learn.links import Terms, Votes, fit_votes, fractions, latent_of, vote_weights
from turnout.learn.sources import FEWEST_GOLD, Source, choose_weights, pool

Fit: TypeAlias = Callable[[Labels], QualityModel]


class Vote(Struct, frozen=True, kw_only=True):
    """One user's word on one answer."""

    prompt: str
    model: str
    up: Annotated[float, Meta(ge=0, le=1)]
    """1: good, 0: bad."""
    user: str = ""
    """Empty: all such votes are one user's."""
    chance: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Of being voted on at all."""


def comparisons(path: Path, models: Sequence[str], encoder: Encoder) -> Source:
    """Return a table of comparisons as a source. Raises `ConfigError`."""
    table = load_preferences(path)
    column = {model: at for at, model in enumerate(models)}
    rows = [row for row in table.rows if row.model_a in column and row.model_b in column and row.prompt]
    if not rows:
        raise ConfigError((f"{path}: no comparison of two models of the pool, with its prompt",))
    prompts = {row.prompt_id: row.prompt for row in rows}
    place = {name: at for at, name in enumerate(prompts)}
    pairs = Pairs(
        np.array([place[row.prompt_id] for row in rows]),
        np.array([column[row.model_a] for row in rows]),
        np.array([column[row.model_b] for row in rows]),
        np.array([{"a": 1.0, "b": 0.0, "tie": 0.5}[row.winner] for row in rows]),
        np.array([row.weight for row in rows]),
    )
    asked = queries(list(prompts.values()), encoder)
    nothing = np.full((asked.n, len(models)), np.nan)
    return Source(
        name=path.name, labels=Labels(models=tuple(models), queries=asked, scores=nothing, pairs=pairs)
    )


def read_votes(path: Path) -> tuple[Vote, ...]:
    """Return the votes in a CSV, JSON-lines or Parquet file. Raises `ConfigError`, a line a problem."""
    found, problems = list[Vote](), list[str]()
    for n, cells in enumerate(read_cells(path, path.read_bytes()), start=1):
        present = {name: cell for name, cell in cells.items() if cell is not None and cell != ""}
        if isinstance(present.get("up"), bool):
            present["up"] = float(bool(present["up"]))
        present |= {name: str(present[name]) for name in ("prompt", "model", "user") if name in present}
        try:
            found.append(msgspec.convert(present, Vote, strict=False))
        except msgspec.ValidationError as error:
            problems.append(f"{path}: row {n}: {error}")
    if problems or not found:
        raise ConfigError(tuple(problems[:20]) or (f"{path}: no votes",))
    return tuple(found)


def votes(path: Path, gold: Labels, encoder: Encoder, fit: Fit) -> Source:
    """Return a file of votes as a source. Raises `ConfigError`."""
    column = {model: at for at, model in enumerate(gold.models)}
    rows = [vote for vote in read_votes(path) if vote.model in column]
    if not rows:
        raise ConfigError((f"{path}: no vote on a model of the pool ({', '.join(gold.models)})",))
    place = {prompt: at for at, prompt in enumerate(dict.fromkeys(vote.prompt for vote in rows))}
    users = {user: at for at, user in enumerate(dict.fromkeys(vote.user for vote in rows))}
    user = np.array([users[vote.user] for vote in rows], dtype=np.int64)
    cast = Votes(
        query=np.array([place[vote.prompt] for vote in rows], dtype=np.int64),
        model=np.array([column[vote.model] for vote in rows], dtype=np.int64),
        up=np.array([vote.up for vote in rows]),
        user=user,
        weight=vote_weights(user, np.array([vote.chance for vote in rows])),
    )
    asked = queries(list(place), encoder)
    latent = latent_of(fit(gold).predict(asked).mean)
    terms = fit_votes(cast, latent).terms(cast, latent[cast.query, cast.model])
    slope, curvature = np.zeros(latent.shape), np.zeros(latent.shape)
    np.add.at(slope, (cast.query, cast.model), terms.slope)
    np.add.at(curvature, (cast.query, cast.model), terms.curvature)
    told = curvature > 0
    scores, weights = np.full(latent.shape, np.nan), np.zeros(latent.shape)
    scores[told], weights[told] = fractions(latent[told], Terms(slope[told], curvature[told]))
    labels = Labels(models=gold.models, queries=asked, scores=scores, weights=weights)
    return Source(name=path.name, labels=labels)


def weighed(
    gold: Labels, sources: Sequence[Source], fit: Fit, seed: int
) -> tuple[Labels, Mapping[str, float]]:
    """Return the labels with each source's at the weight that held-out outcomes give it, and the weights."""
    if not sources:
        return gold, {}
    if gold.queries.n < FEWEST_GOLD:  # too few to say: comparisons and votes are all there is to go by
        weights = {source.name: 1.0 for source in sources}
    else:
        try:
            weights = choose_weights(fit, gold, sources, seed).weights
        except ValueError as error:
            raise ConfigError((str(error),)) from error
    kept = [(source, weights[source.name]) for source in sources if weights[source.name] > 0]
    return (pool(gold, kept) if kept else gold), weights
