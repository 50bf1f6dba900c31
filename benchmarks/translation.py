"""What translation costs: each client format to each upstream format, in µs of CPU per request and per chunk.

Run: `python -m benchmarks.translation [--rounds N] [--before FOLDER]`; the tables also go to
`benchmarks/results/translation.json`. `FOLDER` holds the sources of another version (its `src`), which is
then measured in the same process, slice by slice in turn.

One core; each figure is the tenth part from below of many short slices, all pairs taking turns, so that
neither a busy machine nor its changing clock rate shows (the least of all is at times one that a virtual
machine did not count in full). Reading a request and writing the call is counted, on the diagonal
as the express track does it. The requests are an agent's turn with two tools (4 KB), the same with tools
that were never declared before, and a long conversation (30 calls with their answers, 16 tools, 88 KB). A
chunk is one word of a streamed answer, read from the upstream's bytes and written for the client.
"""

import argparse
import gc
import importlib
import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec

FORMATS = ("openai_chat", "openai_responses", "anthropic", "gemini", "cohere", "bedrock")
"""Clients and upstreams; nobody but the emulator serves Converse to clients, so that row is left out."""
CLIENTS = FORMATS[:-1]
RESULTS = Path(__file__).parent / "results" / "translation.json"
HERE = Path(__file__).parents[1] / "src"
N_CHUNKS = 200
N_UNSEEN = 600
"""Requests with tools of their own, taken in turn: more than are remembered."""
COLLECT_AFTER = (50_000, 20, 100)
"""As `turnout serve` sets it."""
WORDS = "A turnout lets a train change from one track to another, as the people in the signal box decide. "
Call = Callable[[], object]
Cells = dict[tuple[str, str], tuple[Call, int]]
"""Client and upstream -> what is measured, and how many units it serves."""
Table = dict[str, dict[str, float]]


