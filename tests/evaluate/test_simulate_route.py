"""Routes over tables: the vectorised sweep against the router itself, and plans of every shape."""

import msgspec
import numpy as np
import pytest

from tests.evaluate.synthetic import rows, write
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.evaluate import baselines
from turnout.evaluate.baselines import Fold
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.queries import queries
from turnout.evaluate.scoreboard import in_domain
from turnout.evaluate.simulate_route import Table, is_plain, pool_of, price_of, setup
from turnout.evaluate.simulate_table import bench
from turnout.learn.features import HashEmbedder
from turnout.parts import load_catalog

CONFIG = """
providers: {{local: {{codec: openai_chat, base_url: 'http://127.0.0.1:9/v1', auth: none}}}}
models:
  - {{id: dear, model: local/strong}}
  - {{id: cheap, model: local/c}}
  - {{model: local/middle}}
routes:
  - name: r
    models: [dear, cheap, local/middle]
    strategy: {strategy}
"""
PLAIN = (
    "{type: pipeline, score: [{type: quality, values: {dear: 0.9, cheap: 0.5, local/middle: 0.7}}, "
    "{type: cost, lambda: 10}], order: {type: best}, shape: {type: single}}"
)
SURE = PLAIN.replace("local/middle: 0.7}", "local/middle: 0.7}, sd: 0.1")
CASCADE = (
    "{type: pipeline, score: [{type: quality, values: {dear: 0.9, cheap: 0.5, local/middle: 0.7}}], "
    "order: {type: best}, "
    "shape: {type: cascade, steps: 2, lambda: 1, accept: {type: regex, pattern: 'Answer'}}}"
)


def snapshot(strategy):
    config = parse_config(CONFIG.format(strategy=strategy), env={})
    return compile_snapshot(config, load_catalog(config), {}, credentials=False)


def fold_of(tmp_path, snap, found=None):
    table = load_outcomes(write(tmp_path / "t.csv", found))
    pool = pool_of(snap.routes["r"], table.models, snap.aliases)
    train, test = in_domain(bench(table, models=pool), {}).parts[0]
    encoder = HashEmbedder()
    asked = [queries([item.prompt for item in part.items], encoder) for part in (train, test)]
    return Fold(
        train=train,
        test=test,
        asked_train=asked[0],
        asked_test=asked[1],
        charges=baselines.charges_of(train, test),
    )


def test_deployments_are_matched_by_id_and_by_name_in_the_routes_order(tmp_path):
    snap = snapshot(PLAIN)
    assert pool_of(snap.routes["r"], ("cheap", "middle", "strong"), {}) == ("strong", "cheap", "middle")
    fold = fold_of(tmp_path, snap)
    assert [d.id for d in setup(snap, "r", fold).deployments] == ["dear", "cheap", "local/middle"]


def test_a_deployment_without_outcomes_is_told(tmp_path):
    snap = snapshot(PLAIN)
    found = [row for row in rows(100) if row["model"] != "middle"]
    with pytest.raises(ConfigError, match="no outcomes of local/middle"):
        setup(snap, "r", fold_of(tmp_path, snap, found))


def test_prices_are_fitted_to_what_the_training_items_cost(tmp_path):
    snap = snapshot(PLAIN)
    fold = fold_of(tmp_path, snap)
    assert fold.charges.mean(axis=0) == pytest.approx([0.01, 0.0001, 0.001], rel=0.02)


@pytest.mark.parametrize("strategy", [PLAIN, SURE])
@pytest.mark.parametrize("price", [0.0, 10.0, 40.0, 300.0, 5000.0])
def test_the_matrix_chooses_what_the_router_chooses(tmp_path, strategy, price):
    snap = snapshot(strategy)
    fold = fold_of(tmp_path, snap, list(rows(150)))
    table = Table(setup(snap, "r", fold), fold.test)
    matrix = table.run("r").matrix
    alone = table.with_price(price).run("r").run
    assert matrix.choose(price).tolist() == alone.chosen.tolist()
    assert len(set(alone.chosen.tolist())) == 1  # this strategy does not look at the prompt


def test_the_price_is_found_and_what_is_plain_is_known():
    plain, cascade = (snapshot(each).routes["r"].strategy for each in (PLAIN, CASCADE))
    assert (price_of(plain), price_of(cascade)) == (10.0, 1.0)
    assert (is_plain(plain), is_plain(cascade)) == (True, False)


def test_a_cascade_is_played_on_the_recorded_answers(tmp_path):
    snap = snapshot(CASCADE)
    fold = fold_of(tmp_path, snap, list(rows(300, response=True)))
    found = Table(setup(snap, "r", fold), fold.test).run("r")
    first = fold.test.scores[:, 2]
    assert found.matrix is None
    assert np.array_equal(np.array([each.n_rejected for each in found.played]), 1 - first)
    assert np.array_equal(found.run.scores, np.where(first == 1, 1.0, fold.test.scores[:, 0]))
    paid = fold.test.costs[:, 2] + np.where(first == 1, 0.0, fold.test.costs[:, 0])
    assert found.run.costs == pytest.approx(paid)


def test_a_cascade_without_recorded_words_is_unevaluable(tmp_path):
    snap = snapshot(CASCADE)
    fold = fold_of(tmp_path, snap, list(rows(60)))
    found = Table(setup(snap, "r", fold), fold.test).run("r")
    assert np.isnan(found.run.scores).all()
    assert (found.low.mean(), found.high.mean()) == (0.0, 1.0)
    assert found.played[0].missing == "the words of middle"


def test_the_price_is_replaced_wherever_a_strategy_holds_it():
    strategy = snapshot(CASCADE).routes["r"].strategy
    from turnout.evaluate.simulate_route import _priced

    assert _priced(strategy, 7.0).shape == msgspec.structs.replace(strategy.shape, lambda_=7.0)
