"""Requests and tokens a minute, over replicas: never passed, and nearly all of it can be used.

A run is much shorter than the window, so all that was answered lies in one window: its count is exact.
"""

import asyncio
import random
from collections import Counter

from tests.proofs.money import ask
from tests.proofs.replicas import RATE, TOKENS, Rig, wire
from turnout.stores.base import Query
from turnout.stores.postgres.migrate import migrate
from turnout.stores.postgres.rows import PostgresRows

TRIES = 40


async def prove_rates(seed, folder, stores, *, clients=64, workers=4):
    """Run once; return how many requests and how many tokens were let through."""
    rng = random.Random(seed)
    await asyncio.to_thread(migrate, stores[1])
    counts = {"rate": Counter(), "tokens": Counter()}
    with Rig(folder, rng, stores, workers) as rig:
        for team, count in counts.items():
            await asyncio.gather(*(_client(rig, team, n, count) for n in range(clients)))
        for replica in rig.replicas:
            replica.stop()
        for replica in rig.replicas:
            assert await asyncio.to_thread(replica.ended) == 0
    rows = PostgresRows(stores[1])
    served = rows.query(Query(limit=100_000)).records
    rows.close()
    used = sum(r.outcome.usage.n_input + r.outcome.usage.n_output for r in served if _is(r, "tokens"))
    n = sum(_is(r, "rate") for r in served)
    assert n == counts["rate"][200]
    assert 0.95 * RATE <= n <= RATE, counts
    assert 0.95 * TOKENS <= used <= TOKENS, (used, counts)
    assert set(counts["rate"]) == set(counts["tokens"]) == {200, 429}, counts
    return n, used


def _is(record, team):
    return record.principal == team and record.outcome.error is None


async def _client(rig, team, n, count):
    words = "word " * 100 if team == "tokens" else "hello"
    # Small ones too: what is left at the end is less than the worst case of a large one.
    sizes = (words, "hi") if team == "tokens" else (words,)
    for size in sizes:
        refused = 0
        for _ in range(TRIES):
            asked = {"model": f"emu{n % 2}/steady-1", "messages": [{"role": "user", "content": size}]}
            asked["max_tokens"] = 60 if size != "hi" else 30
            status = await ask(rig.replicas[n % 2].port, wire(team, asked))
            count[status] += 1
            refused = refused + 1 if status == 429 else 0
            if refused == 3:
                break
