"""The same upstreams without sockets, for the jumping clock: no wall time, and the same way each time."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from benchmarks.fleet.field import Run, Seen, seen
from benchmarks.fleet.scenario import SCENARIOS, Row, Turn, Upstream
from benchmarks.fleet.traffic import config_for, drive, opened
from benchmarks.fleet.upstream import N_PIECES, PLAIN, Body, Served, frames_of, refusal
from turnout.engine.snapshot import Snapshot
from turnout.errors import ProviderUnreachable, TimeoutTtft
from turnout.testing import clock
from turnout.transport.base import Authorise
from turnout.transport.guard import Egress
from turnout.types.http import HttpRequest, Timeouts


def play(what: Run) -> tuple[Seen, Snapshot]:
    """Play one run without sockets; return what was seen, and the configuration that decided."""
    return clock.run(_play(what))


async def _play(what: Run) -> tuple[Seen, Snapshot]:
    rows = SCENARIOS[what.scenario]
    network = VirtualNetwork(rows, what.load.seed)
    async with opened(config_for(rows, urls_of(rows), what.strategy), transport=network) as built:
        built.engine._seeds.seed(what.load.seed)  # noqa: SLF001  the same run each time
        built.engine.fleet._rng.seed(what.load.seed)  # noqa: SLF001
        sent = await drive(built.engine, what.load, network.start)
        return seen(what, sent, network.served, [0.0], 0.0), built.engine.snapshot


def urls_of(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return an address for each upstream; nothing is dialled."""
    return {name: f"http://127.0.0.1:{9000 + at}/v1" for at, name in enumerate(rows)}


class VirtualNetwork:
    """A transport that plays scripts on the running loop's clock, counted from its making.

    Attributes:
        served: What came to each upstream.
    """

    def __init__(self, rows: Mapping[str, Row], seed: int = 0) -> None:
        names = {urlsplit(url).port: name for name, url in urls_of(rows).items()}
        self._names = names
        self._upstreams = {name: Upstream(row.script, f"{seed}:{name}") for name, row in rows.items()}
        self.served = {name: Served() for name in rows}
        self._loop = asyncio.get_running_loop()
        self.start = self._loop.time()

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> "VirtualResponse":
        """Wait as long as the script says, or as long as the caller does."""
        name = self._names[urlsplit(request.url).port]
        served = self.served[name]
        served.calls += 1
        body = msgspec.json.decode(request.body, type=Body)
        prompt = body.messages[-1].content
        turn = self._upstreams[name].turn(self._loop.time() - self.start, prompt)
        if turn.status == 0:
            served.failed += 1
            raise ProviderUnreachable("the connection closed without an answer")
        whole_s = (
            turn.wait_s if body.stream or turn.status != 200 else turn.wait_s + (N_PIECES - 1) * turn.gap_s
        )
        limit = timeouts.first_byte_s
        if turn.status == -1 or (limit is not None and whole_s > limit):
            served.failed += 1
            await asyncio.sleep(limit if limit is not None else 3600.0)
            raise TimeoutTtft(f"no content within {limit} s")
        await asyncio.sleep(whole_s)
        return VirtualResponse(turn, served, stream=body.stream)

    def allow(self, egress: Egress) -> None:
        """Accept any destination: nothing is dialled."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class VirtualResponse:
    """One answer."""

    def __init__(self, turn: Turn, served: Served, *, stream: bool) -> None:
        self.status = turn.status
        self._turn = turn
        self._served = served
        streams = stream and turn.status == 200
        self.headers: Mapping[str, str] = {
            "content-type": "text/event-stream" if streams else "application/json",
            **({} if turn.retry_after_s is None else {"retry-after": f"{turn.retry_after_s:.3f}"}),
        }
        self._frames = frames_of() if streams else []
        self._at = 0

    async def read(self) -> bytes:
        """Return the whole body."""
        if self.status != 200:
            self._served.failed += self.status >= 500
            self._served.refused += self.status < 500
            return refusal(self._turn)
        self._served.answered += 1
        return PLAIN

    async def chunk(self) -> bytes:
        """Return the next piece."""
        if self._at >= len(self._frames):
            return b""
        if self._at:
            await asyncio.sleep(self._turn.gap_s)
        self._at += 1
        self._served.answered += self._at == len(self._frames)
        return self._frames[self._at - 1]

    def close(self) -> None:
        """Count an answer that nobody waited for."""
        if self._frames and self._at < len(self._frames):
            self._served.left += 1
            self._at = len(self._frames)
