"""The endpoints of `/v1/background`. Floor 6.

What they read and show stands in `background`; who runs the jobs, in `deferred`.
"""

from collections.abc import Awaitable, Callable

import msgspec

from turnout.server import background
from turnout.server.deferred import Asked, Deferred
from turnout.server.http import respond
from turnout.server.paths import OPENAI, Paths
from turnout.server.visit import Visit


class Background:
    """The endpoints at one gateway."""

    def __init__(
        self,
        enter: Callable[[Visit, str], None],
        body: Callable[[Visit], Awaitable[bytes]],
        tell: Callable[[Visit, bytes, int], Awaitable[None]],
        deferred: Callable[[], Deferred | None],
    ) -> None:
        self._enter = enter
        self._body = body
        self._tell = tell
        self._deferred = deferred

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        paths.add("POST", "/background", self._create, OPENAI)
        paths.add("GET", "/background", self._list, OPENAI)
        for path in ("/background/*", "/background/*/answer"):
            paths.add("GET", path, self._show, OPENAI)
        paths.add("DELETE", "/background/*", self._cancel, OPENAI)

    async def wished(self, visit: Visit, raw: bytes) -> None:
        """Take in a request whose own `turnout.background` asks for a job."""
        await self._hand_in(visit, background.wished(raw, came(visit)))

    async def _create(self, visit: Visit) -> None:
        self._enter(visit, "background")
        background.enabled(self._deferred())
        await self._hand_in(visit, background.asked(await self._body(visit), came(visit)))

    async def _hand_in(self, visit: Visit, asked: Asked) -> None:
        job = await background.enabled(self._deferred()).submit(asked)
        await self._tell(visit, msgspec.json.encode(background.view(job, visit.principal)), 202)

    async def _list(self, visit: Visit) -> None:
        self._enter(visit, "background")
        deferred = background.enabled(self._deferred())
        page = await background.listing(deferred, visit.principal, visit.scope["query_string"])
        await self._tell(visit, page, 200)

    async def _show(self, visit: Visit) -> None:
        self._enter(visit, "background")
        deferred = background.enabled(self._deferred())
        job_id, slash, _ = visit.path_rest.partition("/")
        if slash:
            await respond(visit.send, *await background.collected(deferred, job_id, visit.principal))
        else:
            await self._tell(visit, await background.shown(deferred, job_id, visit.principal), 200)

    async def _cancel(self, visit: Visit) -> None:
        self._enter(visit, "background")
        deferred = background.enabled(self._deferred())
        job = await deferred.cancel(visit.path_rest, visit.principal.key_id or "")
        await self._tell(visit, msgspec.json.encode(background.view(job, visit.principal)), 200)


def came(visit: Visit) -> background.Came:
    """Return what a job keeps of the request that brought it."""
    key, scope = visit.inbound.idempotency_key, visit.scope
    return background.Came(scope["path"], scope["headers"], visit.principal.key_id or "", key)
