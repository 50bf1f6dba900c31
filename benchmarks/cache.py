"""What the cache costs a request, in µs of CPU: a look-up, a hit, a miss with its keeping, a like question.

python benchmarks/cache.py
"""

import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from turnout.engine.beside import Beside, Threads
from turnout.engine.reply import Reply
from turnout.engine.snapshot import Route, Snapshot
from turnout.layers.cache import CacheLayer, Caches, Shelf
from turnout.layers.cache.key import body_of, head_of, key_of
from turnout.layers.cache.semantic import Semantic, Settings
from turnout.learn.alike import veto
from turnout.learn.nearest import EXACT, Nearest, Question
from turnout.registry import load
from turnout.stores.cache.base import Bounds, Kept, Owner
from turnout.stores.cache.memory import MemoryCache
from turnout.stores.cache.sqlite import SqliteCache
from turnout.strategies.priority import Priority
from turnout.testing.layer import ACME, make_exchange
from turnout.types.ask import Ask, Wire
from turnout.types.cache import CacheRule, CacheWish
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.principal import Principal

OUT = Path(__file__).parent / "results/cache"
WORDS = "Explain in two sentences how a turnout guides a train onto one of two lines, please. "
SYSTEM, QUESTION, ANSWER = WORDS * 12, "What does a turnout do at a junction?", WORDS * 14
PRINCIPAL = Principal(organisation="acme", project="web", key_id="key_1")
RULE = CacheRule(policy="0" * 64)
DIRECT = Route(name="direct", deployments=(), strategy=Priority(), filters=())
N_KEPT, N_ROUNDS, N = 10_000, 7, 400


class Whole(Reply):
    """An upstream's body, passed through."""

    def __init__(self):
        super().__init__(ACME, express=True)
        self.done, self.finish = True, "stop"

    def body(self):
        return BODY

    async def response(self):
        raise NotImplementedError

    def events(self):
        raise NotImplementedError


BODY = json.dumps({"choices": [{"message": {"content": ANSWER}}]}).encode()


class Inner:
    async def __aenter__(self):
        return Whole()

    async def __aexit__(self, *_):
        return None


def exchange(question=QUESTION):
    messages = (Message("system", (Text(SYSTEM),)), Message("user", (Text(question),)))
    request = ChatRequest(
        model=ACME.model.id, messages=messages, facts=Facts(n_messages=2), wire="openai_chat"
    )
    said = [{"role": m.role, "content": m.parts[0].text} for m in messages]
    wire = Wire("openai_chat", {"model": ACME.model.id, "messages": said, "temperature": 0})
    return make_exchange(request, Ask(request_id="req_1", principal=PRINCIPAL, wire=wire))


def kept(n):
    key = n.to_bytes(32, "big")
    return Kept(
        key=key,
        form="body",
        pieces=(BODY,),
        created=0.0,
        expires=1e12,
        route="direct",
        owner=Owner("acme"),
        deployment=ACME.id,
    )


def rig(store, rule=RULE):
    caches = Caches(Shelf(store, time.monotonic, time.time), salt=b"s", max_bytes=10**6, wait_s=60)
    snapshot = Snapshot(
        version=1,
        digest="",
        deployments={ACME.id: ACME},
        models={ACME.model.id: (ACME,)},
        direct=DIRECT,
        caches={"direct": rule},
    )
    return caches, CacheLayer(snapshot, caches)(lambda _: Inner())


async def served(handler, of):
    async with handler(of) as reply:
        return reply.body()


async def timed(work, n=N):
    """Best and median over rounds of the µs that one piece of work takes."""
    rounds = []
    for _ in range(N_ROUNDS):
        began = time.process_time()
        for at in range(n):
            await work(at)
        rounds.append((time.process_time() - began) * 1e6 / n)
    return round(min(rounds), 2), round(statistics.median(rounds), 2)


