"""One run: upstreams in a process of their own, the engine here, requests, and the sums."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.fleet import upstream
from benchmarks.fleet.clock import SCALE, run, run_by_work
from benchmarks.fleet.scenario import SCENARIOS, Row, clairvoyant
from benchmarks.fleet.traffic import Load, Sent, config_for, drive, drive_floor, opened, quantile
from benchmarks.fleet.upstream import Served
from turnout.types.json import Json

LEAD_S = 4.0
"""Seconds of the script between telling the upstreams and the first request."""
CANARY_S = 0.4
"""Seconds of the script between looks at the loop's own lateness."""


class Run(Struct, frozen=True, kw_only=True):
    """What is asked of whom, and how."""

    name: str
    scenario: str
    strategy: Mapping[str, Json]
    load: Load


class Sums(Struct, frozen=True, kw_only=True):
    """What a run came to. Seconds are the script's."""

    name: str
    scenario: str
    strategy: str
    n: int
    n_errors: int
    errors: Mapping[str, int]
    """Class word -> how many; content filters of every vendor asked are among them."""
    mean_ttft_s: float
    p50_ttft_s: float
    p99_ttft_s: float
    clairvoyant_s: float
    """Mean over the same requests of the least scripted latency at their instants."""
    calls_per_request: float
    """Calls that reached an upstream, as the upstreams counted."""
    cost_usd: float
    shares: Mapping[str, float]
    """Who answered."""
    floor_s: float | None = None
    """Mean of what the harness itself added to the time to the first content; None = not measured. Near zero
    the dice of the script show: what comes out negative counts as zero."""
    lag_p50_ms: float
    """How late the engine's loop was, in real milliseconds: what the bench itself adds."""
    lag_p99_ms: float
    wall_s: float


class Seen(Struct, frozen=True, kw_only=True):
    """A run with all it saw."""

    run: Run
    sent: Sequence[Sent]
    served: Mapping[str, Served]
    sums: Sums

    @property
    def rows(self) -> Mapping[str, Row]:
        """The upstreams."""
        return SCENARIOS[self.run.scenario]


class House:
    """The upstreams' process."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports

    def urls(self, rows: Mapping[str, Row]) -> dict[str, str]:
        """Return the base address of each upstream."""
        return {name: f"http://127.0.0.1:{port}/v1" for name, port in zip(rows, self.ports, strict=False)}

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send one request to the house itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        writer.write(f"{method} {path} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        n = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        answer = await reader.readexactly(n)
        writer.close()
        return answer


@contextlib.contextmanager
def house() -> Iterator[House]:
    """Start the upstreams' process; end it on leaving."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.fleet.upstream"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield House(msgspec.json.decode(process.stdout.readline(), type=list[int]))
    finally:
        process.terminate()
        process.wait(5)


def warm_up(place: House) -> None:
    """Load all code that a request needs: the first one would pay for it, twentyfold on this clock."""
    for stream in (True, False):
        load = Load(n=50, per_s=10.0, stream=stream)
        play(place, Run(name="warm-up", scenario="steady", strategy={"type": "hedge"}, load=load))


def play(place: House, what: Run) -> Seen:
    """Play one run on real sockets, against the upstreams' process, on the compressed clock."""
    return run(_play(place, what, SCALE))


def play_here(what: Run) -> Seen:
    """Play one run on real sockets, both ends in this process, on the clock of work."""

    async def here() -> Seen:
        async with upstream.listening(upstream.House()) as ports:
            return await _play(House(ports), what, 1.0)

    return run_by_work(here())


async def _play(place: House, what: Run, scale: float) -> Seen:
    loop = asyncio.get_running_loop()
    rows = SCENARIOS[what.scenario]
    config = config_for(rows, place.urls(rows), what.strategy)
    async with opened(config) as built, opened(config) as other:
        began, clock_began = time.monotonic(), loop.time()
        start = clock_began + LEAD_S
        control: Json = {"scenario": what.scenario, "start": start, "seed": what.load.seed}
        await place.ask("POST", "/control", msgspec.json.encode(control))
        gc.collect()
        gc.freeze()  # as the gateway does: what is loaded is not looked through again
        lags: list[float] = []
        canary = loop.create_task(_canary(lags, scale))
        floor: asyncio.Future[list[float]] | None = None
        if what.load.floor_every:
            floor = loop.create_task(drive_floor(other.engine, rows, what.load, start))
        sent = await drive(built.engine, what.load, start)
        floors = [] if floor is None else await floor
        canary.cancel()
        served = msgspec.json.decode(await place.ask("GET", "/served"), type=dict[str, Served])
        found = seen(what, sent, served, lags, time.monotonic() - began)
        if not floors:
            return found
        own = found.sums.calls_per_request - len(floors) / len(sent)
        return replace(found, sums=replace(found.sums, floor_s=_mean(floors), calls_per_request=own))


async def _canary(lags: list[float], scale: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + CANARY_S
        await asyncio.sleep(CANARY_S)
        lags.append((loop.time() - due) / scale * 1e3)


def seen(
    what: Run, sent: Sequence[Sent], served: Mapping[str, Served], lags: Sequence[float], spent_s: float
) -> Seen:
    """Add up."""
    rows = SCENARIOS[what.scenario]
    ttfts = [each.ttft_s for each in sent if each.ttft_s is not None]
    errors = Counter(each.error for each in sent if each.error is not None)
    bounds = [clairvoyant(rows, each.at) for each in sent if each.ttft_s is not None]
    answered = Counter(each.answered_by for each in sent if each.answered_by is not None)
    paid = sum(a.cost_nusd or 0 for each in sent for a in each.attempts)
    sums = Sums(
        name=what.name,
        scenario=what.scenario,
        strategy=str(what.strategy["type"]),
        n=len(sent),
        n_errors=sum(errors.values()),
        errors=dict(errors),
        mean_ttft_s=_mean(ttfts),
        p50_ttft_s=quantile(ttfts, 0.5),
        p99_ttft_s=quantile(ttfts, 0.99),
        clairvoyant_s=_mean(bounds),
        calls_per_request=sum(each.calls for each in served.values()) / len(sent),
        cost_usd=paid * 1e-9,
        shares={name: n / max(1, sum(answered.values())) for name, n in answered.most_common()},
        lag_p50_ms=quantile(lags, 0.5),
        lag_p99_ms=quantile(lags, 0.99),
        wall_s=spent_s,
    )
    return Seen(run=what, sent=sent, served=served, sums=sums)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
