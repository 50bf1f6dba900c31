"""What every learned method promises, and what each finds in a world whose truth is known."""

import msgspec
import numpy as np
import pytest

from tests.learn.worlds import CHANCES, MODELS, battles, outcomes, topics
from turnout.learn.base import Labels, Queries
from turnout.learn.head import ClassifierHead, Head
from turnout.learn.kmeans import CellMeans, KMeans
from turnout.learn.knn import Knn, NearestPrompts
from turnout.learn.mf import Factors, MatrixFactorisation
from turnout.learn.sw_bt import Battles, SimilarBattles

METHODS = {
    "knn": (Knn(), NearestPrompts),
    "kmeans": (KMeans(cells=8), CellMeans),
    "avengers": (KMeans(cells=8, variant="avengers"), CellMeans),
    "mf": (MatrixFactorisation(rank=8, decay=1.0), Factors),
    "sw_bt": (SimilarBattles(nearest=300), Battles),
    "head": (ClassifierHead(rate=0.01), Head),
    "logistic": (ClassifierHead(hidden=0, rate=0.05), Head),
}
QUALITY = ("knn", "kmeans", "mf", "sw_bt", "head", "logistic")
"""Those whose numbers are chances of a good answer, not ranks."""
FROM_PAIRS = ("mf", "sw_bt", "head", "logistic")
every = pytest.mark.parametrize("name", METHODS)


@every
def test_every_method_predicts_one_bounded_score_a_model_and_prompt(name):
    trainer, _ = METHODS[name]
    model = trainer.fit(outcomes(300))
    queries, _ = topics(7, seed=5)
    found = model.predict(queries)
    assert (found.mean.shape, found.sd.shape, model.models) == ((7, 3), (7, 3), MODELS)
    assert ((found.mean >= 0) & (found.mean <= 1)).all()
    assert (np.isnan(found.sd) | ((found.sd > 0) & (found.sd < 0.5))).all()
    one = model.predict(Queries(queries.embeddings[:1], queries.measures[:1]))
    assert one.mean == pytest.approx(found.mean[:1], abs=1e-6)


@every
def test_the_same_labels_and_seed_give_the_same_model(name):
    trainer, _ = METHODS[name]
    first, second = (trainer.fit(outcomes(200), seed=3).arrays() for _ in range(2))
    assert {key: value.tobytes() for key, value in first.items()} == {
        key: value.tobytes() for key, value in second.items()
    }


@every
def test_a_model_written_and_read_back_predicts_the_same(name):
    trainer, kind = METHODS[name]
    model, (queries, _) = trainer.fit(outcomes(200)), topics(20, seed=4)
    again = kind.of(model.models, model.arrays())
    assert (again.predict(queries).mean == model.predict(queries).mean).all()


@every
def test_a_written_model_that_lacks_an_array_or_fits_another_pool_is_refused(name):
    trainer, kind = METHODS[name]
    arrays = dict(trainer.fit(outcomes(100)).arrays())
    with pytest.raises(ValueError, match="array"):
        kind.of((*MODELS, "d"), arrays)
    for key in arrays:
        with pytest.raises(ValueError, match=key):
            kind.of(MODELS, {other: value for other, value in arrays.items() if other != key})


@every
def test_the_card_names_settings_that_make_the_same_trainer(name):
    trainer, _ = METHODS[name]
    assert msgspec.convert(trainer.settings(), type(trainer)) == trainer


@pytest.mark.parametrize("name", QUALITY)
def test_what_was_planted_is_found(name):
    trainer, _ = METHODS[name]
    model = trainer.fit(outcomes(3000))
    queries, topic = topics(400, seed=8)
    found = model.predict(queries).mean
    assert np.abs(found - CHANCES[topic]).mean() < 0.1
    assert (found.argmax(axis=1) == CHANCES[topic].argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("name", FROM_PAIRS)
def test_comparisons_alone_tell_who_is_better_where(name):
    trainer, _ = METHODS[name]
    model = trainer.fit(battles(3000))
    queries, topic = topics(400, seed=8)
    found = model.predict(queries).mean
    assert (found.argmax(axis=1) == CHANCES[topic].argmax(axis=1)).mean() > 0.9
    assert found.mean(axis=1) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["knn", "kmeans", "avengers"])
def test_methods_that_average_scores_refuse_comparisons_alone(name):
    with pytest.raises(ValueError, match="comparisons alone"):
        METHODS[name][0].fit(battles(50))


def test_neighbours_do_not_depend_on_the_order_of_rows():
    labels, order = outcomes(300), np.random.default_rng(0).permutation(300)
    shuffled = Labels(
        models=MODELS,
        queries=Queries(labels.queries.embeddings[order], labels.queries.measures[order]),
        scores=labels.scores[order],
    )
    queries, _ = topics(30, seed=2)
    first, second = (Knn().fit(each).predict(queries).mean for each in (labels, shuffled))
    assert first == pytest.approx(second, abs=1e-6)


@every
def test_a_prompt_without_a_vector_gets_every_models_mean(name):
    trainer, _ = METHODS[name]
    model = trainer.fit(outcomes(400))
    first, second = model.predict(Queries(np.zeros((2, 16)), np.empty((2, 0)))).mean
    assert first.tolist() == second.tolist()
    if name in {"knn", "kmeans"}:
        assert first == pytest.approx(outcomes(400).scores.mean(axis=0), abs=0.01)


