"""10,000 requests with faults at 4 workers: the metrics are what the journal holds, number by number."""

import asyncio
import random
import signal

import httpx

from tests.cli.test_serve import config_text, serve
from tests.proofs.counted import differences
from turnout.stores.base import Query
from turnout.stores.sqlite import SqliteRows
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects, serving

N, AT_ONCE = 10_000, 32
FAULTS = {
    "one": (Fault(kind="server_error", share=0.2), Fault(kind="rate_limit", share=0.1)),
    "two": (Fault(kind="cut", share=0.1), Fault(kind="half_frame", share=0.05)),
    "three": (),
}
EXTRA = """
retry: {base_s: 0.001, max_wait_s: 0.01}
breaker: {enabled: false}
health: {enabled: false}
timeouts: {total_s: 20}
"""


async def test_metrics_equal_the_journal(tmp_path):
    emulator = Emulator(dialects())
    for model, faults in FAULTS.items():
        emulator.add(model, behaviour=Behaviour(faults=faults))
    async with serving(emulator) as upstream:
        text = config_text(upstream, models="one, two, three", server="max_connections_per_address: 4096")
        (tmp_path / "turnout.yaml").write_text(text + EXTRA)
        async with serve(tmp_path, "--workers", "4", "--metrics-port", "0") as served:
            statuses = await _ask_all(served.url, random.Random(7))
            async with httpx.AsyncClient(timeout=30) as client:
                scraped = await _settled(client, served.metrics)
            served.signal(signal.SIGTERM)
            assert await served.rest() == 0
    rows = SqliteRows(tmp_path / ".turnout" / "journal.db")
    records = rows.query(Query(order="oldest", limit=100_000)).records
    rows.close()
    assert (len(records), sum(statuses.values())) == (N, N), statuses
    assert differences(scraped, records) == {}


async def _settled(client, url):
    """Scrape until two scrapes, with connections to different workers, say the same."""
    before = ""
    while True:
        text = (await client.get(url, headers={"connection": "close"})).text
        now = [
            line for line in text.splitlines() if line.startswith(("turnout_requests", "turnout_attempts"))
        ]
        if now == before:
            return text
        before = now
        await asyncio.sleep(0.2)


async def _ask_all(url, draw):
    """Ask everything, a share of it as streams, a share hanging up, over many connections."""
    statuses, gate = {}, asyncio.Semaphore(AT_ONCE)

    async def one(client, n):
        model = draw.choice(("turnout/main", "up/one", "up/two", "up/three", "up/nope"))
        body = {"model": model, "messages": [{"role": "user", "content": f"question {n}"}]}
        body["stream"] = draw.random() < 0.3
        async with gate:
            try:
                reply = await client.post(f"{url}/v1/chat/completions", json=body)
                status = reply.status_code
            except httpx.HTTPError:
                status = 0
        statuses[status] = statuses.get(status, 0) + 1

    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(*(one(client, n) for n in range(N)))
    return statuses
