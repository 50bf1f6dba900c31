"""Frames of an OpenAI-style stream, for tests."""

import json
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from turnout.types.json import Json
from turnout.types.usage import Usage

DONE = b"data: [DONE]\n\n"
COUNTS: Json = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE = Usage(input_uncached=3, output_text=2)


def frame(tree: Json) -> bytes:
    return b"data: " + json.dumps(tree, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta: Json = None, finish: str | None = None, index: int = 0, **fields: Json) -> bytes:
    choices: Json = (
        []
        if delta is None and finish is None
        else [{"index": index, "delta": delta or {}, "finish_reason": finish}]
    )
    return frame(
        {
            "id": "c-1",
            "object": "chat.completion.chunk",
            "created": 5,
            "model": "m",
            "choices": choices,
            **fields,
        }
    )


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
HELLO = [
    ROLE,
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
    chunk(usage=COUNTS),
    DONE,
]


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


FRAMES = st.sampled_from(
    [
        *HELLO,
        b": OPENROUTER PROCESSING\n\n",
        HELLO[1].replace(b"\n", b"\r\n"),
        chunk({"content": "\u2028 ünï"}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        frame({"error": {"code": 429, "message": "m"}}),
        b"data: {nonsense\n\n",
        chunk({"content": "x"}, turnout={"forged": True}),
    ]
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join)
CUTS = st.lists(st.integers(0, 2000), max_size=10)
