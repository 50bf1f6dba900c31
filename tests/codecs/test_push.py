"""What the short ways of reading a stream give is what the long ones give."""

import json

import pytest

from turnout.codecs.anthropic.stream import AnthropicDecoder
from turnout.codecs.gemini.stream import GeminiDecoder
from turnout.codecs.openai_chat.stream import OpenAIChatDecoder
from turnout.codecs.sse import SseSplitter
from turnout.errors import StreamInterrupted, TurnoutError


def chunk(choice=None, **beside):
    choices = [] if choice is None else [{"index": 0, "finish_reason": None, **choice}]
    return {
        "id": "a",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **beside,
    }


def says(text, **more):
    return chunk({"delta": {"content": text, **more}})


CHAT = [
    chunk({"delta": {"role": "assistant", "content": ""}}),
    says("a"),
    says('b "quoted" \n\u00e9'),
    says("c", reasoning_content="hm"),
    says("d"),
    chunk({"delta": {"content": "e"}, "logprobs": {"content": [{"token": "e", "logprob": -1.0}]}}),
    says("f") | {"obfuscation": "xyz"},
    says(""),
    says(None, refusal="no"),
    says("g", tool_calls=[{"index": 0, "id": "c1", "function": {"name": "n", "arguments": "{}"}}]),
    says("h"),
    chunk({"index": 1, "delta": {"content": "other choice"}}),
    says("i"),
    chunk({"delta": {"content": "j"}, "finish_reason": "stop"}),
    chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
]


def said(text, **more):
    return {"content": {"role": "model", "parts": [{"text": text, **more}]}, "index": 0}


GEMINI = [
    {"candidates": [said("a")], "usageMetadata": {"promptTokenCount": 1}, "responseId": "r"},
    {"candidates": [said("b")], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}},
    {"candidates": [said("c", thought=True)]},
    {"candidates": [said("d")]},
    {"candidates": [said("")]},
    {"candidates": [said("e") | {"groundingMetadata": {"x": 1}}]},
    {"candidates": [said("f"), said("g") | {"index": 1}]},
    {"candidates": [said("h")]},
    {"candidates": [said("i") | {"finishReason": "STOP"}, said("") | {"index": 1, "finishReason": "STOP"}]},
]


def read(decoder, frames, *, short):
    decoder._misses = 0 if short else 99
    return [decoder.feed(b"data: " + json.dumps(frame).encode() + b"\n\n") for frame in frames]


@pytest.mark.parametrize(("decoder", "frames"), [(OpenAIChatDecoder, CHAT), (GeminiDecoder, GEMINI)])
def test_a_frame_of_text_alone_is_read_as_any_other(decoder, frames):
    short = decoder()
    assert read(short, frames, short=True) == read(decoder(), frames, short=False)
    assert 0 < short._misses < 99


def test_frames_that_come_alone_are_cut_as_in_one_piece():
    pieces = [
        b"data: 1\n\n",
        b"event: x\ndata: 2\n\n",
        b"event: x\ndata: 3\n\n",
        b"event: x\ndata: 4\r\n\n",
        b"event: xy\ndata: 5\n\n",
        b"data: 6\ndata: 7\n\n",
        b": comment\n\n",
        b"data: \n\n",
        b"data: 8\n",
        b"\ndata: 9\n\ndata: 10\n\n",
        b"data: 11\n\n\n",
        b"data: 12\n\n",
    ]
    alone = SseSplitter()
    cut = [frame for piece in pieces for frame in alone.feed(piece)]
    whole = SseSplitter().feed(b"".join(pieces))
    assert [(f.event, f.data) for f in cut] == [(f.event, f.data) for f in whole]
    assert [f.data for f in cut if f.data] == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
        b"6\n7",
        b"8",
        b"9",
        b"10",
        b"11",
        b"12",
    ]


def test_a_stream_cut_behind_its_last_frame_is_no_complete_answer():
    decoder = AnthropicDecoder()
    start = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    text = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'
    assert decoder.feed(start + text) == []
    with pytest.raises(StreamInterrupted):
        decoder.end()


def test_a_failure_behind_content_waits_for_the_next_call():
    decoder = OpenAIChatDecoder()
    error = b'data: {"error":{"message":"down","type":"server_error"}}\n\n'
    assert len(decoder.feed(b"data: " + json.dumps(says("a")).encode() + b"\n\n" + error)) == 2
    with pytest.raises(TurnoutError):
        decoder.feed(b"data: [DONE]\n\n")
    with pytest.raises(TurnoutError):
        decoder.end()