@pytest.mark.parametrize("name", ["knn", "kmeans", "mf", "head", "sw_bt"])
def test_labels_of_no_weight_say_nothing(name):
    labels = outcomes(300)
    weights = np.ones((300, 3))
    weights[150:] = 0.0
    wrong = labels.scores.copy()
    wrong[150:] = 1 - wrong[150:]
    trainer, (queries, _) = METHODS[name][0], topics(40, seed=2)
    first, second = (
        trainer.fit(Labels(models=MODELS, queries=labels.queries, scores=scores, weights=weights))
        for scores in (labels.scores, wrong)
    )
    assert (first.predict(queries).mean == second.predict(queries).mean).all()


@pytest.mark.parametrize("name", ["knn", "kmeans", "mf", "head", "sw_bt"])
def test_models_with_missing_outcomes_are_predicted_too(name):
    labels = outcomes(900)
    scores = labels.scores.copy()
    scores[np.random.default_rng(0).random(scores.shape) < 0.5] = np.nan
    model = METHODS[name][0].fit(Labels(models=MODELS, queries=labels.queries, scores=scores))
    queries, topic = topics(300, seed=8)
    assert np.abs(model.predict(queries).mean - CHANCES[topic]).mean() < 0.15


def test_the_spread_of_neighbours_grows_with_distance():
    model = Knn().fit(outcomes(500))
    near, _ = topics(1, seed=3)
    far = Queries(np.eye(16)[:1], np.empty((1, 0)))
    assert (model.predict(near).sd < model.predict(far).sd).all()


def test_more_prompts_than_the_limit_are_sampled_by_seed():
    trainer = Knn(limit=100)
    one, other = trainer.fit(outcomes(500), seed=1), trainer.fit(outcomes(500), seed=2)
    assert (one.vectors.shape, (one.vectors != other.vectors).any()) == ((100, 16), True)


def test_avengers_mixes_price_into_each_cell():
    labels = msgspec.structs.replace(outcomes(300), covariates=np.log([[1.0], [2.0], [4.0]]))
    found = KMeans(cells=4, variant="avengers", alpha=0.0).fit(labels).predict(topics(3)[0]).mean
    assert found == pytest.approx(np.tile([0.75, 0.5, 0.0], (3, 1)))
    with pytest.raises(ValueError, match="log price"):
        KMeans(variant="avengers", alpha=0.5).fit(outcomes(300))


def test_models_of_one_tier_share_a_strength():
    model = SimilarBattles(tiers=2).fit(outcomes(600))
    assert sorted(model.tier.tolist()) == [0, 0, 1]
    mean = model.predict(topics(5)[0]).mean
    same = [m for m in range(3) if model.tier[m] == 0]
    assert (mean[:, same[0]] == mean[:, same[1]]).all()


def test_similar_battles_are_found_to_matter_here():
    assert SimilarBattles(nearest=5_000).fit(outcomes(1500)).base > 10


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"models": ("a",), "scores": np.ones((4, 1))}, "only 1 model"),
        ({"scores": np.full((4, 2), 0.5)}, "every score is 0.5"),
        ({"scores": np.array([[1.0, np.nan], [0, np.nan], [1, np.nan], [0, np.nan]])}, "no label for b"),
        ({"scores": np.array([[1.0, 0], [2, 0], [0, np.inf], [0, 1]])}, "outside 0-1: row 1, 2"),
        ({"weights": np.array([[1.0, -1], [1, 1], [1, 1], [np.nan, 1]])}, "weights.*row 0, 3"),
        ({"queries": Queries(np.array([[np.nan, 0]] * 4), np.empty((4, 0)))}, "not finite: row 0, 1, 2, 3"),
        ({"queries": Queries(np.zeros((0, 2)), np.empty((0, 0))), "scores": np.empty((0, 2))}, "no prompts"),
        ({"queries": Queries(np.zeros((4, 2)), np.empty((4, 0)))}, "has a vector|with a vector"),
        ({"models": ("a", "a")}, "same name"),
        ({"scores": np.ones((3, 2))}, "expected \\(4, 2\\)"),
    ],
)
@pytest.mark.parametrize("name", ["knn", "kmeans", "mf", "head", "sw_bt"])
def test_labels_that_cannot_teach_are_refused_with_their_rows(name, change, problem):
    good = Labels(
        models=("a", "b"),
        queries=Queries(np.eye(4)[:, :2] + 0.1, np.empty((4, 0))),
        scores=np.array([[1.0, 0], [0, 1], [1, 1], [0, 0]]),
    )
    with pytest.raises(ValueError, match=problem):
        METHODS[name][0].fit(msgspec.structs.replace(good, **change))


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("query", 99, "prompts that do not exist: row 1"),
        ("a", 7, "models that do not exist: row 1"),
        ("outcome", 1.5, "outcome outside 0-1: row 1"),
        ("weight", np.nan, "not finite: row 1"),
    ],
)
def test_comparisons_that_cannot_be_are_refused_with_their_rows(column, value, problem):
    labels = battles(20)
    changed = getattr(labels.pairs, column).copy()
    changed[1] = value
    pairs = msgspec.structs.replace(labels.pairs, **{column: changed})
    with pytest.raises(ValueError, match=problem):
        MatrixFactorisation().fit(msgspec.structs.replace(labels, pairs=pairs))
