"""What the default learner does on published outcomes: fitted on some of a table, reported on the rest."""

import numpy as np
import pytest

from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.metrics import apgr, generator, pgr_curve
from turnout.learn.features import HashEmbedder, scaling
from turnout.learn.predictor import Precisions, fit

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"


def counts(prompt):
    """Characters, digits, blanks and signs, as logarithms: what a prompt looks like from afar."""
    signs = sum(not c.isalnum() and not c.isspace() for c in prompt)
    return np.log([len(prompt), sum(map(str.isdigit, prompt)) + 1, prompt.count(" ") + 1, signs + 1])


@pytest.mark.parametrize(("name", "n_labels", "at_least"), [("mmlu", 1500, 0.62), ("gsm8k", 900, 0.60)])
def test_words_and_counts_recover_more_than_prompt_length(shared, name, n_labels, at_least):
    pytest.importorskip("pyarrow")
    items = {}
    for row in load_outcomes(shared / "data" / "routellm" / f"{name}.parquet").rows:
        items.setdefault((row.prompt, row.item_id), {})[row.model] = row.score
    prompts = [prompt for prompt, _ in items]
    scores = np.array([[by_model[STRONG], by_model[WEAK]] for by_model in items.values()])
    vectors = HashEmbedder().embed_all(prompts)
    signals = np.stack([counts(prompt) for prompt in prompts])
    areas, by_length = [], []
    for seed in range(3):
        order = generator("in-distribution", seed).permutation(len(prompts))
        train, test = order[:n_labels], order[n_labels:]
        scale = scaling(vectors[train], signals[train])
        features = scale.features(vectors, signals)
        found = fit((STRONG, WEAK), features[train], scores[train], Precisions().diagonal(256, 4))
        mean = found.predict(features[test]).mean
        areas.append(apgr(pgr_curve(mean[:, 0] - mean[:, 1], *scores[test].T)))
        by_length.append(apgr(pgr_curve(signals[test, 0], *scores[test].T)))
    assert np.mean(areas) >= at_least
    assert np.mean(areas) > np.mean(by_length)