async def exact(rows):
    store = MemoryCache(Bounds(max_entries=N_KEPT + 1000))
    for n in range(N_KEPT):
        await store.put(kept(n), 0.0)
    caches, handler = rig(store)
    await served(handler, exchange())
    one, wish = exchange(), CacheWish()

    async def look_up(_):
        head = head_of(one, RULE, wish, express=True)
        await caches.shelf.get(key_of(b"s", head, body_of(one, wish, express=True)))

    async def hit(_):
        one.cached = None
        await served(handler, one)

    async def miss(at):
        await served(handler, exchange(f"{at} {time.perf_counter_ns()}"))

    async def made(at):
        exchange(f"{at} {time.perf_counter_ns()}")

    rows["key and look-up in memory, 1.3 KB request, 10,000 answers"] = await timed(look_up)
    rows["a hit, whole: key, look-up, reply, decision"] = await timed(hit)
    missed, blank = await timed(miss), await timed(made)
    rows["a miss, whole: key, look-up, flight, keeping"] = tuple(
        round(a - b, 2) for a, b in zip(missed, blank, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteCache(Path(folder) / "cache.db")
        await file.put(kept(1), 0.0)

        async def in_file(_):
            await file.get(kept(1).key, 1.0)

        rows["a look-up in SQLite, in a thread"] = await timed(in_file, 100)
        await file.close()


async def full(rows):
    memory, fresh = MemoryCache(Bounds(max_entries=N_KEPT)), count()

    async def keep(_):
        await memory.put(kept(next(fresh)), 0.0)

    for n in range(2 * N_KEPT):
        await keep(n)
    rows["keeping one in a full memory of 10,000, making it included"] = await timed(keep, 3 * N_KEPT)
    with tempfile.TemporaryDirectory() as folder:
        for size in (100, N_KEPT):
            file = SqliteCache(Path(folder) / f"{size}.db", Bounds(max_entries=size))
            for n in range(size):
                await file.put(kept(n), 0.0)

            async def in_full(_, file=file, fresh=count(size)):  # noqa: B008  each file has its own
                await file.put(kept(next(fresh)), 1.0)

            rows[f"keeping one in a full file of {size:,}, in a thread"] = await timed(in_full, 100)
            await file.close()


async def semantic(rows):
    sense = load("turnout.signals", "embed.static")
    nearest = Nearest(max_questions=10**6)
    found = Semantic(sense, Beside(Threads(), None, 1.0), nearest, Settings(threshold=0.8))
    rule = msgspec.structs.replace(RULE, semantic=True)
    caches, handler = rig(MemoryCache(), rule)
    caches.semantic = found
    await served(handler, exchange())
    (part,) = nearest._parts  # noqa: SLF001  the one that was just made
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(EXACT, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    async def search(at):
        nearest.search(part, vectors[at], 1.0)

    async def object_to(_):
        veto(QUESTION, "How does a turnout work at a junction?")

    filled = 1
    for size in (100, 1_000, EXACT):
        for n in range(filled, size):
            question = Question(
                key=n.to_bytes(32, "big"),
                text=str(n),
                route="r",
                owner=("", "", ""),
                expires=1e12,
                cost_nusd=1,
                n_bytes=1,
            )
            nearest.add(part, vectors[n], question, 0.0)
        filled = size
        rows[f"the nearest of {size:,} questions, 256 numbers each"] = await timed(search, 100)
    rows["the rules, over one pair of questions"] = await timed(object_to, 100)


def main():
    rows = {}
    asyncio.run(exact(rows))
    asyncio.run(full(rows))
    asyncio.run(semantic(rows))
    told = {
        "command": "python benchmarks/cache.py",
        "date": datetime.now(UTC).date().isoformat(),
        "python": sys.version.split()[0],
        "machine": f"{platform.machine()}, 2 cores shared with other work",
        "us_cpu": {name: {"best": best, "median": median} for name, (best, median) in rows.items()},
    }
    (OUT / "cost.json").write_text(json.dumps(told, indent=1) + "\n")
    for name, (best, median) in rows.items():
        print(f"{median:10.1f} µs (best {best:.1f})  {name}")


if __name__ == "__main__":
    main()
