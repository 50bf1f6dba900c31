"""What runs beside the data plane of one process: background jobs, files, batches. Floor 6.

Order matters at the end: requests first, then batches, which hand out jobs, then the jobs themselves.
"""

from collections.abc import Awaitable, Callable

from turnout.build import Built
from turnout.server.app import Gateway
from turnout.server.bulk import Opened, open_bulk
from turnout.server.counting import Counters
from turnout.server.deferred import Deferred, beside_jobs, open_deferred
from turnout.server.till import Till


class Beside:
    """What was opened."""

    __slots__ = ("_bulk", "_deferred")

    def __init__(self, deferred: Deferred | None, bulk: Opened | None) -> None:
        self._deferred = deferred
        self._bulk = bulk

    async def serve(self, serving: Awaitable[None], grace_s: Callable[[], float]) -> None:
        """Serve to the end, then give the jobs that run their grace period."""
        await beside_jobs(self._deferred, self._then_close(serving), grace_s)

    async def _then_close(self, serving: Awaitable[None]) -> None:
        try:
            await serving
        finally:
            if self._bulk is not None:
                await self._bulk.close()


def open_beside(built: Built, gateway: Gateway) -> Beside:
    """Open what is configured, and take up what is due. Raises `ConfigError`."""
    till = gateway.passing.till = Till(built)
    gateway.verbs.counters = Counters(till)
    deferred = open_deferred(built, gateway)
    return Beside(deferred, open_bulk(built, gateway.bulk, deferred))
