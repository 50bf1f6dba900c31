"""Requests through the real engine, at the instants a seeded script says, and what became of each."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec
from msgspec import Struct

from benchmarks.fleet.scenario import SENSITIVE, Row, steadiest
from turnout.build import Built, build
from turnout.config import Config, parse_config
from turnout.engine.engine import Engine
from turnout.engine.exchange import Exchange
from turnout.errors import TurnoutError
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.json import Json
from turnout.types.record import Attempt, Decision

ROUTE = "fleet"
FIRST_BYTE_S = 5.0
"""Limit of the wait for the first content: the timeout that bounds what a dead vendor may cost."""
WINDOWS = {"cedar/small": 8_000}
"""Declared too large on purpose: the upstream refuses long prompts itself, and the next one is asked."""
OTHER_WINDOW = 128_000
SHORT, LONG = 400, 7_000
"""Characters of a prompt."""


class Load(Struct, frozen=True, kw_only=True):
    """How much is asked, and how fast."""

    n: int
    per_s: float
    """Mean arrivals per second of the script; the gaps are exponential."""
    seed: int = 0
    long_share: float = 0.03
    sensitive_share: float = 0.02
    stream: bool = True
    keep_every: int = 50
    """Keep the Decision of every n-th request."""
    floor_every: int = 0
    """On sockets, measure what the harness itself adds beside every n-th request; 0 = never."""


class Sent(Struct, frozen=True, kw_only=True):
    """What became of one request."""

    at: float
    """Seconds of the script at which it came."""
    ttft_s: float | None = None
    """To the first content; None = it failed."""
    total_s: float
    error: str | None = None
    answered_by: str | None = None
    attempts: tuple[Attempt, ...] = ()
    sensitive: bool = False
    decision: Decision | None = None


def config_for(rows: Mapping[str, Row], urls: Mapping[str, str], strategy: Mapping[str, Json]) -> Config:
    """Return the configuration of a fleet: production defaults, but for the first-content limit.

    Args:
        rows: The upstreams by `vendor/model`.
        urls: Base address of each; an upstream is a provider of its own, for it has its own socket.
        strategy: The row of the strategy.
    """
    models: list[Json] = [
        {
            "model": name,
            "base_url": urls[name],
            "price": {"input": str(row.price[0]), "output": str(row.price[1])},
            "context_window": WINDOWS.get(name, OTHER_WINDOW),
            "capabilities": ["system", "streaming"],
        }
        for name, row in rows.items()
    ]
    vendors = {name.partition("/")[0]: urls[name] for name in rows}
    tree: Json = {
        "providers": {
            vendor: {"codec": "openai_chat", "base_url": url, "auth": "none"}
            for vendor, url in vendors.items()
        },
        "models": models,
        "timeouts": {"first_byte_s": FIRST_BYTE_S},
        "journal": {"enabled": False},
        "routes": [
            {
                "name": ROUTE,
                "models": list(rows),
                "strategy": dict(strategy),
                "fallback_on": ["content_filtered"],
            }
        ],
    }
    return parse_config(msgspec.json.encode(tree).decode(), env={})


@asynccontextmanager
async def opened(config: Config, **parts: object) -> AsyncIterator[Built]:
    """Build an engine on the running loop's clock, and close it."""
    loop = asyncio.get_running_loop()
    built = await build(config, {}, clock=loop.time, **parts)  # type: ignore[arg-type]  # build's own keywords
    try:
        yield built
    finally:
        await built.close()


async def drive(engine: Engine, load: Load, start: float) -> list[Sent]:
    """Send every request at its instant, counted from `start`, and return what became of them."""
    loop = asyncio.get_running_loop()
    rng = Random(load.seed)
    tasks: list[asyncio.Task[Sent]] = []
    at = 0.0
    for n in range(load.n):
        at += rng.expovariate(load.per_s)
        kind = rng.random()
        wait_s = start + at - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tasks.append(loop.create_task(_send(engine, load, n, at, kind)))
    return list(await asyncio.gather(*tasks))


def prompt(load: Load, n: int, kind: float) -> str:
    """Return the text of one request: a few are long, a few are what content filters refuse."""
    long = kind < load.long_share
    sensitive = load.long_share <= kind < load.long_share + load.sensitive_share
    text = f"Question {n}: {SENSITIVE if sensitive else 'plain'} "
    return text.ljust(LONG if long else SHORT, ".")


async def drive_floor(engine: Engine, rows: Mapping[str, Row], load: Load, start: float) -> list[float]:
    """Ask whoever plays its script most plainly beside every n-th request; return what came on top of it.

    The engine must be another than the one that is measured, which would learn from these calls. What is
    returned is the measured time to the first content less the script's own mean.
    """
    loop = asyncio.get_running_loop()
    rng = Random(load.seed)
    asked: list[tuple[float, asyncio.Task[Sent]]] = []
    at = 0.0
    for n in range(load.n):
        at += rng.expovariate(load.per_s)
        rng.random()  # as `drive` draws
        if n % load.floor_every:
            continue
        await asyncio.sleep(start + at - loop.time())
        name = steadiest(rows, at)
        task = loop.create_task(_send(engine, load, n, at, 1.0, name))
        asked.append((rows[name].script.expected(at), task))
    answered = [(expected, (await task).ttft_s) for expected, task in asked]
    return [ttft_s - expected for expected, ttft_s in answered if ttft_s is not None]


async def _send(
    engine: Engine, load: Load, n: int, at: float, kind: float, model: str = f"turnout/{ROUTE}"
) -> Sent:
    loop = asyncio.get_running_loop()
    text = prompt(load, n, kind)
    request = ChatRequest(
        model=model,
        messages=(Message("user", (Text(text),)),),
        max_tokens=200,
        stream=load.stream,
        facts=Facts(n_chars=len(text), n_messages=1),
    )
    started = loop.time()
    opening = engine.open(request, Ask(request_id=f"req_{n:026d}"))
    ttft_s: float | None = None
    answered_by: str | None = None
    error: str | None = None
    try:
        async with opening as reply:
            ttft_s, answered_by = loop.time() - started, reply.deployment.id
            if load.stream:
                async for _ in reply.events():
                    pass
            else:
                await reply.response()
    except TurnoutError as failure:
        error = failure.row.word
    exchange: Exchange = opening.exchange
    return Sent(
        at=at,
        ttft_s=ttft_s,
        total_s=loop.time() - started,
        error=error,
        answered_by=answered_by,
        attempts=tuple(exchange.attempts),
        sensitive=SENSITIVE in text,
        decision=exchange.full_decision() if n % load.keep_every == 0 else None,
    )


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value at a rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[int(q * (len(ordered) - 1))] if ordered else float("nan")
