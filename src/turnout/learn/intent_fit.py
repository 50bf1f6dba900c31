"""Fits the heads of an intent artifact: a layer where there is enough to learn from, and thresholds. Floor 2.

Theory of operation.

1. Thresholds are chosen by scores of utterances that took no part in the score: cosines leave the utterance
   itself out; a linear layer is fitted on four fifths and scores the last, in turn.
2. Thresholds begin as one for all labels: of every observed score, the one with the highest macro-F1. A
   label's own threshold only matters to utterances whose highest score is that label's. For these, every
   observed score is tried; kept is the one with the highest sum of the label's F1 and that of `none`, which
   all labels share. So labels take turns until nothing changes, at most ten times: the macro-F1 never falls.
   A label moves away from the common threshold only for utterances that are not its own: where it met none,
   nothing tells what to turn away, and the least score of its own few would let everything pass.
3. In that macro-F1 `none` is one class of many, so that with a hundred labels many strangers pass. Therefore
   a floor under all thresholds is raised until `none_recall` of the strangers are turned away, or `MOST_LOST`
   of what was routed rightly is: a poor encoder must not pay with its good answers.
4. The linear layer is a softmax regression with a ridge. Each step divides the gradient by the bound on the
   curvature that holds everywhere (Böhning 1992), which needs one inverse; momentum does the rest.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats
from turnout.learn.intent import SCALE, Float32, Head, Method, Report, highest

LOGISTIC_FROM: Final = 10
"""Utterances each label needs before a layer is fitted; with fewer the nearest ones are the better guide."""
MIN_UTTERANCES: Final = 5
PRIOR: Final = 2.0
"""Precision of the weights before any utterance: cross-validated inside BANKING77's `train`, ten a label."""
STEPS: Final = 60
FOLDS: Final = 5
MAX_SWEEPS: Final = 10
NONE_RECALL: Final = 0.85
"""Share of utterances of none to turn away, cross-validated, so that .8 of new ones are."""
MOST_LOST: Final = 0.05
"""Share of rightly routed utterances that turning strangers away may cost."""


class Examples(Struct, frozen=True, eq=False):
    """Utterances as vectors."""

    vectors: Floats
    """One a row."""
    labels: NDArray[np.int64]
    """Column of each row's label; -1: none."""
    n_labels: int

    def of(self, chosen: NDArray[np.bool_]) -> "Examples":
        """Return some of the rows."""
        return Examples(self.vectors[chosen], self.labels[chosen], self.n_labels)


def method_for(counts: Sequence[int]) -> Method:
    """Return what suits labels with these numbers of utterances."""
    return "logistic" if min(counts) >= LOGISTIC_FROM else "top"


def fit_head(
    found: Examples, method: Method, k: int = 5, margin: float = 0.0, none_recall: float = NONE_RECALL
) -> tuple[Head, Report]:
    """Return the head fitted on utterances of labels and of none, and how it does on them cross-validated."""
    own = found.of(found.labels >= 0)
    scores = _left_out(found, method, k)
    thresholds = raised(fit_thresholds(scores, found.labels), scores, found.labels, none_recall)
    head = _head(own, method, k, thresholds)
    return head, report(head, scores, found.labels, margin)


def report(head: Head, scores: Floats, labels: NDArray[np.int64], margin: float) -> Report:
    """Measure a head by scores it gave."""
    best, taken = head.decide(scores, margin)
    own = labels >= 0
    n, n_none = int(own.sum()), int((~own).sum())
    right = best == labels
    counts = [_counts(best, taken, labels, at) for at in np.unique(labels[own])]
    f1 = [_f1(*each) for each in counts]
    if n_none:
        turned = int((~taken & ~own).sum())
        f1.append(_f1(turned, int((~taken & own).sum()), n_none - turned))
    top = scores.max(axis=1)
    return Report(
        n=n,
        n_none=n_none,
        accuracy=float(right[own].mean()) if n else None,
        accuracy_routed=float((right & taken)[own].mean()) if n else None,
        none_recall=float((~taken)[~own].mean()) if n_none else None,
        none_auroc=auroc(top[own], top[~own]) if n and n_none else None,
        macro_f1=float(np.mean(f1)) if f1 else None,
    )


def auroc(high: Floats, low: Floats) -> float:
    """Return the chance that a number of the first kind is above one of the second; a tie is half."""
    both = np.concatenate((high, low))
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n = len(high)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(low)))


