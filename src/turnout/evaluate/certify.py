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
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.certify_items import Columns, Item, Picks, Subject, checked, columns_of, units_of
from turnout.evaluate.metrics import Floats, generator
from turnout.learn import calibrate
from turnout.learn.calibrate import Boundary, Promise
from turnout.learn.certificate import (
    Certificate,
    Method,
    Naive,
    Observed,
    Sample,
    Segment,
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


class Tuning(Struct, frozen=True, kw_only=True):
    """A threshold by conformal risk control: a bound on a mean over samples, no promise about this one."""

    tau: float | None
    max_loss: float
    n: int
    share_routed: float
    loss: float
    """As observed, wins counted against losses."""


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
    units = units_of(checked(items, subject), subject.unit)
    grid = _grid(other_gaps)
    digest = hashlib.sha256(msgspec.json.encode([units, grid.tolist()])).hexdigest()
    least = min(item.probability for item in units)
    columns, scaled = columns_of(units, subject.candidates, least), _scaled(promise, least)
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


def tune(items: Sequence[Item], other_gaps: Sequence[float], max_loss: float, subject: Subject) -> Tuning:
    """Return the threshold whose expected positive loss is at most `max_loss`. Arguments as of `certify`."""
    units = units_of(checked(items, subject), subject.unit)
    if min(item.probability for item in units) < 1:
        raise ConfigError(("probability: conformal risk control needs requests that were all drawn alike",))
    grid = _grid(other_gaps)
    picks, at = columns_of(units, subject.candidates, 1.0).policies(grid)
    index = calibrate.tune_by_conformal_risk(at, max_loss)
    return Tuning(
        tau=float(grid[index]) if index >= 0 else None,
        max_loss=max_loss,
        n=len(units),
        share_routed=float((picks[index] >= 0).mean()) if index >= 0 else 0.0,
        loss=float(at[index].mean()) if index >= 0 else 0.0,
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
    columns = columns_of(sorted(items, key=lambda item: item.id), candidates, least)
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
