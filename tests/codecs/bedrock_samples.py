"""Answers in the Converse format, written for the tests."""

import json

from turnout.codecs.eventstream import write_event
from turnout.types.deployment import Deployment, Model, Vendor

HOST = Vendor(name="bedrock", base_url="https://bedrock.test", codec="bedrock")


def to(model="anthropic.claude-sonnet-4-5-v1:0", **facts):
    return Deployment(id="b", vendor=HOST, model=Model(id=f"bedrock/{model}", **facts), upstream_model=model)


USAGE = {
    "inputTokens": 7,
    "outputTokens": 5,
    "totalTokens": 42,
    "cacheReadInputTokens": 10,
    "cacheWriteInputTokens": 20,
    "cacheDetails": [{"inputTokens": 15, "ttl": "1h"}, {"inputTokens": 5, "ttl": "5m"}],
}
USE = {"toolUseId": "tooluse_1", "name": "look", "input": {"at": "Paris"}}
CITED = {
    "content": [{"text": "Paris"}],
    "citations": [{"title": "Atlas", "location": {"web": {"url": "https://a.test", "domain": "a.test"}}}],
}
NOTE = {"type": "url_citation", "url_citation": {"title": "Atlas", "url": "https://a.test"}}
ANSWER = {
    "metrics": {"latencyMs": 5},
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                {"text": "It is "},
                {"citationsContent": CITED},
                {"toolUse": USE},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": USAGE,
}


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def frames(*events):
    """Write `(name, members)` pairs as a stream, padded as the provider does."""
    return b"".join(write_event(name, body({**members, "p": "abcd"})) for name, members in events)


def delta(index, **members):
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": members}


def stop(index):
    return "contentBlockStop", {"contentBlockIndex": index}


def start(index, **members):
    return "contentBlockStart", {"contentBlockIndex": index, "start": members}


BEGIN = ("messageStart", {"role": "assistant"})
END = ("messageStop", {"stopReason": "end_turn"})
COUNTS = ("metadata", {"metrics": {"latencyMs": 1}, "usage": USAGE})
SPOKEN = frames(
    BEGIN,
    delta(0, reasoningContent={"text": "Hm."}),
    delta(0, reasoningContent={"signature": "sig"}),
    stop(0),
    delta(1, text="It is "),
    delta(1, text="Paris"),
    delta(1, citation=CITED["citations"][0]),
    stop(1),
    END,
    COUNTS,
)
RAN = {"toolUseId": "s1", "name": "python", "type": "server_tool_use"}
CALLS = frames(
    BEGIN,
    start(0, toolUse=RAN),
    delta(0, toolUse={"input": '{"code":'}),
    delta(0, toolUse={"input": "1}"}),
    stop(0),
    start(1, toolUse={"toolUseId": "tooluse_1", "name": "look"}),
    delta(1, toolUse={"input": '{"at":'}),
    delta(1, toolUse={"input": '"Paris"}'}),
    stop(1),
    start(2, toolUse={"toolUseId": "tooluse_2", "name": "now"}),
    stop(2),
    ("messageStop", {"stopReason": "tool_use"}),
    COUNTS,
)
