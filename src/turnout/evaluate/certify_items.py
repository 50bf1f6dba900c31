"""The items of a calibration sample, checked and as numbers. Floor 6."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.evaluate.metrics import Floats
from turnout.learn import calibrate
from turnout.learn.certificate import Scorer, Unit

SHOWN = 20
"""Faulty rows told one by one; the rest is counted."""

Picks = NDArray[np.intp]


class Option(Struct, frozen=True, kw_only=True):
    """What one model that a request may leave the reference for would do."""

    model: str
    gap: float
    """Predicted loss of quality when routed to it."""
    score: float | None
    """None: the request was not drawn, so nobody scored it."""
    cost_nusd: int = 0
    wish: float = 0.0
    """Utility by which the route prefers one model within the threshold to another."""


class Item(Struct, frozen=True, kw_only=True):
    """One request that both sides answered."""

    id: str
    options: tuple[Option, ...]
    reference_score: float | None
    reference_cost_nusd: int = 0
    group: str = ""
    """Session it is a turn of."""
    turn: int = 1
    segment: str = ""
    """Surface; empty: none in particular."""
    probability: float = 1.0
    """Chance with which it was drawn, relative to the others'."""


class Subject(Struct, frozen=True, kw_only=True):
    """What the certificate is about; none of it is computed."""

    reference: str
    candidates: tuple[str, ...]
    begins: datetime
    ends: datetime
    sampling: str
    scorer: Scorer
    surface: str = ""
    unit: Unit = "request"
    versions: Mapping[str, str] = {}
    prices: Mapping[str, str] = {}
    policy_sha256: str | None = None
    artifact_sha256: str | None = None


class Columns(Struct, frozen=True, eq=False):
    """Items as numbers: one row an item, one column a candidate where there are several."""

    gaps: Floats
    wishes: Floats
    losses: Floats
    """Scaled where chances differ."""
    savings: Floats
    """Of each candidate, as a share of what the reference costs for all items."""
    segments: NDArray[np.str_]

    def of(self, rows: NDArray[np.intp]) -> "Columns":
        """Return some of the items, or the same ones several times."""
        return Columns(
            self.gaps[rows], self.wishes[rows], self.losses[rows], self.savings[rows], self.segments[rows]
        )

    def policies(self, grid: Floats) -> tuple[Picks, Floats]:
        """Return whom each policy asks, and what that loses: one row a threshold, one column an item."""
        picks = calibrate.picks_at(self.gaps, self.wishes, grid)
        return picks, calibrate.losses_of(picks, self.losses)


def checked(items: Sequence[Item], subject: Subject) -> list[Item]:
    """Return the items in the order of their ids, or say what is wrong with them."""
    problems = [] if items else ["no items"]
    first: dict[str, int] = {}
    for row, item in enumerate(items, start=1):
        if (before := first.setdefault(item.id, row)) != row:
            problems.append(f"row {row}: id {item.id!r} appears twice; it is in row {before} too")
        problems.extend(f"row {row}: {problem}" for problem in _item_problems(item, subject))
    if problems:
        rest = len(problems) - SHOWN
        raise ConfigError((*problems[:SHOWN], *([f"… and {rest} more problems"] if rest > 0 else ())))
    return sorted(items, key=lambda item: item.id)


def _item_problems(item: Item, subject: Subject) -> list[str]:
    found: list[str] = []
    if not item.options:
        found.append("no candidate answered it")
    if not 0 < item.probability <= 1:
        found.append(f"probability is {item.probability}; expected above 0, at most 1")
    if subject.unit == "session" and not item.group:
        found.append("no session; a certificate by sessions needs one for each row")
    for option in item.options:
        if option.model not in subject.candidates:
            found.append(f"model {option.model!r} is none of the candidates")
        if not math.isfinite(option.gap):
            found.append(f"gap is {option.gap}; expected a number")
        sides = (item.reference_score, option.score)
        if sides == (None, None) and subject.unit == "request":
            continue
        if any(score is None or not 0 <= score <= 1 for score in sides):
            found.append(f"scores are {sides[0]} and {sides[1]}; expected 0-1")
    return found


def units_of(items: Sequence[Item], unit: Unit) -> list[Item]:
    """Return what the mean loss is a mean over: requests as they are, or sessions."""
    if unit == "request":
        return list(items)
    sessions: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        sessions[item.group].append(item)
    return [_session(sorted(turns, key=lambda item: item.turn)) for _, turns in sorted(sessions.items())]


def _session(turns: Sequence[Item]) -> Item:
    """Return a session as one item: its first turn's gaps decide, its scores are means over its turns."""
    first = turns[0]
    options: list[Option] = []
    for option in first.options:
        same = [each for turn in turns for each in turn.options if each.model == option.model]
        if len(same) != len(turns):
            raise ConfigError((f"session {first.group!r}: {option.model} did not answer every turn",))
        mean = sum(each.score or 0.0 for each in same) / len(same)
        cost = sum(each.cost_nusd for each in same)
        options.append(msgspec.structs.replace(option, score=mean, cost_nusd=cost))
    return msgspec.structs.replace(
        first,
        id=first.group,
        options=tuple(options),
        reference_score=sum(turn.reference_score or 0.0 for turn in turns) / len(turns),
        reference_cost_nusd=sum(turn.reference_cost_nusd for turn in turns),
    )


def columns_of(items: Sequence[Item], candidates: Sequence[str], least: float) -> Columns:
    """Return items as numbers; losses are scaled by the smallest chance to be drawn over each one's own."""
    at = {model: column for column, model in enumerate(candidates)}
    shape = (len(items), len(candidates))
    gaps, wishes, losses, savings = np.full(shape, np.inf), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, item in enumerate(items):
        for option in item.options:
            cell = row, at[option.model]
            gaps[cell], wishes[cell] = option.gap, option.wish
            savings[cell] = item.reference_cost_nusd - option.cost_nusd
            if item.reference_score is not None and option.score is not None:
                losses[cell] = (item.reference_score - option.score) * least / item.probability
    total = max(sum(item.reference_cost_nusd for item in items), 1)
    segments = np.array([item.segment for item in items])
    return Columns(gaps, wishes, losses, savings / total, segments)
