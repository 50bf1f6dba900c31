"""Labels of every kind in one latent: comparisons with ties, votes, judges' scores, outcomes. Floor 2.

Theory of operation.

1. The latent u of a prompt and a model is the log odds of a good answer. An outcome or graded score is a
   fraction: its likelihood is Bernoulli's at σ(u). Every other kind says something else about the same u:
   - comparison (Davidson): P(a) ∝ e^{κu_a}, P(b) ∝ e^{κu_b}, P(tie) ∝ ν e^{κ(u_a + u_b)/2};
   - vote: P(up) = σ(κu + offset of the user);
   - judge's score: the mean gold score at that judge's score, by a rising curve.
2. Whatever its kind, a label has a slope and a curvature in u. `fractions` turns these, at the present u,
   into a fraction within 0-1 and a weight: the slope is exactly the label's own, the curvature as near as 0-1
   allows.
3. `fit_linked` repeats a fit with these fractions until predictions stand still, at most `SWEEPS` times.
   Where they do, the slope of the whole true likelihood is zero. Any trainer of weighted scores can be used.
"""

from typing import Final, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats, Labels, Pairs, QualityModel, Trainer
from turnout.learn.checks import check_labels, has_pairs, label_weights
from turnout.learn.descent import sigmoid
from turnout.learn.isotonic import Isotonic, fit_isotonic

SWEEPS: Final = 10
SETTLED: Final = 0.02
"""Root mean square of the latents' changes between sweeps that still counts as standing still."""
LARGEST: Final = 6.0
"""Latents beyond this are read as this: 0.0025 or 0.9975."""
COMPARES: Final = frozenset({"mf", "head", "sw_bt"})
"""Kinds that take comparisons as they are."""
FEWEST_OVERLAPS: Final = 50
"""Items with both a judge's and a gold score below which a judge is not calibrated."""
UNCALIBRATED_CAP: Final = 0.25
RAREST_VOTE: Final = 0.02
"""Chances of voting below this are read as this, so that no vote outweighs fifty."""
USER_SHARE: Final = 0.01
"""Of a source's weight: the most that one user may have."""
_ROUNDS = 30


class Terms(Struct, frozen=True, eq=False):
    """A label's slope and curvature: derivatives of its negative log likelihood in u."""

    slope: Floats
    curvature: Floats


class Davidson(Struct, frozen=True, kw_only=True):
    """How comparisons come from latents."""

    sharpness: float = 1.0
    """κ: raters that see small differences have a large one."""
    ties: float = 1.0
    """ν: odds of a tie against a win between equals; 0: no ties."""

    def chances(self, gap: Floats) -> tuple[Floats, Floats, Floats]:
        """Return P(a wins), P(tie), P(b wins) for u_a - u_b."""
        half = np.clip(self.sharpness * gap / 2, -LARGEST * 10, LARGEST * 10)
        a, b = np.exp(half), np.exp(-half)
        total = a + b + self.ties
        return a / total, self.ties / total, b / total

    def loss(self, gap: Floats, outcome: Floats) -> Floats:
        """Return the negative log likelihoods; a fraction other than one half is a share of wins."""
        a, tie, b = (np.log(np.maximum(chance, 1e-300)) for chance in self.chances(gap))
        found: Floats = -np.where(outcome == 0.5, tie, outcome * a + (1 - outcome) * b)
        return found

    def terms(self, gap: Floats, outcome: Floats, weight: Floats) -> Terms:
        """Return the derivatives in u_a. Those in u_b have the opposite slope and the same curvature."""
        a, tie, _ = self.chances(gap)
        mean = a + tie / 2
        spread = a + tie / 4 - mean**2
        return Terms(
            weight * self.sharpness * (mean - outcome), weight * self.sharpness**2 * np.maximum(spread, 1e-9)
        )


