"""A router beside everything it has to beat, on the same items. Floor 6.

Theory of operation.

1. A *fold* is what may be learned from and what is reported on: the table's own split, a file for each, or
   each domain in turn. Whatever is fitted or chosen is so within its fold; the test items of all folds are
   then one bench.
2. Reported are the items that every model answered and that the router's plans could be played on. How many
   those are, and the bounds of the router's score over all of them, is said first.
3. Every interval resamples groups, and all policies compared share the resamples.
4. The same input gives the same scoreboard, byte for byte. Time enters only as a limit: what it cut off is
   named in `partial`, and nothing else changes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.evaluate import baselines, scoreboard_rows
from turnout.evaluate.baselines import Fold, Run
from turnout.evaluate.copies import copy_keys
from turnout.evaluate.metrics import N_RESAMPLES, Floats
from turnout.evaluate.queries import queries
from turnout.evaluate.scoreboard_evidence import Evidence
from turnout.evaluate.scoreboard_router import Contender, Standing, joined
from turnout.evaluate.scoreboard_types import Data, Protocol, Scoreboard
from turnout.evaluate.simulate_table import Bench
from turnout.learn.artifact import seen_in
from turnout.learn.base import Encoder, Queries
from turnout.learn.cells import find_cells

N_CLUSTERS = 8
HELD_OUT = 20
"""Per cent of the prompts of a table without splits."""
FEWEST = 20
"""Items of a domain that is reported on, or left out, by itself."""


class Options(Struct, frozen=True, kw_only=True):
    """How a scoreboard is made."""

    strong: str | None = None
    weak: str | None = None
    """Both or neither; neither: the two models of a table that has two."""
    n_resamples: int = N_RESAMPLES
    seed: int = 0
    command: str = ""
    version: str = ""
    """Of Turnout, for the record."""
    prices: str = "recorded"
    limit_s: float | None = None
    now: Callable[[], float] = float
    """Reading of a clock, for the limit."""


FEWEST_UNSEEN: Final = 20
"""Items that an artifact must not have seen, for a report to mean anything."""


class Split(Struct, frozen=True, eq=False, kw_only=True):
    """Benches to learn from and to report on."""

    protocol: Protocol
    parts: tuple[tuple[Bench, Bench], ...]
    files: Mapping[str, str]
    overlap_excluded: int = 0


# Which items may be learned from


def unseen(split: Split, npz: bytes) -> tuple[Split, str]:
    """Return the split without reported items that an artifact was fitted on, and what is to be said of it.

    Args:
        split: What is learned from and reported on.
        npz: The artifact's arrays.

    Raises:
        ConfigError: Nearly nothing is left to report on.
    """
    seen = seen_in(npz)
    if seen is None:
        return split, "warning: the artifact does not say what it was fitted on; it may have seen these items"
    kept, n_left, n_all = [], 0, 0
    for train, test in split.parts:
        new = ~np.isin(np.array([int(item.prompt_id, 16) for item in test.items], dtype=np.uint64), seen)
        kept.append((train, test.only(new)))
        n_left, n_all = n_left + int(new.sum()), n_all + new.size
    n_seen = n_all - n_left
    if n_left < FEWEST_UNSEEN:
        told = f"the artifact was fitted on {n_seen} of the {n_all} items to report on; "
        told += "fit it on another file, or on one split (`turnout fit learned --split train`)"
        raise ConfigError((told,))
    said = f"left out: {n_seen:,} of {n_all:,} items, on which the artifact was fitted" if n_seen else ""
    return msgspec.structs.replace(split, parts=tuple(kept)), said


def in_domain(bench: Bench, files: Mapping[str, str]) -> Split:
    """Report on the table's own held-out items: its split, or without one a hash of the prompt, 80 : 20."""
    learned = np.array([item.split == "train" for item in bench.items])
    if not learned.any() or learned.all():
        keys = copy_keys([item.prompt for item in bench.items])
        ids = [key or item.prompt_id for key, item in zip(keys, bench.items, strict=True)]
        learned = np.array([_hashed(name) >= HELD_OUT for name in ids])
    train = learned & ~_near(bench, learned)
    return Split(
        protocol="in_domain",
        parts=((bench.only(train), bench.only(~learned)),),
        files=files,
        overlap_excluded=int((learned & ~train).sum()),
    )


def _hashed(prompt: str) -> int:
    """Return 0 to 99."""
    return int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) % 100


