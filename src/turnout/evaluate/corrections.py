"""How often answers were corrected, by how much a stronger model seemed to be needed. Floor 6. Pure.

Theory of operation (ROUTING.md sections 5 and 6.4).

1. A route that chooses between a cheap and a strong model goes by one number of the request: the higher, the
   more the strong one is needed. It is the signal of a `threshold` or `complexity` strategy, the difference
   of predicted qualities, or the predicted gap of a certificate.
2. An answer is corrected where what was said of it explicitly, or by a judge, comes to less than half on
   average. Without a word nothing is known of it. Signs of displeasure are counted apart: there are none of
   pleasure, so that a share of them is no rate.
3. Words weigh one over the chance of having been judged, and no key's make up more than a share of all.
4. The threshold suggested is the highest at which the cheap answers below it were corrected at most as often
   as wished, at the upper end of the 95 % interval. Above the highest need a cheap answer was judged at,
   nothing is known and nothing is suggested. Looking at every threshold favours lucky ones: it is a
   suggestion to be tried on a share of traffic, and no promise. `turnout calibrate` makes promises.
5. Costs are those predicted when the requests were decided: what they would have cost with the other
   threshold, and do cost with the present one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from turnout.config import RouteConfig
from turnout.learn.feedback import Interval, capped, wilson
from turnout.types.feedback import Feedback
from turnout.types.json import Json
from turnout.types.record import CandidateView, Decision, Record

BINS: Final = 10
FEWEST: Final = 20
"""Judged cheap answers below which no threshold is suggested."""


class Gauge(Struct, frozen=True, kw_only=True):
    """What a route goes by."""

    kind: Literal["signal", "difference", "gap"]
    name: str = ""
    """Of the signal."""
    threshold: float | None = None
    """In force: at or above it the strong model is asked."""
    weak: str | None = None
    strong: str | None = None
    """Model or deployment; None = the cheapest, or the best, of the candidates."""


class Point(Struct, frozen=True, kw_only=True):
    """One request."""

    need: float
    is_weak: bool
    """Whether a cheaper model than the strong one answered."""
    corrected: bool | None
    """None = nothing was said."""
    weight: float = 1.0
    signs: int = 0
    weak_nusd: int | None = None
    strong_nusd: int | None = None


class Bin(Struct, frozen=True, kw_only=True):
    """Requests of similar need."""

    low: float
    high: float
    n: int
    n_weak: int
    n_rated: int
    """Cheap answers that something was said of."""
    signs: int
    rate: Interval | None
    """Of corrections among them."""


class Suggestion(Struct, frozen=True, kw_only=True):
    """A threshold with its evidence."""

    threshold: float | None
    """None = none can be suggested; `reason` says why."""
    reason: str
    n_rated: int = 0
    rate: Interval | None = None
    weak_share: float | None = None
    """Of requests that would go to the cheap model."""
    cost_nusd: int | None = None
    """Predicted of all requests read, with the present threshold; None = not known."""
    new_cost_nusd: int | None = None


def gauge_of(row: RouteConfig | None, certificate: tuple[float | None, str] | None) -> Gauge:
    """Return what a route goes by.

    Args:
        row: As configured.
        certificate: Its threshold and reference, where the route has one.
    """
    if certificate is not None:
        return Gauge(kind="gap", threshold=certificate[0], strong=certificate[1])
    strategy: Mapping[str, Json] = {} if row is None else row.strategy
    weak, strong = strategy.get("weak"), strategy.get("strong")
    first = strategy.get("thresholds")
    threshold = first[0] if isinstance(first, Sequence) and first else strategy.get("threshold")
    kind = strategy.get("type")
    has_signal = kind == "complexity" or (kind == "threshold" and strategy.get("artifact") is None)
    signal = strategy.get("signal", "complexity")
    return Gauge(
        kind="signal" if has_signal else "difference",
        name=str(signal) if has_signal else "",
        threshold=float(threshold) if isinstance(threshold, (int, float)) else None,
        weak=weak if isinstance(weak, str) else None,
        strong=strong if isinstance(strong, str) else None,
    )


def need_of(decision: Decision, gauge: Gauge) -> float | None:
    """Return how much a decision saw the strong model needed; None = it did not look."""
    match gauge.kind:
        case "gap":
            return None if decision.certificate is None else decision.certificate.gap
        case "signal":
            signal = decision.signals.get(gauge.name)
            value = None if signal is None or signal.error is not None else signal.value
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return float(value) if is_number and isinstance(value, (int, float)) else None
        case "difference":
            weak, strong = _sides(decision, gauge)
            if weak is None or strong is None or weak.q is None or strong.q is None:
                return None
            return strong.q - weak.q


def _sides(decision: Decision, gauge: Gauge) -> tuple[CandidateView | None, CandidateView | None]:
    """Return the cheap and the strong candidate."""
    found = [each for each in decision.candidates if each.status != "filtered"]
    weak = _named(found, gauge.weak) if gauge.weak else min(found, key=_cost, default=None)
    if gauge.strong:
        return weak, _named(found, gauge.strong)
    return weak, max(found, key=lambda each: (each.q or 0.0, _cost(each)), default=None)


def _named(found: Iterable[CandidateView], name: str) -> CandidateView | None:
    return next((each for each in found if name in (each.id, each.model)), None)


def _cost(of: CandidateView) -> float:
    mean = None if of.cost_nusd is None else of.cost_nusd.mean
    return float("inf") if mean is None else mean


def points(
    records: Iterable[Record], words: Iterable[Feedback], gauge: Gauge, max_share: float
) -> tuple[Point, ...]:
    """Join requests with what was said of them.

    Args:
        records: Requests of one route.
        words: What was said, of these and others.
        gauge: What the route goes by.
        max_share: Largest share of one key in all that was said.
    """
    told: dict[str, list[Feedback]] = {}
    for word in words:
        told.setdefault(word.request_id, []).append(word)
    read = [(record, told.get(record.request_id, [])) for record in records if record.outcome.error is None]
    rated = [(record, explicit) for record, said in read if (explicit := _explicit(said))]
    weights = capped(
        [1 / min(word.chance for word in said) for _, said in rated],
        [_speaker(said) for _, said in rated],
        max_share,
    )
    weight_of = {record.request_id: weight for (record, _), weight in zip(rated, weights, strict=True)}
    found = (_point(record, said, gauge, weight_of.get(record.request_id, 1.0)) for record, said in read)
    return tuple(point for point in found if point is not None)


def _explicit(said: Sequence[Feedback]) -> list[Feedback]:
    return [each for each in said if each.score is not None and not each.kind.startswith("implicit.")]


def _speaker(said: Sequence[Feedback]) -> str:
    """Return whose word counts against the cap; a judge's is nobody's."""
    keys = [each for each in said if not each.kind.startswith("judge")]
    return f"key:{keys[0].speaker or ''}" if keys else f"judged:{said[0].request_id}"


def _point(record: Record, said: Sequence[Feedback], gauge: Gauge, weight: float) -> Point | None:
    decision = record.decision
    need = None if decision is None else need_of(decision, gauge)
    if decision is None or need is None:
        return None
    weak, strong = _sides(decision, gauge)
    explicit = _explicit(said)
    total = sum(each.weight for each in explicit)
    mean = sum(each.weight * (each.score or 0.0) for each in explicit) / total if total else None
    return Point(
        need=need,
        is_weak=strong is None or record.outcome.model not in (strong.model, strong.id),
        corrected=None if mean is None else mean < 0.5,
        weight=weight,
        signs=len(said) - len(explicit) - sum(each.score is None for each in said),
        weak_nusd=None if weak is None or weak.cost_nusd is None else weak.cost_nusd.mean,
        strong_nusd=None if strong is None or strong.cost_nusd is None else strong.cost_nusd.mean,
    )


def bins(of: Sequence[Point], n: int = BINS) -> tuple[Bin, ...]:
    """Return the distribution of needs with the rate of corrections in each part of it."""
    if not of:
        return ()
    low, high = min(point.need for point in of), max(point.need for point in of)
    width = (high - low) / n or 1.0
    cells: list[list[Point]] = [[] for _ in range(n if high > low else 1)]
    for point in of:
        cells[min(len(cells) - 1, int((point.need - low) / width))].append(point)
    return tuple(
        Bin(
            low=low + at * width if high > low else low,
            high=low + (at + 1) * width if high > low else high,
            n=len(cell),
            n_weak=sum(point.is_weak for point in cell),
            n_rated=sum(_is_rated(point) for point in cell),
            signs=sum(point.signs for point in cell),
            rate=_rate(cell),
        )
        for at, cell in enumerate(cells)
    )


def _is_rated(point: Point) -> bool:
    return point.is_weak and point.corrected is not None


def _rate(cell: Iterable[Point]) -> Interval | None:
    rated = [point for point in cell if _is_rated(point)]
    weights = [point.weight for point in rated]
    bad = sum(point.weight for point in rated if point.corrected)
    return wilson(bad, sum(weights), sum(weight * weight for weight in weights))


def suggest(of: Sequence[Point], gauge: Gauge, most: float) -> Suggestion:
    """Return the highest threshold at which cheap answers are corrected at most so often.

    Args:
        of: Requests of a route.
        gauge: What it goes by.
        most: Largest rate of corrections, at the upper end of its interval.
    """
    rated = sorted((point for point in of if _is_rated(point)), key=lambda point: point.need)
    if len(rated) < FEWEST:
        return Suggestion(
            threshold=None,
            reason=f"something was said of {len(rated)} cheap answers; {FEWEST} are needed",
            n_rated=len(rated),
        )
    best, at = None, 0
    bad = weight = squared = 0.0
    for index, point in enumerate(rated):
        bad += point.weight * bool(point.corrected)
        weight += point.weight
        squared += point.weight * point.weight
        is_last_of_its_need = index + 1 == len(rated) or rated[index + 1].need > point.need
        found = wilson(bad, weight, squared)
        if is_last_of_its_need and index + 1 >= FEWEST and found is not None and found.high <= most:
            best, at = found, index
    if best is None:
        return Suggestion(
            threshold=None,
            reason=f"no threshold keeps corrections at or below {most:.1%} for sure",
            n_rated=len(rated),
            rate=_rate(rated),
        )
    threshold = _between(rated, at)
    cost, new_cost = _costs(of, gauge, threshold)
    return Suggestion(
        threshold=threshold,
        reason="the highest at which the upper end of the rate stays within what is wished",
        n_rated=at + 1,
        rate=best,
        weak_share=sum(point.need < threshold for point in of) / len(of),
        cost_nusd=cost,
        new_cost_nusd=new_cost,
    )


def _between(rated: Sequence[Point], at: int) -> float:
    """Return a threshold just above a need: half way to the next, or the least above the last."""
    if at + 1 < len(rated):
        return (rated[at].need + rated[at + 1].need) / 2
    return rated[at].need + max(1e-9, abs(rated[at].need) * 1e-9)


def _costs(of: Sequence[Point], gauge: Gauge, threshold: float) -> tuple[int | None, int | None]:
    now = new = 0
    for point in of:
        if point.weak_nusd is None or point.strong_nusd is None:
            return None, None
        weak_now = point.is_weak if gauge.threshold is None else point.need < gauge.threshold
        now += point.weak_nusd if weak_now else point.strong_nusd
        new += point.weak_nusd if point.need < threshold else point.strong_nusd
    return now, new
