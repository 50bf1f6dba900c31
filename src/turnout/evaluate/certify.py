"""From answered requests to a certificate. Floor 6.

1. The sample is both sides' scores on requests drawn from traffic, with the router's predicted gaps;
   thresholds come from predicted gaps of *other*, unlabelled requests.
2. Items are put in the order of their ids and hashed; every random order follows from that hash. The same
   data gives the same certificate, and nobody can try seeds.
3. Of several models the policy asks the one most wished for among those with a predicted gap within the
   threshold. The test needs no more than that to be fixed before labels are seen.
4. Where sessions stick to a model the unit is the session: the gap of its first turn decides, its loss is the
   mean over its turns.
5. Where requests had different, known chances to be drawn, all eligible ones are items: the loss of one that
   was drawn is scaled by (smallest chance / its chance), one that was not counts 0, and both are tested
   against epsilon times the smallest chance (ROUTING.md 5.2).
6. What the naive threshold would have saved is written beside what the certified one saves.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.evaluate.metrics import Floats, generator
from turnout.learn import calibrate
from turnout.learn.calibrate import Boundary, Promise
from turnout.learn.certificate import (
    Certificate,
    Method,
    Naive,
    Observed,
    Sample,
    Scorer,
    Segment,
    Unit,
    grid_sha256,
    sealed,
)

VALID_FOR = timedelta(days=30)
"""Traffic and models move; ROUTING.md section 5.3."""
RESAMPLES = 8
"""Resamples that estimate what more items would buy."""
MORE = 0.05
"""Share of the traffic that `n_for_more` is about."""
MORE_ITEMS = (1.5, 2.0, 3.0, 5.0, 8.0)
"""Sizes tried, as multiples of the sample."""
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


def certify(
    items: Sequence[Item],
    other_gaps: Sequence[float],
    promise: Promise,
    subject: Subject,
    *,
    created: datetime,
    method: Method = "ltt-betting/1",
) -> Certificate:
    """Return the certificate that the sample supports; its `tau` is None where it supports none.

    Args:
        items: The calibration sample; none of it trained the router.
        other_gaps: Smallest predicted gap of each of some requests outside the sample.
        promise: What is to be shown.
        subject: What the certificate is about.
        created: Now.
        method: `clopper-pearson/1` for scores of 0 and 1; stricter.

    Raises:
        ConfigError: The sample cannot be used.
    """
    units = _units(_checked(items, subject), subject.unit)
    grid = _grid(other_gaps)
    digest = hashlib.sha256(msgspec.json.encode([units, grid.tolist()])).hexdigest()
    least = min(item.probability for item in units)
    columns, scaled = _columns(units, subject.candidates, least), _scaled(promise, least)
    picks, at = columns.policies(grid)
    boundary = _tested(at, scaled, method, digest)
    naive = calibrate.tune_naively(at, scaled.epsilon)
    return sealed(
        Certificate(
            created=created,
            expires=created + VALID_FOR,
            surface=subject.surface,
            reference=subject.reference,
            candidates=subject.candidates,
            versions=subject.versions,
            prices=subject.prices,
            policy_sha256=subject.policy_sha256,
            artifact_sha256=subject.artifact_sha256,
            unit=subject.unit,
            method=method,
            order=promise.order if method == "ltt-betting/1" else None,
            epsilon=promise.epsilon,
            delta=promise.delta,
            n=len(units),
            n_min=needed(scaled, method),
            tau=float(grid[boundary.index]) if boundary.index >= 0 else None,
            thresholds=tuple(grid.tolist()),
            shares=_shares(other_gaps, grid),
            grid_sha256=grid_sha256(grid.tolist()),
            sample=Sample(
                sha256=digest,
                begins=subject.begins,
                ends=subject.ends,
                sampling=subject.sampling,
                least_probability=least,
            ),
            scorer=subject.scorer,
            observed=_observed(columns, picks, at, boundary, least),
            naive=_naive(columns, picks, grid, naive),
            n_for_more=_items_for_more(columns, grid, scaled, method, MORE),
            segments=_segments(columns, (grid, picks, at), boundary, scaled, (method, digest, least)),
        )
    )


def needed(promise: Promise, method: Method) -> int:
    """Return the fewest items with which a method can show anything."""
    if method == "ltt-betting/1":
        return calibrate.items_needed(promise)
    return calibrate.items_needed_by_any_method(promise)


def items_for_more(
    items: Sequence[Item], other_gaps: Sequence[float], promise: Promise, more: float = MORE
) -> int | None:
    """Return about how many items would certify `more` of the traffic than this sample does.

    Estimated by drawing larger samples from this one with replacement, so it holds only if this sample is
    typical. None: not within eight times the sample.

    Args:
        items: The calibration sample.
        other_gaps: Smallest predicted gaps of requests outside the sample.
        promise: What is to be shown.
        more: Share of traffic to gain.
    """
    candidates = tuple(sorted({option.model for item in items for option in item.options}))
    least = min((item.probability for item in items), default=1.0)
    columns = _columns(sorted(items, key=lambda item: item.id), candidates, least)
    return _items_for_more(columns, _grid(other_gaps), _scaled(promise, least), "ltt-betting/1", more)


def _items_for_more(
    columns: Columns, grid: Floats, promise: Promise, method: Method, more: float
) -> int | None:
    n = int(columns.losses.shape[0])
    random = generator("items for more", n)
    now = _share(columns, grid, promise, method, random)

    def suffices(size: int) -> bool:
        drawn = [columns.of(random.integers(0, n, size)) for _ in range(RESAMPLES)]
        return float(np.mean([_share(each, grid, promise, method, random) for each in drawn])) >= now + more

    sizes = [math.ceil(times * n) for times in MORE_ITEMS]
    if not suffices(sizes[-1]):
        return None
    return next((size for size in sizes[:-1] if suffices(size)), sizes[-1])


def _share(
    columns: Columns, grid: Floats, promise: Promise, method: Method, random: np.random.Generator
) -> float:
    """Return the share that a sample certifies, one threshold at a time: most are never reached."""
    hashed = msgspec.structs.replace(promise, order="hashed")  # 40 times cheaper, and about as bold
    share = 0.0
    for step in range(grid.size):
        picks, at = columns.policies(grid[step : step + 1])
        if method == "ltt-betting/1":
            index = calibrate.certify_by_betting(at, hashed, random).index
        else:
            index = calibrate.certify_by_binomial(_failures(at), promise).index
        if index < 0:
            return share
        share = float((picks[0] >= 0).mean())
    return share


def _tested(at: Floats, promise: Promise, method: Method, seed: str) -> Boundary:
    if method == "ltt-betting/1":
        return calibrate.certify_by_betting(at, promise, generator(seed, 0))
    return calibrate.certify_by_binomial(_failures(at), promise)


def _shares(other_gaps: Sequence[float], grid: Floats) -> tuple[float, ...]:
    """Return the share of the other requests within each threshold."""
    found: Floats = np.searchsorted(np.sort(other_gaps), grid, "right") / len(other_gaps)
    return tuple(found.tolist())


def _failures(at: Floats) -> Floats:
    if not np.isin(at, (-1.0, 0.0, 1.0)).all():
        raise ConfigError(
            ("scores: Clopper-Pearson needs scores of 0 and 1, all drawn alike; use the betting bound",)
        )
    return (at > 0).astype(np.float64)


def _scaled(promise: Promise, least: float) -> Promise:
    return msgspec.structs.replace(promise, epsilon=promise.epsilon * least)


def _grid(other_gaps: Sequence[float]) -> Floats:
    try:
        return calibrate.thresholds(np.asarray(other_gaps, dtype=np.float64))
    except ValueError as error:
        raise ConfigError((f"other requests: {error}",)) from error


# From items to numbers


def _checked(items: Sequence[Item], subject: Subject) -> list[Item]:
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


def _units(items: Sequence[Item], unit: Unit) -> list[Item]:
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


def _columns(items: Sequence[Item], candidates: Sequence[str], least: float) -> Columns:
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


# What was observed


def _saved(columns: Columns, picks: Picks) -> float:
    routed = np.flatnonzero(picks >= 0)
    return float(columns.savings[routed, picks[routed]].sum())


def _observed(columns: Columns, picks: Picks, at: Floats, boundary: Boundary, least: float) -> Observed:
    index = boundary.index
    if index < 0:
        return Observed(loss=0, share_routed=0, saving_share=0, wins=0, losses=0)
    moved = at[index]
    return Observed(
        loss=min(1.0, max(-1.0, float(moved.mean()) / least)),
        share_routed=float((picks[index] >= 0).mean()),
        saving_share=_saved(columns, picks[index]),
        wins=int((moved < 0).sum()),
        losses=int((moved > 0).sum()),
        log_K=boundary.evidence[index],
    )


def _naive(columns: Columns, picks: Picks, grid: Floats, index: int) -> Naive:
    if index < 0:
        return Naive(tau=None, share_routed=0.0, saving_share=0.0)
    return Naive(
        tau=float(grid[index]),
        share_routed=float((picks[index] >= 0).mean()),
        saving_share=_saved(columns, picks[index]),
    )


def _segments(
    columns: Columns,
    policies: tuple[Floats, Picks, Floats],
    boundary: Boundary,
    promise: Promise,
    how: tuple[Method, str, float],
) -> tuple[Segment, ...]:
    """Return what each surface shows by itself, where the sample names surfaces."""
    (grid, picks, at), (method, digest, least) = policies, how
    found: list[Segment] = []
    for name in sorted(set(columns.segments.tolist()) - {""}):
        rows = np.flatnonzero(columns.segments == name)
        n_min = needed(promise, method)
        own = rows.size >= n_min
        index = boundary.index
        shown = _tested(at[:, rows], promise, method, f"{digest}|{name}").index if own else -1
        strict = min(index, shown) if own else index
        found.append(
            Segment(
                name=name,
                n=rows.size,
                n_min=n_min,
                tau=float(grid[shown]) if shown >= 0 else None,
                scope="own" if own else "marginal only",
                share_routed=float((picks[strict, rows] >= 0).mean()) if strict >= 0 else 0.0,
                loss=min(1.0, max(-1.0, float(at[strict, rows].mean()) / least)) if strict >= 0 else 0.0,
            )
        )
    return tuple(found)
