"""Made-up prompts whose right answers are known: topics in a vector space, models good at some of them."""

import numpy as np

from turnout.learn.base import Labels, Pairs, Queries

MODELS = ("a", "b", "c")
CHANCES = np.array([[0.9, 0.2, 0.5], [0.2, 0.9, 0.5], [0.8, 0.7, 0.3], [0.4, 0.3, 0.9]])
"""Topics x models."""
D = 16


def topics(n, seed=0):
    """Return the vectors of n prompts and each one's topic."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(np.random.default_rng(99).normal(size=(D, D)))[0][: len(CHANCES)]
    topic = rng.integers(len(CHANCES), size=n)
    vectors = centres[topic] + rng.normal(size=(n, D)) * 0.05
    return Queries(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.empty((n, 0))), topic


def outcomes(n, seed=0):
    queries, topic = topics(n, seed)
    rng = np.random.default_rng(seed + 1)
    scores = (rng.random((n, len(MODELS))) < CHANCES[topic]).astype(float)
    return Labels(models=MODELS, queries=queries, scores=scores)


def battles(n, seed=0, per_prompt=3):
    """Return labels that are comparisons only, ties included."""
    queries, topic = topics(n, seed)
    rng = np.random.default_rng(seed + 1)
    query = np.repeat(np.arange(n), per_prompt)
    a = rng.integers(3, size=query.size)
    b = (a + rng.integers(1, 3, size=query.size)) % 3
    good_a, good_b = (rng.random(query.size) < CHANCES[topic[query], m] for m in (a, b))
    outcome = 0.5 + (good_a.astype(float) - good_b) / 2
    pairs = Pairs(query, a, b, outcome, np.ones(query.size))
    return Labels(models=MODELS, queries=queries, scores=np.full((n, 3), np.nan), pairs=pairs)