class Votes(Struct, frozen=True, eq=False):
    """Thumbs, regenerations, edits: one user's word on one answer."""

    query: NDArray[np.int64]
    """Row of the queries."""
    model: NDArray[np.int64]
    """Column of the pool."""
    up: Floats
    """1: good, 0: bad."""
    user: NDArray[np.int64]
    """Number of the user, from 0."""
    weight: Floats


class VoteLink(Struct, frozen=True, eq=False):
    """How votes come from latents."""

    sharpness: float
    offsets: Floats
    """Of each user, drawn to 0."""

    def terms(self, votes: Votes, latent: Floats) -> Terms:
        """Return the derivatives at the latents of the votes' answers."""
        p = sigmoid(self.sharpness * latent + self.offsets[votes.user])
        curvature = votes.weight * self.sharpness**2 * np.maximum(p * (1 - p), 1e-9)
        return Terms(votes.weight * self.sharpness * (p - votes.up), curvature)


class JudgeLink(Struct, frozen=True, eq=False):
    """A judge's scores as gold scores, and how far to trust them."""

    curve: Isotonic | None
    """None: taken as they are."""
    cap: float
    """Largest weight its labels may get."""
    note: str
    """For the card; empty when there is nothing to say."""

    def __call__(self, scores: Floats) -> Floats:
        """Return the scores as expected gold scores; NaN stays NaN."""
        if self.curve is None:
            return scores
        return np.where(np.isnan(scores), np.nan, self.curve.at(np.nan_to_num(scores)))


class Linked(Struct, frozen=True, eq=False):
    """A fitted model and what was found on the way."""

    model: QualityModel
    sweeps: int
    change: float
    """Root mean square of the latents' changes in the last sweep."""
    comparisons: Davidson | None = None
    votes: VoteLink | None = None

    @property
    def has_settled(self) -> bool:
        """Whether predictions stood still in the end."""
        return self.change <= SETTLED

    @classmethod
    def plain(cls, model: QualityModel) -> Self:
        """Return a model that needed no links."""
        return cls(model, 1, 0.0)


def fit_linked(trainer: Trainer, labels: Labels, seed: int = 0, votes: Votes | None = None) -> Linked:
    """Fit any trainer on any labels.

    Raises:
        ValueError: The labels cannot be used.
    """
    check_labels(labels, pairs_suffice=True)
    if votes is not None:
        _check_votes(votes, labels)
    if votes is None and (not has_pairs(labels) or trainer.kind in COMPARES):
        return Linked.plain(trainer.fit(labels, seed))
    latent = _start(labels)
    davidson, link, change = None, None, np.inf
    for sweep in range(1, SWEEPS + 1):  # noqa: B007  told in the end
        terms = []
        if labels.pairs is not None and has_pairs(labels):
            davidson = fit_davidson(labels.pairs, latent)
            terms.append(_pair_terms(labels.pairs, latent, davidson))
        if votes is not None:
            link = fit_votes(votes, latent)
            terms.append((votes.query, votes.model, link.terms(votes, latent[votes.query, votes.model])))
        model = trainer.fit(_folded(labels, latent, terms), seed)
        found = latent_of(model.predict(labels.queries).mean)
        before, change = change, float(np.sqrt(((found - latent) ** 2).mean()))
        # Where labels are few a full step can swing to and fro; a half step then cannot.
        latent = found if change < before else (latent + found) / 2
        if change <= SETTLED:
            break
    return Linked(model, sweep, change, davidson, link)


def latent_of(mean: Floats) -> Floats:
    """Return the log odds of predicted scores."""
    low = 1 / (1 + np.exp(LARGEST))
    p = np.clip(mean, low, 1 - low)
    found: Floats = np.log(p / (1 - p))
    return found


