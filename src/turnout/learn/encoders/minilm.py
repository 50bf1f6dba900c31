"""MiniLM-L6 on onnxruntime: a small network that knows what sentences mean. Floor 2.

1. Tokens go through six layers; the vector is the mean over the tokens, made unit length (384 numbers).
2. One thread computes: the others serve requests. A network run frees the interpreter's lock, so whoever must
   not wait calls this in a thread of its own.
3. A text beyond `MAX_TOKENS` tokens is cut: the model was trained on short texts, and time grows with length.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.catalog.weights import MINILM_TOKENS, MINILM_WEIGHTS
from turnout.errors import ConfigError
from turnout.learn.base import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

DIMENSIONS: Final = 384
MAX_TOKENS: Final = 128
BATCH: Final = 32
"""Texts computed at once."""
INSTALL: Final = "pip install 'turnout[semantic]'"


class MiniLMEncoder(Struct, frozen=True, kw_only=True, eq=False):
    """Mean of the last layer."""

    session: "InferenceSession"
    tokenizer: "Tokenizer"
    id: str = f"minilm-l6-int8/{DIMENSIONS}/{MINILM_WEIGHTS.sha256[0][:12]}"
    dimensions: int = DIMENSIONS

    def embed(self, text: str) -> Floats:
        """Return the vector of a text; all zero where there are no words."""
        if not text.strip():
            return np.zeros(self.dimensions)
        vector: Floats = self._run([self.tokenizer.encode(text)])[0]
        return vector

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row. Texts of like length go together, so that little is padded."""
        found = np.zeros((len(texts), self.dimensions))
        order = sorted((at for at, text in enumerate(texts) if text.strip()), key=lambda at: len(texts[at]))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            found[rows] = self._run(self.tokenizer.encode_batch([texts[at] for at in rows]))
        return found

    def _run(self, encoded: "Sequence[Encoding]") -> Floats:
        width = max(len(each.ids) for each in encoded)
        ids = np.zeros((len(encoded), width), np.int64)
        mask = np.zeros((len(encoded), width), np.int64)
        for row, each in enumerate(encoded):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        # One output, an array: the runtime's own types say only that there are some.
        layer = cast("NDArray[np.float32]", self.session.run(None, given)[0])
        mean: Floats = np.einsum("btd,bt->bd", layer.astype(np.float64), mask.astype(np.float64))
        lengths = np.sqrt(np.einsum("bd,bd->b", mean, mean))
        return mean / np.where(lengths > 0, lengths, 1.0)[:, None]


@cache
def load() -> MiniLMEncoder:
    """Return the encoder of the installed weights. Raises `ConfigError`."""
    try:
        # Imported here: both are an extra, and take a fifth of a second.
        from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError((f"the encoder minilm needs {error.name}; run: {INSTALL}",)) from None
    weights, tokens = MINILM_WEIGHTS.read(), MINILM_TOKENS.read()
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_buffer(tokens)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return MiniLMEncoder(session=session, tokenizer=tokenizer)
