"""Vectors between encoders, signals and models: packed, pooled, unpacked. Floor 2."""

import hashlib
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from turnout.learn.base import Encoder, Floats
from turnout.types.signal import Embedding, Signals

PREFIX: Final = "embed."
"""Of the signal of an encoder; its name follows."""
CACHED: Final = 4_096
"""Texts whose vectors are kept: at 384 numbers of 4 bytes about 8 MB."""


def packed(vector: Floats) -> bytes:
    """Return a vector as little-endian float32."""
    return vector.astype("<f4").tobytes()


def unpacked(data: bytes) -> Floats:
    """Return the vector that `packed` wrote."""
    return np.frombuffer(data, "<f4").astype(np.float64)


def narrow(data: bytes) -> NDArray[np.float32]:
    """Return the vector that `packed` wrote, as it lies there; read-only."""
    return np.frombuffer(data, "<f4")


def embedded(encoder: Encoder, windows: Sequence[str]) -> Floats:
    """Return the unit vector of a text in pieces: the mean over them; all zero where nothing can be said."""
    if len(windows) == 1:
        return encoder.embed(windows[0])
    if not windows:
        return np.zeros(encoder.dimensions)
    return _unit(encoder.embed_all(windows).mean(axis=0))


def pooled(vectors: Sequence[Sequence[float]]) -> Floats | None:
    """Return the unit mean of vectors of one length, made unit first; None where one is not finite."""
    rows = np.asarray(vectors, np.float64)
    if not np.isfinite(rows).all():
        return None
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return _unit((rows / np.where(lengths > 0, lengths, 1.0)).mean(axis=0))


def _unit(vector: Floats) -> Floats:
    length = math.sqrt(float(vector @ vector))
    return vector / length if length > 0 else vector


def first_embedding(so_far: Signals, kinds: Sequence[str]) -> tuple[int, Embedding] | None:
    """Return the first encoder of a chain that has a vector with words in it, and the vector."""
    for at, kind in enumerate(kinds):
        found = so_far.get(PREFIX + kind)
        if isinstance(found, Embedding) and any(found.vector):
            return at, found
    return None


class Cache(Struct, eq=False):
    """The newest vectors by a hash of their text; the text itself is not kept.

    Used from the event loop and from threads at once: each step on the dictionary is atomic, and losing a
    race costs one vector computed twice.
    """

    size: int = CACHED
    kept: dict[bytes, Embedding] = field(default_factory=dict)
    """Oldest use first."""

    def get(self, key: bytes) -> Embedding | None:
        """Return what was kept, and note its use."""
        found = self.kept.pop(key, None)
        if found is not None:
            self.kept[key] = found
        return found

    def put(self, key: bytes, embedding: Embedding) -> None:
        """Keep a vector; the one used least recently goes where there is no room."""
        self.kept[key] = embedding
        while len(self.kept) > self.size:
            try:
                self.kept.pop(next(iter(self.kept)), None)
            except (StopIteration, RuntimeError):  # another thread was faster
                return


def key_of(encoder: str, windows: Sequence[str]) -> bytes:
    """Return the hash of a text in pieces, under one encoder."""
    digest = hashlib.blake2b(encoder.encode(), digest_size=16)
    for window in windows:
        digest.update(b"\0" + window.encode())
    return digest.digest()
