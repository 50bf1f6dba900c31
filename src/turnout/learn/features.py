"""A prompt as numbers: hashed words and word pairs, and measured signals beside them. Floor 2.

Hashing needs no table and no download, and every language's words count. Its vectors know nothing of
meaning: two words for one thing are two things.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

WORDS: Final = re.compile(r"\w+|[^\w\s]")
SIGN_BIT: Final = 1 << 31
"""The hash's highest bit is the sign, so that words sharing a place cancel on average."""
LONGEST: Final = 4_096
"""Characters read: what follows seldom changes which model is right, and the time stays bounded."""


class HashEmbedder(Struct, frozen=True, kw_only=True):
    """Words and neighbouring pairs, hashed into a unit vector."""

    dimensions: int = 256

    @property
    def id(self) -> str:
        """Its name in a card: vectors of different ids cannot be compared."""
        return f"hash-1-2/{self.dimensions}/1"

    def embed(self, text: str) -> Floats:
        """Return the vector of a text; all zero where there are no words, which means: abstain."""
        words = WORDS.findall(text[:LONGEST].lower())
        grams = Counter(words)
        grams.update(map(" ".join, pairwise(words)))
        hashes = np.fromiter((zlib.crc32(gram.encode()) for gram in grams), np.int64, len(grams))
        counts = np.log1p(np.fromiter(grams.values(), np.float64, len(grams)))
        signed = np.where(hashes & SIGN_BIT, -counts, counts)
        vector: Floats = np.bincount(
            (hashes & (SIGN_BIT - 1)) % self.dimensions, weights=signed, minlength=self.dimensions
        ).astype(np.float64)
        length = float(np.sqrt(vector @ vector))
        return vector / length if length > 0 else vector

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row."""
        return np.stack([self.embed(text) for text in texts]) if texts else np.empty((0, self.dimensions))


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
