"""A vector for each token, averaged: meaning without a network to run. Floor 2.

Theory of operation.
1. The table has one row for each of 32,000 tokens. A text is the mean of its tokens' rows, made unit length.
2. The tokens are those of a byte-pair vocabulary in which a blank begins a word and no token spans two words.
   A word is therefore cut alone, and remembered: most words of a prompt were seen before.
3. A word is cut by joining, again and again, the neighbours whose pair has the lowest rank. What the
   vocabulary lacks is spelt in bytes. A word longer than `LONGEST_WORD` is cut into pieces of that length
   first, because the time to cut grows with the square of it.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from turnout.catalog.weights import STATIC_TOKENS, STATIC_WEIGHTS
from turnout.errors import ConfigError
from turnout.learn.base import Floats

BLANK: Final = "▁"
LONGEST: Final = 16_384
"""Characters read, as many as an intent has."""
LONGEST_WORD: Final = 64
REMEMBERED: Final = 32_768
"""Words whose tokens are kept; when full, all are forgotten, which costs a few milliseconds now and then."""
MANY: Final = 512
"""Tokens from which counting equal ones costs less than adding each one's row."""
_ONES: Final = np.ones(MANY, np.float32)
_WORDS: Final = re.compile("(?: |^)( *[^ ]+)")
NAME: Final = "wordllama-l2-supercat"


class _Model(Struct):
    vocab: dict[str, int]
    merges: list[tuple[str, str] | str]


class _File(Struct):
    model: _Model


class Vocabulary(Struct, frozen=True, eq=False):
    """Cuts words into tokens."""

    ids: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]
    """Pair of neighbours -> place in the order of joining."""
    seen: dict[str, bytes] = field(default_factory=dict)
    """Word -> its tokens, packed: a text's tokens are then joined without making a number of each."""

    @classmethod
    def read(cls, data: bytes) -> "Vocabulary":
        """Return the vocabulary of a tokenizer file. Raises `ConfigError`."""
        try:
            model = msgspec.json.decode(data, type=_File).model
        except msgspec.DecodeError as error:
            raise ConfigError((f"tokenizer file: {error}",)) from None
        pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in model.merges)
        return cls(model.vocab, {(pair[0], pair[1]): rank for rank, pair in enumerate(pairs)})

    def tokens(self, text: str) -> NDArray[np.int32]:
        """Return the tokens of a text."""
        seen = self.seen
        if len(seen) > REMEMBERED:
            seen.clear()
        # A run of blanks belongs to the word after it; most texts have none, and splitting is quicker.
        words = _WORDS.findall(text) if "  " in text else text.split(" ")
        try:
            packed = b"".join(map(seen.__getitem__, words))
        except KeyError:
            found = list[bytes]()
            for word in words:
                known = seen.get(word)
                if known is None:
                    known = seen[word] = np.array(self._word(word), np.int32).tobytes()
                found.append(known)
            packed = b"".join(found)
        return np.frombuffer(packed, np.int32)

    def _word(self, word: str) -> tuple[int, ...]:
        marked = BLANK + word.replace(" ", BLANK)
        whole = self.ids.get(marked)
        if whole is not None and len(marked) > 1:
            return (whole,)
        pieces = range(0, len(marked), LONGEST_WORD)
        return tuple(chain.from_iterable(self._cut(marked[at : at + LONGEST_WORD]) for at in pieces))

    def _cut(self, word: str) -> list[int]:
        parts = list(word)
        while len(parts) > 1:
            ranks = [self.ranks.get((a, b)) for a, b in pairwise(parts)]
            best = min((rank for rank in ranks if rank is not None), default=None)
            if best is None:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found: list[int] = []
        for part in parts:
            known = self.ids.get(part)
            found.extend((known,) if known is not None else self._spelt(part))
        return found

    def _spelt(self, part: str) -> list[int]:
        names = (f"<0x{byte:02X}>" for byte in part.encode("utf-8", "replace"))
        return [self.ids[name] for name in names if name in self.ids]


class StaticEncoder(Struct, frozen=True, kw_only=True, eq=False):
    """Mean of token vectors."""

    table: NDArray[np.float32]
    """Tokens x dimensions."""
    vocabulary: Vocabulary
    id: str

    @classmethod
    def of(cls, weights: bytes, tokens: bytes, sha256: str) -> "StaticEncoder":
        """Return the encoder of a safetensors file with one table and of its tokenizer.

        Raises:
            ConfigError: A file is not what it should be.
        """
        table = _table(weights)
        name = f"static/{NAME}/{table.shape[1]}/{sha256[:12]}"
        return cls(table=table, vocabulary=Vocabulary.read(tokens), id=name)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.table.shape[1])

    def embed(self, text: str) -> Floats:
        """Return the vector of a text; all zero where there are no words."""
        text = text[:LONGEST].strip()
        if not text:
            return np.zeros(self.dimensions)
        tokens = self.vocabulary.tokens(text)
        counts = _ONES[: len(tokens)]
        if len(tokens) > MANY:
            tokens, repeated = np.unique(tokens, return_counts=True)
            counts = repeated.astype(np.float32)
        total: Floats = (counts @ self.table.take(tokens, axis=0)).astype(np.float64)
        length = math.sqrt(float(total @ total))
        return total / length if length > 0 else total

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row."""
        return np.stack([self.embed(text) for text in texts]) if texts else np.empty((0, self.dimensions))


@cache
def load() -> StaticEncoder:
    """Return the encoder of the installed weights. Raises `ConfigError`."""
    return StaticEncoder.of(STATIC_WEIGHTS.read(), STATIC_TOKENS.read(), STATIC_WEIGHTS.sha256[0])


def _table(data: bytes) -> NDArray[np.float32]:
    """Read the only tensor of a safetensors file: a length, a header of JSON, the numbers."""
    try:
        (size,) = struct.unpack_from("<Q", data)
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, _Tensor])
        (tensor,) = header.values()
        begin, end = tensor.data_offsets
        kind = {"F16": "<f2", "F32": "<f4"}[tensor.dtype]
        rows, columns = tensor.shape
        numbers = np.frombuffer(data[8 + size + begin : 8 + size + end], kind).astype(np.float32)
        return numbers.reshape(rows, columns)
    except (struct.error, msgspec.DecodeError, ValueError, KeyError) as error:
        raise ConfigError((f"weights: not a safetensors file with one table: {error}",)) from None


class _Tensor(Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]
