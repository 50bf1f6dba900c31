"""One latent: each kind of label tells about it what it knows, and no more."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.learn.worlds import CHANCES, MODELS, battles, outcomes, topics
from turnout.learn.base import Labels, Pairs
from turnout.learn.head import ClassifierHead
from turnout.learn.kmeans import KMeans
from turnout.learn.links import (
    Davidson,
    Votes,
    fit_davidson,
    fit_linked,
    fit_votes,
    fractions,
    link_judge,
    vote_weights,
)

TRAINER = KMeans(cells=4, prior=0.5)


@given(gap=st.floats(-5, 5), outcome=st.sampled_from([0.0, 0.5, 1.0]), ties=st.floats(0.01, 5))
@settings(derandomize=True)
def test_slope_and_curvature_of_a_comparison_are_its_likelihoods_own(gap, outcome, ties):
    link, step = Davidson(sharpness=1.3, ties=ties), 1e-4
    at = np.array([gap - step, gap, gap + step])
    loss = link.loss(at, np.full(3, outcome))
    terms = link.terms(np.array([gap]), np.array([outcome]), np.ones(1))
    assert terms.slope[0] == pytest.approx((loss[2] - loss[0]) / 2 / step, abs=1e-6)
    assert terms.curvature[0] == pytest.approx((loss[2] - 2 * loss[1] + loss[0]) / step**2, abs=1e-4)


@given(latent=st.floats(-5, 5), slope=st.floats(-3, 3), curvature=st.floats(1e-3, 5))
@settings(derandomize=True)
def test_a_fraction_has_the_slope_of_the_label_it_stands_for(latent, slope, curvature):
    from turnout.learn.links import Terms

    u = np.array([latent])
    score, weight = fractions(u, Terms(np.array([slope]), np.array([curvature])))
    p = 1 / (1 + np.exp(-latent))
    assert 0 <= score[0] <= 1
    assert weight[0] >= 0
    assert weight[0] * (p - score[0]) == pytest.approx(slope, abs=1e-6)


def test_sharpness_and_ties_of_raters_are_found():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(6000, 2)) * 1.5
    truth = Davidson(sharpness=2.0, ties=0.6)
    a, tie, _ = truth.chances(latent[:, 0] - latent[:, 1])
    draw = rng.random(6000)
    outcome = np.where(draw < a, 1.0, np.where(draw < a + tie, 0.5, 0.0))
    rows = np.arange(6000)
    pairs = Pairs(rows, np.zeros(6000, int), np.ones(6000, int), outcome, np.ones(6000))
    found = fit_davidson(pairs, latent)
    assert (found.sharpness, found.ties) == (pytest.approx(2.0, rel=0.15), pytest.approx(0.6, rel=0.15))


def test_a_method_of_scores_learns_from_comparisons_alone():
    found = fit_linked(TRAINER, battles(2000))
    queries, topic = topics(300, seed=8)
    best = found.model.predict(queries).mean.argmax(axis=1)
    assert (best == CHANCES[topic].argmax(axis=1)).mean() > 0.95
    assert found.sweeps <= 10
    assert found.comparisons is not None


def test_comparisons_sharpen_what_few_outcomes_say():
    few, many = outcomes(40), battles(1500, seed=7)
    both = Labels(
        models=MODELS,
        queries=many.queries,
        scores=np.vstack((few.scores, np.full((1460, 3), np.nan))),
        pairs=many.pairs,
    )
    both = msgspec.structs.replace(
        both,
        queries=type(few.queries)(
            np.vstack((few.queries.embeddings, many.queries.embeddings[40:])), np.empty((1500, 0))
        ),
        pairs=msgspec.structs.replace(
            many.pairs, weight=np.where(many.pairs.query < 40, 0.0, many.pairs.weight)
        ),
    )
    queries, topic = topics(300, seed=8)
    error = [
        np.abs(model.predict(queries).mean - CHANCES[topic]).mean()
        for model in (fit_linked(TRAINER, few).model, fit_linked(TRAINER, both).model)
    ]
    assert error[1] < error[0]


def test_labels_without_comparisons_are_fitted_once_as_they_are():
    labels = outcomes(200)
    found, (queries, _) = fit_linked(TRAINER, labels), topics(20)
    assert (found.sweeps, found.has_settled) == (1, True)
    assert (found.model.predict(queries).mean == TRAINER.fit(labels).predict(queries).mean).all()


def test_a_method_that_compares_gets_comparisons_as_they_are():
    trainer, labels = ClassifierHead(hidden=0), battles(200)
    found, (queries, _) = fit_linked(trainer, labels), topics(20)
    assert (found.model.predict(queries).mean == trainer.fit(labels).predict(queries).mean).all()


def votes_of(n, seed=0):
    """Return prompts and votes: half the users are kind, half are harsh."""
    queries, topic = topics(n, seed)
    rng = np.random.default_rng(seed)
    model, user = rng.integers(3, size=n), rng.integers(40, size=n)
    good = CHANCES[topic, model]
    u = np.log(good / (1 - good)) + np.where(user % 2 == 0, 1.5, -1.5)
    up = (rng.random(n) < 1 / (1 + np.exp(-u))).astype(float)
    return queries, Votes(np.arange(n), model, up, user, np.ones(n))


def test_kind_and_harsh_users_are_told_apart():
    _, votes = votes_of(4000)
    topic = topics(4000)[1]
    latent = np.log(CHANCES[topic] / (1 - CHANCES[topic]))
    found = fit_votes(votes, latent)
    assert found.sharpness == pytest.approx(1.0, abs=0.15)
    assert found.offsets[::2].mean() == pytest.approx(1.5, abs=0.35)
    assert found.offsets[1::2].mean() == pytest.approx(-1.5, abs=0.35)


def test_votes_teach_who_is_good_where():
    queries, votes = votes_of(4000)
    scores = np.full((4000, 3), np.nan)
    scores[:30] = outcomes(30).scores
    labels = Labels(models=MODELS, queries=queries, scores=scores)
    found = fit_linked(TRAINER, labels, votes=votes)
    asked, topic = topics(300, seed=8)
    best = found.model.predict(asked).mean.argmax(axis=1)
    assert (best == CHANCES[topic].argmax(axis=1)).mean() > 0.9


def test_votes_of_nobody_are_refused():
    queries, votes = votes_of(50)
    labels = msgspec.structs.replace(outcomes(50), queries=queries)
    with pytest.raises(ValueError, match="row 3"):
        fit_linked(
            TRAINER, labels, votes=msgspec.structs.replace(votes, model=np.where(np.arange(50) == 3, 9, 0))
        )


@given(seed=st.integers(0, 50), users=st.integers(101, 400))
@settings(derandomize=True, max_examples=30)
def test_no_user_has_more_than_a_hundredth(seed, users):
    rng = np.random.default_rng(seed)
    user = np.concatenate((np.arange(users), rng.zipf(1.5, size=3000) % users))
    totals = np.bincount(user, vote_weights(user, rng.uniform(0.01, 1, user.size)))
    assert totals.max() <= 0.01 * totals.sum() * (1 + 1e-9)


def test_with_few_users_everyone_counts_the_same():
    user = np.array([0, 0, 0, 1])
    assert np.bincount(user, vote_weights(user, np.ones(4))).tolist() == pytest.approx([1.0, 1.0])


def test_rare_votes_count_more_but_never_without_bound():
    user = np.arange(300)
    weights = vote_weights(user, np.where(user == 0, 0.5, np.where(user == 1, 1e-6, 1.0)))
    assert (weights[0], weights[2]) == (pytest.approx(2.0), pytest.approx(1.0))
    assert weights[1] <= 0.01 * weights.sum() * (1 + 1e-9)


def test_a_judge_is_calibrated_where_enough_items_have_both_scores():
    rng = np.random.default_rng(0)
    judge = rng.random(400)
    gold = (rng.random(400) < judge**3).astype(float)  # a lenient judge
    link = link_judge(judge, gold)
    assert (link.cap, link.note) == (1.0, "")
    assert link(np.array([0.2, 0.5, 0.95, np.nan]))[:3] == pytest.approx([0.008, 0.125, 0.857], abs=0.12)
    few = link_judge(judge[:30], gold[:30])
    assert (few.cap, few.note) == (0.25, "judge uncalibrated: 30 items with a gold score; 50 needed")
    assert few(np.array([0.4])).tolist() == [0.4]
