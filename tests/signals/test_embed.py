"""`embed.*` and `intent`: vectors and what is read off them."""

import numpy as np
import pytest

from tests.learn.test_intent import model
from turnout.errors import ConfigError
from turnout.learn.encoders.vectors import Cache, first_embedding, packed, unpacked
from turnout.signals.base import AbsentError
from turnout.signals.embed import EMBED_HASH, EMBED_MINILM, EmbedSense, RemoteEmbedSense
from turnout.signals.intent import IntentScoresSense, IntentSense, senses_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.signal import Canonical, Embedding, Signal

ASK = Ask(request_id="req_1")
REQUEST = ChatRequest(model="auto", messages=())


def said(*windows):
    return {"canonical": Canonical(intent=" ".join(windows), windows=windows)}


def vector(*numbers, encoder="hash-1-2/5/2"):
    return Embedding(value=encoder, vector=packed(np.array(numbers)))


def test_a_vector_is_made_once_and_kept_without_the_text() -> None:
    sense = EmbedSense(kind="hash", cache=Cache())
    assert sense.recall(REQUEST, ASK, said("hello there")) is None
    made = sense.read(REQUEST, ASK, said("hello there"))
    assert (made.value, len(unpacked(made.vector))) == ("hash-1-2/256/2", 256)
    assert sense.read(REQUEST, ASK, said("hello there")) is made
    assert sense.recall(REQUEST, ASK, said("hello there")) is made
    assert all(len(key) == 16 for key in sense.cache.kept)


def test_who_says_nothing_has_a_vector_of_zeros() -> None:
    assert not any(EMBED_HASH.read(REQUEST, ASK, said()).vector)


def test_the_network_runs_off_the_loop_and_hashing_does_not() -> None:
    assert (EMBED_HASH.name, EMBED_HASH.off_loop) == ("embed.hash", False)
    assert (EMBED_MINILM.name, EMBED_MINILM.off_loop) == ("embed.minilm", True)


def test_an_encoder_that_is_not_there_is_refused_before_any_request() -> None:
    with pytest.raises(ConfigError, match="no 'nope'"):
        EmbedSense(kind="nope").prepare()


def test_the_first_encoder_of_a_chain_with_words_decides() -> None:
    found = {
        "embed.minilm": Signal(error="timeout"),
        "embed.static": Embedding(value="s", vector=bytes(8)),
        "embed.hash": vector(1.0),
    }
    assert first_embedding(found, ("minilm", "static", "hash")) == (2, vector(1.0))
    assert first_embedding(found, ("minilm", "static")) is None


def test_a_remote_vector_is_the_unit_mean_of_its_windows() -> None:
    sense = RemoteEmbedSense(model="host/m", dimensions=2)
    assert sense.question(REQUEST, ASK, said("a", "b")) == EmbedRequest(
        model="host/m", input=("a", "b"), dimensions=2
    )
    heard = sense.heard(REQUEST, said("a", "b"), EmbedResponse(model="m", vectors=((2.0, 0.0), (0.0, 9.0))))
    assert heard.value == "remote/host/m/2"
    assert unpacked(heard.vector) == pytest.approx([0.5**0.5, 0.5**0.5])
    with pytest.raises(AbsentError, match="no_intent"):
        sense.question(REQUEST, ASK, said())
    with pytest.raises(AbsentError, match="not_asked"):
        sense.read(REQUEST, ASK, said("c"))


def test_scores_name_the_label_and_the_intent_is_the_label() -> None:
    scores = IntentScoresSense(model=model()).read(REQUEST, ASK, {"embed.hash": vector(0, 1.0, 0, 0, 0)})
    assert scores.value["label"] == "b"
    assert list(scores.value["scores"]) == [
        "b",
        *sorted({"a", "c"}, key=lambda x: -scores.value["scores"][x]),
    ]
    intent = IntentSense(artifact="x").read(REQUEST, ASK, {"intent.scores": scores})
    assert intent == Signal(value="b", confidence=scores.confidence)


def test_a_stranger_has_no_intent() -> None:
    scores = IntentScoresSense(model=model()).read(REQUEST, ASK, {"embed.hash": vector(0, 0, 0, 1.0, 0)})
    assert scores.value["label"] == "none"


@pytest.mark.parametrize(
    ("so_far", "word"),
    [
        ({}, "no_embedding"),
        ({"embed.hash": vector(0.0, 0, 0, 0, 0)}, "no_embedding"),
        ({"embed.hash": vector(1.0, 0, 0, 0, 0, encoder="other")}, "wrong_encoder"),
        ({"embed.hash": vector(1.0, 0)}, "wrong_dimensions"),
    ],
)
def test_without_a_fitting_vector_there_are_no_scores(so_far, word) -> None:
    with pytest.raises(AbsentError, match=word):
        IntentScoresSense(model=model()).read(REQUEST, ASK, so_far)
    with pytest.raises(AbsentError, match=word):
        IntentSense(artifact="x").read(REQUEST, ASK, {"intent.scores": Signal(error=word)})


def test_an_artifact_of_another_encoder_has_no_senses() -> None:
    with pytest.raises(ConfigError, match="fitted with 'hash-1-2/5/2', here is 'hash-1-2/256/2'; fit again"):
        senses_of(model())
