"""A new model, from the prompts to try it on to its place in the router."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from click.testing import CliRunner

from turnout.cli.fit_anchors import anchors
from turnout.errors import ConfigError
from turnout.evaluate.fit import Setting, encoder_of, fit_artifact
from turnout.evaluate.joining import read_artifact
from turnout.evaluate.queries import queries
from turnout.learn.artifact import encode

NOW = datetime.now(UTC)
TOPICS = ("algebra integral theorem", "poem metaphor rhyme", "python function loop", "history empire treaty")
GOOD = {"small": (0.2, 0.8, 0.3, 0.6), "large": (0.9, 0.7, 0.9, 0.8), "code": (0.5, 0.2, 0.95, 0.2)}
NEW = (0.95, 0.1, 0.9, 0.1)
TOKENS = {"small": 90, "large": 190, "code": 290}


def prompts(n, seed=0):
    rng = np.random.default_rng(seed)
    topic = rng.integers(4, size=n)
    return [f"{TOPICS[t]} question {i} of kind {rng.integers(50)}" for i, t in enumerate(topic)], topic


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    """Return the path of a router over three models."""
    folder = tmp_path_factory.mktemp("router")
    texts, topic = prompts(240)
    rng = np.random.default_rng(1)
    rows = [
        {
            "prompt": text,
            "model": model,
            "score": float(rng.random() < chance[t]),
            "output_tokens": TOKENS[model] + int(rng.integers(20)),
        }
        for text, t in zip(texts, topic, strict=True)
        for model, chance in GOOD.items()
    ]
    data = folder / "train.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    (folder / "prompts.txt").write_text("\n".join(texts))
    setting = Setting(data=(data,), leave_domain_out=False, settings={"embedding": 10.0, "regions": 10.0})
    fitted = fit_artifact(setting, now=NOW, version="0.1.0", tell=lambda _: None)
    npz, card = encode(fitted.artifact)
    (folder / "a.npz").write_bytes(npz)
    (folder / "a.json").write_bytes(card)
    return folder / "a.npz"


def run(*arguments):
    return CliRunner().invoke(anchors, [str(argument) for argument in arguments])


def test_cost_and_certainty_are_told_before_the_prompts(router):
    told = run("--artifact", router, "--model", "new", "--prompts", router.parent / "prompts.txt",
               "--n", 40, "--prices", "1,4")  # fmt: skip
    assert told.exit_code == 0, told.output
    first = told.stderr.splitlines()
    assert first[0] == "expected cost of 40 evaluations: $0.0325"
    assert [line[:9] for line in first[1:]] == ["after   0", "after  20", "after  35", "after  40"]
    chosen = [json.loads(line)["prompt"] for line in told.stdout.splitlines()]
    assert len(set(chosen)) == 40
    assert set(chosen) <= set(prompts(240)[0])


def test_a_model_joins_and_is_preferred_where_it_is_good(router, tmp_path):
    planned, outcomes, out = tmp_path / "p.jsonl", tmp_path / "o.jsonl", tmp_path / "b.npz"
    done = run("--artifact", router, "--model", "new", "--prompts", router.parent / "prompts.txt",
               "--out", planned)  # fmt: skip
    assert done.exit_code == 0, done.output
    rng = np.random.default_rng(3)
    rows = []
    for line in planned.read_text().splitlines():
        prompt = json.loads(line)["prompt"]
        topic = next(t for t, words in enumerate(TOPICS) if prompt.startswith(words))
        rows.append({"prompt": prompt, "model": "new", "score": float(rng.random() < NEW[topic])})
    outcomes.write_text("\n".join(map(json.dumps, rows)))
    joined = run("--artifact", router, "--model", "new", "--add", outcomes, "--out", out)
    assert joined.exit_code == 0, joined.output
    assert "new joined 3 models" in joined.output
    before, after = read_artifact(router, NOW), read_artifact(out, NOW)
    asked = queries(prompts(40, seed=9)[0], encoder_of("hash"))
    old, new = before.model.predict(asked), after.model.predict(asked)
    assert new.mean[:, :3] == pytest.approx(old.mean)
    topic = prompts(40, seed=9)[1]
    means = np.array([new.mean[topic == t, 3].mean() for t in range(4)])
    assert means[[0, 2]].min() > means[[1, 3]].max() + 0.2
    assert new.sd[:, 3].mean() > new.sd[:, :3].mean()
    lengths = after.lengths.predict(asked, max_tokens=800)
    assert lengths.mean.mean(axis=0) == pytest.approx([300, 200, 100, 180], rel=0.1)
    assert (lengths.upper[:, 3] == pytest.approx(800)) is True  # nobody said how long its answers were
    newest = after.card.models[-1]
    assert (newest.id, newest.n_labels, after.card.settings["joined"]) == ("new", 50, ["new"])
    assert after.card.expires - after.card.created == before.card.expires - before.card.created


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 2),
        (("--prompts", "a.npz", "--add", "a.npz"), 2),
        (("--prompts", "prompts.txt", "--prices", "cheap"), 2),
        (("--prompts", "prompts.txt", "--prices", "-1,2"), 2),
        (("--add", "train.jsonl"), 2),
        (("--add", "train.jsonl", "--out", "out.csv"), 2),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(router, arguments, status):
    files = [router.parent / a if a.endswith((".npz", ".txt", "l", ".csv")) else a for a in arguments]
    assert run("--artifact", router, "--model", "new", *files).exit_code == status


@pytest.mark.parametrize(
    ("model", "row", "problem"),
    [
        ("large", {"prompt": "x", "model": "large", "score": 1.0}, "large is already in the pool"),
        ("new", {"prompt": "x", "model": "other", "score": 1.0}, "no outcome of 'new'; it has other"),
        ("new", {"prompt_id": "0" * 16, "model": "new", "score": 1.0}, "no prompt in row 1"),
        ("new", {"prompt": "x", "model": "new", "score": 7}, "row 1: score is 7"),
    ],
)
def test_outcomes_from_which_nobody_can_join_are_refused(router, tmp_path, model, row, problem):
    outcomes = tmp_path / "o.jsonl"
    outcomes.write_text(json.dumps(row))
    found = run("--artifact", router, "--model", model, "--add", outcomes, "--out", tmp_path / "b.npz")
    assert isinstance(found.exception, ConfigError)
    assert problem in str(found.exception)


def test_more_evaluations_than_prompts_are_refused(router, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n")
    found = run("--artifact", router, "--model", "new", "--prompts", few)
    assert "cannot choose 50 of 2 prompts" in str(found.exception)
