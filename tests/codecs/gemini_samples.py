"""Deployments, answers and streams the Gemini tests share."""

import json

from turnout.codecs.base import Summary
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.http import HttpResponse

BASE = "https://generativelanguage.googleapis.com/v1beta"


def deployment(model="gemini-2.5-flash", *, capabilities=None, **quirks):
    vendor = Vendor(name="gemini", base_url=BASE, codec="gemini", quirks=Quirks(**quirks))
    facts = Model(id=f"gemini/{model}", capabilities=capabilities)
    return Deployment(id=f"gemini/{model}", vendor=vendor, model=facts, upstream_model=model)


def ask(*messages, **fields):
    return ChatRequest(model="m", messages=messages or (Message("user", (Text("hi"),)),), **fields)


def answer(body, status=200, headers=None):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers or {}, text)


def frame(*parts, finish=None, usage=None, index=0, **beside):
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": index, **beside}
    if finish is not None:
        candidate["finishReason"] = finish
    out = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1"}
    if usage is not None:
        out["usageMetadata"] = usage
    return out


def sse(*frames, newline=b"\r\n"):
    return b"".join(b"data: " + json.dumps(each).encode() + newline * 2 for each in frames)


def shown(data):
    """Read the frames of a stream that our encoder wrote."""
    blocks = data.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


SUMMARY = Summary(request_id="req_1", model="gemini/gemini-2.5-flash", created=0)
