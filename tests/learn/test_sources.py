"""Sources beside gold labels: those that help are heard, those that lie are not."""

import msgspec
import numpy as np
import pytest

from tests.learn.worlds import MODELS, battles, outcomes
from turnout.learn.base import Labels
from turnout.learn.kmeans import KMeans
from turnout.learn.links import fit_linked
from turnout.learn.sources import Source, choose_weights, held_out_losses, log_losses, pool, table

TRAINER = KMeans(cells=4, prior=2.0)


def fit(labels):
    return fit_linked(TRAINER, labels).model


def corrupted(n, seed):
    labels = outcomes(n, seed)
    return msgspec.structs.replace(labels, scores=1 - labels.scores)


def shuffled(n, seed):
    labels = outcomes(n, seed)
    return msgspec.structs.replace(labels, scores=np.random.default_rng(seed).permutation(labels.scores))


def test_a_source_that_tells_the_truth_is_heard():
    found = choose_weights(fit, outcomes(100), [Source(name="more", labels=outcomes(1000, 5))])
    assert found.weights["more"] > 0
    assert found.loss < found.gold_loss


def test_comparisons_are_heard():
    found = choose_weights(fit, outcomes(80), [Source(name="pairs", labels=battles(800, 5))])
    assert found.weights["pairs"] > 0


@pytest.mark.parametrize("liar", [corrupted, shuffled])
@pytest.mark.parametrize("seed", range(5))
def test_a_source_that_lies_gets_no_more_than_a_tenth(liar, seed):
    source = Source(name="liar", labels=liar(2000, 50 + seed))
    assert choose_weights(fit, outcomes(500, seed), [source], seed).weights["liar"] <= 0.1


@pytest.mark.parametrize(
    "make",
    [lambda seed: battles(600, seed), lambda seed: outcomes(600, seed), lambda seed: corrupted(600, seed)],
)
def test_no_source_makes_new_gold_labels_worse_by_more_than_a_standard_error(make):
    worse = 0
    for seed in range(6):
        gold, fresh = outcomes(500, seed), outcomes(500, 900 + seed)
        source = Source(name="source", labels=make(100 + seed))
        weight = choose_weights(fit, gold, [source], seed).weights["source"]
        change = log_losses(fresh, fit(pool(gold, [(source, weight)]))) - log_losses(fresh, fit(gold))
        worse += bool(change.mean() > change.std(ddof=1) / np.sqrt(change.size) + 1e-12)
    assert worse <= 1  # one in six is what chance does where a source changes nothing


def test_a_source_never_gets_more_than_its_cap():
    source = Source(name="judge", labels=outcomes(1000, 5), cap=0.25)
    found = choose_weights(fit, outcomes(100), [source])
    assert found.weights["judge"] <= 0.25
    assert {trial.weight for trial in found.trials} == {0.0, 0.03, 0.1}


def test_what_a_source_says_of_a_held_out_prompt_is_not_used_on_it():
    gold = outcomes(100)
    fold = np.arange(100) % 5
    alone = held_out_losses(fit, gold, [], fold)
    copied = held_out_losses(fit, gold, [(Source(name="copy", labels=gold), 1.0)], fold)
    doubled = held_out_losses(
        lambda labels: fit(msgspec.structs.replace(labels, weights=2 * np.ones_like(labels.scores))),
        gold, [], fold,
    )  # fmt: skip
    assert copied == pytest.approx(doubled)
    assert copied.mean() != pytest.approx(alone.mean())


def test_a_pool_holds_each_label_at_its_sources_weight():
    gold, more = outcomes(3), battles(2, per_prompt=1)
    found = pool(gold, [(Source(name="pairs", labels=more), 0.3), (Source(name="off", labels=gold), 0.0)])
    assert found.scores[:3].tolist() == gold.scores.tolist()
    assert np.isnan(found.scores[3:]).all()
    assert found.weights.tolist() == [[1.0] * 3] * 3 + [[0.0] * 3] * 2
    assert (found.pairs.query.tolist(), found.pairs.weight.tolist()) == ([3, 4], [0.3, 0.3])


def test_the_table_shows_every_trial_and_marks_the_choice():
    found = choose_weights(fit, outcomes(100), [Source(name="liar", labels=corrupted(500, 5))])
    lines = table(found).splitlines()
    assert len(lines) == 6
    assert lines[1].endswith("change +0.0000 ± 0.0000 <")


@pytest.mark.parametrize(
    ("gold", "sources", "problem"),
    [
        (outcomes(20), [], "20 prompts with gold labels; weighing sources needs 50"),
        (outcomes(60), [Source(name="a", labels=outcomes(5))] * 2, "same name"),
        (
            outcomes(60),
            [Source(name="a", labels=msgspec.structs.replace(outcomes(5), models=("x", "y", "z")))],
            "other models",
        ),
    ],
)
def test_sources_that_cannot_be_weighed_are_refused(gold, sources, problem):
    assert isinstance(gold, Labels)
    assert gold.models == MODELS
    with pytest.raises(ValueError, match=problem):
        choose_weights(fit, gold, sources)
