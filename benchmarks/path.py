"""What a request costs inside one process, in µs of CPU and in calls: no socket, no kernel, no upstream.

    .venv/bin/python -m benchmarks.path [--profile PROFILE] [--without PART] [--files] [--steps] [--json FILE]

Made for changes of the hot path: `make bench` measures the whole gateway beside plain proxies and takes
minutes, this takes seconds. The least of many short slices is what the event loop's thread costs when nobody
else wants the core; `beside` is what other threads cost, the journal's writer that is, as a mean, and so no
better than the machine is quiet. Calls are those a profiler sees, functions of C included. `--steps` counts
bytecodes and Python frames of the event loop instead, which no neighbour changes.

`front` is a client connection with an application that does nothing; the others are the gateway behind ASGI
with an upstream that answers at once: `bare` as in `make bench`, `keyed` with a key, `production` with a key,
three budgets, two quotas, a choice among five, an exact cache that misses, the journal and the metrics.
`production` is also measured without one of these parts.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import process_time, thread_time
from types import FrameType

import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from turnout.build import build
from turnout.config import parse_config
from turnout.server.app import Gateway
from turnout.server.metrics import Metrics
from turnout.server.protocol import WireLimits, protocol_for
from turnout.server.serve import calm_collector
from turnout.server.settings import settings_of

SLICES, SLICE, WARM = 300, 20, 400
KEY = "sk-turnout-path-0123456789abcdef"
BASE = """
providers:
  {providers}
models: [{models}]
journal: {journal}
"""
MODEL = "{{model: {name}, price: {{input: 1, output: 2}}, context_window: 128000}}"
PARTS = ("journal", "cache", "limits", "metrics", "pool")
ROUTED = """
server:
  keys: [{key}]
routes: [{{name: pool, models: [{names}], strategy: {{type: fastest}}{cache}}}]
"""
LIMITED = """
budgets:
  - {id: org, level: organisation, usd: 1000000}
  - {id: team, level: team, usd: 1000000}
  - {id: key, level: key, usd: 1000000}
quotas:
  - {id: rpm, level: key, of: requests, limit: 100000000}
  - {id: tpm, level: key, of: tokens, limit: 100000000000}