def fractions(latent: Floats, terms: Terms) -> tuple[Floats, Floats]:
    """Return scores within 0-1 and weights whose Bernoulli likelihood has these slopes at the latent."""
    p = sigmoid(latent)
    weight = np.maximum(terms.curvature / np.maximum(p * (1 - p), 1e-9), 1e-12)
    score = p - terms.slope / weight
    edge = np.clip(score, 0.0, 1.0)
    outside = edge != score
    weight = np.where(outside, terms.slope / np.where(outside, p - edge, 1.0), weight)
    return edge, weight


def fit_davidson(pairs: Pairs, latent: Floats) -> Davidson:
    """Return κ and ν of the highest likelihood at these latents: a search in three ever finer grids."""
    gap = latent[pairs.query, pairs.a] - latent[pairs.query, pairs.b]
    has_ties = bool((pairs.outcome == 0.5).any())
    sharp, ties, width = 0.0, 0.0, 3.0
    if not np.abs(gap).max() > 1e-9:  # nothing is known of the latents yet: κ cannot be told
        share = float(np.average(pairs.outcome == 0.5, weights=pairs.weight))
        return Davidson(ties=2 * share / max(1 - share, 0.01))
    for _ in range(3):
        tried = [
            (float(loss @ pairs.weight), s, t)
            for s in np.linspace(sharp - width, sharp + width, 9)
            for t in (np.linspace(ties - width, ties + width, 9) if has_ties else (ties,))
            for loss in (_davidson(s, t, has_ties).loss(gap, pairs.outcome),)
        ]
        _, sharp, ties = min(tried)
        width /= 4
    return _davidson(sharp, ties, has_ties)


def _davidson(log_sharpness: float, log_ties: float, has_ties: bool) -> Davidson:
    # Within 1/20-20: a source that says nothing (κ → 0) must not stop the fit, only lose its weight.
    sharpness = float(np.exp(np.clip(log_sharpness, -3.0, 3.0)))
    return Davidson(sharpness=sharpness, ties=float(np.exp(log_ties)) if has_ties else 0.0)


def fit_votes(votes: Votes, latent: Floats) -> VoteLink:
    """Return κ and the users' offsets, by turns; ridge 1 on each offset and on κ - 1."""
    u = latent[votes.query, votes.model]
    n_users = int(votes.user.max()) + 1
    sharpness, offsets = 1.0, np.zeros(n_users)
    for _ in range(_ROUNDS):
        p = sigmoid(sharpness * u + offsets[votes.user])
        curved = votes.weight * p * (1 - p)
        step = float(((votes.weight * (p - votes.up)) @ u + sharpness - 1) / (curved @ (u * u) + 1))
        sharpness = float(np.clip(sharpness - step, 0.05, 20.0))
        p = sigmoid(sharpness * u + offsets[votes.user])
        slope = np.bincount(votes.user, votes.weight * (p - votes.up), n_users) + offsets
        offsets = offsets - slope / (np.bincount(votes.user, votes.weight * p * (1 - p), n_users) + 1)
        if max(abs(step), float(np.abs(slope).max())) < 1e-6:
            break
    return VoteLink(sharpness, offsets)


def vote_weights(user: NDArray[np.int64], chance: Floats) -> Floats:
    """Return what votes weigh: the rarer the vote, the more; one user at most 1 % of all.

    Args:
        user: Number of the user of each vote, from 0.
        chance: That an answer like this one is voted on at all.
    """
    if user.shape != chance.shape or not user.size or not ((chance > 0) & (chance <= 1)).all():
        raise ValueError("votes need a user and a chance above 0 and at most 1 each")
    weights = 1 / np.clip(chance, RAREST_VOTE, 1.0)
    totals: Floats = np.bincount(user, weights).astype(np.float64)
    cap = _cap(totals[totals > 0])
    scaled: Floats = weights * np.minimum(1.0, cap / np.maximum(totals[user], 1e-12))
    return scaled