class Version:
    """The codecs of one source tree, and what they are measured with."""

    def __init__(self, folder: Path) -> None:
        _forget()
        sys.path.insert(0, str(folder))
        try:
            load = self._module("registry").load
            self._chat, self._deployment = self._module("types.chat"), self._module("types.deployment")
            self._event, base = self._module("types.event"), self._module("codecs.base")
            self._strict, self._wire = self._module("codecs.strict"), self._module("codecs.openai_chat.wire")
            self._facts = self._module("codecs.openai_chat.facts")
            self._usage = self._module("types.usage").Usage
            self.codecs = {name: load("turnout.codecs", name)() for name in FORMATS}
            self.dialects = {name: load("turnout.dialects", name)() for name in FORMATS}
        finally:
            sys.path.remove(str(folder))
        self._addressed = base.Addressed
        self._summary = base.Summary(request_id="req_1", model="acme/m", created=1)
        self._asked = self._turn()

    def requests(
        self, *, long: bool = False, unseen: bool = False
    ) -> dict[tuple[str, str], tuple[Call, int]]:
        """Return what serves one request of each client at each upstream."""
        asked = self._long() if long else self._asked
        cells: Cells = {}
        for client in CLIENTS:
            raw = self.codecs[client].encode(asked, self._to(client)).http.body
            many = [raw.replace(b'"find"', b'"find%03d"' % at) for at in range(N_UNSEEN)]
            bodies = itertools.cycle(many if unseen else [raw])
            for upstream in FORMATS:
                cells[client, upstream] = (self._serve(client, upstream, bodies), 1)
        return cells

    def steps(self) -> Cells:
        """Return how far a request of each client comes on its way to another upstream."""
        cells: Cells = {}
        for client in CLIENTS:
            raw = self.codecs[client].encode(self._asked, self._to(client)).http.body
            upstream = FORMATS[0] if client != FORMATS[0] else "anthropic"
            read, write = self._reader(client), self._serve(client, upstream, itertools.repeat(raw))
            cells[client, "parsed"] = (partial(self._strict.parse, raw), 1)
            cells[client, "read"] = (partial(read, raw), 1)
            cells[client, "read, with its turns"] = (partial(_look_at, read, raw), 1)
            cells[client, f"written for {upstream}"] = (write, 1)
        cells["openai_chat", "counted alone"] = (self._count(), 1)
        return cells

    def _count(self) -> Call:
        """Return what counts the characters of a request of chat completions, as every reading does."""
        raw = self.codecs["openai_chat"].encode(self._asked, self._to("openai_chat")).http.body
        tree, shape = msgspec.json.decode(raw), self._wire.RequestIn
        tools = self._reader("openai_chat")(raw).request.tools
        read: Call = partial(self._facts.read_facts, tree, msgspec.convert(tree, shape), tools)
        return read

    def chunks(self) -> Cells:
        """Return what serves one streamed answer, and of how many chunks."""
        streams = {name: self._stream(name) for name in FORMATS}
        return {
            (client, upstream): (self._pass(client, upstream, streams[upstream]), N_CHUNKS)
            for client in CLIENTS
            for upstream in FORMATS
        }

    def _module(self, name: str) -> ModuleType:
        return importlib.import_module(f"turnout.{name}")

    def _to(self, name: str) -> object:
        kinds = self._deployment
        vendor = kinds.Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=name)
        return kinds.Deployment(
            id="acme/m", vendor=vendor, model=kinds.Model(id="acme/m"), upstream_model="m"
        )

    def _serve(self, client: str, upstream: str, bodies: Iterator[bytes]) -> Call:
        codec, to, read = self.codecs[upstream], self._to(upstream), self._reader(client)
        if client == upstream:
            return lambda: codec.forward(read(next(bodies)).wire, to, stream=True)
        return lambda: codec.encode(read(next(bodies)).request, to)

    def _reader(self, client: str) -> Callable[[bytes], Any]:
        dialect = self.dialects[client]
        if isinstance(dialect, self._addressed):  # which of the two it is, a gateway knows from the path
            return partial(dialect.parse_call, model="m", stream=True)
        read: Callable[[bytes], Any] = dialect.parse
        return read

    def _pass(self, client: str, upstream: str, pieces: list[bytes]) -> Call:
        dialect, codec, summary = self.dialects[client], self.codecs[upstream], self._summary
        request = msgspec.structs.replace(self._asked, wire=client)

        def passed() -> None:
            tap = codec.tap(strip_usage=False)
            for piece in pieces:
                tap.feed(piece)

        def translated() -> None:
            decoder, writer = codec.decoder(), dialect.stream(request, summary)
            for piece in pieces:
                writer.feed(decoder.feed(piece))
            writer.end(None, summary)

        return passed if client == upstream else translated

    def _stream(self, name: str) -> list[bytes]:
        """Return a streamed answer of an upstream, a word in each piece."""
        event = self._event
        writer = self.dialects[name].stream(self._asked, self._summary)
        usage = self._usage(input_uncached=900, output_text=N_CHUNKS)
        words = [event.TextDelta(f"word{at} ") for at in range(N_CHUNKS)]
        pieces = [writer.feed([event.Start(id="x", model="m")]), *(writer.feed([word]) for word in words)]
        end = [event.Finish(reason="stop"), event.UsageUpdate(usage)]
        return [*pieces, writer.feed(end) + writer.end(usage, self._summary)]

    def _turn(self) -> msgspec.Struct:
        c = self._chat
        messages = (
            c.Message("system", (c.Text(WORDS * 8),)),
            c.Message("user", (c.Text(WORDS * 6),)),
            *self._round(0, 10),
            c.Message("user", (c.Text("And then?"),)),
        )
        schema = {
            "type": "object",
            "properties": {"path": {"type": "string", "description": WORDS}, "depth": {"type": "integer"}},
            "required": ["path"],
        }
        tools = tuple(c.Tool(name=name, description=WORDS, schema=schema) for name in ("look", "find"))
        asked = c.ChatRequest(model="m", messages=messages, tools=tools, max_tokens=512, stream=True)
        return cast("msgspec.Struct", asked)

    def _long(self) -> msgspec.Struct:
        c = self._chat
        messages = [c.Message("system", (c.Text(WORDS * 60),)), c.Message("user", (c.Text(WORDS * 6),))]
        for at in range(30):
            messages += self._round(at, 12)
        described = {f"p{at}": {"type": "string", "description": WORDS} for at in range(6)}
        schema = {"type": "object", "properties": described, "required": ["p0"]}
        tools = tuple(c.Tool(name=f"look{at}", description=WORDS * 12, schema=schema) for at in range(16))
        messages.append(c.Message("user", (c.Text("And then?"),)))
        return msgspec.structs.replace(self._asked, messages=tuple(messages), tools=tools)

    def _round(self, at: int, n_words: int) -> tuple[object, object]:
        c = self._chat
        call = c.ToolCall(id=f"call_{at}", name="look", arguments=f'{{"path":"a/b","depth":{at}}}')
        answer = c.ToolResult(call_id=f"call_{at}", name="look", content=(c.Text((WORDS + "\n") * n_words),))
        return c.Message("assistant", (c.Text(WORDS), call)), c.Message("tool", (answer,))


