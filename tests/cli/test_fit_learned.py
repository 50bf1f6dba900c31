"""`turnout fit learned`: a table in, an artifact out; what cannot be used is refused by its row."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from turnout.cli.fit_learned import learned
from turnout.errors import ConfigError
from turnout.learn.artifact import decode

TOPICS = {"algebra": ("solve the equation for x", 0), "poetry": ("write a sonnet about the sea", 1)}


def rows(n=120, shuffled=False):
    random = np.random.Generator(np.random.PCG64(0))
    made = []
    for i in range(n):
        topic = list(TOPICS)[i % 2]
        text, good = TOPICS[topic]
        for m, model in enumerate(("acme/large", "beta/small")):
            score = float(random.random() < (0.5 if shuffled else 0.9 if m == good else 0.2))
            made.append(
                {"prompt": f"{text} number {i}", "model": model, "score": score, "domain": topic}
                | {"split": "train" if i % 4 else "dev", "dataset": "made-up"}
            )
    return made


def write(folder, table, name="table.jsonl"):
    path = folder / name
    path.write_bytes(b"\n".join(map(msgspec.json.encode, table)))
    return path


def run(*arguments):
    return CliRunner().invoke(learned, [str(part) for part in arguments], catch_exceptions=False)


def test_a_table_becomes_an_artifact_that_can_be_read(tmp_path):
    table, out = write(tmp_path, rows()), tmp_path / "mine.npz"
    report = msgspec.json.decode(run("--data", table, "--out", out, "--json").stdout)
    artifact = decode(out.read_bytes(), out.with_suffix(".json").read_bytes(), now=datetime.now(UTC))
    assert report["models"] == ["acme/large", "beta/small"] == list(artifact.card.pool)
    assert report["npz_sha256"] == artifact.card.npz_sha256
    assert (report["abstain_reason"], report["rows"], report["prompts"]) == (None, 240, 120)
    assert report["quality"] > report["best_single"] + 0.2
    assert artifact.card.data[0].name == "table.jsonl"
    assert artifact.card.models[0].surfaces.keys() == {"algebra", "poetry"}


@pytest.mark.parametrize("kind", ["knn", "kmeans"])
def test_other_methods_make_artifacts_too(tmp_path, kind):
    table, out = write(tmp_path, rows()), tmp_path / "mine.npz"
    assert run("--data", table, "--out", out, "--kind", kind, "--json").exit_code == 0
    found = decode(out.read_bytes(), out.with_suffix(".json").read_bytes(), now=datetime.now(UTC))
    assert found.card.kind == kind


def test_labels_by_chance_make_a_router_that_abstains(tmp_path):
    table, out = write(tmp_path, rows(shuffled=True)), tmp_path / "mine.npz"
    assert "abstains" in run("--data", table, "--out", out).output


def test_only_the_splits_asked_for_are_read(tmp_path):
    table, out = write(tmp_path, rows()), tmp_path / "mine.npz"
    report = msgspec.json.decode(run("--data", table, "--out", out, "--split", "train", "--json").stdout)
    assert report["prompts"] == 90


def test_prompts_to_be_reported_on_are_left_out(tmp_path):
    table = write(tmp_path, rows())
    test = write(tmp_path, [row for row in rows() if row["split"] == "dev"], "test.jsonl")
    report = msgspec.json.decode(
        run("--data", table, "--out", tmp_path / "a.npz", "--exclude-overlap", test, "--json").stdout
    )
    assert (report["excluded_overlap"], report["prompts"]) == (30, 90)


def test_comparisons_are_weighed(tmp_path):
    table = write(tmp_path, rows())
    pairs = [
        {"prompt": f"{TOPICS[topic][0]} again {i}", "model_a": "acme/large", "model_b": "beta/small"}
        | {"winner": "a" if topic == "algebra" else "b"}
        for i in range(10)
        for topic in TOPICS
    ]
    out = tmp_path / "a.npz"
    fixed = [part for name in ("embedding", "regions", "measures") for part in ("--set", f"{name}=10")]
    result = run("--data", table, "--pairs", write(tmp_path, pairs, "p.jsonl"), "--out", out, *fixed)
    assert result.exit_code == 0
    card = decode(out.read_bytes(), out.with_suffix(".json").read_bytes(), now=datetime.now(UTC)).card
    assert card.source_weights.keys() == {"p.jsonl"}
    assert card.settings["embedding"] == 10.0


FIXED = [part for name in ("embedding", "regions", "measures") for part in ("--set", f"{name}=10")]


def fitted(folder, *options, table=None):
    out = folder / "a.npz"
    made = run("--data", write(folder, table or rows()), "--out", out, *FIXED, *options)
    assert made.exit_code == 0, made.output
    return decode(out.read_bytes(), out.with_suffix(".json").read_bytes(), now=datetime.now(UTC)).card


def votes(wrong=False):
    """Fifty users on new prompts; they like good answers, or the reverse."""
    return [
        {"prompt": f"{text} anew {i}", "model": model, "up": (m == good) != wrong, "user": f"u{i % 50}"}
        for i in range(100)
        for text, good in TOPICS.values()
        for m, model in enumerate(("acme/large", "beta/small"))
    ]


def test_votes_that_are_wrong_get_no_weight(tmp_path):
    weights = {}
    for name in ("right", "wrong"):
        file = write(tmp_path, votes(wrong=name == "wrong"), f"{name}.jsonl")
        weights |= fitted(tmp_path, "--votes", file, table=rows(60)).source_weights
    assert weights["right.jsonl"] > 0 == weights["wrong.jsonl"]


@pytest.mark.parametrize(
    ("vote", "problem"),
    [
        ({"prompt": "p", "model": "acme/large", "up": 2}, "row 1: .*<= 1.0"),
        ({"prompt": "p", "model": "acme/large"}, "row 1: .*missing required field `up`"),
        (
            {"prompt": "p", "model": "other", "up": 1},
            "no vote on a model of the pool .acme/large, beta/small",
        ),
    ],
)
def test_votes_that_cannot_be_used_are_refused(tmp_path, vote, problem):
    with pytest.raises(ConfigError, match=problem):
        fitted(tmp_path, "--votes", write(tmp_path, [vote], "v.jsonl"))


def test_the_card_compares_with_knn_and_knows_the_area_where_costs_are_known(tmp_path):
    assert fitted(tmp_path).metrics.aiq is None
    costs = {"acme/large": 0.002, "beta/small": 0.001}
    found = fitted(tmp_path, table=[{**row, "cost_usd": costs[row["model"]]} for row in rows()]).metrics
    assert 0.6 < found.aiq < 1
    low, high = found.vs_knn
    assert low <= 0 <= high


def test_whether_to_abstain_is_judged_at_the_price_of_money(tmp_path):
    dear = [{**row, "cost_usd": {"acme/large": 1.0}.get(row["model"], 0.01)} for row in rows()]
    assert (fitted(tmp_path, table=dear).abstain_reason, fitted(tmp_path, table=dear).judged_at) == (
        None,
        0.0,
    )
    card = fitted(tmp_path, "--lambda", 10, table=dear)
    # Nobody leaves the cheap model at this price, and 120 prompts cannot show that nobody would.
    assert card.judged_at == 10.0
    assert "lower 95 % end of the difference is -0.025" in card.abstain_reason
    with pytest.raises(ConfigError, match="lambda: the tables do not say what answers"):
        fitted(tmp_path, "--lambda", 10)


PRICED = {"cost_usd": 1, "response": "r"}
NAMELESS = [{"prompt_id": f"{i}", "model": f"{i % 2}", "score": i % 3 / 2} for i in range(9)]


def cells(**changed):
    return [{**row, **changed} if i == 6 else row for i, row in enumerate(rows())]


@pytest.mark.parametrize(
    ("table", "name", "problem"),
    [
        (rows(), "RouterArena-sub10.jsonl", "RouterArena data .its name says so. is for evaluation only"),
        (cells(dataset="routerarena"), "t.jsonl", "dataset 'routerarena' in row 7 says so"),
        (
            [row | {"item_id": "1", "category": "c", "metric": "m"} | PRICED for row in rows()],
            "t.jsonl",
            "RouterArena data .its columns category, cost_usd, item_id, metric, response say so.",
        ),
        (cells(score=1.5), "t.jsonl", r"t.jsonl: row 7: score is 1.5; expected 0-1"),
        (cells(score="NaN"), "t.jsonl", r"t.jsonl: row 7: score is nan; expected 0-1"),
        (cells(score="inf"), "t.jsonl", r"t.jsonl: row 7: score is inf; expected 0-1"),
        (cells(split="other"), "t.jsonl", "row 8: prompt .* is in split 'train', but in 'other' at row 7"),
        ([row | {"score": 1.0} for row in rows()], "t.jsonl", "every score is 1.0; nothing can be learned"),
        ([row | {"model": f"{i}"} for i, row in enumerate(rows()[:1])], "t.jsonl", "only one model, '0'"),
        ([{"prompt": "a", "model": "b"}], "t.jsonl", "row 1: no column score"),
        (NAMELESS, "t.jsonl", "row 1: no prompt text"),
        ([], "t.jsonl", "no rows"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_refused_by_their_rows(tmp_path, table, name, problem):
    out = tmp_path / "a.npz"
    with pytest.raises(ConfigError, match=problem):
        run("--data", write(tmp_path, table, name), "--out", out)
    assert not out.exists()


def test_prompts_in_two_splits_of_two_tables_are_refused(tmp_path):
    one = write(tmp_path, rows(), "one.jsonl")
    two = write(tmp_path, [row | {"split": "test"} for row in rows()], "two.jsonl")
    with pytest.raises(ConfigError, match=r"is in split 'test', but in 'dev' in .*one.jsonl at row 1"):
        run("--data", one, "--data", two, "--split", "train", "--out", tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--kind", "magic"], "no 'magic'"),
        (["--encoder", "magic"], "no 'magic'"),
        (["--set", "cells=0"], "settings of pooled: pooled: cells is 0"),
        (["--split", "nowhere"], "no row is left to fit on; its splits are 'dev', 'train'"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        run("--data", write(tmp_path, rows()), "--out", tmp_path / "a.npz", *arguments)