"""
ROW = "{{name: one, secret: {key}, organisation: acme, team: core}}"
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "one",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A turnout guides a train. " * 36},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 240, "completion_tokens": 210, "total_tokens": 450},
    },
    separators=(",", ":"),
).encode()
ASKED = "Explain in two sentences how a turnout guides a train onto one of two lines, please. " * 12
HEADERS = [
    (b"host", b"127.0.0.1:4000"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"bench/1"),
]
SHOWN = [(b"authorization", b"Bearer " + KEY.encode())]
One = Callable[[], Awaitable[None]]
Watch = Callable[[FrameType, str, object], "Watch"]


class Answered:
    """An answer that is there already."""

    status = 200
    headers = {"content-type": "application/json", "content-length": str(len(ANSWER))}  # noqa: RUF012

    async def read(self):
        return ANSWER

    def close(self):
        pass


class Upstream:
    """A network that answers at once."""

    def allow(self, egress):
        pass

    async def close(self):
        pass

    async def send(self, request, timeouts, authorise=None):
        return Answered()


class Socket:
    """A client connection that takes everything and keeps nothing."""

    written = 0

    def get_extra_info(self, name, default=None):
        return default

    def write(self, data):
        self.written += 1

    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def close(self):
        pass


def body_of(model: str, words: str) -> bytes:
    """Return a request of about 1.2 KB."""
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]
    return json.dumps({"model": model, "messages": turns, "max_tokens": 512}, separators=(",", ":")).encode()


@asynccontextmanager
async def front():
    """Serve requests of one connection with an application that does nothing."""

    async def app(scope, receive, send):
        await receive()
        head = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"{}"})

    protocol = protocol_for(WireLimits())
    config = Config(
        app,
        http=protocol,
        loop="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        proxy_headers=False,
        log_config=None,
    )
    config.load()
    socket, connection = Socket(), protocol(config, ServerState(), {})
    connection.connection_made(socket)
    body = body_of("p/one", ASKED)
    lines = [*HEADERS, *SHOWN, (b"content-length", b"%d" % len(body))]
    sent = (
        b"POST /v1/chat/completions HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"
    )
    sent += body

    async def one():
        before = socket.written
        connection.data_received(sent)
        while socket.written == before:  # noqa: ASYNC110  nothing is waited for: it is one turn of the loop
            await asyncio.sleep(0)

    yield one


@asynccontextmanager
async def gateway(text: str, model: str, headers: list[tuple[bytes, bytes]], *, measured: bool = False):
    """Serve requests at the gateway behind ASGI."""
    config = parse_config(text, env={})
    metrics = Metrics() if measured else None
    built = await build(
        config, {}, transport=Upstream(), on_event=None if metrics is None else metrics.observe
    )
    app = Gateway(built.engine, built.dialects, settings_of(config))
    number = count()
    # No two are alike, for the cache; and all are of one length.
    before, _, after = body_of(model, f"@ {ASKED}").partition(b"@")

    async def one():
        body = b"%b%09d%b" % (before, next(number), after)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 1),
            "extensions": {"turnout.on_leave": leave},
        }
        told = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            return next(told)

        await app(scope, receive, send)

    def leave(call):
        pass

    async def send(message):
        if message.get("status", 200) != 200:
            raise SystemExit(f"answered {message}")

    try:
        yield one
    finally:
        await built.close()


def profile(name: str, folder: Path, without: str = ""):
    """Return what serves the requests of a profile, without one of its parts."""
    if name == "front":
        return front()
    if name != "production":
        text = _config(["p/one"], "{enabled: false}") + (
            f"server: {{keys: [{ROW.format(key=KEY)}]}}\n" if name == "keyed" else ""
        )
        return gateway(text, "p/one", [*HEADERS, *(SHOWN if name == "keyed" else ())])
    names = [f"{vendor}/one" for vendor in ("p" if without == "pool" else "pqrst")]
    journal = "{enabled: false}" if without == "journal" else f"{{path: {folder / 'journal.db'}}}"
    cache = "" if without == "cache" else ", cache: exact"
    text = _config(names, journal) + ROUTED.format(
        key=ROW.format(key=KEY), names=", ".join(names), cache=cache
    )
    text += f"ledger: {{path: {folder / 'ledger.db'}}}\n"
    text += "" if without == "limits" else LIMITED
    return gateway(text, "turnout/pool", [*HEADERS, *SHOWN], measured=without != "metrics")


def _config(names: list[str], journal: str) -> str:
    address = '{codec: openai_chat, base_url: "http://127.0.0.1:1/v1", auth: none}'
    providers = "\n  ".join(f"{name[0]}: {address}" for name in names)
    models = ", ".join(MODEL.format(name=name) for name in names)
    return BASE.format(providers=providers, models=models, journal=journal)


async def measure(name: str, *, files: bool, without: str = "") -> tuple[float, float, float]:
    """Return per request µs of the event loop and of other threads, and calls; making it is part of them."""
    with tempfile.TemporaryDirectory() as folder:
        async with profile(name, Path(folder), without) as one:
            for _ in range(WARM):
                await one()
            calm_collector()
            beside = process_time() - thread_time()
            best = min([await _slice(one) for _ in range(SLICES)])
            beside = (process_time() - thread_time() - beside) / (SLICES * SLICE)
            watch = cProfile.Profile()
            watch.enable()
            for _ in range(WARM):
                await one()
            watch.disable()
    stats = pstats.Stats(watch)
    if files:
        _by_file(stats)
    return best * 1e6, beside * 1e6, stats.total_calls / WARM


async def _slice(one: One) -> float:
    before = thread_time()
    for _ in range(SLICE):
        await one()
    return (thread_time() - before) / SLICE


async def steps(name: str, *, without: str = "", shown: int = 0) -> tuple[float, float]:
    """Return bytecodes and Python frames per request: the same however busy the machine is.

    Args:
        name: The profile.
        without: A part that is left out.
        shown: Print so many functions, those with the most bytecodes first.
    """
    codes: Counter[str] = Counter()
    frames: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, _: object) -> Watch:
        code = frame.f_code
        where = f"{code.co_filename.rpartition('turnout/')[2]}:{code.co_qualname}"
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            frames[where] += 1
        elif event == "opcode":
            codes[where] += 1
        return watch

    with tempfile.TemporaryDirectory() as folder:
        async with profile(name, Path(folder), without) as one:
            for _ in range(5 * WARM):
                await one()
            sys.settrace(watch)
            await one()  # some frames of the first were there before
            codes.clear()
            frames.clear()
            for _ in range(SLICE):
                await one()
            sys.settrace(None)
    for counted in (codes, frames):
        for where in [each for each in counted if "benchmarks" in each]:
            del counted[where]
    for where, n in codes.most_common(shown):
        print(f"{n / SLICE:9.1f} bytecodes {frames[where] / SLICE:7.1f} frames  {where}")
    return codes.total() / SLICE, frames.total() / SLICE


def _by_file(stats: pstats.Stats) -> None:
    calls: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for (file, _, function), (_, n, own_s, _, _) in stats.stats.items():
        where = file.rpartition("turnout/")[2] if file != "~" else function
        calls[where] += n
        spent[where] += own_s
    for where, seconds in spent.most_common(70):
        print(f"{seconds / WARM * 1e6:9.2f} µs {calls[where] / WARM:7.1f} calls  {where}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", action="append", choices=("front", "bare", "keyed", "production"))
    parser.add_argument("--without", action="append", choices=PARTS, help="production less a part")
    parser.add_argument("--files", action="store_true", help="where the time goes, under a profiler")
    parser.add_argument("--steps", action="store_true", help="count bytecodes instead of measuring time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = {}
    parts = args.without or ()
    names = args.profile or (() if parts else ("front", "bare", "keyed", "production"))
    for name, part in (*((name, "") for name in names), *(("production", part) for part in parts)):
        shown = f"no {part}" if part else name
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if args.steps:
                n, frames = runner.run(steps(name, without=part, shown=70 if args.files else 0))
                found[shown] = {"bytecodes": round(n), "frames": round(frames)}
                print(f"{shown:12} {n:9.0f} bytecodes {frames:7.0f} frames")
                continue
            us, beside, calls = runner.run(measure(name, files=args.files, without=part))
        found[shown] = {"us": round(us, 1), "beside_us": round(beside, 1), "calls": round(calls, 1)}
        print(f"{shown:12} {us:7.1f} µs {beside:7.1f} µs beside {calls:7.1f} calls")
    if args.json is not None:
        args.json.write_text(json.dumps({"python": sys.version.split()[0], **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
