"""Asks every rule what it says now. Floor 4."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from turnout.errors import TurnoutError
from turnout.jobs.alerts import judged, rules, standing, traffic
from turnout.jobs.alerts.base import Checked, Reading
from turnout.jobs.alerts.rules import AnyRule
from turnout.jobs.alerts.spending import Forecast
from turnout.jobs.alerts.world import World

log = logging.getLogger("turnout.alerts")


class Asker:
    """Asks rules; keeps what forecasts were made from."""

    __slots__ = ("_forecasts", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._forecasts: dict[str, Forecast] = {}

    async def ask(self, asked: Mapping[str, AnyRule], now: datetime) -> tuple[Checked, ...]:
        """Ask every rule that is on; one that cannot be asked says why."""
        self._forecasts = {name: each for name, each in self._forecasts.items() if name in asked}
        return tuple([await self._one(name, rule, now) for name, rule in asked.items() if rule.enabled])

    async def _one(self, name: str, rule: AnyRule, now: datetime) -> Checked:
        try:
            return Checked(rule=name, readings=await self._readings(name, rule, now))
        except TurnoutError as failure:
            return Checked(rule=name, problem=f"{failure.row.word}: {failure.message}")
        except Exception as defect:  # noqa: BLE001  one rule's defect must not end the others
            # Not by its message: that may quote what was being looked at (S-64).
            log.error("alert rule %s: defect: %s", name, type(defect).__name__)  # noqa: TRY400
            return Checked(rule=name, problem=f"a defect: {type(defect).__name__}")

    async def _readings(self, name: str, rule: AnyRule, now: datetime) -> tuple[Reading, ...]:  # noqa: C901, PLR0912  one line a rule
        world = self._world
        match rule:
            case rules.ProviderErrors():
                return await traffic.provider_errors(rule, world, now)
            case rules.Slow():
                return await traffic.slow(rule, world, now)
            case rules.CacheDrop():
                return await traffic.cache_drop(rule, world, now)
            case rules.GuardRise():
                return await traffic.guard_rise(rule, world, now)
            case rules.QualityDrop():
                return await judged.quality_drop(rule, world, now)
            case rules.Spend():
                return await self._forecasts.setdefault(name, Forecast()).readings(rule, world, now)
            case rules.Budgets():
                return await standing.budgets(rule, world)
            case rules.Expiring():
                return await standing.expiring(rule, world)
            case rules.Certificates():
                return standing.certificates(rule, world, now)
            case rules.Retirement():
                return standing.retirement(rule, world, now)
            case rules.Drift():
                return standing.drift(rule, world)
            case rules.Spool():
                return standing.spool(rule, world)
            case rules.Stores():
                return standing.stores(rule, world)
            case rules.Down():
                return standing.circuits(rule, world)
            case _:
                assert_never(rule)
