"""Pairs of questions, read and made into numbers: what a threshold of the cache is shown on. Floor 6.

Theory of operation.

1. Pairs are parted by a hash: of their group where the file names one, so that no question is on two sides,
   else of both texts. 30 % give the thresholds (nobody reads their labels), 50 % are what the promise is
   shown on, 20 % what it is looked at afterwards. Where a column says which pairs are for training, all
   others are looked at afterwards instead.
2. Nothing is chosen by looking at the last part.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import cells_of
from turnout.learn.alike import veto
from turnout.learn.base import Encoder
from turnout.learn.cache_card import CacheCard, DataCard, Of, Pairs, Shown, calibrated, served, thresholds

NO: Final = frozenset(("", "0", "0.0", "false", "no", "none", "different", "negative"))
TRAIN: Final = "train"
_THRESHOLDS: Final = 0.3
_SHOWN: Final = 0.8


class Columns(Struct, frozen=True, kw_only=True):
    """What the columns of a file are called."""

    first: str = "text_a"
    second: str = "text_b"
    label: str = "label"
    group: str | None = None
    split: str | None = None


class Pair(Struct, frozen=True):
    """Two questions, and whether one answer serves both."""

    first: str
    second: str
    same: bool
    part: str
    """`thresholds`, `shown` or `after`."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be promised, with which vectors."""

    kind: str
    max_false_hits: float = 0.01
    confidence: float = 0.95
    of: Of = "lookups"


class Calibration(Struct, frozen=True, kw_only=True):
    """An artifact, and what was found beside it."""

    card: CacheCard
    after: Shown | None
    """The same threshold on pairs that nothing was chosen by; None = no threshold."""
    without_rules: Shown | None
    """The same threshold on them if no rule objected."""
    others: Mapping[str, Shown | None]
    """What the same pairs show for the other promise, and for both without rules."""
    objections: Mapping[str, int]
    """How often each rule objected, over the pairs it was shown on."""


def read_pairs(path: Path, columns: Columns) -> list[Pair]:
    """Read pairs from CSV, JSON lines or Parquet. Raises `ConfigError`."""
    found: list[Pair] = []
    wanted = [c for c in (columns.first, columns.second, columns.label, columns.group, columns.split) if c]
    for at, row in enumerate(cells_of(path)):
        for column in wanted:
            if column not in row:
                raise ConfigError(
                    (f"{path}: row {at + 1} has no column {column!r}; it has {', '.join(map(str, row))}",)
                )
        found.append(_pair(row, columns))
    if not found:
        raise ConfigError((f"{path}: holds no rows",))
    return found


def _pair(row: Mapping[str, object], columns: Columns) -> Pair:
    first, second = str(row[columns.first] or ""), str(row[columns.second] or "")
    same = str(row[columns.label]).strip().lower() not in NO
    named = "\x00".join(sorted((first, second))) if columns.group is None else str(row[columns.group])
    where = int.from_bytes(hashlib.blake2b(named.encode(), digest_size=8).digest()) / 2**64
    if columns.split is not None:
        if str(row[columns.split]) != TRAIN:
            return Pair(first, second, same, "after")
        where *= _SHOWN
    part = "thresholds" if where < _THRESHOLDS else "shown" if where < _SHOWN else "after"
    return Pair(first, second, same, part)


def calibrate(pairs: Sequence[Pair], encoder: Encoder, wanted: Wanted, data: DataCard) -> Calibration:
    """Find the lowest threshold that keeps the promise; see `learn.cache_card`."""
    reasons: dict[str, int] = {}
    parts = {
        name: _numbers([pair for pair in pairs if pair.part == name], encoder, reasons, count=name == "shown")
        for name in ("thresholds", "shown", "after")
    }
    loose = parts["thresholds"]
    grid = thresholds(loose.cosines[~loose.objected].tolist())
    bare = thresholds(loose.cosines.tolist())
    delta = 1 - wanted.confidence
    epsilon = wanted.max_false_hits

    def shown(of: Of, *, rules: bool) -> Shown | None:
        numbers = parts["shown"] if rules else _bare(parts["shown"])
        return calibrated(numbers, grid if rules else bare, epsilon, delta, of)

    found = shown(wanted.of, rules=True)
    other: Of = "hits" if wanted.of == "lookups" else "lookups"
    after = parts["after"]
    card = CacheCard(
        encoder=encoder.id,
        kind=wanted.kind,
        threshold=None if found is None else found.threshold,
        of=wanted.of,
        max_false_hits=epsilon,
        confidence=wanted.confidence,
        n=parts["shown"].n,
        n_hits=0 if found is None else found.n_hits,
        n_false=0 if found is None else found.n_false,
        bound=0.0 if found is None else found.bound if wanted.of == "lookups" else found.bound_hits,
        bound_hits=0.0 if found is None else found.bound_hits,
        recall=0.0 if found is None else found.recall,
        data=data,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Calibration(
        card=card,
        after=None if found is None else served(after, found.threshold, delta),
        without_rules=None if found is None else served(_bare(after), found.threshold, delta),
        others={
            other: shown(other, rules=True),
            "lookups, without rules": shown("lookups", rules=False),
            "hits, without rules": shown("hits", rules=False),
        },
        objections=dict(sorted(reasons.items())),
    )


def data_card(path: Path, pairs: Sequence[Pair]) -> DataCard:
    """Say which data something was shown on."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return DataCard(name=path.name, sha256=digest, n=len(pairs), n_same=sum(pair.same for pair in pairs))


def _numbers(pairs: Sequence[Pair], encoder: Encoder, reasons: dict[str, int], *, count: bool) -> Pairs:
    if not pairs:
        nothing = np.zeros(0, np.bool_)
        return Pairs(np.zeros(0), nothing, nothing)
    one = encoder.embed_all([pair.first for pair in pairs])
    other = encoder.embed_all([pair.second for pair in pairs])
    objected = []
    for pair in pairs:
        reason = veto(pair.first, pair.second)
        objected.append(reason is not None)
        if count and reason is not None:
            reasons[reason] = reasons.get(reason, 0) + 1
    return Pairs(
        np.einsum("ij,ij->i", one, other), np.array(objected), np.array([pair.same for pair in pairs])
    )


def _bare(pairs: Pairs) -> Pairs:
    return Pairs(pairs.cosines, np.zeros_like(pairs.objected), pairs.same)
