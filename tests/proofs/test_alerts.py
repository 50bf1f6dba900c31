"""An outage while all workers are killed: its alert is told once, and once more when it is over."""

import asyncio
import json
import os
import signal
from contextlib import suppress

import httpx
import pytest

from tests.cli.test_serve import children, config_text, serve
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects, serving

ASK = {"model": "up/one", "messages": [{"role": "user", "content": "hi"}]}
OUTAGE = Behaviour(faults=(Fault(kind="server_error"),))
EXTRA = """
max_retries: 0
alerts:
  every_s: 5
  receivers: {{ops: {{type: webhook, url: "{url}"}}}}
  rules: {{provider_errors: {{type: provider_errors, min_calls: 10, window_s: 60, for_s: 5, keep_s: 10}}}}
"""
LONG_S = 180.0


@pytest.mark.timeout(240)
async def test_an_outage_is_told_once_though_every_worker_is_killed(tmp_path):
    told: list[tuple[str, str]] = []
    answers = iter((503, 200))

    async def hear(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = json.loads(await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0])))
        status = next(answers, 200)  # the first try of all is refused
        if status == 200:
            told.append((body["rule"], body["what"]))
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    emulator = Emulator(dialects())
    emulator.add("one", behaviour=OUTAGE)
    receiver = await asyncio.start_server(hear, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
    async with receiver, serving(emulator) as upstream, asyncio.timeout(LONG_S):
        (tmp_path / "turnout.yaml").write_text(config_text(upstream) + EXTRA.format(url=url))
        async with serve(tmp_path, "--workers", "2") as served, httpx.AsyncClient(timeout=10) as http:
            calling = asyncio.create_task(_call(http, served.url))
            await _until(lambda: ("provider_errors", "firing") in told)
            for worker in children(served.process.pid):
                os.kill(worker, signal.SIGKILL)
            await asyncio.sleep(5)
            emulator.add("one", behaviour=Behaviour())
            await _until(lambda: ("provider_errors", "resolved") in told)
            await asyncio.sleep(15)
            calling.cancel()
            served.signal(signal.SIGTERM)
            await served.rest()
    assert [each for each in told if each[0] == "provider_errors"] == [
        ("provider_errors", "firing"),
        ("provider_errors", "resolved"),
    ]


async def _call(http, url):
    while True:
        with suppress(httpx.HTTPError):  # a worker is being killed
            await http.post(f"{url}/v1/chat/completions", json=ASK)
        await asyncio.sleep(0.2)


async def _until(claim):
    while not claim():  # noqa: ASYNC110  what happens is in another process
        await asyncio.sleep(0.1)