def _near(bench: Bench, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which training items are near-copies of items to report on."""
    keys = copy_keys([item.prompt for item in bench.items])
    held = {key for key, learned in zip(keys, train.tolist(), strict=True) if key and not learned}
    return np.array([key in held for key in keys])


def train_file(train: Bench, test: Bench, files: Mapping[str, str]) -> Split:
    """Learn from one table and report on another; what both have is left out of the first."""
    models = [name for name in test.models if name in train.models]
    if len(models) < 2:
        raise ConfigError(("the tables share fewer than two models; name them alike, or name a pool",))
    ids = {item.prompt_id for item in test.items}
    keys = copy_keys([item.prompt for item in (*train.items, *test.items)])
    held = {key for key in keys[train.n :] if key}
    mine = zip(train.items, keys, strict=False)
    clean = np.array([item.prompt_id not in ids and key not in held for item, key in mine])
    if not clean.any():
        raise ConfigError(("every training item is among the test items: there is nothing to learn from",))
    parts = ((train.pool(models).only(clean), test.pool(models)),)
    return Split(protocol="train_file", parts=parts, files=files, overlap_excluded=int((~clean).sum()))


def leave_one_domain_out(bench: Bench, files: Mapping[str, str]) -> Split:
    """Report on each domain what was learned from all others; small domains stay among the others."""
    places, counts = np.unique(bench.places, return_counts=True)
    large = [place for place, n in zip(places, counts, strict=True) if n >= FEWEST]
    if len(places) < 2 or not large:
        raise ConfigError((f"leave_one_domain_out needs two domains, one of them with {FEWEST} items",))
    parts = []
    for place in large:
        held = bench.places == place
        parts.append((bench.only(~held & ~_near(bench, ~held)), bench.only(held)))
    return Split(protocol="leave_one_domain_out", parts=tuple(parts), files=files)


# The scoreboard


def evaluate(split: Split, contender: Contender, encoder: Encoder, options: Options) -> Scoreboard:
    """Return the scoreboard of a contender.

    Raises:
        ConfigError: Nothing can be evaluated.
    """
    return measured(split, contender, encoder, options)[0]


def measured(
    split: Split, contender: Contender, encoder: Encoder, options: Options
) -> tuple[Scoreboard, Standing]:
    """Return the scoreboard, and what the contender came to, times included."""
    clock = _Limit(options)
    folds = _folds(split, encoder)
    standing = joined([contender.on(fold) for fold in folds])
    forecasts = {}
    for name, forecast in baselines.FORECASTS.items():
        if contender.card.kind == "baseline" and contender.card.strategy == name:
            continue  # it is the router
        if clock.allows(name):
            forecasts[name] = np.concatenate([forecast(fold) for fold in folds])
    evidence = _evidence(folds, standing, forecasts, (contender, options))
    board = scoreboard_rows.board(evidence, clock.allows)
    test = [item for fold in folds for item in fold.test.items]
    data = Data(
        files=split.files,
        protocol=split.protocol,
        models=folds[0].test.models,
        n_train=max(fold.train.n for fold in folds),
        n_test=len(test),
        n_evaluated=evidence.bench.n,
        coverage=evidence.bench.n / len(test),
        n_groups=len(set(evidence.bench.groups.tolist())),
        overlap_excluded=split.overlap_excluded,
        prices=options.prices,
        strong=evidence.strong,
        weak=evidence.weak,
    )
    whole = Scoreboard(
        turnout_version=options.version,
        command=options.command,
        data=data,
        router=contender.card,
        best_single=_named(folds, evidence),
        bounds=(float(standing.low.mean()), float(standing.high.mean())),
        decisions=standing.decisions,
        warnings=folds[0].test.warnings,
        **msgspec.structs.asdict(board),
    )
    return msgspec.structs.replace(whole, partial=tuple(clock.cut)), standing


class _Limit:
    """Says whether there is time for another part, and remembers what there was none for."""

    __slots__ = ("_end", "_now", "cut")

    def __init__(self, options: Options) -> None:
        self._now = options.now
        self._end = None if options.limit_s is None else options.now() + options.limit_s
        self.cut: list[str] = []

    def allows(self, part: str) -> bool:
        if self._end is None or self._now() < self._end:
            return True
        self.cut.append(part)
        return False


def _folds(split: Split, encoder: Encoder) -> tuple[Fold, ...]:
    known: dict[str, int] = {}
    for part in split.parts:
        for bench in part:
            for item in bench.items:
                known.setdefault(item.prompt, len(known))
    asked = queries(list(known), encoder)
    return tuple(_fold(train, test, known, asked) for train, test in split.parts)


def _fold(train: Bench, test: Bench, known: Mapping[str, int], asked: Queries) -> Fold:
    if not train.n or not test.n:
        raise ConfigError((f"{train.n} items to learn from and {test.n} to report on; both need some",))
    absent = np.asarray(np.isnan(train.scores).all(axis=0))
    if absent.any():
        names = ", ".join(name for name, gone in zip(train.models, absent.tolist(), strict=True) if gone)
        raise ConfigError((f"no training item has an outcome of {names}",))

    def part(bench: Bench) -> Queries:
        return asked.only(np.array([known[item.prompt] for item in bench.items], np.int64))

    return Fold(
        train=train,
        test=test,
        asked_train=part(train),
        asked_test=part(test),
        charges=baselines.charges_of(train, test),
    )


def _evidence(
    folds: Sequence[Fold],
    standing: Standing,
    forecasts: Mapping[str, Floats],
    about: tuple[Contender, Options],
) -> Evidence:
    contender, options = about
    tests = [fold.test for fold in folds]
    bench = tests[0] if len(tests) == 1 else _concatenated(tests)
    played = bench.complete & ~np.isnan(standing.run.scores)
    if standing.sweep is not None:
        played &= ~np.isnan(standing.sweep.scores).any(axis=0)
    if not played.any():
        raise ConfigError(("no item has an outcome of every model that the router could be played on",))
    charges = [fold.charges for fold in folds]
    known = [charge for charge in charges if charge is not None]
    best = [np.full(fold.test.n, baselines.best_single(fold)) for fold in folds]
    cheap = [baselines.cheapest(fold) for fold in folds]
    clusters = [_clusters(fold) for fold in folds] if len(folds) == 1 else []
    strong, weak = _two(folds[0], options)
    return Evidence(
        name=contender.card.name,
        bench=bench.only(played),
        router=_kept(standing, played),
        forecasts={name: quality[played] for name, quality in forecasts.items()},
        charges=np.concatenate(known)[played] if len(known) == len(charges) else None,
        best=np.concatenate(best)[played],
        cheapest=None
        if None in cheap
        else np.concatenate([np.full(f.test.n, c) for f, c in zip(folds, cheap, strict=True)])[played],
        clusters=np.concatenate(clusters)[played] if clusters else None,
        train=folds[0].train,
        strong=strong,
        weak=weak,
        price=contender.card.price or 0.0,
        n_resamples=options.n_resamples,
        seed=options.seed,
    )


def _concatenated(benches: Sequence[Bench]) -> Bench:
    return msgspec.structs.replace(
        benches[0],
        items=tuple(item for bench in benches for item in bench.items),
        rows=tuple(row for bench in benches for row in bench.rows),
        scores=np.concatenate([bench.scores for bench in benches]),
        costs=np.concatenate([bench.costs for bench in benches]),
        latency=np.concatenate([bench.latency for bench in benches]),
    )


def _kept(standing: Standing, rows: NDArray[np.bool_]) -> Standing:
    run, sweep = standing.run, standing.sweep

    def part(values: Floats | None) -> Floats | None:
        return None if values is None else values[rows]

    return msgspec.structs.replace(
        standing,
        run=Run(
            name=run.name,
            scores=run.scores[rows],
            costs=run.costs[rows],
            latency=run.latency[rows],
            chosen=run.chosen[rows],
        ),
        quality=part(standing.quality),
        utility=part(standing.utility),
        rejected=part(standing.rejected),
        sweep=None
        if sweep is None
        else msgspec.structs.replace(sweep, scores=sweep.scores[:, rows], costs=sweep.costs[:, rows]),
    )


def _clusters(fold: Fold) -> NDArray[np.int64]:
    cells = find_cells(fold.asked_train.embeddings, k=min(N_CLUSTERS, fold.train.n), seed=0)
    return cells.home(fold.asked_test.embeddings)


def _two(fold: Fold, options: Options) -> tuple[str | None, str | None]:
    """Return the strong and the weak model; None where the pool is larger and nobody names them."""
    models = fold.test.models
    if (options.strong is None) != (options.weak is None):
        raise ConfigError(("strong, weak: name both or neither",))
    if options.strong is not None and options.weak is not None:
        if unknown := [name for name in (options.strong, options.weak) if name not in models]:
            raise ConfigError((f"no model {unknown[0]!r} in the pool; known: {', '.join(models)}",))
        return options.strong, options.weak
    if len(models) != 2:
        return None, None
    best = baselines.best_single(fold)
    return models[best], models[1 - best]


def _named(folds: Sequence[Fold], evidence: Evidence) -> str:
    names = {folds[0].test.models[at] for at in np.unique(evidence.best).tolist()}
    return ", ".join(sorted(names))
