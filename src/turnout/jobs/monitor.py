"""Has the reference answer what was routed away, and tells the monitor the difference. Floor 4.

Theory of operation (ROUTING.md section 5.4).
1. A shadow is a request of its own: it goes through the engine to the reference, is recorded, metered and
   billed, and names the request it stands beside in its metadata. No client waits for it.
2. Both answers are scored by the certificate's scorer, an acceptor. What it asks goes through the engine too.
   Its confidence is the score; where it gives none, accepted is 1 and rejected 0.
3. A pair with a failed half says nothing and is left out. At most `MOST_AT_ONCE` shadows are under way and
   `MOST_WAITING` wait; what comes beyond is left out and counted.
4. Tasks belong to this object; `close` ends them and waits for them.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Final, Protocol

import msgspec

from turnout.engine.certified import OnAlarm, Standings
from turnout.engine.exchange import Layer
from turnout.engine.reply import Reply
from turnout.engine.snapshot import Route
from turnout.errors import TurnoutError
from turnout.jobs.under_way import UnderWay
from turnout.layers.certify import CertifyLayer
from turnout.plan import Accept
from turnout.stores.sightings import Sightings
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse

MOST_AT_ONCE: Final = 4
MOST_WAITING: Final = 256
TAG: Final = "shadow"
"""On the Records of shadows: they are nobody's request."""


class Opens(Protocol):
    """The engine, as far as a shadow needs it."""

    def open(self, request: ChatRequest, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Serve a request."""
        ...


class Monitor:
    """The standings of all certificates, with the shadows that feed them.

    Attributes:
        standings: How the routes' certificates are doing.
        shadows: Shadow requests under way.
    """

    __slots__ = ("shadows", "standings")

    def __init__(
        self, sightings: Sightings, engine: Callable[[], Opens], on_alarm: OnAlarm | None = None
    ) -> None:
        self.standings = Standings(sightings, on_alarm)
        self.shadows = Shadows(self.standings, engine)

    def follow(self, routes: Mapping[str, Route]) -> Layer:
        """Watch the certificates of these routes and no others; return the layer that sees their requests."""
        self.standings.keep(routes)
        return CertifyLayer(self.standings, self.shadows.take)


class Shadows:
    """Shadow requests under way.

    Attributes:
        n_dropped: Left out because too many were waiting.
        n_failed: Left out because the reference or the scorer failed.
        n_scored: Pairs told to the monitor.
    """

    __slots__ = (
        "_engine",
        "_places",
        "_rng",
        "_standings",
        "_under_way",
        "n_dropped",
        "n_failed",
        "n_scored",
    )

    def __init__(self, standings: Standings, engine: Callable[[], Opens], *, seed: int | None = None) -> None:
        """Begin.

        Args:
            standings: Told what pairs lost.
            engine: Returns the engine in force.
            seed: Of request ids.
        """
        self._standings = standings
        self._engine = engine
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._rng = Random(seed)  # noqa: S311  names requests, keeps no secret
        self._under_way = UnderWay()
        self.n_dropped = self.n_failed = self.n_scored = 0

    def take(self, route: str, request: ChatRequest, answer: ChatResponse) -> None:
        """Have the reference answer a request of a route, and compare."""
        if len(self._under_way) >= MOST_WAITING:
            self.n_dropped += 1
            return
        self._under_way.begin(self._run(route, request, answer))

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        await self._under_way.settle()

    async def close(self) -> None:
        """End what is under way."""
        await self._under_way.close()

    async def _run(self, route: str, request: ChatRequest, answer: ChatResponse) -> None:
        standing = self._standings.of(route)
        if standing is None or standing.permit.shadow_score is None:
            return
        permit, accept = standing.permit, standing.permit.shadow_score
        async with self._places:
            whole = msgspec.structs.replace(request, stream=False)
            try:
                best = await self._ask(whole, permit.reference[0].id, route)
                scores = [await self._score(accept, whole, each, route) for each in (best, answer)]
            except TurnoutError:
                self.n_failed += 1
                return
        loss = scores[0] - scores[1]
        if not -1 <= loss <= 1:
            self.n_failed += 1
            return
        self.n_scored += 1
        self._standings.lose(route, loss)

    async def _score(self, accept: Accept, request: ChatRequest, answer: ChatResponse, route: str) -> float:
        question = accept.ask(request, answer)
        judgement = None if question is None else await self._ask(question.request, question.to, route)
        verdict = accept.verdict(request, answer, judgement)
        return float(verdict.accept) if verdict.confidence is None else verdict.confidence

    async def _ask(self, request: ChatRequest, deployment: str, route: str) -> ChatResponse:
        ask = Ask(
            request_id=f"req_{self._rng.getrandbits(104):026x}",
            tags=(TAG,),
            metadata={"shadow_of": route},
            log_content=False,
        )
        wanted = msgspec.structs.replace(request, model=deployment, stream=False)
        async with self._engine().open(wanted, ask) as reply:
            return await reply.response()
