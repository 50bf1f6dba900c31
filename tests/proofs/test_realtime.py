"""Many realtime sessions at once, broken off in every way: what the ledger holds is what the Records say."""

import asyncio
import json
import resource
from collections import Counter
from random import Random

from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.kit import Behaviour, Fault, until
from tests.server.test_realtime import create, dial, said, speaking

N_SESSIONS, AT_ONCE = 400, 40
WAYS = ("polite", "abrupt in mid-answer", "abrupt at once", "upstream breaks", "upstream hangs", "garbage")
MOST_GROWTH_KIB = 60_000


async def session(rig, rng: Random, way: str) -> None:
    model = {"upstream breaks": "oai/cut", "upstream hangs": "oai/hang"}.get(way, "oai/talk")
    socket = await dial(rig, f"?model={model}")
    await socket.send(said("word " * rng.randint(1, 60)))
    for _ in range(rng.randint(1, 3)):
        await socket.send(create())
    if way == "abrupt at once":
        socket.transport.abort()
        return
    if way == "garbage":
        socket.transport.write(rng.randbytes(50))
    want = rng.randint(1, 40) if way in ("abrupt in mid-answer", "upstream hangs") else 10**6
    try:
        for _ in range(want):
            event = json.loads(await asyncio.wait_for(socket.recv(), 5))
            if way == "polite" and event["type"] == "response.done":
                break
    except (ConnectionClosed, TimeoutError):
        pass
    if way == "polite":
        await socket.close()
    else:
        socket.transport.abort()


def with_broken(text: str) -> str:
    row = next(line for line in text.splitlines() if "oai/talk" in line and "model:" in line)
    more = [row.replace("talk", name) for name in ("cut", "hang")]
    return text.replace(row, "\n".join([row, *more]))


async def test_whatever_breaks_a_session_is_settled_and_recorded_once(monkeypatch):
    from tests.server import test_realtime

    plain = test_realtime.config_text
    monkeypatch.setattr(test_realtime, "config_text", lambda *given: with_broken(plain(*given)))
    rng = Random(11)
    budget = "budgets: [{id: talk, level: key, subject: speaker, usd: 900, per: day}]"
    extra = f"{budget}\nrealtime: {{max_sessions_per_key: 500}}"
    async with speaking(extra) as rig:
        rig.emulator.add("oai-cut", behaviour=Behaviour(faults=(Fault(kind="cut", after_chunks=5),)))
        rig.emulator.add("oai-hang", behaviour=Behaviour(faults=(Fault(kind="hang", after_chunks=5),)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        gate, refused = asyncio.Semaphore(AT_ONCE), Counter()

        async def one(way: str) -> None:
            async with gate:
                try:
                    await session(rig, rng, way)
                except InvalidStatus as error:
                    refused[error.response.status_code] += 1

        await asyncio.gather(*(one(WAYS[n % len(WAYS)]) for n in range(N_SESSIONS)))
        await until(lambda: not rig.gateway.n_open, 20)
        records = await rig.records()
        limits, books = rig.built.engine.snapshot.limits, rig.built.books
        take = limits.take(limits.budgets["talk"], "speaker", 0, books.now())
        (used,) = await books.ledger.used([take])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(records) == N_SESSIONS  # those refused among them: the breaker shuts out who breaks off
    assert used == sum(record.outcome.cost_nusd or 0 for record in records)
    assert grown < MOST_GROWTH_KIB
