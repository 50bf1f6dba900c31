"""A model that joins: everyone else stays, and its lengths start from theirs."""

import numpy as np
import pytest

from tests.learn.test_outcomes import MODELS, world
from turnout.learn.base import Queries
from turnout.learn.joining import with_lengths
from turnout.learn.outcomes import Lengths, fit_lengths


@pytest.fixture(scope="module")
def lengths():
    return fit_lengths(MODELS, *world(1000))


def test_a_new_models_lengths_are_the_others_moved_to_its_own(lengths):
    queries, known = world(60, seed=5)
    found = with_lengths(lengths, "new", queries, known[:, 1] * 3)
    asked, expected = world(2000, seed=6)
    predicted = found.predict(asked)
    assert predicted.mean[:, 2].mean() == pytest.approx(3 * expected[:, 1].mean(), rel=0.25)
    assert (predicted.upper[:, 2] >= 3 * expected[:, 1]).mean() == pytest.approx(0.9, abs=0.08)
    assert (predicted.mean[:, :2] == lengths.predict(asked).mean).all()
    assert Lengths.of((*MODELS, "new"), found.arrays()).models == (*MODELS, "new")


def test_a_new_model_of_unknown_lengths_is_bounded_by_what_was_asked_for(lengths):
    queries, _ = world(10, seed=5)
    found = with_lengths(lengths, "new", queries, np.full(10, np.nan)).predict(queries, max_tokens=900)
    assert found.upper[:, 2] == pytest.approx(900.0)
    one = Queries(queries.embeddings[:1], queries.measures[:1])
    alone = with_lengths(lengths, "new", one, np.array([50.0])).predict(one)
    assert alone.mean[0, 2] == pytest.approx(50.0)
