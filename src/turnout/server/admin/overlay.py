"""What the desk lays over the configuration's file, followed by every process. Floor 6.

Theory of operation.

1. In force is the file, then the sections of the version that was applied (with `admin.config: desk`), then
   the prices that were set. `over` puts them together; a reload of the file goes through it too.
2. The desk's revision is asked for every `POLL_S`; when it has grown, what concerns the configuration is read
   again, and compiled only if it differs. What cannot be used is told once and changes nothing.
3. A call of this process that applies something takes it in before it answers.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from turnout.build import Built
from turnout.config import Config
from turnout.errors import ConfigError, Forbidden, StoreUnavailable
from turnout.govern.office import Office
from turnout.server.admin.prices import Override, overrides_of, priced
from turnout.server.admin.versions import laid_over, sections_in_force
from turnout.types.json import JsonObject

log = logging.getLogger("turnout.admin")

POLL_S: Final = 1.0


class Overlay:
    """The file's configuration with what the desk lays over it.

    Attributes:
        base: The file's.
        version: Id of the version in force; None = the file alone.
    """

    __slots__ = ("_built", "_office", "_prices", "_sections", "_seen", "base", "version")

    def __init__(self, built: Built, office: Callable[[], Office | None]) -> None:
        self._built = built
        self._office = office
        self._seen = -1
        self._sections: JsonObject = {}
        self._prices: tuple[Override, ...] = ()
        self.base = built.config
        self.version: str | None = None

    @property
    def takes_versions(self) -> bool:
        """Whether versions of the desk come into force here."""
        return self.base.admin.config == "desk"

    def over(self, base: Config) -> Config:
        """Return another configuration of the file with what the desk lays over it.

        Raises:
            ConfigError: The two do not go together.
        """
        try:
            found = self.put_together(base, self._sections)
        except Forbidden as failure:
            raise ConfigError((f"version {self.version}: {failure.message}",)) from None
        self._built.prepare(found)
        self.base = base
        return found

    def put_together(self, base: Config, sections: JsonObject) -> Config:
        """Return what would be in force with these sections. Raises `ConfigError`, `Forbidden`."""
        return priced(laid_over(base, sections) if sections else base, self._prices)

    async def refresh(self) -> None:
        """Take in what the desk holds now.

        Raises:
            StoreUnavailable: It cannot be read.
            ConfigError: What it holds cannot be used; the configuration before stays in force.
        """
        office = self._office()
        if office is None:
            return
        revision = await office.desk.revision()
        if revision == self._seen:
            return
        version, sections = await sections_in_force(office.desk) if self.takes_versions else (None, {})
        prices = await overrides_of(office.desk)
        self._seen = revision
        if (version, prices) == (self.version, self._prices):
            return
        before = self._sections, self._prices, self.version
        self._sections, self._prices, self.version = sections, prices, version
        try:
            self._built.reload(self.put_together(self.base, sections))
        except (ConfigError, Forbidden) as failure:
            self._sections, self._prices, self.version = before
            problems = failure.problems if isinstance(failure, ConfigError) else (failure.message,)
            raise ConfigError(tuple(f"version {version}: {each}" for each in problems)) from None
        log.info("configuration version %d is in force", self._built.engine.snapshot.version)

    async def run(self) -> None:
        """Follow the desk until cancelled."""
        told = ""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except (ConfigError, StoreUnavailable) as failure:
                reason = str(failure)
                if reason != told:
                    log.error("the configuration of the desk is not taken in: %s", reason)  # noqa: TRY400
                told = reason
            else:
                told = ""
