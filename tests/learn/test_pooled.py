"""The default router: finds what was planted, knows how sure it is, and survives a trip through arrays."""

import msgspec
import numpy as np
import pytest

from turnout.learn.abstain import edge
from turnout.learn.base import Labels, Queries
from turnout.learn.basis import principal
from turnout.learn.measures import MEASURES
from turnout.learn.pooled import Pooled
from turnout.learn.pooled_choose import Held, Sizes, choose, fold, folds_of
from turnout.learn.pooled_fit import PooledLogistic

N_TOPICS = 4


def world(n, seed=0, d=12, models=("a", "b", "c"), strength=2.0):
    """Prompts in topics; each model is good at some of them."""
    random = np.random.Generator(np.random.PCG64(seed))
    topic = random.integers(N_TOPICS, size=n)
    vectors = np.eye(N_TOPICS, d)[topic] + 0.1 * random.normal(size=(n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    skill = strength * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 0.5, -0.5]])[: len(models)]
    chance = 1 / (1 + np.exp(-skill[:, topic].T))
    scores = (random.random(chance.shape) < chance).astype(float)
    measures = random.normal(size=(n, len(MEASURES)))
    return Labels(models=models, queries=Queries(vectors, measures), scores=scores), chance


def test_it_finds_which_model_is_good_at_what():
    labels, _ = world(1500)
    found, outside = PooledLogistic().fit_held_out(labels)
    asked, chance = world(500, seed=1)
    assert np.abs(found.predict(asked.queries).mean - chance).mean() < 0.05
    assert edge(outside, labels.scores).reason is None
    assert edge(outside, labels.scores).gap_auc.mean > 0.7


def test_shuffled_labels_leave_it_without_an_edge():
    labels, _ = world(1500)
    random = np.random.Generator(np.random.PCG64(5))
    shuffled = msgspec.structs.replace(labels, scores=random.permutation(labels.scores, axis=0))
    _, outside = PooledLogistic().fit_held_out(shuffled)
    assert edge(outside, shuffled.scores).reason is not None


def test_the_same_labels_give_the_same_arrays():
    labels, _ = world(400)
    first, second = (PooledLogistic().fit(labels, seed=3).arrays() for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {
        name: array.tobytes() for name, array in second.items()
    }


def test_arrays_give_the_same_predictions():
    labels, _ = world(2500)
    found = PooledLogistic().fit(labels)
    again = Pooled.of(labels.models, found.arrays())
    asked = world(30, seed=2)[0].queries
    np.testing.assert_array_equal(found.predict(asked).mean, again.predict(asked).mean)
    np.testing.assert_array_equal(found.predict(asked).sd, again.predict(asked).sd)


def test_one_row_is_predicted_as_many_are():
    labels, _ = world(2500)
    found = PooledLogistic().fit(labels)
    asked = world(20, seed=2)[0].queries
    rows = [Queries(asked.embeddings[i : i + 1], asked.measures[i : i + 1]) for i in range(asked.n)]
    np.testing.assert_allclose(
        np.vstack([found.predict(row).mean for row in rows]), found.predict(asked).mean, atol=1e-6
    )


def test_few_labels_mean_a_wide_interval():
    labels, _ = world(1000)
    few = labels.scores.copy()
    few[40:, 2] = np.nan
    found = PooledLogistic().fit(msgspec.structs.replace(labels, scores=few))
    sd = found.predict(world(100, seed=3)[0].queries).sd.mean(axis=0)
    assert sd[2] > 1.5 * sd[0]


def test_a_prompt_unlike_the_training_data_is_far_from_every_cell():
    labels, _ = world(600)
    found = PooledLogistic().fit(labels)
    strange = np.zeros((1, 12))
    strange[0, 10] = 1.0
    assert found.nearness(strange)[0] < 0.5 < np.quantile(found.nearness(labels.queries.embeddings), 0.01)


def test_measures_that_are_absent_are_their_mean():
    labels, _ = world(600)
    found = PooledLogistic().fit(labels)
    vector = labels.queries.embeddings[:1]
    absent = found.predict(Queries(vector, np.full((1, len(MEASURES)), np.nan))).mean
    mean = found.predict(Queries(vector, found.scaling.means[None])).mean
    np.testing.assert_allclose(absent, mean)


def test_long_vectors_are_reduced_without_losing_what_differs():
    labels, _ = world(800)
    random = np.random.Generator(np.random.PCG64(0))
    turn = np.linalg.qr(random.normal(size=(700, 12)))[0].T
    long = Queries(labels.queries.embeddings @ turn, labels.queries.measures)
    trainer = PooledLogistic(embedding=10.0, regions=10.0, measures=30.0, calibration="off")
    found = trainer.fit(msgspec.structs.replace(labels, queries=long))
    assert found.scaling.basis is not None
    short = trainer.fit(labels).predict(labels.queries).mean
    np.testing.assert_allclose(found.predict(long).mean, short, atol=0.01)
    assert principal(labels.queries.embeddings) is None


def test_rows_without_a_vector_are_left_out():
    labels, _ = world(400)
    vectors = labels.queries.embeddings.copy()
    vectors[:50] = 0.0
    found, outside = PooledLogistic().fit_held_out(
        msgspec.structs.replace(labels, queries=Queries(vectors, labels.queries.measures))
    )
    assert np.isfinite(found.predict(labels.queries).mean).all()
    np.testing.assert_allclose(outside[:50], np.tile(labels.scores.mean(axis=0), (50, 1)))


def test_a_fact_about_models_moves_what_new_ones_are_drawn_around():
    models = tuple("abcdef")
    random = np.random.Generator(np.random.PCG64(1))
    base, _ = world(500)
    price = np.linspace(-1, 1, 6)[:, None]
    scores = (random.random((500, 6)) < 1 / (1 + np.exp(-1.5 * price.T))).astype(float)
    labels = Labels(models=models, queries=base.queries, scores=scores, covariates=price)
    found = PooledLogistic().fit(labels)
    assert found.common.shape[0] == 2
    assert found.common[1, 0] > 0.5


def test_precisions_are_chosen_by_held_out_gaps():
    labels, _ = world(900, strength=3.0)
    features = np.hstack((np.ones((900, 1)), labels.queries.embeddings, labels.queries.measures))
    sizes = Sizes(12, len(MEASURES), 0)
    folded = fold(features, labels.scores, folds_of(labels.queries.embeddings, 0))
    found = choose(folded, sizes, Held(), {"embedding": (0.1, 100.0), "measures": (0.1, 100.0)})
    assert found == Held(embedding=0.1, measures=100.0)


def test_equal_prompts_share_a_fold():
    rows = np.random.Generator(np.random.PCG64(0)).normal(size=(50, 4))
    folds = folds_of(np.vstack((rows, rows)), seed=1)
    assert (folds[:50] == folds[50:]).all()
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["weights", "told", "centres", "norm"])
def test_arrays_that_do_not_fit_are_refused(name):
    labels, _ = world(300)
    arrays = dict(PooledLogistic().fit(labels).arrays())
    arrays[name] = arrays[name][..., :-1]
    with pytest.raises(ValueError, match="array"):
        Pooled.of(labels.models, arrays)


@pytest.mark.parametrize("settings", [{"cells": 0}, {"embedding": 0.0}, {"regions": float("inf")}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="pooled: "):
        PooledLogistic(**settings)
