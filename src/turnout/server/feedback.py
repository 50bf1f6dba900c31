"""`POST /v1/feedback`: what clients say of answers to their own requests. Floor 6."""

from collections.abc import Callable
from typing import Final

import msgspec

from turnout.build import Built
from turnout.codecs.strict import convert, parse
from turnout.errors import NotFound, RateLimited
from turnout.server.hearing import Said, client, hear
from turnout.server.http import JSON_TYPE, respond
from turnout.server.paths import OPENAI, Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.stores.base import Store
from turnout.stores.memory import MemoryStore

_MINUTE_S: Final = 60.0
_DAY_S: Final = 86_400.0


class Feedbacks:
    """Takes feedback in, so much of each key."""

    __slots__ = ("_built", "_counters", "_steps", "count")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._built: Built | None = None
        self._counters: Store = MemoryStore()
        self.count: Callable[[str], None] = lambda _: None
        """Told the signal of every word that is taken in."""

    def open(self, built: Built, shared: Store | None) -> None:
        """Keep feedback beside this journal, counted with other processes where they share a store."""
        self._built = built
        self._counters = shared or self._counters

    def mount(self, paths: Paths[Visit]) -> None:
        """Say which path it serves."""
        paths.add("POST", "/feedback", self.take, OPENAI)

    async def take(self, visit: Visit) -> None:
        """Serve one call."""
        self._steps.enter(visit, "feedback")
        said = convert(parse(await self._steps.body(visit)), Said)
        built = self._built
        if built is None:
            raise NotFound("no feedback is taken here")
        who = visit.principal.key_id or ""
        await self._count(f"feedback:m:{who}", built.config.feedback.per_minute, _MINUTE_S)
        await self._count(f"feedback:d:{who}", built.config.feedback.per_day, _DAY_S)
        heard = await hear(built, said, client(visit.principal))
        self.count(heard.signal)
        headers = [JSON_TYPE, *self._steps.ids(visit.request_id)]
        await respond(visit.send, 202, headers, msgspec.json.encode(heard))

    async def _count(self, name: str, most: int, within_s: float) -> None:
        if await self._counters.incr(name, 1, ttl_s=within_s) > most:
            unit = "minute" if within_s == _MINUTE_S else "day"
            raise RateLimited(f"this key may send {most} words of feedback a {unit}", retry_after_s=within_s)
