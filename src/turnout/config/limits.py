"""The sections `budgets`, `quotas` and `ledger`: who may spend and use how much. Floor 5."""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from turnout.config.stores import SQLITE, check_ledger_store
from turnout.types.address import Address
from turnout.types.limits import (
    EACH,
    Budget,
    Calendar,
    Level,
    Lifetime,
    Quota,
    Rolling,
    Threshold,
    Unit,
    Window,
)
from turnout.types.usage import NanoUsd

NANO: Final = 1_000_000_000
_UNITS: Final = ("minute", "hour", "day", "week", "month", "year")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class BudgetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money for somebody."""

    id: Id
    level: Level
    subject: str = EACH
    """Id of one of that level; `*` = each of them by itself."""
    usd: Annotated[float, Meta(ge=0, le=1e9)]
    per: str = "month"
    """`minute` to `year` of the calendar, `lifetime`, or the last `90s`, `15m`, `24h`, `30d`."""
    zone: str = "UTC"
    """In whose calendar; IANA name."""
    thresholds: tuple[Threshold, ...] = ()
    hard: bool = True
    """Whether what does not fit is refused; a soft budget only counts, alerts and downgrades."""

    def __post_init__(self) -> None:
        window(self.per, self.zone)

    @property
    def budget(self) -> Budget:
        """What the engine counts."""
        return Budget(
            id=self.id,
            level=self.level,
            subject=self.subject,
            limit_nusd=NanoUsd(int(Decimal(repr(self.usd)) * NANO)),
            window=window(self.per, self.zone),
            thresholds=self.thresholds,
            hard=self.hard,
        )


class QuotaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests or tokens for somebody."""

    id: Id
    level: Level
    subject: str = EACH
    of: Literal["requests", "tokens", "tokens_in", "tokens_out", "concurrent"]
    limit: Annotated[int, Meta(ge=0)]
    per: str = "1m"
    """As of a budget; of no meaning for `concurrent`."""
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if isinstance(window(self.per, self.zone), Lifetime):
            raise ValueError("per is 'lifetime'; a quota comes back")  # noqa: TRY004  told beside other values

    @property
    def quota(self) -> Quota:
        """What the engine counts."""
        return Quota(
            id=self.id,
            level=self.level,
            subject=self.subject,
            of=self.of,
            limit=self.limit,
            window=cast("Rolling | Calendar", window(self.per, self.zone)),
        )


class LedgerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where budgets and quotas are counted."""

    store: Address | None = None
    """`sqlite` = the file at `path` and the log beside it, shared by the workers of this machine; `memory` =
    this process alone, until it ends; `valkey://host:port/db` or `postgres://user@host:port/name` = shared by
    replicas. None = `sqlite`."""
    path: str = ".turnout/ledger.db"
    durable: bool = False
    """Whether every step waits for the disk: survives a power cut, and costs a millisecond. Of `sqlite`:
    PostgreSQL always waits, Valkey keeps what its own settings say."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] | None = None
    """How long a call may take before the store counts as down; none = 0.5 s, of PostgreSQL 2 s."""
    on_down: Literal["deny", "allow"] = "deny"
    """What happens while the store cannot be reached."""
    down_share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """Share of each limit that this process may use by itself meanwhile, under `allow`."""
    allow_unpriced: bool = False
    """Whether models without a known price may be called where a budget applies."""

    def __post_init__(self) -> None:
        check_ledger_store(self.where)

    @property
    def where(self) -> Address:
        """Where it is counted."""
        return self.store or SQLITE


def window(per: str, zone: str) -> Window:
    """Return the window that words name. Raises `ValueError`."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"zone is {zone!r}; expected an IANA name such as Europe/Berlin") from None
    if per == "lifetime":
        return Lifetime()
    if per in _UNITS:
        return Calendar(cast("Unit", per), zone)
    found = _DURATION.fullmatch(per)
    if found is None or not (seconds := float(found[1]) * _SECONDS[found[2]]):
        units = ", ".join(_UNITS)
        raise ValueError(
            f"per is {per!r}; expected {units}, lifetime, or a duration such as 60s, 15m, 24h, 30d"
        )
    return Rolling(seconds)


def problems(
    budgets: tuple[BudgetConfig, ...], quotas: tuple[QuotaConfig, ...], routes: frozenset[str]
) -> tuple[str, ...]:
    """Return what is wrong with limits as a whole, one line each: ids used twice, routes not there."""
    found: list[str] = []
    for section, ids in (("budgets", [b.id for b in budgets]), ("quotas", [q.id for q in quotas])):
        for at, name in enumerate(ids):
            if (first := ids.index(name)) != at:
                found.append(f"{section}[{at}].id: {name!r} is that of {section}[{first}] already")
    for at, budget in enumerate(budgets):
        for n, threshold in enumerate(budget.thresholds):
            path = f"budgets[{at}].thresholds[{n}]"
            if threshold.action == "downgrade" and threshold.route is None:
                found.append(f"{path}: `downgrade` needs a route to send requests to")
            elif threshold.route is not None and threshold.route not in routes:
                found.append(f"{path}.route: there is no route {threshold.route!r}")
            elif threshold.route is not None and threshold.action != "downgrade":
                found.append(f"{path}.route: only `downgrade` sends requests anywhere")
    return tuple(found)


__all__ = ["BudgetConfig", "LedgerConfig", "QuotaConfig", "problems", "window"]
