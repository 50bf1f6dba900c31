"""How good a vote is expected to be: members of unequal strength whose errors go together. Floor 2.

Theory of operation.

1. Every member draws a number U from one random distribution G and is right where U is at most its
   strength. G is a Dirichlet process over the uniform: each U is new, or a copy of another member's. The
   chance that two are the same is the correlation ρ, so the errors of two members have the covariance
   ρ(min(p, q) - pq): none at ρ = 0; as much as their strengths allow at ρ = 1.
2. Alone, a member is right with its strength, whatever ρ. Members of equal strength are right with the same
   θ = G([0, p]) ~ Beta(p(1-ρ)/ρ, (1-p)(1-ρ)/ρ): the formula of ROUTING.md 1.5 is the case of equals.
3. Given G, votes are independent and their number is Poisson-binomial. Sorted by strength, θ of the weaker
   is θ of the stronger times an independent Beta variable, whose moments are known; so the expectation over
   G is a recursion over polynomials in θ: exact, in O(k³), without a grid.
4. The reducer takes the largest group, and the member named first where groups are equal (`reduce.choose`).
   Wrong answers agree with each other with probability `alike`, all of them or none: at 1 this is the
   majority, at 0 two right answers are enough.
"""

from collections.abc import Sequence

UNKNOWN_CORRELATION = 0.5
"""Taken where nothing is known of how errors go together; never 0 (ROUTING.md 1.5)."""
MAX_CORRELATION = 0.99
"""Above, one vote is as good as many and the arithmetic is not."""

Row = list[float]


def panel_quality(strengths: Sequence[float], correlation: float, *, alike: float = 1.0) -> float:
    """Predict the quality of a vote.

    Args:
        strengths: Quality of each member in [0, 1], in the order of the plan: the first wins ties.
        correlation: ρ in [0, 1]; see `panel_correlation`.
        alike: Probability that wrong answers agree with each other.

    Returns the probability that the answer taken is right.
    """
    k = len(strengths)
    right = _counts(strengths, correlation, first_is_right=False)
    led = _counts(strengths, correlation, first_is_right=True)
    by_majority = sum(right[n] if 2 * n > k else led[n] if 2 * n == k else 0.0 for n in range(k + 1))
    # Nobody wrong agrees: two that are right are the largest group, one alone wins where it is named first.
    by_any_two = sum(right[n] if n > 1 else led[n] for n in range(1, k + 1))
    return min(1.0, max(0.0, alike * by_majority + (1 - alike) * by_any_two))


def majority_quality(p: float, k: int, correlation: float) -> float:
    """Predict the quality of a majority of k votes of success p with intra-class correlation.

    Source: docs/design/ROUTING.md section 1.5: p = 0.7, k = 3 gives 0.784 at ρ = 0 and 0.714 at ρ = 0.5.
    """
    return panel_quality((p,) * k, correlation)


def panel_correlation(rows: Sequence[Sequence[float]]) -> float:
    """Estimate ρ from records: rows of scores in [0, 1], one per question, a column per member.

    The covariances of all pairs over the largest that their strengths allow; in [0, 0.99]. For members of
    equal strength this is the intra-class correlation. Without two rows, or when no pair can vary together:
    `UNKNOWN_CORRELATION`.
    """
    n = len(rows)
    if n < 2:
        return UNKNOWN_CORRELATION
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / n for column in columns]
    seen = most = 0.0
    for i, one in enumerate(columns):
        for j in range(i):
            together = sum(x * y for x, y in zip(one, columns[j], strict=True))
            seen += (together - n * means[i] * means[j]) / (n - 1)
            most += min(means[i], means[j]) - means[i] * means[j]
    return min(MAX_CORRELATION, max(0.0, seen / most)) if most > 0 else UNKNOWN_CORRELATION


def _counts(strengths: Sequence[float], correlation: float, *, first_is_right: bool) -> Row:
    """Return the probability of 0 … k right votes; of those together with the first member being right."""
    rho = min(MAX_CORRELATION, max(0.0, correlation))
    copied = rho / (1 - rho)
    order = sorted(range(len(strengths)), key=strengths.__getitem__)
    # by_right[n][j]: coefficient of θ^j among the outcomes with n right votes so far, θ of the member ahead.
    by_right: list[Row] = [[1.0]]
    below = 0.0
    for at, member in enumerate(order):
        p = strengths[member]
        moments = _moments(below, p, copied, at)
        scaled = [[x * moments[j] for j, x in enumerate(row)] for row in by_right]
        by_right = _voted(scaled, must_be_right=first_is_right and member == 0)
        below = p
    last = _moments(below, 1.0, copied, len(order))
    return [sum(x * last[j] for j, x in enumerate(row)) for row in by_right]


def _moments(low: float, high: float, copied: float, n: int) -> Row:
    """Return E[B^0] … E[B^n] of the ratio B of two neighbouring θ; `copied` is ρ/(1-ρ)."""
    found = [1.0]
    for j in range(n):
        above = high + j * copied
        found.append(found[-1] * ((low + j * copied) / above if above > 0 else 1.0))
    return found


def _voted(by_right: Sequence[Row], *, must_be_right: bool) -> list[Row]:
    """Multiply by θz + (1 - θ), or by θz alone: one more vote; z counts the right ones."""
    degree = max(len(row) for row in by_right) + 1
    found = [[0.0] * degree for _ in range(len(by_right) + 1)]
    for n, row in enumerate(by_right):
        for j, x in enumerate(row):
            found[n + 1][j + 1] += x
            if not must_be_right:
                found[n][j] += x
                found[n][j + 1] -= x
    return found
