"""Evaluates alerts, in one process of an installation at a time, and tells receivers. Floor 4.

Theory of operation.

1. All processes share one document (`keep`). Whoever finds it without a holder, or with a lease that ended,
   writes itself in; a write counts only if nobody wrote in between, so there is one holder. The others
   look again every round and take over when its lease ends, at most `LEASES` rounds and `SEND_S` later.
2. Each round the holder asks the rules, moves the alerts on and writes the state, lease and notices in one
   swap; only then it sends. If somebody changed the document meanwhile (a silence), it is read and moved
   again with the same readings.
3. Notices are sent to all receivers at once, to each in order, with a time limit. What failed is tried again
   in a later round. Nothing here is waited for by requests.
4. A store that refuses ends the round and not the watch. Then nothing is evaluated, and the gateway says so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from msgspec.structs import replace

from turnout.errors import StoreUnavailable
from turnout.jobs.alerts.base import Checked, Notice, State
from turnout.jobs.alerts.keep import MOST_TRIES, Kept
from turnout.jobs.alerts.rules import AnyRule
from turnout.jobs.alerts.step import Plan, Sent, advance, crossed_off, due

LEASES: Final = 3
SEND_S: Final = 30.0
"""How long one notice may take."""
log = logging.getLogger("turnout.alerts")

Ask = Callable[[Mapping[str, AnyRule], datetime], Awaitable[Sequence[Checked]]]
"""Asks the rules."""
Count = Callable[[str, str], None]
"""Counts what became of a notice: its rule, and what was told, or `failed`. Must not raise."""


class Receiver(Protocol):
    """Whoever is told."""

    async def tell(self, notice: Notice) -> Sent:
        """Send a notice; a failure is in what is returned."""
        ...


class Setup(Protocol):
    """What is configured now."""

    @property
    def every_s(self) -> float:
        """Between two rounds."""
        ...

    @property
    def plan(self) -> Plan:
        """What alerts move by."""
        ...

    @property
    def receivers(self) -> Mapping[str, Receiver]:
        """By name."""
        ...


class Watch:
    """The alerts of one process.

    Args:
        holder: Name of this process, no other's.
        kept: The state.
        ask: Asks the rules.
        now: Returns the time.

    Attributes:
        count: Told what became of each notice.
    """

    __slots__ = ("_ask", "_down", "_holder", "_kept", "_now", "count", "setup")

    def __init__(
        self, holder: str, kept: Kept, ask: Ask, setup: Callable[[], Setup], now: Callable[[], datetime]
    ) -> None:
        self._holder = holder
        self._kept = kept
        self._ask = ask
        self._now = now
        self._down = False
        self.count: Count = lambda *_: None
        self.setup = setup
        """Returns what is configured now."""

    async def run(self) -> None:
        """Evaluate until cancelled; then let go, so that another goes on at once."""
        try:
            while True:
                await self._round()
                await asyncio.sleep(self.setup().every_s)
        finally:
            await self._let_go()

    async def _round(self) -> None:
        try:
            await self.round()
        except StoreUnavailable as failure:
            if not self._down:
                log.error("alerts are not evaluated: %s", failure.message)  # noqa: TRY400
            self._down = True
        else:
            self._down = False

    async def round(self) -> bool:
        """Evaluate and tell once; tell whether it was this process's turn. Raises `StoreUnavailable`."""
        setup = self.setup()
        version, state = await self._kept.read()
        if not self._may(state):
            return False
        checked = await self._ask(setup.plan.rules, self._now())
        for _ in range(MOST_TRIES):
            moved = self._held(advance(state, checked, setup.plan, self._now()), setup)
            if await self._kept.swap(version, moved):
                await self._send(moved, setup)
                return True
            version, state = await self._kept.read()
            if not self._may(state):
                return False
        return False

    def _may(self, state: State) -> bool:
        until = state.lease_until
        return state.holder in ("", self._holder) or until is None or until <= self._now()

    def _held(self, state: State, setup: Setup) -> State:
        until = self._now() + timedelta(seconds=LEASES * setup.every_s + SEND_S)
        return replace(state, holder=self._holder, lease_until=until)

    async def _send(self, state: State, setup: Setup) -> None:
        waiting = due(state, self._now())
        if not waiting:
            return
        results: list[Sent] = []
        async with asyncio.TaskGroup() as tasks:
            for name, notices in waiting.items():
                tasks.create_task(_in_order(setup.receivers.get(name), name, notices, results))
        said = {each.id: each for notices in waiting.values() for each in notices}
        for each in results:
            notice = said[each.notice]
            self.count(notice.rule, notice.what if each.problem is None else "failed")
        now = self._now()
        await self._kept.change(lambda found: crossed_off(found, results, now))

    async def _let_go(self) -> None:
        def without(state: State) -> State:
            mine = state.holder == self._holder
            return replace(state, holder="", lease_until=None) if mine else state

        try:
            await self._kept.change(without)
        except StoreUnavailable:
            log.info("the lease of alerts ends by itself")


async def _in_order(
    receiver: Receiver | None, name: str, notices: Sequence[Notice], results: list[Sent]
) -> None:
    """Send notices one after the other, up to the first that must be tried again."""
    for notice in notices:
        result = await tell(receiver, notice)
        results.append(result)
        if result.problem is not None:
            log.warning("alert receiver %s: %s %s: %s", name, notice.rule, notice.what, result.problem)
            if not result.final:
                return


async def tell(receiver: Receiver | None, notice: Notice) -> Sent:
    """Send one notice within the time limit."""
    if receiver is None:
        return Sent(notice.id, "this receiver is not configured any more", final=True)
    try:
        async with asyncio.timeout(SEND_S):
            return await receiver.tell(notice)
    except TimeoutError:
        return Sent(notice.id, f"no answer within {SEND_S:g} s")
