"""A gateway that is killed again and again in the middle of a batch answers every line once."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import openai
import pytest

from turnout.stores.base import Query
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.testing.emulator import Behaviour, Emulator, dialects
from turnout.testing.emulator.serve import serving_in_thread

N = 150
KILLS = 4
CONFIG = """
server: {{port: {port}}}
providers: {{emu: {{vendor: openai, base_url: "{base}/v1", secret: upstream}}}}
models: [{{model: emu/one, price: {{input: 1, output: 2{share}}}}}]
journal: {{path: {folder}/journal.db}}
ledger: {{path: {folder}/ledger.db}}
budgets: [{{id: b, level: provider, usd: 10, per: day}}]
background: {{path: {folder}/jobs.db, lease_s: 1, max_running: 8}}
files: {{path: {folder}/files}}
batches: {{native: auto, poll_s: 0.1}}
"""


@pytest.fixture
def started():
    """Processes that were started; what a failing test leaves is killed."""
    found = []
    yield found
    for each in found:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)


class Process:
    """`turnout serve`, to be killed."""

    def __init__(self, config, started):
        started.append(self)
        command = "from turnout.cli.main import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "serve", "-c", str(config)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        for line in self.process.stderr:
            if found := re.search(r"serving on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError("it did not start")

    def end(self, sig):
        self.process.send_signal(sig)
        self.process.wait()
        self.process.stderr.close()


def line(n):
    body = {"model": "emu/one", "messages": [{"role": "user", "content": f"line {n}"}]}
    return json.dumps({"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": body})


@pytest.mark.parametrize("native", [False, True], ids=["own engine", "the provider's own"])
async def test_every_line_is_answered_once_however_often_the_gateway_is_killed(tmp_path, native, started):
    emulator = Emulator(dialects())
    emulator.add("one", behaviour=Behaviour(ttft_s=0.02))
    emulator.batches.polls = 8
    with serving_in_thread(emulator) as base:
        config = tmp_path / "turnout.yaml"
        share = ", batch_share: 0.5" if native else ""
        config.write_text(CONFIG.format(port=0, base=base, folder=tmp_path, share=share))
        running = Process(config, started)
        ai = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{running.port}/v1", api_key="x", max_retries=0)
        text = "\n".join(map(line, range(N))).encode()
        file = await ai.files.create(file=("in.jsonl", text), purpose="batch")
        batch = await ai.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for kill in range(KILLS):
            await asyncio.sleep(0.25 + 0.1 * kill)
            await asyncio.to_thread(running.end, signal.SIGKILL)
            running = await asyncio.to_thread(Process, config, started)
            ai = ai.with_options(base_url=f"http://127.0.0.1:{running.port}/v1")
        async with asyncio.timeout(60):
            while (batch := await ai.batches.retrieve(batch.id)).status != "completed":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        output = (await ai.files.content(batch.output_file_id)).text.splitlines()
        await asyncio.to_thread(running.end, signal.SIGTERM)
    answers = [json.loads(each) for each in output]
    assert [each["custom_id"] for each in answers] == [f"c{n}" for n in range(N)]
    assert batch.request_counts.completed == N
    assert (len(emulator.batches.held) == 1) is native
    asked = Counter(each["response"]["request_id"] for each in answers)
    rows = SpooledJournal(SqliteRows(tmp_path / "journal.db"), spool_beside(tmp_path / "journal.db"))
    records = (await rows.query(Query(limit=1000))).records
    await rows.close()
    recorded = Counter(record.request_id for record in records if record.outcome.error is None)
    assert recorded == asked
