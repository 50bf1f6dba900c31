"""From answered requests to a certificate. Floor 6.

1. The sample is both sides' scores on requests drawn uniformly from traffic, with the router's predicted gap;
   thresholds come from predicted gaps of *other*, unlabelled requests.
2. Items are put in the order of their ids and hashed; every random order follows from that hash. The same
   data gives the same certificate, and nobody can try seeds.
3. What the naive threshold would have saved is written beside what the certified one saves.
"""

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.metrics import Floats, generator
from turnout.learn import calibrate
from turnout.learn.calibrate import Promise
from turnout.learn.certificate import Certificate, Method, Naive, Observed, Sample, sealed

VALID_FOR = timedelta(days=30)
"""Traffic and models move; ROUTING.md section 5.3."""
RESAMPLES = 20
"""Resamples that estimate what more items would buy."""
MORE_ITEMS = (1.5, 2.0, 3.0, 5.0, 8.0)
"""Sizes tried, as multiples of the sample."""


class Item(Struct, frozen=True, kw_only=True):
    """One request that both sides answered."""

    id: str
    gap: float
    """Predicted loss of quality when routed away from the reference."""
    reference_score: float
    score: float
    """Of the model it would be routed to."""
    reference_cost_nusd: int = 0
    cost_nusd: int = 0


class Subject(Struct, frozen=True, kw_only=True):
    """What the certificate is about; none of it is computed."""

    surface: str
    reference: str
    candidate: str
    policy_sha256: str
    begins: datetime
    ends: datetime
    sampling: str
    scorer: str


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
        other_gaps: Predicted gaps of requests outside the sample.
        promise: What is to be shown.
        subject: What the certificate is about.
        created: Now.
        method: `clopper-pearson/1` for scores of 0 and 1; stricter.

    Raises:
        ConfigError: The sample cannot be used.
    """
    ordered = _checked(items)
    gaps, losses, savings = _columns(ordered)
    grid = _grid(other_gaps)
    at = calibrate.losses_at(gaps, losses, grid)
    digest = hashlib.sha256(msgspec.json.encode([ordered, grid.tolist()])).hexdigest()
    if method == "ltt-betting/1":
        boundary = calibrate.certify_by_betting(at, promise, generator(digest, 0))
        n_min = calibrate.items_needed(promise)
    else:
        boundary = calibrate.certify_by_binomial(_failures(at, losses), promise)
        n_min = calibrate.items_needed_by_any_method(promise)
    tau = float(grid[boundary.index]) if boundary.index >= 0 else None
    naive = calibrate.tune_naively(at, promise.epsilon)
    naive_tau = float(grid[naive]) if naive >= 0 else None
    routed, naively = _routed(gaps, tau), _routed(gaps, naive_tau)
    return sealed(
        Certificate(
            created=created,
            expires=created + VALID_FOR,
            surface=subject.surface,
            reference=subject.reference,
            candidate=subject.candidate,
            policy_sha256=subject.policy_sha256,
            method=method,
            order=promise.order if method == "ltt-betting/1" else None,
            epsilon=promise.epsilon,
            delta=promise.delta,
            n=len(ordered),
            n_min=n_min,
            tau=tau,
            thresholds=tuple(grid.tolist()),
            sample=_sample(subject, digest),
            observed=_observed(losses, savings, routed),
            naive=Naive(
                tau=naive_tau, share_routed=float(naively.mean()), saving_share=float(savings[naively].sum())
            ),
        )
    )


def items_for_more(
    items: Sequence[Item], other_gaps: Sequence[float], promise: Promise, more: float = 0.05
) -> int | None:
    """Return about how many items would certify `more` of the traffic than this sample does.

    Estimated by drawing larger samples from this one with replacement, so it holds only if this sample is
    typical. None: not within eight times the sample.

    Args:
        items: The calibration sample.
        other_gaps: Predicted gaps of requests outside the sample.
        promise: What is to be shown.
        more: Share of traffic to gain.
    """
    gaps, losses, _ = _columns(_checked(items))
    grid = _grid(other_gaps)
    random = generator("items for more", len(items))
    now = _share(gaps, losses, grid, promise, random)
    for times in MORE_ITEMS:
        n = math.ceil(times * gaps.size)
        shares = []
        for _ in range(RESAMPLES):
            drawn = random.integers(0, gaps.size, n)
            shares.append(_share(gaps[drawn], losses[drawn], grid, promise, random))
        if float(np.mean(shares)) >= now + more:
            return n
    return None


def _share(
    gaps: Floats, losses: Floats, grid: Floats, promise: Promise, random: np.random.Generator
) -> float:
    at = calibrate.losses_at(gaps, losses, grid)
    hashed = msgspec.structs.replace(promise, order="hashed")  # 40 times cheaper, and about as bold
    index = calibrate.certify_by_betting(at, hashed, random).index
    return float((gaps <= grid[index]).mean()) if index >= 0 else 0.0


def _grid(other_gaps: Sequence[float]) -> Floats:
    try:
        return calibrate.thresholds(np.asarray(other_gaps, dtype=np.float64))
    except ValueError as error:
        raise ConfigError((f"other requests: {error}",)) from error


def _checked(items: Sequence[Item]) -> list[Item]:
    """Return the items in the order of their ids, or say what is wrong with them."""
    problems = [] if items else ["no items"]
    seen: set[str] = set()
    for row, item in enumerate(items, start=1):
        if item.id in seen:
            problems.append(f"row {row}: id {item.id!r} appears twice")
        seen.add(item.id)
        if not math.isfinite(item.gap):
            problems.append(f"row {row}: gap is {item.gap}; expected a number")
        if not (0 <= item.score <= 1 and 0 <= item.reference_score <= 1):
            problems.append(f"row {row}: scores are {item.reference_score} and {item.score}; expected 0-1")
    if problems:
        raise ConfigError(tuple(problems))
    return sorted(items, key=lambda item: item.id)


def _columns(items: Sequence[Item]) -> tuple[Floats, Floats, Floats]:
    """Return gaps, losses, and each item's saving as a share of what the reference costs in all."""
    gaps = np.array([item.gap for item in items])
    losses = np.array([item.reference_score - item.score for item in items])
    saved = np.array([float(item.reference_cost_nusd - item.cost_nusd) for item in items])
    total = sum(item.reference_cost_nusd for item in items)
    return gaps, losses, saved / max(total, 1)


def _failures(at: Floats, losses: Floats) -> Floats:
    if not np.isin(losses, (-1.0, 0.0, 1.0)).all():
        raise ConfigError(("scores: Clopper-Pearson needs scores of 0 and 1; use the betting bound",))
    return (at > 0).astype(np.float64)


def _routed(gaps: Floats, tau: float | None) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return gaps <= (-math.inf if tau is None else tau)


def _observed(
    losses: Floats, savings: Floats, routed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> Observed:
    moved = losses[routed]
    return Observed(
        loss=float(moved.sum() / losses.size),
        share_routed=float(routed.mean()),
        saving_share=float(savings[routed].sum()),
        wins=int((moved < 0).sum()),
        losses=int((moved > 0).sum()),
    )


def _sample(subject: Subject, digest: str) -> Sample:
    return Sample(
        sha256=digest,
        begins=subject.begins,
        ends=subject.ends,
        sampling=subject.sampling,
        scorer=subject.scorer,
    )
