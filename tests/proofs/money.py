"""One budget under everything at once, and what must hold afterwards.

What is compared, exactly:

1. At every moment, read every few milliseconds: used (settled and reserved together) is at most the limit.
2. Nobody was killed: ledger = sum over the journal's attempts, to the nano-USD; for every model whose billed
   calls were answered in full, tokens in the journal = tokens the emulator counted.
3. A replica was killed. Its spool is adopted, as any replica with that folder does. With the clock put past
   every lease the sweep names what it left open; that stays counted. Those of them that the journal knows are
   corrected to what it says. Then, with J the sum over the journal, S what was settled by calls whose Record
   died unwritten, R what stays counted of calls nobody knows the end of: ledger = J + S + R, S and R >= 0,
   and what the emulator billed beyond the journal is covered by S + R. For the other replica rule 2 holds.

The replicas count in a Valkey, or in one ledger's files as the workers of one machine do.
"""

import asyncio
import random
import time
from collections import Counter

from msgspec import Struct

from tests.proofs.replicas import BUDGET_NUSD, CLEAN, MODELS, Rig, body, wire
from turnout.stores.base import Query
from turnout.stores.ledger.base import FOREVER, Fixed, Take
from turnout.stores.ledger.file import FileLedger
from turnout.stores.postgres.migrate import migrate
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.spool.segments import adopt
from turnout.stores.valkey.ledger import ValkeyLedger

ACCOUNT = Take("usd:one:money", Fixed(0.0, FOREVER), 0, None)
GIVE_UP_AFTER = 3
"""Refusals in a row after which a client believes that the budget is spent."""
MOST_REQUESTS = 200


class Result(Struct, kw_only=True):
    """What one run showed."""

    seed: int
    killed: bool
    statuses: dict[str, int]
    most_used: int
    ledger: int
    journal: int
    settled_unrecorded: int = 0
    never_known: int = 0
    swept: int = 0
    seconds: float = 0.0


async def prove(seed, folder, stores, *, clients=64, workers=4, kill=True):
    """Run once and assert everything; return what was seen."""
    begun = time.monotonic()
    rng = random.Random(seed)
    migrate(stores[1])
    statuses = Counter()
    with Rig(folder, rng, stores, workers) as rig:
        watch = Watch(ledger_at(stores[0], folder))
        watching = asyncio.create_task(watch.run())
        kill_after = rng.randint(20, 250) if kill else None
        await _load(rig, rng, clients, statuses, kill_after)
        for replica in rig.replicas[1 if kill else 0 :]:
            replica.stop()
        for replica in rig.replicas[1 if kill else 0 :]:
            assert await asyncio.to_thread(replica.ended) == 0
        watching.cancel()
        await asyncio.wait((watching,))
        result = await _compared(rig, stores, folder, kill=kill)
    return Result(
        seed=seed,
        killed=kill,
        statuses=dict(statuses),
        most_used=watch.most,
        seconds=round(time.monotonic() - begun, 1),
        **result,
    )


def ledger_at(store, folder, now=time.time):
    """Open what the replicas count in: a Valkey, or the files that they share."""
    if store == "sqlite":
        return FileLedger(folder / "ledger.db", now=now)
    return ValkeyLedger(store, timeout_s=30, now=None if now is time.time else now)


class Watch:
    """Reads the account again and again."""

    def __init__(self, ledger):
        self.ledger, self.most = ledger, 0

    async def run(self):
        ledger = self.ledger
        try:
            while True:
                (used,) = await ledger.used([ACCOUNT])
                self.most = max(self.most, used)
                assert used <= BUDGET_NUSD, used
                await asyncio.sleep(0.005)
        finally:
            await ledger.close()


async def _load(rig, rng, clients, statuses, kill_after):
    answered = 0

    def done(status):
        nonlocal answered
        statuses[str(status)] += 1
        answered += status == 200
        if kill_after is not None and answered == kill_after and status == 200:
            rig.replicas[0].kill()

    await asyncio.gather(*(_client(rig, random.Random(rng.random()), n, done) for n in range(clients)))
    if kill_after is not None and rig.replicas[0].process.returncode is None:
        rig.replicas[0].kill()  # the money was spent before