def fit_thresholds(scores: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return the least score of each label at which it is taken: macro-F1 as high as turns can make it."""
    n_labels = scores.shape[1]
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    groups = [_Group.of(np.flatnonzero(best == at), top, labels, at) for at in range(n_labels)]
    n_none = int((labels < 0).sum())
    common = _common(groups, top, n_none)
    cuts = [int(np.searchsorted(group.scores, common)) for group in groups]  # how many are turned away
    right = sum(int(group.none[cut]) for group, cut in zip(groups, cuts, strict=True))
    wrong = sum(int(group.own[cut]) for group, cut in zip(groups, cuts, strict=True))
    open_ = [at for at, group in enumerate(groups) if group.is_mixed]
    for _ in range(MAX_SWEEPS):
        before = list(cuts)
        for at in open_:
            group = groups[at]
            right, wrong = right - int(group.none[cuts[at]]), wrong - int(group.own[cuts[at]])
            cuts[at] = group.best_cut(right, wrong, n_none)
            right, wrong = right + int(group.none[cuts[at]]), wrong + int(group.own[cuts[at]])
        if cuts == before:
            break
    own = [
        group.threshold(cut) if group.is_mixed else common for group, cut in zip(groups, cuts, strict=True)
    ]
    return np.array(own)


def raised(
    thresholds: Floats, scores: Floats, labels: NDArray[np.int64], none_recall: float = NONE_RECALL
) -> Floats:
    """Return the thresholds, none below a floor at which so many utterances of none are turned away.

    The floor stays where it would cost more than `MOST_LOST` of the utterances that were routed rightly.

    Args:
        thresholds: One a label.
        scores: One row an utterance that took no part in its score.
        labels: Column of each; -1: none.
        none_recall: Share of utterances of none to turn away; 0: as the thresholds do.
    """
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    strangers = np.sort(top[labels < 0])
    n_away = len(strangers) - math.floor((1 - none_recall) * len(strangers))
    right = np.sort(top[(top >= thresholds[best]) & (best == labels)])
    if n_away <= 0 or not len(right):
        return thresholds
    # Of all strangers, not of those that pass: a label's own threshold was fitted around the few it met.
    floor = float(np.nextafter(strangers[n_away - 1], np.inf))
    found: Floats = np.maximum(thresholds, min(floor, float(right[int(MOST_LOST * len(right))])))
    return found


def _common(groups: Sequence["_Group"], top: Floats, n_none: int) -> float:
    """Return the observed score that, as the threshold of every label, gives the highest macro-F1."""
    tried = np.unique(top)
    total, right, wrong = np.zeros(len(tried)), np.zeros(len(tried)), np.zeros(len(tried))
    for group in groups:
        cuts = np.searchsorted(group.scores, tried)
        total += group.f1(cuts)
        right += group.none[cuts]
        wrong += group.own[cuts]
    if n_none:
        total += 2 * right / (right + wrong + n_none)
    return float(tried[int(np.argmax(total))])


class _Group(Struct, frozen=True, eq=False):
    """Utterances whose highest score is one label's, lowest score first."""

    scores: Floats
    hits: NDArray[np.int64]
    """Of the label itself, among the first c, for c = 0 … n."""
    none: NDArray[np.int64]
    """Of none, among the first c."""
    own: NDArray[np.int64]
    """Of any label, among the first c."""
    n_label: int
    """Utterances of the label, wherever their highest score is."""

    @classmethod
    def of(cls, rows: NDArray[np.int64], top: Floats, labels: NDArray[np.int64], at: int) -> "_Group":
        ordered = rows[np.argsort(top[rows], kind="stable")]
        whose = labels[ordered]
        first = [np.concatenate(([0], np.cumsum(kind))) for kind in (whose == at, whose < 0, whose >= 0)]
        return cls(top[ordered], first[0], first[1], first[2], int((labels == at).sum()))

    def best_cut(self, right: int, wrong: int, n_none: int) -> int:
        """Return how many to turn away, given how many of none and of labels the others turn away."""
        n = len(self.scores)
        if n == 0:
            return 0
        cuts = np.arange(n)  # one is always left: a label that takes nothing is no route
        cuts = cuts[np.concatenate(([True], self.scores[1:] > self.scores[:-1]))]
        gain = self.f1(cuts)
        if n_none:
            turned = right + self.none[cuts]
            gain = gain + 2 * turned / (turned + wrong + self.own[cuts] + n_none)
        return int(cuts[int(np.argmax(gain))])

    @property
    def is_mixed(self) -> bool:
        """Whether some of them are not the label's own."""
        return bool(self.hits[-1] < len(self.scores))

    def f1(self, cuts: NDArray[np.int64]) -> Floats:
        """Return the label's F1 for each number of the lowest turned away."""
        hits = self.hits[-1] - self.hits[cuts]
        found: Floats = 2 * hits / np.maximum(len(self.scores) - cuts + self.n_label, 1)
        return found

    def threshold(self, cut: int) -> float:
        """Return the threshold that turns the lowest away: halfway between the last of them and the next."""
        if len(self.scores) == 0:
            return float("-inf")
        if cut == 0:
            return float(self.scores[0])
        return float((self.scores[cut - 1] + self.scores[cut]) / 2)


def fit_layer(vectors: Floats, labels: NDArray[np.int64], n_labels: int) -> Float32:
    """Return labels x (dimensions + 1) weights of a softmax regression on stretched vectors."""
    inputs = np.hstack((SCALE * vectors, np.ones((len(vectors), 1)))).astype(np.float32)
    n, width = inputs.shape
    ridge = PRIOR / n
    curvature = 0.5 * (inputs.T @ inputs).astype(np.float64) / n + ridge * np.eye(width)
    inverse = np.linalg.inv(curvature).astype(np.float32)
    wanted = np.zeros((n, n_labels), np.float32)
    wanted[np.arange(n), labels] = 1
    weights = ahead = np.zeros((n_labels, width), np.float32)
    pace = 1.0
    for _ in range(STEPS):
        shares = inputs @ ahead.T
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        shares -= wanted
        step = (shares.T @ inputs / np.float32(n) + np.float32(ridge) * ahead) @ inverse
        moved = ahead - step
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = moved + np.float32((pace - 1) / faster) * (moved - weights)
        weights, pace = moved, faster
    return weights


def _head(own: Examples, method: Method, k: int, thresholds: Floats) -> Head:
    rows = _grouped(own) if method in ("top", "max") else np.full((own.n_labels, 1), -1)
    match method:
        case "logistic":
            vectors = fit_layer(own.vectors, own.labels, own.n_labels)
        case "centroid":
            vectors = _centroids(own).astype(np.float32)
        case _:
            # Halved in the file, so halved here: the thresholds are fitted for what is served.
            vectors = own.vectors.astype(np.float16).astype(np.float32)
    return Head(method=method, k=k, thresholds=thresholds, vectors=vectors, rows=rows)


def _left_out(found: Examples, method: Method, k: int) -> Floats:
    """Return scores of every row by heads that did not see it."""
    own = found.of(found.labels >= 0)
    scores = np.empty((len(found.labels), found.n_labels))
    open_ended = np.full(found.n_labels, -np.inf)
    is_own = found.labels >= 0
    if method == "logistic":
        # By place within the label, so that every fold has its share of each.
        fold = _place_in_label(found.labels) % FOLDS
        for at in range(FOLDS):
            seen = _head(found.of(is_own & (fold != at)), method, k, open_ended)
            scores[fold == at] = seen.scores(found.vectors[fold == at])
        return scores
    head = _head(own, method, k, open_ended)
    scores[~is_own] = head.scores(found.vectors[~is_own])
    if method == "centroid":
        scores[is_own] = _centroid_scores(own)
        return scores
    cosines = own.vectors.astype(np.float32) @ head.vectors.T
    np.fill_diagonal(cosines, -np.inf)
    for begin in range(0, len(cosines), 256):
        grouped = np.where(head.rows >= 0, cosines[begin : begin + 256][:, head.rows], -np.inf)
        part = highest(grouped, 1 if method == "max" else k)
        scores[np.flatnonzero(is_own)[begin : begin + 256]] = part
    return scores


def _centroid_scores(own: Examples) -> Floats:
    sums = np.zeros((own.n_labels, own.vectors.shape[1]))
    np.add.at(sums, own.labels, own.vectors)
    scores: Floats = own.vectors @ _unit(sums).T
    without = _unit(sums[own.labels] - own.vectors)
    scores[np.arange(len(scores)), own.labels] = np.einsum("ij,ij->i", without, own.vectors)
    return scores


def _centroids(own: Examples) -> Floats:
    sums = np.zeros((own.n_labels, own.vectors.shape[1]))
    np.add.at(sums, own.labels, own.vectors)
    return _unit(sums)


def _grouped(own: Examples) -> NDArray[np.int64]:
    counts = np.bincount(own.labels, minlength=own.n_labels)
    rows = np.full((own.n_labels, max(1, int(counts.max()))), -1, np.int64)
    rows[own.labels, _place_in_label(own.labels)] = np.arange(len(own.labels))
    return rows


def _place_in_label(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row how many rows before it have its label."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - starts
    return places


def _unit(rows: Floats) -> Floats:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows / np.where(lengths > 0, lengths, 1.0)


def _counts(
    best: NDArray[np.int64], taken: NDArray[np.bool_], labels: NDArray[np.int64], at: int
) -> tuple[int, int, int]:
    said = taken & (best == at)
    hits = int((said & (labels == at)).sum())
    return hits, int(said.sum()) - hits, int((labels == at).sum()) - hits


def _f1(hits: int, false: int, missed: int) -> float:
    total = 2 * hits + false + missed
    return 2 * hits / total if total else 0.0
