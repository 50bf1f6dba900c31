"""Intents: scores, thresholds, the artifact."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from turnout.errors import ConfigError
from turnout.learn.artifact import CardEncoder
from turnout.learn.intent import Card, CardHead, Head, IntentModel, decode, encode, highest
from turnout.learn.intent_fit import (
    Examples,
    auroc,
    fit_head,
    fit_layer,
    fit_thresholds,
    method_for,
    raised,
    report,
)

INF = float("inf")


def spread(n_each=6, seed=0, n_none=4):
    """Three labels round three axes of five, and some utterances of none round the others."""
    rng = np.random.default_rng(seed)
    centres = np.eye(5)[np.repeat([0, 1, 2], n_each)]
    outside = np.eye(5)[3 + np.arange(n_none) % 2]
    vectors = np.vstack((centres, outside)) + rng.normal(0, 0.15, (3 * n_each + n_none, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Examples(vectors, np.concatenate((np.repeat([0, 1, 2], n_each), np.full(n_none, -1))), 3)


def model(method="top"):
    head, told = fit_head(spread(), method)
    encoder = CardEncoder(name="hash", id="hash-1-2/5/2", dimensions=5)
    card = Card(
        created=datetime(2026, 11, 22, tzinfo=UTC),
        turnout_version="0",
        canonicaliser="1",
        labels=("a", "b", "c"),
        utterances=(6, 6, 6),
        negatives=4,
        heads=(CardHead(encoder=encoder, method=method, fitted=told),),
    )
    return IntentModel(card, (head,))


@pytest.mark.parametrize("method", ["top", "max", "centroid", "logistic"])
def test_every_method_tells_labels_apart_and_turns_others_away(method) -> None:
    head, told = fit_head(spread(20, n_none=10), method)
    assert (told.accuracy, told.none_auroc) == (1.0, 1.0)
    new = spread(5, seed=1)
    best, taken = head.decide(head.scores(new.vectors), 0.0)
    own = new.labels >= 0
    assert (best == new.labels)[own].all()
    assert taken[own].mean() > 0.8
    assert not taken[~own].any()


def test_the_score_is_the_mean_of_the_highest() -> None:
    assert highest(
        np.array([[0.1, 0.9, 0.5], [0.2, -INF, -INF], [-INF, -INF, -INF]]), 2
    ).tolist() == pytest.approx([0.7, 0.2, -INF])


def test_thresholds_are_the_best_of_all_that_can_be_tried() -> None:
    """Two labels, six utterances: compared with every pair of thresholds."""
    scores = np.array([[0.9, 0.0], [0.6, 0.0], [0.5, 0.0], [0.0, 0.8], [0.0, 0.4], [0.0, 0.7]])
    labels = np.array([0, 0, -1, 1, -1, -1])
    fitted = fit_thresholds(scores, labels)

    def f1(thresholds):
        head = Head(method="centroid", k=1, thresholds=thresholds, vectors=np.eye(2), rows=np.zeros((2, 1)))
        return report(head, scores, labels, 0.0).macro_f1

    every = [f1(np.array([a, b])) for a in np.arange(0, 1, 0.05) for b in np.arange(0, 1, 0.05)]
    assert f1(fitted) == max(every) == 1.0
    assert fitted == pytest.approx([0.55, 0.75])


def test_a_label_that_met_no_stranger_keeps_the_common_threshold() -> None:
    scores = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.9], [0.0, 0.7], [0.0, 0.5]])
    assert fit_thresholds(scores, np.array([0, 0, 1, 1, -1])) == pytest.approx([0.7, 0.6])


def test_a_floor_turns_strangers_away_as_far_as_it_costs_few_others() -> None:
    own, none = np.linspace(0.5, 1.0, 101), np.linspace(0.3, 0.6, 10)
    labels = np.concatenate((np.zeros(101), np.full(10, -1))).astype(np.int64)
    scores = np.stack((np.concatenate((own, none)), np.zeros(111)), axis=1)
    loose = np.full(2, 0.4)
    assert raised(loose, scores, labels, 0.6) == pytest.approx([none[5]] * 2)
    assert raised(loose, scores, labels, 0.9) == pytest.approx([own[5]] * 2)
    assert (
        raised(loose, scores, labels, 0.3).tolist()
        == raised(loose, scores, labels, 0.0).tolist()
        == [0.4, 0.4]
    )
    assert raised(loose, scores[:101], labels[:101]).tolist() == [0.4, 0.4]


def test_a_narrow_lead_is_turned_away() -> None:
    head = Head(method="centroid", k=1, thresholds=np.zeros(2), vectors=np.eye(2), rows=np.zeros((2, 1)))
    scores = np.array([[0.9, 0.85], [0.9, 0.1]])
    assert head.decide(scores, 0.1)[1].tolist() == [False, True]
    assert head.decide(scores, 0.0)[1].tolist() == [True, True]


def test_auroc_counts_ties_as_half() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 0.875


def test_a_layer_is_fitted_where_every_label_has_enough() -> None:
    assert [method_for((5, 50)), method_for((10, 10))] == ["top", "logistic"]


def test_the_layer_is_close_to_the_minimum_of_its_loss() -> None:
    found = spread(30, n_none=0)
    weights = fit_layer(found.vectors, found.labels, 3).astype(np.float64)
    inputs = np.hstack((8 * found.vectors, np.ones((90, 1))))
    logits = inputs @ weights.T
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradient = (shares - np.eye(3)[found.labels]).T @ inputs / 90 + 2.0 / 90 * weights
    assert np.abs(gradient).max() < 2e-3


@pytest.mark.parametrize("method", ["top", "logistic"])
def test_an_artifact_comes_back_as_it_was(method) -> None:
    made = model(method)
    npz, card = encode(made)
    assert encode(made) == (npz, card)
    again = decode(npz, card)
    vectors = spread(4, seed=3).vectors
    assert again.heads[0].scores(vectors) == pytest.approx(made.heads[0].scores(vectors), abs=1e-6)
    assert again.labels == ("a", "b", "c")
    assert again.encoders == ("hash",)


def _other_hash(npz, card):
    return npz + b" ", card


def _other_schema(npz, card):
    return npz, card.replace(b"turnout.intent/1", b"turnout.intent/9")


def _no_card(npz, card):
    return npz, b"[]"


def _other_width(npz, card):
    tree = msgspec.json.decode(card)
    tree["heads"][0]["encoder"]["dimensions"] = 7
    return npz, msgspec.json.encode(tree)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_other_hash, "the arrays are not the ones that the card was written for"),
        (_other_schema, "schema is 'turnout.intent/9'"),
        (_no_card, "schema is None"),
        (_other_width, r"vectors of head 0 have shape \(18, 5\); expected rows of 7"),
    ],
)
def test_files_that_do_not_fit_are_refused(change, says) -> None:
    with pytest.raises(ConfigError, match=says):
        decode(*change(*encode(model())))
