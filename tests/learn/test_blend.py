"""A blend is two vectors side by side, of unit length."""

import numpy as np
import pytest

from turnout.learn.base import Encoder
from turnout.learn.encoders.blend import Blend
from turnout.learn.features import HashEmbedder

BLEND = Blend(HashEmbedder(dimensions=64), HashEmbedder(dimensions=16))


def test_both_halves_weigh_the_same():
    vector = BLEND.embed("solve the equation")
    assert isinstance(BLEND, Encoder)
    assert (vector.size, BLEND.dimensions, BLEND.id) == (80, 80, f"blend({BLEND.first.id},{BLEND.second.id})")
    assert (vector[:64] @ vector[:64], vector[64:] @ vector[64:]) == pytest.approx((0.5, 0.5))


def test_many_texts_are_embedded_as_each_alone():
    texts = ["one", "two words", ""]
    np.testing.assert_allclose(BLEND.embed_all(texts), np.stack([BLEND.embed(text) for text in texts]))
    assert not BLEND.embed("").any()
