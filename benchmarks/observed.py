"""What observing costs: µs of CPU per request of one gateway process, with it off and on.

    .venv/bin/python -m benchmarks.observed [--json FILE]

A client connection, the HTTP front, the gateway and an upstream that answers at once, all in this process and
without a socket. The time is that of the process, and a slice ends when its spans are encoded and its lines
are written, so that what observes beside the path counts in full. Slices of all settings take turns, forwards
and backwards. The best of each is told, as in `benchmarks.path`, and the median of what slices cost more than
the one of `off` in its round: a neighbour that stays moves both of them.

`off`       nothing: no metrics, no spans, log lines of defects only
`metrics`   the numbers that Prometheus scrapes, shared by workers
`all`       metrics, spans of one request in ten in OTLP (encoded and sent), the log as JSON in a file
`access`    all of it, and an access line per request
`traced`    as `all`, with the spans of every request
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from operator import truediv
from pathlib import Path
from statistics import median
from time import process_time

import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from benchmarks.path import (
    ASKED,
    HEADERS,
    KEY,
    LIMITED,
    ROUTED,
    ROW,
    SHOWN,
    Socket,
    Upstream,
    _config,
    body_of,
)
from turnout.build import build
from turnout.config import parse_config
from turnout.server.app import Gateway
from turnout.server.protocol import WireLimits, protocol_for
from turnout.server.serve import calm_collector
from turnout.server.settings import settings_of
from turnout.server.tally import FOLDER
from turnout.server.telemetry.opened import Telemetry

ROUNDS, SLICE, WARM = 40, 250, 400
OTLP = (
    "telemetry: {{otlp: {{endpoint: '{url}'}}, traces: {{sample: {sample}}}, metrics: {{interval_s: 5}}}}\n"
)
LOG = "log: {{format: json, access: {access}, sinks: [{{type: file, path: '{path}'}}]}}\n"
SETTINGS = {"off": "", "metrics": "", "all": OTLP + LOG, "access": OTLP + LOG, "traced": OTLP + LOG}


class Wire:
    """A collector that takes everything at once, in place of the network."""

    async def send(self, request, timeouts, authorise=None):
        return Taken()

    async def close(self):
        pass


class Taken:
    """An empty answer."""

    status = 200
    headers = {}  # noqa: RUF012

    async def read(self):
        return b""

    def close(self):
        pass


@asynccontextmanager
async def observed(name: str, profile: str, folder: Path):
    """Serve requests over one client connection, observed as a setting says."""
    model, text = _profile(profile, folder)
    more = SETTINGS[name].format(
        url="http://127.0.0.1:1",
        path=folder / "log.json",
        access=str(name == "access").lower(),
        sample=1 if name == "traced" else 0.1,
    )
    config = parse_config(text + more, env={})
    os.environ[FOLDER] = str(folder)
    telemetry = Telemetry(config, scraped=name != "off", network=Wire())
    built = await build(config, {}, transport=Upstream(), on_event=telemetry.on_event)
    app = Gateway(built.engine, built.dialects, settings_of(config))
    telemetry.begin(built, app)
    protocol = protocol_for(WireLimits())
    server = Config(
        telemetry.app(app),
        http=protocol,
        loop="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        proxy_headers=False,
        log_config=None,
    )
    server.load()
    socket, connection = Socket(), protocol(server, ServerState(), {})
    connection.connection_made(socket)
    body = body_of(model, ASKED)
    lines = [*HEADERS, *(SHOWN if profile == "production" else ()), (b"content-length", b"%d" % len(body))]
    sent = b"".join(b"%b: %b\r\n" % line for line in lines)
    sent = b"POST /v1/chat/completions HTTP/1.1\r\n" + sent + b"\r\n" + body

    async def one():
        before = socket.written
        connection.data_received(sent)
        while socket.written == before:  # noqa: ASYNC110  nothing is waited for: it is a turn of the loop
            await asyncio.sleep(0)

    async def settled(n):
        await telemetry.flush()
        if name == "access":
            telemetry._intake.flush()  # noqa: SLF001  waits for the thread, and for nothing else
            assert telemetry.counts()["turnout_telemetry_sent", "logs"] >= n

    try:
        yield one, settled
    finally:
        await telemetry.close()
        await built.close()


async def measure(profile: str) -> dict[str, list[float]]:
    """Return µs per request of every setting, round by round."""
    logging.getLogger().setLevel(logging.INFO)
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    async with AsyncExitStack() as stack:
        ones = {}
        for name in SETTINGS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ones[name] = await stack.enter_async_context(observed(name, profile, folder))
        for one, settled in ones.values():
            for _ in range(WARM):
                await one()
            await settled(WARM)
        calm_collector()
        for n in range(1, ROUNDS + 1):
            for name in list(ones) if n % 2 else reversed(ones):
                one, settled = ones[name]
                found[name].append(await _slice(one, partial(settled, WARM + n * SLICE)) * 1e6)
    return found


def told(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the best slice of every setting, what it costs more, and the median of that over the rounds."""
    best = {name: min(slices) for name, slices in found.items()}
    return {
        name: {
            "best_us": round(best[name], 1),
            "more": round(best[name] / best["off"] - 1, 3),
            "median_more": round(median(map(truediv, slices, found["off"])) - 1, 3),
        }
        for name, slices in found.items()
    }


async def _slice(one, settled) -> float:
    """Return the seconds of one request, with what its observers do behind it."""
    before = process_time()
    for _ in range(SLICE):
        await one()
    await settled()
    return (process_time() - before) / SLICE


def _profile(name: str, folder: Path) -> tuple[str, str]:
    """Return the model that is asked, and the configuration."""
    if name == "bare":
        return "p/one", _config(["p/one"], "{enabled: false}")
    names = [f"{vendor}/one" for vendor in "pqrst"]
    text = _config(names, f"{{path: {folder / 'journal.db'}}}")
    text += f"ledger: {{path: {folder / 'ledger.db'}}}\n"
    # Every request is the same, so the cache is off: else it would answer.
    text += ROUTED.format(key=ROW.format(key=KEY), names=", ".join(names), cache="") + LIMITED
    return "turnout/pool", text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = {}
    for profile in ("bare", "production"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found[profile] = told(runner.run(measure(profile)))
        for name, of in found[profile].items():
            shown = f"{of['more']:+6.1%} {of['median_more']:+6.1%} median"
            print(f"{profile:11} {name:8} {of['best_us']:7.1f} µs  {shown}")
    if args.json is not None:
        args.json.write_text(json.dumps({"python": sys.version.split()[0], **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
