"""One request at a time: what it predicts is what the table's way predicts."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from tests.learn.worlds import outcomes, topics
from turnout.learn.artifact import Artifact, Card, CardEncoder, CardModel
from turnout.learn.base import Labels, Queries
from turnout.learn.calibrators import fit_calibrators
from turnout.learn.cells import find_cells
from turnout.learn.knn import Knn
from turnout.learn.measures import MEASURES
from turnout.learn.pooled_fit import PooledLogistic
from turnout.learn.single import single_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def artifact(model, cells=None):
    card = Card(
        kind="pooled",
        created=NOW,
        expires=NOW + timedelta(days=1),
        turnout_version="0",
        encoder=CardEncoder(name="hash", id="hash", dimensions=16),
        canonicaliser="1",
        models=tuple(CardModel(id=name) for name in model.models),
        data=(),
    )
    return Artifact(card, model, cells)


def measured(labels, seed=0):
    measures = np.random.default_rng(seed).normal(size=(labels.queries.n, len(MEASURES)))
    measures[::7, 2] = np.nan
    return Queries(labels.queries.embeddings, measures)


def fitted(n, widened=0):
    labels = outcomes(n)
    asked = measured(labels)
    if widened:  # beyond the dimensions at which vectors are reduced
        wide = np.hstack((asked.embeddings, np.zeros((n, widened))))
        asked = Queries(wide, asked.measures)
    return PooledLogistic().fit(Labels(models=labels.models, queries=asked, scores=labels.scores)), asked


@pytest.mark.parametrize(("n", "widened"), [(40, 0), (600, 0), (2_500, 0), (600, 1_200)])
def test_a_request_is_predicted_as_a_row_of_a_table_is(n, widened):
    model, asked = fitted(n, widened)
    predict, many = single_of(artifact(model)), model.predict(asked)
    near = model.nearness(asked.embeddings)
    for at in range(0, 40, 3):
        one = predict(asked.embeddings[at].astype(np.float32), asked.measures[at])
        np.testing.assert_allclose(one.mean, many.mean[at], atol=1e-5)
        np.testing.assert_allclose(one.sd, many.sd[at], atol=1e-5)
        assert one.nearness == pytest.approx(near[at], abs=1e-5)


def test_curves_straighten_one_request_too():
    model, asked = fitted(600)
    mean = model.predict(asked).mean
    curves = fit_calibrators("isotonic", mean, (mean > 0.5).astype(float))
    model = msgspec.structs.replace(model, calibrators=curves)
    one = single_of(artifact(model))(asked.embeddings[5].astype(np.float32), asked.measures[5])
    np.testing.assert_allclose(one.mean, model.predict(asked).mean[5], atol=1e-4)


def test_any_other_method_is_asked_by_a_table_of_one_row():
    labels = outcomes(300)
    model = Knn(k=20).fit(labels)
    cells = find_cells(labels.queries.embeddings)
    vectors = topics(3, seed=5)[0].embeddings
    one = single_of(artifact(model, cells))(vectors[1].astype(np.float32), np.empty(0))
    narrow = vectors.astype(np.float32).astype(np.float64)
    assert one.mean == pytest.approx(model.predict(Queries(narrow, np.empty((3, 0)))).mean[1])
    assert one.nearness == pytest.approx(cells.nearness(narrow)[1])
    assert single_of(artifact(model))(vectors[1].astype(np.float32), np.empty(0)).nearness == 1.0
