"""Lengths and seconds of answers: unbiased in the mean, and bounded as often as stated."""

import numpy as np
import pytest

from turnout.learn.base import Queries
from turnout.learn.outcomes import Lengths, conformal_quantile, fit_lengths, fit_speeds, pinball

MODELS = ("terse", "wordy")


def world(n, seed=0, d=12):
    """Return prompts and lengths: skewed noise, the wordy model four times as long."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    measures = rng.normal(size=(n, 2))
    log_n = 4 + 2 * vectors[:, :1] + 0.3 * measures[:, :1] + np.array([0.0, np.log(4)])
    noise = rng.gumbel(size=(n, 2)) * 0.4
    return Queries(vectors, measures), np.round(np.exp(log_n + noise)) + 1


def test_mean_lengths_are_right_on_new_prompts():
    found = fit_lengths(MODELS, *world(2000))
    queries, lengths = world(2000, seed=1)
    predicted = found.predict(queries)
    assert predicted.mean.mean(axis=0) == pytest.approx(lengths.mean(axis=0), rel=0.05)
    constant = np.abs(lengths - lengths.mean(axis=0)).mean()
    assert np.abs(lengths - predicted.mean).mean() < constant


@pytest.mark.parametrize("seed", range(3))
def test_the_upper_bound_holds_nine_times_in_ten(seed):
    found = fit_lengths(MODELS, *world(1000, seed))
    queries, lengths = world(4000, seed=100 + seed)
    assert (lengths <= found.predict(queries).upper).mean(axis=0) == pytest.approx(0.9, abs=0.03)


def test_the_bound_beats_a_constant_in_pinball_loss():
    train, lengths = world(1500)
    found, (queries, new) = fit_lengths(MODELS, train, lengths), world(1500, seed=1)
    constant = np.tile(np.quantile(lengths, 0.9, axis=0), (1500, 1))
    assert pinball(new, found.predict(queries).upper, 0.9) < 0.9 * pinball(new, constant, 0.9)


def test_no_prediction_goes_beyond_what_was_asked_for():
    found, (queries, _) = fit_lengths(MODELS, *world(300)), world(50, seed=1)
    predicted = found.predict(queries, max_tokens=20)
    assert predicted.mean.max() <= 20 + 1e-9
    assert predicted.upper.max() == pytest.approx(20)


def test_below_nine_answers_the_bound_is_what_was_asked_for():
    queries, lengths = world(200)
    lengths[8:, 1] = np.nan
    predicted = fit_lengths(MODELS, queries, lengths).predict(queries, max_tokens=4096)
    assert predicted.upper[:, 1] == pytest.approx(4096.0)
    assert predicted.upper[:, 0].max() < 4096


def test_unknown_measures_are_read_as_their_mean():
    queries, lengths = world(300)
    found = fit_lengths(MODELS, queries, lengths)
    blank = Queries(queries.embeddings[:1], np.full((1, 2), np.nan))
    mean = Queries(queries.embeddings[:1], queries.measures.mean(axis=0)[None, :])
    assert found.predict(blank).mean == pytest.approx(found.predict(mean).mean)


def test_a_written_predictor_reads_back_the_same_and_refuses_another_pool():
    queries, lengths = world(100)
    found = fit_lengths(MODELS, queries, lengths)
    again = Lengths.of(MODELS, found.arrays())
    assert (again.predict(queries).upper == found.predict(queries).upper).all()
    with pytest.raises(ValueError, match="array"):
        Lengths.of(("one",), found.arrays())


def test_one_answer_is_its_own_mean():
    queries, lengths = world(1)
    assert fit_lengths(MODELS, queries, lengths).predict(queries).mean == pytest.approx(lengths)


def test_seconds_are_a_line_in_tokens_whatever_the_retries():
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 800, size=(400, 2)).astype(float)
    seconds = np.array([0.4, 0.2]) + tokens * np.array([0.01, 0.03]) + rng.exponential(0.05, (400, 2))
    seconds[::10] += 30  # retries
    found = fit_speeds(MODELS, tokens, seconds)
    assert found.first_s == pytest.approx([0.4, 0.2], abs=0.1)
    assert found.per_token_s == pytest.approx([0.01, 0.03], rel=0.05)
    assert found.seconds(np.array([[100.0, 100.0]]))[0] == pytest.approx([1.4, 3.2], abs=0.2)


def test_neither_part_of_a_line_is_below_zero():
    falling = np.array([[10.0], [20.0], [30.0]])
    found = fit_speeds(("a",), falling, np.array([[3.0], [2.0], [1.0]]))
    assert (found.first_s[0], found.per_token_s[0]) == (pytest.approx(2.0, abs=0.01), 0.0)
    assert fit_speeds(("a",), falling, np.array([[1.0], [5.0], [9.0]])).first_s[0] == 0.0


@pytest.mark.parametrize(("n", "expected"), [(8, np.inf), (9, 9.0), (19, 18.0), (99, 90.0)])
def test_the_conformal_quantile_counts_the_new_answer_too(n, expected):
    assert conformal_quantile(np.arange(1.0, n + 1), 0.9) == expected


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [
        (np.ones((3, 2)), "expected \\(4, 2\\)"),
        (np.array([[1.0, 2], [-1, 2], [1, np.inf], [1, 1]]), "row 1, 2"),
        (np.array([[1.0, np.nan]] * 4), "no length for wordy"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths, problem):
    with pytest.raises(ValueError, match=problem):
        fit_lengths(MODELS, Queries(np.eye(4), np.empty((4, 0))), lengths)


def test_a_model_without_timed_answers_is_refused():
    with pytest.raises(ValueError, match="wordy: 0 answers"):
        fit_speeds(MODELS, np.ones((3, 2)), np.array([[1.0, np.nan]] * 3))