async def _client(rig, rng, n, done):
    refused, gone = 0, False
    for _ in range(MOST_REQUESTS):
        at = 1 if gone else (n + rng.randrange(2)) % 2
        leaves = rng.random() < 0.1
        asked = body(rng, at, "slow" if leaves else rng.choice(MODELS[:-1]))
        status = await ask(
            rig.replicas[at].port, wire("money", asked), rng.uniform(0.0, 0.5) if leaves else None
        )
        done(status)
        gone = gone or status == "gone"
        refused = refused + 1 if status == 402 else 0
        if refused == GIVE_UP_AFTER:
            return


async def ask(port, request, leave_after_s=None):
    """Send a request; return its status, `gone` when the gateway is not there, `left` when we went."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.01)
        return "gone"
    try:
        writer.write(request)
        async with asyncio.timeout(leave_after_s or 60):
            answer = await reader.read()
    except TimeoutError:
        return "left"
    except OSError:
        return "gone"
    finally:
        writer.transport.abort()
    return int(answer[9:12]) if answer.endswith((b"}", b"]\n\n", b"\n\n", b"0\r\n\r\n")) else "broken"


async def _compared(rig, stores, folder, *, kill):
    rows = PostgresRows(stores[1])
    if kill:
        await asyncio.to_thread(adopt, rig.replicas[0].spool, rows.insert)
    records = _all(rows)
    rows.close()
    costs = {
        f"{r.request_id}:{a.n}": a.cost_nusd or 0
        for r in records
        for a in r.attempts
        if r.principal == "money"
    }
    journal = sum(costs.values())
    ledger = ledger_at(stores[0], folder, lambda: time.time() + 3600)
    try:
        (counted,) = await ledger.used([ACCOUNT])
        swept = [name for name in await ledger.sweep() if not name.endswith(":q")]
        assert await ledger.used([ACCOUNT]) == (counted,), "what is swept stays counted"
        for name in swept:
            if name in costs:
                await ledger.settle(name, [costs[name]])
        (corrected,) = await ledger.used([ACCOUNT])
        unknown = [name for name in swept if name not in costs]
        for name in unknown:
            await ledger.settle(name, [0])
        (known,) = await ledger.used([ACCOUNT])
    finally:
        await ledger.close()
    _check_tokens(rig, records, corrected - journal, kill=kill)
    assert counted <= BUDGET_NUSD
    assert journal <= known <= corrected <= BUDGET_NUSD, (journal, known, corrected)
    if not kill:
        assert (swept, counted) == ([], journal), (swept, counted, journal)
    return {
        "ledger": corrected,
        "journal": journal,
        "settled_unrecorded": known - journal,
        "never_known": corrected - known,
        "swept": len(swept),
    }


def _check_tokens(rig, records, uncovered_nusd, *, kill):
    """Compare with the emulators: exactly for a replica that lived, as a bound for the one that died."""
    for n in range(2):
        told = {name: [0, 0] for name in CLEAN}
        for attempt in (a for r in records for a in r.attempts if a.provider == f"emu{n}" and a.usage):
            name = attempt.deployment.removeprefix(f"emu{n}/")
            if name in told:
                told[name][0] += attempt.usage.n_input
                told[name][1] += attempt.usage.n_output
        billed = rig.billed(n)
        if n == 1 or not kill:
            assert {name: tuple(both) for name, both in told.items()} == billed
            continue
        missing = 0
        for name in CLEAN:
            more = [b - t for b, t in zip(billed[name], told[name], strict=True)]
            assert min(more) >= 0, "the journal tells nothing that was not billed"
            missing += sum(tokens * usd * 1000 for tokens, usd in zip(more, rig.table[name], strict=True))
        assert missing <= uncovered_nusd, "what was billed and not recorded is still counted"


def _all(rows):
    found, query = [], Query(order="stored", limit=1000)
    while True:
        page = rows.query(query)
        found += page.records
        if not page.more:
            return found
        query = Query(order="stored", limit=1000, after=page.entries[-1].cursor)
