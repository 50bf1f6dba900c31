"""Scoreboards: known truths on a synthetic table, known aggregates of published ones, and no chance."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.synthetic import MODELS, SOLVED, rows, write
from turnout.errors import ConfigError
from turnout.evaluate import scoreboard_measure as measure
from turnout.evaluate.copies import copy_keys
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.metrics import apgr, generator, hull, paired_bootstrap, pgr_curve
from turnout.evaluate.report import to_html, to_json, to_pngs
from turnout.evaluate.scoreboard import Options, evaluate, in_domain, leave_one_domain_out, train_file
from turnout.evaluate.scoreboard_router import from_baseline, from_trainer
from turnout.evaluate.simulate_table import bench, read_rates
from turnout.learn.features import HashEmbedder
from turnout.learn.knn import Knn

ENCODER = HashEmbedder(dimensions=64)
FEW = Options(n_resamples=200, strong="strong", weak="cheap")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    found = bench(load_outcomes(write(tmp_path_factory.mktemp("table") / "t.csv")))
    return in_domain(found, {"t.csv": found.sha256})


@pytest.fixture(scope="module")
def board(split):
    return evaluate(split, from_baseline("category", ENCODER.id, price=20.0, samples=3), ENCODER, FEW)


def line(board, name):
    return next(each for each in board.lines if each.name == name)


def test_every_baseline_stands_beside_the_router(board):
    assert [each.name for each in board.lines] == [
        "category as router",
        "oracle",
        "dataset oracle",
        "best single",
        "cheapest",
        "random mix at equal cost",
        "random",
        "kNN-20",
        "kNN-100",
        "k-means-64",
        "logistic",
        "prompt length",
    ]
    assert (board.best_single, board.data.models) == ("strong", MODELS)
    assert (board.data.coverage, board.partial, board.refused) == (1.0, (), ())


def test_who_knows_the_domain_saves_much_and_loses_little(board):
    router, strong = board.lines[0], line(board, "best single")
    assert router.quality.mean > strong.quality.mean - 0.05
    assert router.cost_usd < 0.6 * strong.cost_usd
    mix = next(d for d in board.differences if d.minus == "random mix at equal cost")
    assert mix.verdict == "better"
    assert router.models_used == 2
    assert 0 < router.entropy <= math.log2(3)


def test_the_oracles_and_the_cheapest_are_what_they_are_called(board, split):
    scores = split.parts[0][1].scores
    assert line(board, "oracle").quality.mean == scores.max(axis=1).mean()
    assert line(board, "oracle").regret == 0.0
    assert line(board, "cheapest").quality.mean == scores[:, 0].mean()
    assert line(board, "random").quality.mean == pytest.approx(scores.mean())
    assert line(board, "best single").pgr == 1.0


def test_a_random_mix_costs_what_the_router_costs(board):
    assert line(board, "random mix at equal cost").cost_usd == pytest.approx(board.lines[0].cost_usd)


def test_the_curve_lies_above_the_hull_of_single_models(board):
    router, singles = board.curves[0], next(c for c in board.curves if c.name == "single models")
    assert router.aiq_range > singles.aiq_range
    assert router.cost_at_95 < 0.7 * singles.cost_at_95
    difference = next(
        d for d in board.differences if d.of == "aiq_range" and d.minus.startswith("random mix")
    )
    assert difference.verdict == "better"
    assert difference.value.mean == pytest.approx(router.aiq_range - singles.aiq_range)


def test_the_worst_domain_comes_first(board):
    means = [place.difference.mean for place in board.domains]
    assert means == sorted(means)
    assert {place.name for place in board.domains} == set(SOLVED)


def test_the_same_input_gives_the_same_bytes(split, board):
    again = evaluate(split, from_baseline("category", ENCODER.id, price=20.0, samples=3), ENCODER, FEW)
    assert to_json(again) == to_json(board)
    assert to_html(again) == to_html(board)


def test_what_the_time_limit_cuts_off_is_named_and_nothing_else_changes(split, board):
    ticks = iter(range(1000))
    limited = Options(n_resamples=200, strong="strong", weak="cheap", limit_s=4.5, now=lambda: next(ticks))
    cut = evaluate(split, from_baseline("category", ENCODER.id, price=20.0, samples=3), ENCODER, limited)
    assert "curves" in cut.partial
    assert cut.curves == ()
    assert cut.lines[0] == board.lines[0]


def test_without_costs_nothing_is_said_about_them(tmp_path):
    found = [{k: v for k, v in row.items() if k != "cost_usd"} for row in rows(200)]
    table = bench(load_outcomes(write(tmp_path / "t.csv", found)))
    board = evaluate(in_domain(table, {}), from_baseline("category", ""), ENCODER, Options(n_resamples=50))
    assert (board.curves, board.lines[0].cost_usd, board.cost_fit) == ((), None, None)
    assert "cheapest" not in [each.name for each in board.lines]


def test_a_gap_that_may_not_be_there_gives_no_share_of_it(tmp_path):
    found = [{**row, "score": float(i % 2)} for i, row in enumerate(rows(100, models=MODELS[:2]))]
    for i, row in enumerate(found):
        row["score"] = float((i // 2) % 2)
    table = bench(load_outcomes(write(tmp_path / "t.csv", found)))
    board = evaluate(in_domain(table, {}), from_baseline("category", ""), ENCODER, Options(n_resamples=50))
    assert board.two_models == ()
    assert "there may be none to recover" in board.refused[0]


def test_items_that_a_model_lacks_are_left_out_and_bounded(tmp_path):
    found = [row for i, row in enumerate(rows(300)) if not (row["model"] == "strong" and i % 60 == 2)]
    table = bench(load_outcomes(write(tmp_path / "t.csv", found)))
    board = evaluate(in_domain(table, {}), from_baseline("category", ""), ENCODER, Options(n_resamples=50))
    assert board.data.n_evaluated < board.data.n_test
    assert board.data.coverage == board.data.n_evaluated / board.data.n_test
    assert board.bounds[0] < board.bounds[1]


def test_training_items_that_are_among_the_test_items_are_left_out(tmp_path):
    found = list(rows(100))
    train = bench(load_outcomes(write(tmp_path / "a.csv", [{**row, "split": "x"} for row in found])))
    test = bench(load_outcomes(write(tmp_path / "b.csv", [{**r, "split": "x"} for r in found[:150]])))
    made = train_file(train, test, {})
    assert (made.parts[0][0].n, made.parts[0][1].n, made.overlap_excluded) == (50, 50, 50)
    with pytest.raises(ConfigError, match="every training item is among the test items"):
        train_file(test, train, {})


def test_each_domain_is_reported_on_by_what_was_learned_from_the_others(tmp_path):
    found = bench(load_outcomes(write(tmp_path / "t.csv")))
    made = leave_one_domain_out(found, {})
    assert [set(test.places.tolist()) & set(train.places.tolist()) for train, test in made.parts] == [
        set()
    ] * 3
    board = evaluate(made, from_trainer("knn", Knn(k=20), ENCODER.id), ENCODER, Options(n_resamples=50))
    assert (board.data.protocol, board.data.n_evaluated) == ("leave_one_domain_out", 600)


def test_a_common_beginning_is_a_template_and_not_a_copy():
    template = "Please answer the following question with a single letter and with nothing else at all. "
    prompts = [template * 2 + str(n) for n in range(20)]
    assert len(set(copy_keys(prompts))) == 20
    copies = [template * 2 + "a", template * 2 + "b", "other"]
    assert len(set(copy_keys(copies))) == 2


def test_prices_of_a_file_replace_the_recorded_costs(tmp_path):
    (tmp_path / "p.csv").write_text("model,input_usd_per_mtok,output_usd_per_mtok\ncheap,1,2\nstrong,10,20\n")
    found = [{**row, "input_tokens": 100, "output_tokens": 10} for row in rows(50)]
    table = load_outcomes(write(tmp_path / "t.csv", found))
    repriced = bench(table, rates=read_rates(tmp_path / "p.csv"))
    assert repriced.costs[0].tolist() == pytest.approx([0.00012, math.nan, 0.0012], nan_ok=True)
    (tmp_path / "bad.csv").write_text("model,input_usd_per_mtok,output_usd_per_mtok\ncheap,x,2\n")
    with pytest.raises(ConfigError, match="row 1"):
        read_rates(tmp_path / "bad.csv")


# Measures


@pytest.mark.parametrize(("accuracy", "usd", "score"), [(0.6688, 0.15, 0.6690), (0.7597, 0.11, 0.7538)])
def test_the_published_composite_score_is_reproduced(accuracy, usd, score):
    assert measure.arena(accuracy, usd).score == pytest.approx(score, abs=1e-4)


def test_areas_and_their_intervals_are_those_of_the_curves():
    random = generator("areas", 1)
    strong, weak = (random.random(300) < 0.8).astype(float), (random.random(300) < 0.5).astype(float)
    wishes = [random.integers(0, 6, 300).astype(float), np.zeros(300)]
    found = measure.apgr_intervals(wishes, (strong, weak), np.arange(300), name="x", n_resamples=300)
    assert [value.mean for value, _ in found] == pytest.approx(
        [apgr(pgr_curve(wish, strong, weak)) for wish in wishes]
    )
    assert found[1][0].low == pytest.approx(0.5)
    assert found[0][0].low < found[0][0].mean < found[0][0].high


def test_means_are_resampled_as_in_the_paired_bootstrap():
    random = generator("means", 1)
    values, groups = random.normal(0.1, 1, (200, 1)), np.repeat(np.arange(100), 2)
    one = measure.mean_intervals(values, groups, name="a", n_resamples=2000)[0]
    other = paired_bootstrap(values[:, 0], groups, name="a")
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high), abs=0.03)


def test_the_optimal_choice_is_the_cheapest_model_that_is_right():
    scores, costs = (
        np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),
        np.tile([1.0, 2.0, 4.0], (3, 1)),
    )
    assert measure.optimal(scores, costs, np.array([2, 0, 1])) == measure.Optimal(
        selected=0.5, cost=3 / 5, accuracy=1.0
    )
    assert measure.optimal(scores[2:], costs[2:], np.array([0])) is None


def test_the_cost_of_a_quality_is_read_off_the_hull():
    curve = hull([1, 3], [0.5, 0.9])
    assert [measure.cheapest_with(curve, q) for q in (0.4, 0.7, 0.9, 0.95)] == pytest.approx([1, 2, 3, None])
    assert measure.pareto_distance(2, 0.7, curve) == 0
    assert measure.pareto_distance(3, 0.5, curve) == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_always_one_model_has_no_entropy():
    assert measure.entropy(np.zeros(5, dtype=np.intp)) == 0.0
    assert measure.entropy(np.array([0, 1, 0, 1])) == 1.0


# Reports


def test_a_report_needs_nothing_but_itself_and_shows_no_words(board, split):
    page = to_html(board)
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "prefers-color-scheme:dark" in page
    assert page.count("<svg") == page.count("<desc>") >= 6
    assert not any(item.prompt[:40] in page for item in split.parts[0][1].items)


def test_names_in_a_report_are_text_and_not_markup(split):
    options = Options(n_resamples=20, command="turnout eval --data '<script>alert(1)</script>'")
    page = to_html(evaluate(split, from_baseline("category", ""), ENCODER, options))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_charts_are_pictures_with_the_extra(board):
    pytest.importorskip("resvg_py")
    pictures = to_pngs(board)
    assert {
        "cost-quality.png",
        "cost-quality-log.png",
        "deferral.png",
        "calibration.png",
        "domains.png",
    } <= set(pictures)
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())


# Known aggregates of published outcomes


@pytest.mark.parametrize(
    ("name", "strong", "weak"),
    [("mmlu", 0.8059, 0.6809), ("gsm8k", 0.8577, 0.6373), ("mt_bench", 0.9212, 0.8281)],
)
def test_published_aggregates_are_reproduced(shared: Path, name, strong, weak):
    pytest.importorskip("pyarrow")
    found = bench(load_outcomes(shared / "data" / "routellm" / f"{name}.parquet"))
    assert found.models == ("gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1")
    assert found.scores.mean(axis=0) == pytest.approx([strong, weak], abs=1e-4)


def test_a_random_router_recovers_half_the_gap_of_published_outcomes(shared: Path):
    pytest.importorskip("pyarrow")
    found = bench(load_outcomes(shared / "data" / "routellm" / "mmlu.parquet"))
    wish = generator("random", 0).random(found.n)
    value, _ = measure.apgr_intervals(
        [wish], (found.scores[:, 0], found.scores[:, 1]), found.groups, name="random", n_resamples=300
    )[0]
    assert value.low < 0.5 < value.high
    assert value.mean == pytest.approx(0.5, abs=0.02)
