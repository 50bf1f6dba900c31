"""The alerts of one gateway process: what it knows, whom it tells, and where that is kept. Floor 6.

1. Nothing is opened before a receiver is configured; a reload may add the first one.
2. Receivers over HTTP share a transport of their own, which may dial their addresses and nothing else.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from turnout.build import Built
from turnout.config import Config
from turnout.config.alerts import egress_of
from turnout.errors import ConfigError
from turnout.govern import ending
from turnout.govern.holdings import read_holdings
from turnout.govern.office import Office
from turnout.govern.open import desk_config, open_desk
from turnout.govern.rules import Actor
from turnout.jobs.alerts.ask import Asker
from turnout.jobs.alerts.base import RANK
from turnout.jobs.alerts.board import Board
from turnout.jobs.alerts.keep import Kept
from turnout.jobs.alerts.receivers.base import AnyReceiver, Email, PagerDuty, Slack
from turnout.jobs.alerts.receivers.mail import MailReceiver
from turnout.jobs.alerts.receivers.web import PagerDutyReceiver, SlackReceiver, WebhookReceiver
from turnout.jobs.alerts.step import Plan
from turnout.jobs.alerts.watch import Count, Receiver, Watch
from turnout.jobs.alerts.world import Ends, Used, World
from turnout.parts import Upstream, open_transport
from turnout.server.admin.call import Call
from turnout.server.admin.permits import PERMITS
from turnout.server.admin.standing import accounts, ends_at
from turnout.server.defects import note_defect
from turnout.stores.desk.base import Desk
from turnout.transport.guard import Egress
from turnout.types.limits import Budget

if TYPE_CHECKING:
    from turnout.server.metrics import Metrics

POLL_S: Final = 5.0
"""Until the first receiver is configured, and after a defect."""
log = logging.getLogger("turnout.alerts")
_ACTOR: Final = Actor(id="gateway", role="owner")
_STANDING: Final = next(each for each in PERMITS if each.path == "/standing")


class Configured(Struct, frozen=True):
    """What is configured now."""

    every_s: float
    plan: Plan
    receivers: Mapping[str, Receiver]


class Alerting:
    """The alerts of one process. Sets `built.alerts`.

    Args:
        built: The engine.
        office: Returns the desk's; None while there is none.

    Attributes:
        kept: The state; None until a receiver is configured.
        count: Told what became of each notice.
    """

    def __init__(self, built: Built, office: Callable[[], Office | None]) -> None:
        self._built = built
        self._transport: Upstream | None = None
        self.kept: Kept | None = None
        self.count: Count = lambda *_: None
        self._of: Config | None = None
        self._setup = Configured(POLL_S, Plan(rules={}, receivers={}), {})
        self.world = world_of(built, office)
        built.alerts = Board(lambda: self.kept, self.setup, _now)

    def setup(self) -> Configured:
        """Return what is configured now."""
        config = self._built.config
        if config is not self._of:
            allowed = _egress(config)
            if self._transport is None:
                self._transport = open_transport(config, allowed)
            else:
                self._transport.allow(allowed)
            self._setup = configured(config, self._transport)
            self._of = config
        return self._setup

    async def run(self) -> None:
        """Watch until cancelled."""
        holder = secrets.token_hex(8)
        while True:
            try:
                if self.open():
                    assert self.kept is not None
                    watch = Watch(holder, self.kept, Asker(self.world).ask, self.setup, _now)
                    watch.count = self.count
                    await watch.run()
            except ConfigError as failure:
                log.error("alerts are not evaluated: %s", failure.problems[0])  # noqa: TRY400
            except Exception as defect:  # noqa: BLE001  alerts must not end a gateway that serves
                note_defect("alerts", defect)
            await asyncio.sleep(POLL_S)

    def gauges(self) -> Mapping[tuple[str, ...], float]:
        """Return how many alerts are firing, by severity."""
        alerts = () if self.kept is None else self.kept.seen.alerts
        firing = Counter(each.severity for each in alerts if each.state == "firing")
        return {("turnout_alerts_firing", severity): firing[severity] for severity in RANK}

    def open(self) -> bool:
        """Open the state where a receiver is configured; tell whether it is open. Raises `ConfigError`."""
        if self.kept is None and self._built.config.alerts.receivers:
            self.kept = Kept(open_kept(self._built.config))
        return self.kept is not None

    async def close(self) -> None:
        """Let go of everything."""
        if self._transport is not None:
            await self._transport.close()
        if self.kept is not None:
            await self.kept.close()


def configured(config: Config, transport: Upstream) -> Configured:
    """Return what is configured, with receivers that use a transport. Raises `Forbidden`."""
    alerts, cidrs = config.alerts, config.egress.allow_cidrs
    return Configured(
        every_s=alerts.every_s,
        plan=Plan(
            rules=alerts.in_force if alerts.receivers else {},
            receivers={name: each.min_severity for name, each in alerts.receivers.items()},
            mutes=alerts.mutes,
            repeat_s=alerts.repeat_s,
        ),
        receivers={name: _receiver(each, transport, cidrs) for name, each in alerts.receivers.items()},
    )


async def tell_test(config: Config, receiver: str) -> str | None:
    """Have a receiver tried without a gateway; return what went wrong. Raises `NotFound`, `ConfigError`."""
    transport = open_transport(config, _egress(config))
    try:
        setup = configured(config, transport)
        return await Board(lambda: None, lambda: setup, _now).test(receiver)
    finally:
        await transport.close()


def _egress(config: Config) -> Egress:
    return egress_of(config.alerts.receivers, config.egress.allow_cidrs, config.egress.allow_http)


async def watch_alerts(built: Built, office: Callable[[], Office | None], metrics: "Metrics | None") -> None:
    """Watch for alerts until cancelled."""
    alerting = Alerting(built, office)
    if metrics is not None:
        alerting.count = partial(metrics.count, "turnout_alerts")
        metrics.gauges.append(alerting.gauges)
    try:
        await alerting.run()
    finally:
        await alerting.close()


def open_kept(config: Config) -> Desk:
    """Open where the state is kept: the desk of replicas, else a file. Raises `ConfigError`."""
    row = desk_config(config)
    if row.where.is_url:
        return open_desk(row)
    from turnout.stores.desk.sqlite import SqliteDesk  # noqa: PLC0415  only where alerts are watched

    return SqliteDesk(Path(config.alerts.path))


def _receiver(to: AnyReceiver, transport: Upstream, cidrs: Sequence[str]) -> Receiver:
    match to:
        case Email():
            return MailReceiver(to, cidrs)
        case Slack():
            return SlackReceiver(to, transport)
        case PagerDuty():
            return PagerDutyReceiver(to, transport)
        case _:
            return WebhookReceiver(to, transport, _now)


def world_of(built: Built, office: Callable[[], Office | None]) -> World:
    """Return what rules may look at."""

    async def budgets() -> Sequence[Used]:
        found = await accounts(Call(office(), built, _ACTOR, _STANDING))
        return [
            Used(budget=each.limit, subject=each.subject, used_nusd=each.used, resets_at=ends_at(each.take))
            for each in found
            if isinstance(each.limit, Budget)
        ]

    async def expiring(seconds: float) -> Sequence[Ends]:
        desk = office()
        if desk is None:
            return ()
        found = ending.ends_within(await read_holdings(desk.desk), desk.now(), seconds)
        return [Ends(kind=each.kind, id=each.id, name=each.name, expires=each.expires) for each in found]

    return World(
        journal=built.journal,
        snapshot=lambda: built.engine.snapshot,
        health=built.engine.health,
        books=lambda: built.books,
        standings=built.monitor.standings,
        feedback=built.quality.store,
        budgets=budgets,
        expiring=expiring,
    )


def _now() -> datetime:
    return datetime.now(UTC)
