"""Words and meaning side by side: hashed words in many places, and static vectors. Floor 2.

Each half is a unit vector of equal weight. Meaning brings together what is said in other words; the words
themselves tell apart what means nearly the same.
"""

from collections.abc import Sequence
from functools import cache
from math import sqrt
from typing import Final

import numpy as np
from msgspec import Struct

from turnout.learn.base import Encoder, Floats
from turnout.learn.encoders import static
from turnout.learn.features import HashEmbedder

PLACES: Final = 4_096
"""Of hashed words: few enough to be sent around, many enough that words seldom share one."""


class Blend(Struct, frozen=True, eq=False):
    """Two encoders as one."""

    first: Encoder
    second: Encoder

    @property
    def id(self) -> str:
        """Both names."""
        return f"blend({self.first.id},{self.second.id})"

    @property
    def dimensions(self) -> int:
        """Of both together."""
        return self.first.dimensions + self.second.dimensions

    def embed(self, text: str) -> Floats:
        """Return the unit vector of a text; where one half says nothing, the other speaks alone."""
        found: Floats = _side_by_side(self.first.embed(text)[None], self.second.embed(text)[None])[0]
        return found

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row."""
        return _side_by_side(self.first.embed_all(texts), self.second.embed_all(texts))


def _side_by_side(first: Floats, second: Floats) -> Floats:
    rows: Floats = np.hstack((first, second)) * sqrt(0.5)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    unit: Floats = rows / np.where(lengths > 0, lengths, 1.0)
    return unit


@cache
def load() -> Blend:
    """Return the encoder. Raises `ConfigError` where the static vectors are not installed."""
    return Blend(HashEmbedder(dimensions=PLACES), static.load())
