"""Scores to utilities: the weighted sum. Floor 2."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from turnout.strategies.base import Context, Modifier, Scorer
from turnout.strategies.scorers.cost import Cost
from turnout.types.deployment import Candidate

PLAIN_COST = Cost()


class Scored(Struct, frozen=True):
    """What the scorers and modifiers made of the candidates."""

    utilities: Sequence[float]
    columns: list[tuple[str, Sequence[float]]]
    """Name of a term -> its weighted column."""
    quality: Sequence[float] | None
    usd: Sequence[float] | None
    """Expected cost, where something asked for it."""
    lambda_: float | None
    mu: float | None
    psi: float | None


def scored(
    score: Sequence[Scorer], modify: Sequence[Modifier], context: Context, candidates: Sequence[Candidate]
) -> Scored:
    """Ask every scorer and modifier, and add up."""
    utilities: Sequence[float] = ()
    columns: list[tuple[str, Sequence[float]]] = []
    qualities: list[tuple[float, Sequence[float]]] = []
    usd: Sequence[float] | None = None
    lambda_ = mu = psi = None
    for part in score:
        raw, weight, role = part.score(context, candidates), part.weight, part.role
        if weight:
            column = raw if weight == 1 else [weight * x for x in raw]
            columns.append((part.name, column))
            utilities = _added(utilities, column)
        if role == "cost":
            usd, lambda_ = raw, (lambda_ or 0.0) + weight
        elif role == "latency":
            mu = (mu or 0.0) + weight
        elif role == "quality":
            qualities.append((weight, raw))
    for modifier in modify:
        prices = modifier.prices(context)
        column = list(modifier.term(context, candidates) or ())
        if prices.lambda_:
            lambda_ = (lambda_ or 0.0) + prices.lambda_
            usd = PLAIN_COST.score(context, candidates) if usd is None else usd
            paid = [prices.lambda_ * x for x in usd]
            column = [a + b for a, b in zip(column, paid, strict=True)] if column else paid
        if prices.psi:
            psi = (psi or 0.0) + prices.psi
        if column:
            columns.append((modifier.name, column))
            utilities = _added(utilities, column)
    utilities = utilities or [0.0] * len(candidates)
    return Scored(utilities, columns, _mean(qualities), usd, lambda_, mu, psi)


def predicted_lengths(
    score: Sequence[Scorer], context: Context, candidates: Sequence[Candidate]
) -> Mapping[str, int]:
    """Return the output tokens that scorers predict for this request.

    They stand in for the averages of the route's earlier answers: what is asked here says more.
    """
    lengths: dict[str, int] = {}
    for part in score:
        predict = getattr(part, "tokens_out", None)
        if predict is not None:
            lengths |= predict(context, candidates)
    return lengths


def _added(one: Sequence[float], other: Sequence[float]) -> Sequence[float]:
    return [a + b for a, b in zip(one, other, strict=True)] if one else other


def _mean(qualities: Sequence[tuple[float, Sequence[float]]]) -> Sequence[float] | None:
    if len(qualities) < 2:
        return qualities[0][1] if qualities else None
    total = sum(weight for weight, _ in qualities)
    if total <= 0:
        qualities, total = [(1.0, raw) for _, raw in qualities], float(len(qualities))
    rows = zip(*(raw for _, raw in qualities), strict=True)
    weights = [weight / total for weight, _ in qualities]
    return [sum(w * q for w, q in zip(weights, row, strict=True) if w) for row in rows]
