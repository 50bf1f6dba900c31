"""What translation costs: each client format to each upstream format, in µs per request and per chunk.

Run: `python benchmarks/translation.py [rounds]`; the tables also go to `benchmarks/results/translation.json`.
One core; the best of many rounds, so that a busy machine does not show. A request is an agent's turn with
two tools (about 4 KB); reading it and writing the call is counted, on the diagonal as the express track does
it. A chunk is one word of a streamed answer, read from the upstream's bytes and written for the client.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from turnout.codecs.base import Addressed, Body, Codec, Dialect, Summary
from turnout.registry import load
from turnout.types.chat import ChatRequest, Message, Text, Tool, ToolCall, ToolResult
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.event import Finish, Start, TextDelta, UsageUpdate
from turnout.types.usage import Usage

FORMATS = ("openai_chat", "openai_responses", "anthropic", "gemini")
RESULTS = Path(__file__).parent / "results" / "translation.json"
N_CHUNKS = 200
WORDS = "A turnout lets a train change from one track to another, as the people in the signal box decide. "
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": WORDS}, "depth": {"type": "integer"}},
    "required": ["path"],
}
ASKED = ChatRequest(
    model="m",
    messages=(
        Message("system", (Text(WORDS * 8),)),
        Message("user", (Text(WORDS * 6),)),
        Message("assistant", (Text(WORDS), ToolCall(id="call_1", name="look", arguments='{"path":"a/b"}'))),
        Message("tool", (ToolResult(call_id="call_1", name="look", content=(Text(WORDS * 10),)),)),
        Message("user", (Text("And then?"),)),
    ),
    tools=(
        Tool(name="look", description=WORDS, schema=SCHEMA),
        Tool(name="find", description=WORDS, schema=SCHEMA),
    ),
    max_tokens=512,
    stream=True,
)
SUMMARY = Summary(request_id="req_1", model="acme/m", created=1)


def main(n_rounds: int) -> None:
    """Measure and print both tables."""
    codecs = {name: cast("Callable[[], Codec]", load("turnout.codecs", name))() for name in FORMATS}
    dialects = {name: cast("Callable[[], Dialect]", load("turnout.dialects", name))() for name in FORMATS}
    bodies = {name: codecs[name].encode(ASKED, _to(name)).http.body for name in FORMATS}
    streams = {name: _stream(dialects[name]) for name in FORMATS}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for title, cost in (
        ("µs per request", lambda a, b: _request(dialects[a], codecs[b], bodies[a], n_rounds)),
        ("µs per chunk", lambda a, b: _chunk(dialects[a], codecs[b], streams[b], n_rounds) / N_CHUNKS),
    ):
        print(f"\n{title:<18}" + "".join(f"{'→ ' + name:>20}" for name in FORMATS))
        table = found[title] = {}
        for client in FORMATS:
            costs = table[client] = {upstream: round(cost(client, upstream), 2) for upstream in FORMATS}
            print(f"{client:<18}" + "".join(f"{each:>20.1f}" for each in costs.values()))
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def _to(name: str) -> Deployment:
    vendor = Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=name)
    return Deployment(id="acme/m", vendor=vendor, model=Model(id="acme/m"), upstream_model="m")


def _reader(dialect: Dialect) -> Callable[[bytes], Body]:
    """Return what reads a request: which of the two it is, a gateway knows from the path."""
    if isinstance(dialect, Addressed):
        by_address = dialect.parse_call
        return lambda raw: by_address(raw, model="m", stream=True)
    return dialect.parse


def _request(dialect: Dialect, codec: Codec, raw: bytes, n_rounds: int) -> float:
    to, read = _to(codec.wire), _reader(dialect)
    same = dialect.wire == codec.wire

    def serve() -> None:
        body = read(raw)
        if same:
            codec.forward(body.wire, to, stream=True)
        else:
            codec.encode(body.request, to)

    return _best(serve, n_rounds)


def _stream(dialect: Dialect) -> list[bytes]:
    """Return a streamed answer of an upstream, a word in each piece."""
    writer = dialect.stream(ASKED, SUMMARY)
    usage = Usage(input_uncached=900, output_text=N_CHUNKS)
    words = [TextDelta(f"word{at} ") for at in range(N_CHUNKS)]
    pieces = [writer.feed([Start(id="x", model="m")]), *(writer.feed([word]) for word in words)]
    pieces.append(writer.feed([Finish(reason="stop"), UsageUpdate(usage)]) + writer.end(usage, SUMMARY))
    return pieces


def _chunk(dialect: Dialect, codec: Codec, pieces: list[bytes], n_rounds: int) -> float:
    request = msgspec.structs.replace(ASKED, wire=dialect.wire)
    same = dialect.wire == codec.wire

    def passed() -> None:
        tap = codec.tap(strip_usage=False)
        for piece in pieces:
            tap.feed(piece)

    def translated() -> None:
        decoder, writer = codec.decoder(), dialect.stream(request, SUMMARY)
        for piece in pieces:
            writer.feed(decoder.feed(piece))
        writer.end(None, SUMMARY)

    return _best(passed if same else translated, max(1, n_rounds // 20))


def _best(call: Callable[[], None], n_rounds: int) -> float:
    call()
    best = float("inf")
    for _ in range(n_rounds):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
