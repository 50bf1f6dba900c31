"""A prompt as numbers: hashed words and word pairs, and measured signals beside them. Floor 2.

Hashing needs no table and no download, and every language's words count. Its vectors know nothing of
meaning: two words for one thing are two things.
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

WORDS: Final = re.compile(r"\w+|[^\w\s]")
PAIR_FACTOR: Final = np.uint32(0x9E3779B1)
"""Odd, so that nothing of the first word is lost; a pair's order matters."""
MIX_1: Final = np.uint32(0x85EBCA6B)
MIX_2: Final = np.uint32(0xC2B2AE35)
SIGN_BIT: Final = np.uint32(1 << 31)
"""The hash's highest bit is the sign, so that words sharing a place cancel on average."""
LONGEST: Final = 4_096
"""Characters read: what follows seldom changes which model is right, and the time stays bounded."""


class HashEmbedder(Struct, frozen=True, kw_only=True):
    """Words and neighbouring pairs, hashed into a unit vector."""

    dimensions: int = 256

    @property
    def id(self) -> str:
        """Its name in a card: vectors of different ids cannot be compared."""
        return f"hash-1-2/{self.dimensions}/2"

    def embed(self, text: str) -> Floats:
        """Return the vector of a text; all zero where there are no words, which means: abstain."""
        words = WORDS.findall(text[:LONGEST].lower())
        singles = np.fromiter(map(_hash, words), np.uint32, len(words))
        pairs = singles[:-1] * PAIR_FACTOR ^ singles[1:]
        grams, counts = np.unique(np.concatenate((singles, _mixed(pairs))), return_counts=True)
        weights = np.log1p(counts)
        np.negative(weights, out=weights, where=grams >= SIGN_BIT)
        places = (grams & (SIGN_BIT - 1)) % self.dimensions
        vector: Floats = np.bincount(places, weights=weights, minlength=self.dimensions).astype(np.float64)
        length = float(np.sqrt(vector @ vector))
        return vector / length if length > 0 else vector

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row."""
        return np.stack([self.embed(text) for text in texts]) if texts else np.empty((0, self.dimensions))


@lru_cache(maxsize=32_768)
def _hash(word: str) -> int:
    """Return the word's hash. Most words of a prompt are common: a look-up costs a third of hashing."""
    return zlib.crc32(word.encode())


def _mixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return hashes whose every bit depends on every bit (the finisher of MurmurHash3, public domain)."""
    found = hashes.copy()
    found ^= found >> np.uint32(16)
    found *= MIX_1
    found ^= found >> np.uint32(13)
    found *= MIX_2
    found ^= found >> np.uint32(16)
    return found


class Scaling(Struct, frozen=True, eq=False):
    """How raw numbers become features: fixed on training data, the same ever after."""

    embedding_norm: float
    """Typical length of a training vector's coordinate."""
    means: Floats
    """Of each signal."""
    deviations: Floats
    """Of each signal; 1 for one that never changes."""

    def features(self, embeddings: Floats, signals: Floats) -> Floats:
        """Return [1, embedding, signals] for each row, scaled."""
        ones = np.ones((embeddings.shape[0], 1))
        scaled = (signals - self.means) / self.deviations
        return np.hstack((ones, embeddings / self.embedding_norm, scaled))


def scaling(embeddings: Floats, signals: Floats) -> Scaling:
    """Return the scaling of training data: embeddings to a root mean square of 1, signals to mean 0, sd 1.

    Args:
        embeddings: One vector a row.
        signals: One row of measured signals each; may have no columns.
    """
    if embeddings.shape[0] == 0 or embeddings.shape[0] != signals.shape[0]:
        raise ValueError(f"{embeddings.shape[0]} embeddings and {signals.shape[0]} rows of signals")
    if not (np.isfinite(embeddings).all() and np.isfinite(signals).all()):
        raise ValueError("embeddings and signals must be finite")
    norm = float(np.sqrt((embeddings**2).sum(axis=1).mean()))
    deviations = signals.std(axis=0)
    return Scaling(norm or 1.0, signals.mean(axis=0), np.where(deviations > 0, deviations, 1.0))
