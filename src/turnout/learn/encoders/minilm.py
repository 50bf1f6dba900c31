"""MiniLM-L6 on onnxruntime: a small network that knows what sentences mean. Floor 2.

1. Tokens go through six layers; the vector is the mean over the tokens, made unit length (384 numbers).
2. One thread computes: the others serve requests. A network run frees the interpreter's lock, so whoever must
   not wait calls this in a thread of its own.
3. A text beyond `MAX_TOKENS` tokens is cut: the model was trained on short texts, and time grows with length.
4. The file's weights are 8-bit integers, and here they are also multiplied as such (`onnx.integer`): a third
   of the time and a quarter of the memory, vectors at a cosine of .995 to those of floats. Its id says so:
   vectors of one kind are not mixed with the other's.
5. The scale of the numbers inside is found per call. So each text is computed alone: in a batch, its vector
   would depend on its neighbours, and what was fitted on batches would be served something else.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.catalog.weights import MINILM_TOKENS, MINILM_WEIGHTS
from turnout.errors import ConfigError
from turnout.learn.base import Floats
from turnout.learn.encoders.onnx import integer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

DIMENSIONS: Final = 384
MAX_TOKENS: Final = 128
INSTALL: Final = "pip install 'turnout[semantic]'"


class MiniLMEncoder(Struct, frozen=True, kw_only=True, eq=False):
    """Mean of the last layer."""

    session: "InferenceSession"
    tokenizer: "Tokenizer"
    id: str = f"minilm-l6-int8/{DIMENSIONS}/{MINILM_WEIGHTS.sha256[0][:12]}/integer"
    dimensions: int = DIMENSIONS

    def embed(self, text: str) -> Floats:
        """Return the vector of a text; all zero where there are no words."""
        if not text.strip():
            return np.zeros(self.dimensions)
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        # One output, an array: the runtime's own types say only that there are some.
        layer = cast("NDArray[np.float32]", self.session.run(None, given)[0])
        mean: Floats = layer[0].sum(axis=0, dtype=np.float64)
        return mean / (math.sqrt(float(mean @ mean)) or 1.0)

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row."""
        return np.stack([self.embed(text) for text in texts]) if texts else np.empty((0, self.dimensions))


@cache
def load() -> MiniLMEncoder:
    """Return the encoder of the installed weights. Raises `ConfigError`."""
    try:
        # Imported here: both are an extra, and take a fifth of a second.
        from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions  # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError((f"the encoder minilm needs {error.name}; run: {INSTALL}",)) from None
    weights, tokens = MINILM_WEIGHTS.read(), MINILM_TOKENS.read()
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The levels beyond join each normalisation with a sum before it, into a node that takes longer than both
    # (onnxruntime 1.31.1: 9.1 ms instead of 7.1 for 128 tokens, 2026-11-22).
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        graph = integer(weights)
    except ValueError as error:
        raise ConfigError((f"weights: {error}",)) from error
    session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_buffer(tokens)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return MiniLMEncoder(session=session, tokenizer=tokenizer)
