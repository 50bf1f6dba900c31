"""Asks after deployments that nobody asks, and after those that are unwell. Floor 4.

Theory of operation.
1. One task per deployment whose configuration says so. It sleeps, asks once, and sleeps again; so a
   deployment never has two probes under way, and all together have at most `MOST_AT_ONCE`.
2. Well and busy deployments are not probed: their requests tell more. A probe is due where nothing was heard
   for an interval, or where a deployment is demoted or its breaker is not closed.
3. A probe goes through the same ring of layers as any call, so a breaker that is cooling down is not
   disturbed: the probe waits for the end of it, and takes the place of the request that would be risked.
   Once unwell, a deployment is asked `URGENT` times as often, as several good calls in a row are wanted.
4. Sleeps are jittered: replicas and deployments must not ask in step.
5. A probe is nobody's request. It moves health and the breaker; it moves no latency, no budget, no request
   metric. The journal holds it as a Record of endpoint `probe`, without a decision.
6. `follow` starts and ends tasks as the configuration changes; a probe under way sees the old one through.
   `close` ends them all and waits for them.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from random import Random
from types import TracebackType

import msgspec

from turnout.codecs.base import Encoded
from turnout.engine.attempt import Upstreams
from turnout.engine.exchange import Call, CallHandler, Clock, Exchange, Layer
from turnout.engine.reply import Reply, WholeReply
from turnout.engine.snapshot import Snapshot
from turnout.errors import CapacityExhausted, TurnoutError
from turnout.stores.live import Fleet
from turnout.transport.base import Response
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse, Facts, Message, Text
from turnout.types.deployment import Deployment, Probe
from turnout.types.embed import EmbedRequest
from turnout.types.http import HttpRequest, HttpResponse, Timeouts
from turnout.types.record import Attempt
from turnout.types.usage import Usage

MOST_AT_ONCE = 4
URGENT = 5
LEAST_PAUSE_S = 0.5
JITTER = 0.1
ID_BITS = 104
GET_HEADERS = ((b"accept", b"application/json"),)
OnProbe = Callable[[Attempt], None]
"""Told about every probe that was sent. Must not raise and must not block."""
log = logging.getLogger("turnout.probe")


class Prober:
    """Probes the deployments of the configuration in force."""

    __slots__ = ("_clock", "_fleet", "_handler", "_on_probe", "_places", "_rng", "_tasks", "_watched")

    def __init__(self, fleet: Fleet, clock: Clock, *, seed: int | None = None) -> None:
        self._fleet = fleet
        self._clock = clock
        self._rng = Random(seed)  # noqa: S311  spreads probes, keeps no secret
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._handler: Callable[[Exchange], AbstractAsyncContextManager[Reply]] = _nobody
        self._watched: dict[str, Deployment] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._on_probe: OnProbe | None = None

    @property
    def watched(self) -> frozenset[str]:
        """Ids of the deployments that are probed."""
        return frozenset(self._watched)

    def listen(self, on_probe: OnProbe) -> None:
        """Tell this one about every probe from now on."""
        self._on_probe = on_probe

    def follow(self, snapshot: Snapshot, ring: CallHandler, around: Layer) -> None:
        """Probe what a configuration wants probed, and nothing else, from now on.

        Args:
            snapshot: The configuration.
            ring: Makes a call, through all layers around an attempt.
            around: Records a request that ended.
        """
        self._watched = {d.id: d for d in snapshot.deployments.values() if d.probe is not None}
        self._handler = around(partial(_call, self._watched, ring, self._clock))
        for name in [each for each in self._tasks if each not in self._watched]:
            self._tasks.pop(name).cancel()
        for name in self._watched:
            if name not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._watch(name), name=f"probe {name}")
                task.add_done_callback(_told)
                self._tasks[name] = task

    async def close(self) -> None:
        """End all probes and wait until they have ended."""
        tasks, self._tasks, self._watched = tuple(self._tasks.values()), {}, {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, name: str) -> None:
        probe = self._watched[name].probe
        await asyncio.sleep(self._rng.random() * (probe.interval_s if probe else 0.0))
        while name in self._watched:
            deployment = self._watched[name]
            assert deployment.probe is not None
            if self._is_due(deployment.id, deployment.probe):
                async with self._places:
                    await self._ask(deployment, deployment.probe)
            await asyncio.sleep(self._pause(deployment.id, deployment.probe))

    def _is_due(self, name: str, probe: Probe) -> bool:
        now = self._clock()
        stats = self._fleet.stats(name, now)
        if stats.state == "open":
            return False
        heard_at = self._fleet.of(name).heard_at
        quiet_s = probe.interval_s * (
            1 - 2 * JITTER
        )  # the last sign of life may be the probe before this one
        return stats.demoted or stats.state != "closed" or heard_at is None or now - heard_at >= quiet_s

    def _pause(self, name: str, probe: Probe) -> float:
        stats = self._fleet.stats(name, self._clock())
        pause_s = probe.interval_s
        if stats.state == "open":
            return min(pause_s, max(stats.cooldown_s, LEAST_PAUSE_S))
        if stats.demoted or stats.state != "closed":
            pause_s /= URGENT
        return max(pause_s * (1 + JITTER * (2 * self._rng.random() - 1)), LEAST_PAUSE_S)

    async def _ask(self, deployment: Deployment, probe: Probe) -> None:
        ask = Ask(
            request_id=f"req_{self._rng.getrandbits(ID_BITS):026x}",
            endpoint="probe",
            is_probe=True,
            retries=0,
            log_content=False,
        )
        exchange = Exchange(
            question(deployment, probe), ask, started=self._clock(), at=datetime.now(UTC), seed=0
        )
        try:
            async with self._handler(exchange):
                pass  # it does not stream: entering has brought the whole answer
        except CapacityExhausted:
            return  # the breaker, or a full line: nothing was sent
        except TurnoutError as error:
            log.info("%s did not answer a probe: %s", deployment.id, error.row.word)
        if self._on_probe is not None:
            for attempt in exchange.attempts:
                self._on_probe(attempt)


def question(deployment: Deployment, probe: Probe) -> ChatRequest | EmbedRequest:
    """Return the smallest request that shows whether a deployment answers."""
    text = "" if probe.path is not None else probe.prompt
    facts = Facts(n_chars=len(text), n_messages=1)
    if deployment.model.kind == "embedding":
        return EmbedRequest(model=deployment.id, input=(text,), facts=facts)
    return ChatRequest(
        model=deployment.id,
        messages=(Message("user", (Text(text),)),),
        max_tokens=probe.max_tokens,
        facts=facts,
    )


def asking(upstreams: Upstreams) -> CallHandler:
    """Return the innermost handler of probes: a GET where the configuration names a path, else an attempt."""

    def handler(call: Call) -> AbstractAsyncContextManager[Reply]:
        probe = call.deployment.probe
        if probe is None or probe.path is None:
            return upstreams.open(call)
        return _Got(upstreams, call, probe.path)

    return handler


class _Got:
    """One GET of a path beneath the deployment's address."""

    __slots__ = ("_call", "_path", "_response", "_upstreams")

    def __init__(self, upstreams: Upstreams, call: Call, path: str) -> None:
        self._upstreams = upstreams
        self._call = call
        self._path = path
        self._response: Response | None = None

    async def __aenter__(self) -> Reply:
        call = self._call
        deployment = call.deployment
        http = HttpRequest("GET", f"{deployment.url}/{self._path.lstrip('/')}", GET_HEADERS)
        response = self._response = await self._upstreams.send(Encoded(http), call)
        try:
            call.status = response.status
            body = await response.read()
        finally:
            response.close()
        if response.status // 100 != 2:
            codec = self._upstreams.codec(deployment)
            raise codec.error(HttpResponse(response.status, response.headers, body))
        call.committed_at = self._upstreams.clock()
        return WholeReply(deployment, ChatResponse(id="", model=deployment.model.id, choices=(), usage=FREE))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the answer was read and closed on entering."""


FREE = Usage(input_uncached=0, output_text=0)


def _call(
    watched: dict[str, Deployment], ring: CallHandler, clock: Clock, exchange: Exchange
) -> AbstractAsyncContextManager[Reply]:
    deployment = watched[exchange.request.model]
    probe = deployment.probe
    assert probe is not None
    limit_s = probe.timeout_s
    # Written as the deployment's own limits: one that is missed is its fault, not that of a hasty caller.
    own = Timeouts(min(limit_s, deployment.timeouts.connect_s or limit_s), limit_s, limit_s, 3 * limit_s)
    limited = msgspec.structs.replace(deployment, timeouts=own)
    return ring(Call(exchange, limited, exchange.request, now=clock()))


def _nobody(exchange: Exchange) -> AbstractAsyncContextManager[Reply]:
    raise LookupError(f"{exchange.request.model} is not probed")


def _told(task: "asyncio.Task[None]") -> None:
    """Say so when the probes of a deployment end by a defect: nobody else would notice."""
    if not task.cancelled() and (defect := task.exception()) is not None:
        log.error("%s ended: %s", task.get_name(), type(defect).__name__)
