"""Prompts as numbers."""

import numpy as np
import pytest

from turnout.learn.features import HashEmbedder, scaling

EMBEDDER = HashEmbedder(dimensions=64)


def test_the_vector_of_a_text_is_fixed_for_ever():
    vector = HashEmbedder(dimensions=8).embed("Add two and two")
    assert vector == pytest.approx(
        np.array([0.0, 0.0, 0.0, 0.8161307302, 0.0, 0.2720435767, 0.4311788677, -0.2720435767]), abs=1e-9
    )
    assert HashEmbedder().id == "hash-1-2/256/2"


def test_vectors_have_length_one_and_no_words_have_none():
    assert np.linalg.norm(EMBEDDER.embed("a b c a")) == pytest.approx(1)
    assert EMBEDDER.embed(" \n").tolist() == [0.0] * 64
    assert EMBEDDER.embed_all([]).shape == (0, 64)


def test_case_does_not_matter_and_order_does():
    one, same, other = EMBEDDER.embed_all(["Dog bites man", "dog BITES man", "man bites dog"])
    assert one.tolist() == same.tolist()
    assert 0.3 < one @ other < 0.99


def test_texts_on_one_subject_are_nearer():
    embedder = HashEmbedder()
    a, b, c = embedder.embed_all(
        ["integrate the function over x", "integrate this function over y", "a poem about the sea"]
    )
    assert a @ b > a @ c


def test_every_script_has_words():
    assert np.linalg.norm(EMBEDDER.embed("Что такое любовь")) == pytest.approx(1)
    assert np.linalg.norm(EMBEDDER.embed("什么是爱")) == pytest.approx(1)


def test_features_are_scaled_as_in_training():
    scale = scaling(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert scale.features(np.array([[2.0, 4.0]]), np.array([[4.0, 6.0]])).tolist() == [[1, 1, 2, 2, 1]]


def test_training_data_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="1 embeddings and 2 rows"):
        scaling(np.ones((1, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="finite"):
        scaling(np.full((1, 2), np.nan), np.ones((1, 1)))
