"""The desk beside a gateway: what it keeps is held in memory, and followed. Floor 6.

Theory of operation.

1. A gateway has a desk where the configuration names one, or once the default file is there. It is looked
   for as long as the gateway runs, so that the first `turnout keys create` needs no restart.
2. Every `POLL_S` the desk is asked for its revision, one cheap read. When that has grown, everything is read
   again and put in force at once: keys in the directory, limits in the engine. So a revoked key stops
   working in every process of the machine within that time (S-111); in the process that wrote it, at once.
3. While the desk cannot be read, what was read last stays in force, and it is asked less and less often, at
   least every `DOWN_POLL_S`.
4. Every `CHECKPOINT_S` the heads of the audit log go to the process log, signed: whoever keeps that log
   elsewhere can prove later that nothing was cut off (S-103).
5. As often, what ends soon is told once (`govern.ending`), and sessions that ended are swept away.
6. When the desk changed, its peppers are read again: after `turnout pepper rotate` gateways go on without a
   restart. A key that was presented under the older one is written down under the newest.
7. Refusals by policy are put on record from here, a bounded number at a time: requests never wait for it.
8. Whoever forgets a customer, in whichever process, says so at the desk; what is kept in memory here for its
   keys is let go of with the next look (`govern.erasures`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from turnout.build import Built
from turnout.errors import ConfigError, Conflict, StoreUnavailable
from turnout.govern import ending, sessions
from turnout.govern.audit import Head, checkpoint
from turnout.govern.directory import Directory
from turnout.govern.erasures import Erasures, Forgets
from turnout.govern.holdings import Holdings, read_holdings
from turnout.govern.office import Office
from turnout.govern.open import desk_config, is_used, open_desk, peppers_for
from turnout.govern.rotation import write_moved
from turnout.govern.vault import masters_of, secrets_in
from turnout.stores.desk.base import Desk
from turnout.types.account import Act
from turnout.types.principal import Principal

log = logging.getLogger("turnout.desk")

POLL_S: Final = 1.0
DOWN_POLL_S: Final = 60.0
MOST_WAITING: Final = 100
"""Refusals that wait to be put on record; further ones are counted."""
MOST_A_POLL: Final = 10
CHECKPOINT_S: Final = 3600.0


class Room:
    """Where a gateway keeps its desk.

    Attributes:
        office: What the admin API acts with; None while there is no desk.
        directory: Keys of the desk; None while there is none.
        forgets: Lets go of what this process keeps in memory for keys; None = it keeps nothing.
    """

    def __init__(self, built: Built, opened: Callable[[Directory], None]) -> None:
        """Prepare.

        Args:
            built: The engine whose limits follow the desk.
            opened: Told about the directory once there is one.
        """
        self.office: Office | None = None
        self.directory: Directory | None = None
        self.forgets: Forgets | None = None
        self._erasures = Erasures()
        self._built = built
        self._opened = opened
        self._desk: Desk | None = None
        self._seen = -1
        self._wake = asyncio.Event()
        self._wait_s = POLL_S
        self._denials: deque[Act] = deque()
        self._n_left_out = 0
        self._heads: Mapping[str, Head] = {}
        self._holdings = Holdings(revision=-1)
        self._checked_at = built.engine.clock()

    @property
    def has_keys(self) -> bool:
        """Whether callers need keys of the desk."""
        return self.directory is not None and self.directory.has_keys

    async def start(self) -> None:
        """Open the desk where there is one. Raises `ConfigError` when it cannot be used."""
        if not is_used(self._built.config):
            return
        row = desk_config(self._built.config)
        desk, peppers = open_desk(row), peppers_for(row)
        try:
            holdings = await read_holdings(desk)
        except StoreUnavailable as failure:
            await desk.close()
            raise ConfigError((f"desk.path: {failure.message}",)) from None
        self._desk = desk
        self.directory = Directory(peppers)
        self.office = Office(
            desk, peppers, routes=lambda: self._built.engine.snapshot.routes, changed=self._wake.set
        )
        self.office.forgets = self.forgets
        self._take(holdings)
        self._opened(self.directory)
        await self._forget()

    async def run(self) -> None:
        """Follow the desk until cancelled."""
        with suppress(StoreUnavailable):
            await self.warn()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._wait_s)
            self._wake.clear()
            try:
                await self.look()
            except (StoreUnavailable, ConfigError) as failure:
                reason = failure.message if isinstance(failure, StoreUnavailable) else failure.problems[0]
                if self._wait_s == POLL_S:
                    log.error("the desk cannot be read, what was read last stays in force: %s", reason)  # noqa: TRY400
                self._wait_s = min(self._wait_s * 2, DOWN_POLL_S)
            else:
                self._wait_s = POLL_S

    async def refresh(self) -> None:
        """Take in what the desk holds now. Raises `StoreUnavailable`."""
        if self._desk is not None and await self._desk.revision() != self._seen:
            self._take(await read_holdings(self._desk))

    async def _forget(self) -> None:
        if self._desk is not None and self.forgets is not None:
            await self._erasures.follow(self._desk, datetime.now(UTC), self.forgets)

    def denied(self, principal: Principal, address: str, action: str, reason: str) -> None:
        """Have the refusal of a request put on record."""
        if self._desk is None:
            return
        if len(self._denials) >= MOST_WAITING:
            self._n_left_out += 1
            return
        self._denials.append(
            Act(
                at=datetime.now(UTC),
                actor=principal.key_id or "",
                role=principal.role,
                address=address,
                action=action,
                organisation=principal.organisation,
                reason=reason[:200],
                result="denied",
                facts={"n_left_out": self._n_left_out} if self._n_left_out else {},
            )
        )
        self._n_left_out = 0

    async def close(self) -> None:
        """Let go of the desk."""
        if self._desk is not None:
            await self._desk.close()

    async def look(self) -> None:
        """Take in what changed at the desk, and put there what waits for it.

        Raises:
            StoreUnavailable: It cannot be read.
            ConfigError: It is there, and cannot be used.
        """
        if self._desk is None:
            await self.start()
            return
        await self.refresh()
        await self._forget()
        for _ in range(min(len(self._denials), MOST_A_POLL)):
            await self._desk.note(self._denials[0])
            self._denials.popleft()
        assert self.office is not None
        assert self.directory is not None
        for name in list(self.directory.moved)[:MOST_A_POLL]:
            with suppress(Conflict):
                await write_moved(self.office, name, *self.directory.moved[name])
            del self.directory.moved[name]
        now = self._built.engine.clock()
        if now - self._checked_at >= CHECKPOINT_S:
            self._checked_at = now
            await self._hourly(self.office)

    async def _hourly(self, office: Office) -> None:
        seen = await checkpoint(office.desk, office.peppers, datetime.now(UTC), self._heads)
        self._heads = seen.heads
        log.info("audit checkpoint %s", msgspec.json.encode(seen).decode())
        await sessions.sweep(office, self._built.config.admin.session)
        await self.warn()

    async def warn(self) -> None:
        """Tell what ends soon, once over all processes."""
        if self.office is None:
            return
        soon = ending.ends_within(self._holdings, self.office.now(), ending.WARN_S)
        for each in await ending.warn(self.office, soon):
            log.warning("%s %s (%s…) ends at %s", each.kind, each.id, each.prefix, each.expires.isoformat())

    def _take(self, holdings: Holdings) -> None:
        assert self.directory is not None
        assert self.office is not None
        self._holdings = holdings
        try:
            self.office.peppers = peppers_for(desk_config(self._built.config))
        except ConfigError as failure:  # a key that was revoked must end all the same
            log.error("the pepper stays the one that was read last: %s", failure.problems[0])  # noqa: TRY400
        self.directory.take(holdings, self.office.peppers)
        self._built.grant(holdings.budgets, holdings.quotas)
        row = desk_config(self._built.config)
        if row.master_key is not None:
            self._built.lend(secrets_in(masters_of(row), holdings.credentials))
        self._seen = holdings.revision
        log.info("the desk at revision %d is in force: %d keys", holdings.revision, len(self.directory))
