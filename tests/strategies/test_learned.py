"""`learned`: predicts from the words of the request, says how sure it is, and knows when to be silent."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from tests.strategies.kit import Fixed, candidate, choose, context
from turnout.errors import ConfigError
from turnout.evaluate.queries import queries
from turnout.learn.artifact import Artifact, Card, CardDomain, CardEncoder, CardModel
from turnout.learn.base import Labels, Queries
from turnout.learn.encoders.vectors import packed
from turnout.learn.features import HashEmbedder
from turnout.learn.knn import Knn, NearestPrompts
from turnout.learn.outcomes import fit_lengths
from turnout.learn.pooled_fit import PooledLogistic
from turnout.strategies.base import Setting, Surface
from turnout.strategies.rows import ready
from turnout.strategies.scorers.learned import Learned
from turnout.types.signal import Embedding, Signal

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SUMS, POEMS = "solve the equation for x number", "write a sonnet about the sea number"
MODELS = ("acme/large", "beta/small")
ENCODER = HashEmbedder()


def fitted():
    prompts = [f"{text} {i}" for i in range(100) for text in (SUMS, POEMS)]
    scores = np.array([[0.9, 0.1], [0.2, 0.8]] * 100)
    labels = Labels(models=MODELS, queries=queries(prompts, ENCODER), scores=scores)
    model = PooledLogistic(embedding=1.0, regions=1.0, measures=30.0, calibration="off").fit(labels)
    near = model.nearness(labels.queries.embeddings)
    card = Card(
        kind="pooled",
        created=NOW,
        expires=NOW + timedelta(days=90),
        turnout_version="0",
        encoder=CardEncoder(name="hash", id=ENCODER.id, dimensions=256),
        canonicaliser="1",
        models=(
            CardModel(id=MODELS[0], mean=0.55, n_labels=200, surfaces={"verse": 0.2}),
            CardModel(id=MODELS[1], mean=0.45, n_labels=200, surfaces={"verse": 0.8}),
        ),
        data=(),
        domain=CardDomain(ood_cosine=float(near.min()) - 0.01),
        npz_sha256="ab" * 32,
    )
    return Artifact(card, model)


ARTIFACT = fitted()


class Shelf:
    """Files that hold one artifact."""

    def __init__(self, artifact=ARTIFACT):
        self.artifact = artifact

    def intents(self, path):
        return ()

    def learned(self, path, on_expired):
        assert (path, on_expired) == ("a.npz", "refuse")
        return self.artifact


def strategy(row, candidates, artifact=ARTIFACT):
    problems = []
    setting = Setting(pool=tuple(c.deployment for c in candidates), files=Shelf(artifact))
    made = ready(row, "strategy", setting, problems)
    if problems:
        raise ConfigError(tuple(problems))
    return made


def asked(prompt, **fields):
    row = queries([prompt], ENCODER)
    vector = Embedding(value=ENCODER.id, vector=packed(row.embeddings[0]))
    return context(signals={"embed.hash": vector}, **fields)


POOL = tuple(candidate(name) for name in MODELS)


def scorer(pool=POOL, artifact=ARTIFACT, **fields):
    setting = Setting(pool=tuple(c.deployment for c in pool), files=Shelf(artifact))
    return Learned(artifact="a.npz", **fields).bind(setting)


def test_it_predicts_who_answers_well():
    part = scorer()
    sums, poems = part.score(asked(f"{SUMS} 7"), POOL), part.score(asked(f"{POEMS} 7"), POOL)
    assert sums[0] - sums[1] > 0.3
    assert poems[1] - poems[0] > 0.3
    assert all(0 < sd < 0.3 for sd in part.spread(asked(f"{SUMS} 7"), POOL))
    assert part.abstained(asked(f"{SUMS} 7")) is None


def test_columns_follow_the_candidates_of_the_request():
    part = scorer()
    assert part.score(asked(f"{SUMS} 7"), POOL[::-1]) == part.score(asked(f"{SUMS} 7"), POOL)[::-1]
    assert part.score(asked(f"{SUMS} 7"), POOL[1:]) == part.score(asked(f"{SUMS} 7"), POOL)[1:]


def test_it_needs_the_vector_of_its_encoder_and_the_signals_of_its_measures():
    assert scorer().needs == {"embed.hash", "canonical", "lexical", "has.code", "has.math", "wants.json"}
    assert scorer().artifact_sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({}, "no_vector"),
        ({"embed.hash": Signal(error="deadline")}, "no_vector"),
        ({"embed.hash": Embedding(value=ENCODER.id, vector=bytes(1024))}, "no_vector"),
        ({"embed.hash": Embedding(value="other", vector=packed(np.ones(256)))}, "another_encoder"),
        ({"embed.hash": Embedding(value=ENCODER.id, vector=packed(-np.eye(256)[3]))}, "out_of_domain"),
    ],
)
def test_what_it_cannot_read_gets_the_means_and_a_reason(signals, reason):
    part, ctx = scorer(), context(signals=signals)
    assert (part.score(ctx, POOL), part.abstained(ctx)) == ([0.55, 0.45], reason)
    verse = context(signals=signals, surface=Surface(name="verse"))
    assert part.score(verse, POOL) == [0.2, 0.8]


def test_a_card_without_an_edge_silences_it():
    silent = Artifact(msgspec.structs.replace(ARTIFACT.card, abstain_reason="no edge"), ARTIFACT.model)
    part = scorer(artifact=silent)
    ctx = asked(f"{POEMS} 7")
    assert (part.score(ctx, POOL), part.abstained(ctx)) == ([0.55, 0.45], "no edge")


def test_a_model_that_it_does_not_know_is_refused_by_both_pools():
    with pytest.raises(ConfigError, match=r"does not know new/one; .* for acme/large, beta/small, the route"):
        scorer((*POOL, candidate("new/one")))


def test_a_new_model_may_have_the_prior_with_a_wide_spread():
    pool = (*POOL, candidate("new/one"))
    part, ctx = scorer(pool, missing="prior"), asked(f"{SUMS} 7")
    q, sd = part.score(ctx, pool), part.spread(ctx, pool)
    assert q[2] == pytest.approx((q[0] + q[1]) / 2)
    assert sd[2] == 0.25


def test_a_pool_may_have_other_names_than_the_artifact():
    pool = (candidate("x/one"), candidate("x/two"))
    part = scorer(pool, names={"x/one": "beta/small", "x/two": "acme/large"})
    assert part.score(asked(f"{SUMS} 7"), pool) == scorer().score(asked(f"{SUMS} 7"), POOL)[::-1]


def test_the_preset_chooses_by_prediction_and_says_when_it_does_not():
    made = strategy({"type": "learned", "artifact": "a.npz", "lambda": 0, "mu": 0}, POOL)
    poem = made.choose(asked(f"{POEMS} 7"), POOL, Fixed(0))
    assert max(poem.utilities, key=poem.utilities.get) == "beta/small"
    assert (poem.abstained, set(poem.sd)) == (None, set(MODELS))
    blind = made.choose(context(), POOL, Fixed(0))
    assert (blind.abstained, max(blind.utilities, key=blind.utilities.get)) == ("no_vector", "acme/large")


def test_a_threshold_on_the_predicted_gap_picks_the_strong_model():
    row = {"type": "threshold", "artifact": "a.npz", "weak": "beta/small", "strong": "acme/large"}
    for threshold, best in ((0.2, "acme/large"), (0.95, "beta/small")):
        made = strategy(row | {"threshold": threshold}, POOL)
        found = made.choose(asked(f"{SUMS} 7"), POOL, Fixed(0))
        assert max(found.utilities, key=found.utilities.get) == best


def test_the_choice_names_the_training_prompts_that_it_looked_at():
    prompts = [f"{text} {i}" for i in range(100) for text in (SUMS, POEMS)]
    scores = np.array([[0.9, 0.1], [0.2, 0.8]] * 100)
    asked_of = queries(prompts, ENCODER)
    ids = np.array([0xABC0000000000000 + i for i in range(200)], np.uint64)
    fit = Knn(k=5).fit(
        Labels(models=MODELS, queries=Queries(asked_of.embeddings, asked_of.measures, ids), scores=scores)
    )
    kept = NearestPrompts.of(MODELS, fit.arrays())
    remembering = msgspec.structs.replace(ARTIFACT, model=kept, cells=None)
    by = strategy({"type": "learned", "artifact": "a.npz"}, POOL, remembering)
    near = by.choose(asked(f"{POEMS} 7"), POOL, Fixed()).neighbours
    assert len(near) == 3
    assert next(iter(near)) == f"{0xABC0000000000000 + 15:016x}"
    assert all(0.5 < cosine <= 1 for cosine in near.values())
    assert by.choose(context(), POOL, Fixed()).neighbours == {}
    assert (
        strategy({"type": "learned", "artifact": "a.npz"}, POOL)
        .choose(asked(f"{POEMS} 7"), POOL, Fixed())
        .neighbours
        == {}
    )


def test_without_files_it_says_so():
    with pytest.raises(ConfigError, match="artifact: no file can be opened here"):
        choose({"type": "learned", "artifact": "a.npz"}, POOL)


def wordy():
    """The artifact with lengths: sums get 40 tokens of anybody, poems 400 of the large model and 100 else."""
    prompts = [f"{text} {i}" for i in range(100) for text in (SUMS, POEMS)]
    lengths = np.array([[40.0, 40.0], [400.0, 100.0]] * 100)
    known = fit_lengths(MODELS, queries(prompts, ENCODER), lengths)
    return msgspec.structs.replace(ARTIFACT, lengths=known)


def test_learned_lengths_are_expected_of_each_model_and_cut_at_the_limit():
    part = scorer(artifact=wordy())
    found = part.tokens_out(asked(f"{POEMS} 7", max_tokens_out=200), POOL)
    assert found["acme/large"] == 200
    assert found["beta/small"] == pytest.approx(100, rel=0.2)
    assert part.tokens_out(asked(f"{SUMS} 7", max_tokens_out=300), POOL[:1])["acme/large"] < 80
    assert part.tokens_out(context(max_tokens_out=300), POOL) == {}
    assert scorer().tokens_out(asked(f"{POEMS} 7", max_tokens_out=300), POOL) == {}


def test_what_an_answer_will_cost_follows_from_the_length_expected_of_it():
    row = {"type": "learned", "artifact": "a.npz", "lambda": 1.0, "mu": 0.0}
    choose_by = strategy(row, POOL, wordy())
    poem = choose_by.choose(asked(f"{POEMS} 7", max_tokens_out=4_000), POOL, Fixed())
    plain = strategy(row, POOL).choose(asked(f"{POEMS} 7", max_tokens_out=4_000), POOL, Fixed())
    costs = {name: terms["cost"] for name, terms in poem.scores.items()}
    assert costs["acme/large"] < costs["beta/small"] < 0
    assert poem.tokens_out["acme/large"] > 2 * poem.tokens_out["beta/small"] > 0
    assert plain.tokens_out == {}
    assert len({terms["cost"] for terms in plain.scores.values()}) == 1