def main(n_rounds: int, before: Path | None) -> None:
    """Measure and print all tables."""
    versions = (
        {"after": Version(HERE)} if before is None else {"before": Version(before), "after": Version(HERE)}
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    found: dict[str, dict[str, Table]] = {name: {} for name in versions}
    for title, n_calls, cells in (
        ("µs per request, 4 KB", 10, {name: each.requests() for name, each in versions.items()}),
        (
            "µs per request, 4 KB, tools never declared before",
            10,
            {name: each.requests(unseen=True) for name, each in versions.items()},
        ),
        ("µs per request, 88 KB", 1, {name: each.requests(long=True) for name, each in versions.items()}),
        ("µs per request, 4 KB, up to a step", 10, {name: each.steps() for name, each in versions.items()}),
        ("µs per chunk", 1, {name: each.chunks() for name, each in versions.items()}),
    ):
        tables = _measured(cells, n_calls, n_rounds)
        for name, table in tables.items():
            found[name][title] = table
            _show(f"{title} ({name})", table)
    said = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "msgspec": msgspec.__version__,
        "machine": _processor(),
        **found,
    }
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n")


def _measured(cells: dict[str, Cells], n_calls: int, n_rounds: int) -> dict[str, Table]:
    """Return µs per call of each cell of each version; everything takes turns."""
    slices = {name: {key: list[float]() for key in table} for name, table in cells.items()}
    for _ in range(n_rounds):
        for pair in next(iter(cells.values())):
            for name, table in cells.items():
                call, n_units = table[pair]
                call()  # so that it finds its code at hand, as where one client sends most requests
                started = time.process_time_ns()
                for _ in range(n_calls):
                    call()
                slices[name][pair].append((time.process_time_ns() - started) / 1000 / n_calls / n_units)
    tables: dict[str, Table] = {name: {client: {} for client in CLIENTS} for name in cells}
    for name, costs in slices.items():
        for (client, to), found in costs.items():
            tables[name][client][to] = round(sorted(found)[n_rounds // 10], 2)
    return tables


def _show(title: str, table: Table) -> None:
    print(f"\n{title}")
    for client, costs in table.items():
        express = costs.get(client)
        told = (
            f"{to} {cost:.1f}" + ("" if express is None else f" ({cost / express:.2f} ×)")
            for to, cost in costs.items()
        )
        print(f"{client:<18}" + " · ".join(told))


def _look_at(read: Callable[[bytes], Any], raw: bytes) -> None:
    request = read(raw).request
    if hasattr(request.messages, "turns"):
        list(request.messages.turns)  # as a codec looks at them
    else:
        list(request.messages)
    list(request.tools)


def _forget() -> None:
    """Let the next import of the package find another one; what was imported goes on with its own."""
    for name in [name for name in sys.modules if name == "turnout" or name.startswith("turnout.")]:
        del sys.modules[name]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--before", type=Path, help="folder of the sources of another version (its src)")
    given = parser.parse_args()
    main(given.rounds, given.before)
