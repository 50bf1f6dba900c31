"""What a frame of a stream costs inside one process, in µs of CPU: no socket and no kernel.

    .venv/bin/python -m benchmarks.frames

From the bytes of the upstream's connection through its parser, the tap and the stream to those of the
client's: the bare profile on the express track, eight streams open, a frame a read. The least of many short
slices.
"""

import asyncio
import sys
from itertools import count
from time import thread_time

import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks.path import Socket, Upstream, _config, body_of
from turnout.build import build
from turnout.config import parse_config
from turnout.server.app import Gateway
from turnout.server.protocol import WireLimits, protocol_for
from turnout.server.serve import calm_collector
from turnout.server.settings import settings_of
from turnout.transport.connection import Connection
from turnout.transport.response import PooledResponse, ResponseLimits

N_STREAMS, SLICES, SLICE, WARM = 8, 400, 10, 300
FRAME = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1761998400,"model":"bench-1",'
    b'"system_fingerprint":"fp_bench","choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":null}]}\n\n'
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Line(Socket, asyncio.Transport):
    """An upstream's socket that takes everything."""

    def writelines(self, data):
        pass

    def abort(self):
        pass

    def get_write_buffer_size(self):
        return 0


class Streaming(Upstream):
    """A network whose answers are fed by hand."""

    def __init__(self):
        self.lines: list[Connection] = []

    async def send(self, request, timeouts, authorise=None):
        line, limits = Connection("upstream:1", ResponseLimits(), 0.0), ResponseLimits()
        line.connection_made(Line())
        response = PooledResponse(line, limits, timeouts, set(), 0.0)
        line.start(response, b"", b"", head_only=False)
        self.lines.append(line)
        await response.head(asyncio.get_running_loop())
        return response


def chunk(delta: bytes) -> bytes:
    """Return a frame as it comes over the wire."""
    frame = FRAME % delta
    return b"%x\r\n%b\r\n" % (len(frame), frame)


async def measure() -> float:
    """Return µs per frame."""
    config = parse_config(_config(["p/one"], "{enabled: false}"), env={})
    upstream = Streaming()
    built = await build(config, {}, transport=upstream)
    app = Gateway(built.engine, built.dialects, settings_of(config))
    plain = {"lifespan": "off", "ws": "none", "log_config": None, "interface": "asgi3"}
    settings = uvicorn.Config(app, http=protocol_for(WireLimits()), proxy_headers=False, **plain)
    settings.load()
    body = body_of("p/one", "Hello")[:-1] + b',"stream":true}'
    asked = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    sockets = [Socket() for _ in range(N_STREAMS)]
    for socket in sockets:
        connection = settings.http_protocol_class(settings, ServerState(), {})
        connection.connection_made(socket)
        connection.data_received(asked)
    for _ in range(20):
        await asyncio.sleep(0)
    for line in upstream.lines:
        line.data_received(HEAD + chunk(b'{"role":"assistant","content":"A"}'))
    calm_collector()
    before, piece, turns = sockets[0].written, chunk(b'{"content":" railway"}'), count()

    async def turn():
        next(turns)
        for line in upstream.lines:
            line.data_received(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    for _ in range(WARM):
        await turn()
    least = min([await _slice(turn) for _ in range(SLICES)])
    if sockets[0].written - before < next(turns) - 1:
        raise SystemExit("frames were not passed on one by one")
    return least * 1e6


async def _slice(turn) -> float:
    before = thread_time()
    for _ in range(SLICE):
        await turn()
    return (thread_time() - before) / SLICE / N_STREAMS


def main() -> None:
    """Measure and print."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(f"{runner.run(measure()):.2f} µs a frame, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
