"""`turnout calibrate cache`: what is shown on pairs, and that the promise is kept."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.learn.cache_card import Pairs, calibrated, read_card, served, thresholds, upper_bound
from turnout.learn.calibrate import clopper_pearson_upper


def drawn(rng, n):
    """Pairs of which the closer are more often the same."""
    cosines = rng.uniform(0.4, 1.0, n)
    same = rng.uniform(size=n) < 1 / (1 + np.exp(-40 * (cosines - 0.75)))
    return Pairs(cosines, rng.uniform(size=n) < 0.1, same)


@pytest.mark.parametrize("of", ["lookups", "hits"])
def test_the_promise_is_broken_no_more_often_than_it_says(of):
    rng = np.random.default_rng(3)
    truth = drawn(rng, 30_000)
    broken = found = 0
    for _ in range(60):
        grid = thresholds(drawn(rng, 300).cosines.tolist())
        shown = calibrated(drawn(rng, 400), grid, 0.05, 0.1, of)
        if shown is None:
            continue
        found += 1
        really = served(truth, shown.threshold, 0.1)
        broken += (really.n_false / (truth.n if of == "lookups" else really.n_hits)) > 0.05
    assert found >= 50
    assert broken <= 10  # the 95 % upper end of 60 draws at 10 %


def test_counts_of_a_threshold():
    pairs = Pairs(
        np.array([0.9, 0.95, 0.99, 0.7, 0.92]),
        np.array([False, True, False, False, False]),
        np.array([True, True, False, True, True]),
    )
    shown = served(pairs, 0.9, 0.05)
    assert (shown.n, shown.n_same, shown.n_hits, shown.n_false) == (5, 4, 3, 1)
    assert shown.recall == 0.5
    assert shown.bound == upper_bound(1, 5, 0.05)
    assert shown.bound_hits == upper_bound(1, 3, 0.05)
    assert calibrated(pairs, [0.9], 0.01, 0.05, "lookups") is None


def test_the_bound_is_that_of_clopper_and_pearson():
    for k, n in ((0, 10), (3, 40), (5, 5), (70, 900)):
        assert upper_bound(k, n, 0.05) == pytest.approx(clopper_pearson_upper(k, n, 0.05), abs=1e-9)


def test_thresholds_fall_and_none_is_low():
    grid = thresholds([0.1, 0.6, 0.7, 0.8, 0.9, float("nan")])
    assert grid == [0.9, 0.8, 0.7, 0.6]
    assert thresholds([0.2]) == []


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    verbs = ("reset", "change", "recover", "update", "share", "export")
    rows = []
    for n in range(900):
        thing = f"{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}ing{'uvwxyz'[n % 6]} setting"
        one = f"How do I {verbs[n % 6]} my {thing}?"
        other = f"How can I {verbs[n % 6]} my {thing}?" if n % 2 else f"How do I disable my {thing}?"
        rows.append({"q1": one, "q2": other, "same": n % 2, "part": "train" if n % 5 else "dev"})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_the_command_prints_recall_with_its_bound_and_writes_an_artifact(pairs_file, tmp_path):
    out = tmp_path / "cache.json"
    options = ["--data", str(pairs_file), "--first", "q1", "--second", "q2", "--label", "same"]
    more = ["--split", "part", "--encoder", "hash", "--out", str(out), "--json"]
    result = CliRunner().invoke(cli, ["calibrate", "cache", *options, *more])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    card = read_card(out.read_bytes())
    assert report["card"]["threshold"] == card.threshold
    assert (card.n_false, card.recall > 0.9) == (0, True)
    assert card.bound <= 0.01 < card.max_false_hits + 1e-9
    assert (card.data.n, card.data.n_same, card.kind) == (900, 450, "hash")
    assert report["after"]["recall"] > 0.9
    assert report["objections"]["word"] + report["objections"].get("opposite", 0) > 100
    shown = CliRunner().invoke(cli, ["calibrate", "cache", *options, "--encoder", "hash"])
    assert "recall 9" in shown.output


def test_a_column_that_is_not_there_is_told(pairs_file):
    result = CliRunner().invoke(cli, ["calibrate", "cache", "--data", str(pairs_file)])
    assert "no column 'text_a'" in str(result.exception.problems)


def test_the_shared_pairs_are_read_and_something_is_certified(shared):
    from turnout.evaluate.cache_pairs import Columns, Wanted, calibrate, data_card, read_pairs
    from turnout.signals.embed import encoder_of

    path = shared / "data" / "semantic_cache" / "qqp_pairs.parquet"
    if not path.exists():
        pytest.skip("no pairs")
    pairs = read_pairs(path, Columns(group="group_id", split="split"))
    some = pairs[::20]
    found = calibrate(some, encoder_of("hash"), Wanted(kind="hash"), data_card(path, pairs))
    assert found.card.threshold is not None
    assert found.card.bound <= 0.01
    assert found.card.recall > 0.05