def _cap(totals: Floats) -> float:
    """Return the largest total c with c <= 1 % of the sum of min(total, c); with few users, all are equal."""
    rising = np.sort(totals)
    if rising.size * USER_SHARE <= 1:
        return float(rising[0])
    below = np.cumsum(rising)
    # With the k smallest users uncapped: c = share · (their sum + the others' number · c).
    others = np.arange(rising.size - 1, -1, -1)
    room = 1 - USER_SHARE * others
    caps = np.where(room > 0, USER_SHARE * below / np.where(room > 0, room, 1.0), np.inf)
    upper = np.append(rising[1:], np.inf)
    fits = np.flatnonzero((caps >= rising) & (caps <= upper) & (others > 0))
    return float(caps[fits[0]]) if fits.size else float(rising[-1])


def link_judge(judge: Floats, gold: Floats) -> JudgeLink:
    """Return what a judge's scores are worth, from items with both; NaN where one is missing."""
    both = ~(np.isnan(judge) | np.isnan(gold))
    if (n := int(both.sum())) < FEWEST_OVERLAPS:
        note = f"judge uncalibrated: {n} items with a gold score; {FEWEST_OVERLAPS} needed"
        return JudgeLink(None, UNCALIBRATED_CAP, note)
    return JudgeLink(fit_isotonic(judge[both], gold[both]), 1.0, "")


def _start(labels: Labels) -> Floats:
    weights = label_weights(labels)
    sums = (weights * np.nan_to_num(labels.scores)).sum(axis=0)
    mean = (sums + 0.5) / (weights.sum(axis=0) + 1)  # a model without scores starts at one half
    return np.tile(latent_of(mean), (labels.queries.n, 1))


def _pair_terms(
    pairs: Pairs, latent: Floats, davidson: Davidson
) -> tuple[NDArray[np.int64], NDArray[np.int64], Terms]:
    gap = latent[pairs.query, pairs.a] - latent[pairs.query, pairs.b]
    terms = davidson.terms(gap, pairs.outcome, pairs.weight)
    both = Terms(np.concatenate((terms.slope, -terms.slope)), np.tile(terms.curvature, 2))
    return np.tile(pairs.query, 2), np.concatenate((pairs.a, pairs.b)), both


def _folded(
    labels: Labels, latent: Floats, found: list[tuple[NDArray[np.int64], NDArray[np.int64], Terms]]
) -> Labels:
    """Return labels that are scores only: what else is known of an answer is added to its score."""
    slope, curvature = np.zeros(latent.shape), np.zeros(latent.shape)
    for query, model, terms in found:
        np.add.at(slope, (query, model), terms.slope)
        np.add.at(curvature, (query, model), terms.curvature)
    told = curvature > 0
    extra = np.zeros(latent.shape)
    weight = np.zeros(latent.shape)
    extra[told], weight[told] = fractions(latent[told], Terms(slope[told], curvature[told]))
    known = label_weights(labels)
    total = known + weight
    mixed = (known * np.nan_to_num(labels.scores) + weight * extra) / np.where(total > 0, total, 1.0)
    return Labels(
        models=labels.models,
        queries=labels.queries,
        scores=np.where(total > 0, np.clip(mixed, 0.0, 1.0), np.nan),
        weights=total,
        covariates=labels.covariates,
    )


def _check_votes(votes: Votes, labels: Labels) -> None:
    sizes = {part.shape for part in (votes.query, votes.model, votes.up, votes.user, votes.weight)}
    if len(sizes) > 1 or not votes.query.size:
        raise ValueError("votes need as many prompts, models, verdicts, users and weights, at least one")
    wrong = (
        (votes.query < 0)
        | (votes.query >= labels.queries.n)
        | (votes.model < 0)
        | (votes.model >= len(labels.models))
        | (votes.user < 0)
        | ~((votes.up >= 0) & (votes.up <= 1))
        | ~((votes.weight >= 0) & np.isfinite(votes.weight))
    )
    if wrong.any():
        raise ValueError(f"votes outside the prompts, the pool or 0-1: row {int(np.flatnonzero(wrong)[0])}")
