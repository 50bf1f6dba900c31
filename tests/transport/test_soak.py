"""Whatever upstreams and callers do, no connection and no place is lost."""

import asyncio
import random
from collections import Counter

import pytest

from tests.transport.makers import make_http, make_library
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Setup, call, opened
from turnout.testing.transport_scripts import sized
from turnout.types.http import Timeouts

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SCRIPTS = {
    "/ok": (sized(b"x" * 2000),),
    "/stream": (CHUNKED, *((b"5\r\nhello\r\n", 0.001) * 3), b"0\r\n\r\n"),
    "/cut": (CHUNKED, b"5\r\nhel", End.CLOSE),
    "/reset": (End.RESET,),
    "/drop": (End.CLOSE,),
    "/closing": (0.005, sized(b"ok"), End.CLOSE),
    "/hold": (CHUNKED + b"1\r\na\r\n", End.HOLD),
}
LIMITS = Timeouts(connect_s=1.0, first_byte_s=1.0, idle_s=1.0, total_s=2.0)


@pytest.mark.parametrize("make", [make_http, make_library], ids=["http", "library"])
async def test_calls_cancelled_at_random_leave_nothing_behind(make):
    chance = random.Random(7)
    seen = Counter()
    async with Misbehaving() as server:
        for path, steps in SCRIPTS.items():
            server.script(path, *steps)
        async with opened(make, Setup(urls=(server.base,), max_connections=5)) as transport:

            async def one():
                path = chance.choice(["/ok", "/ok", *SCRIPTS])
                task = asyncio.ensure_future(call(transport, server.base + path, timeouts=LIMITS))
                if path == "/hold" or chance.random() < 0.3:
                    await asyncio.sleep(chance.random() * 0.01)
                    task.cancel()
                await asyncio.wait([task])
                seen["cancelled" if task.cancelled() else task.result()] += 1

            async def worker():
                for _ in range(20):
                    await one()

            await asyncio.gather(*(worker() for _ in range(20)))
            await asyncio.sleep(0.02)
            (stats,) = transport.stats()
            assert (stats.in_flight, stats.queued, stats.open) == (0, 0, stats.idle)
            await asyncio.wait_for(server.until_open(stats.open), 2)
            assert await call(transport, server.base + "/ok") == (200, b"x" * 2000)
    assert seen.total() == 400
    assert {"cancelled", (200, b"x" * 2000), "provider_unreachable", "stream_interrupted"} <= seen.keys()
