"""Rules of alerts. Each is its own configuration; `DEFAULTS` hold where a file says nothing else. Floor 4."""

from collections.abc import Mapping
from datetime import datetime, time
from typing import Annotated, ClassVar, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from turnout.jobs.alerts.base import Severity

Seconds = Annotated[float, Meta(ge=0, le=31_622_400)]
Window = Annotated[float, Meta(ge=60, le=2_678_400)]
"""Minutes are the finest that is kept, for a month."""
Share = Annotated[float, Meta(gt=0, le=1)]
Calls = Annotated[int, Meta(ge=1, le=1_000_000)]
Days = Annotated[int, Meta(ge=1, le=3_650)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TEXT_TIME: Final = r"^([01]\d|2[0-3]):[0-5]\d$"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What every rule has."""

    fades: ClassVar[bool] = False
    """Whether an alert without news is left as it is for a while: silence of a provider that nobody asks any
    more says nothing about it."""
    enabled: bool = True
    severity: Severity = "warning"
    for_s: Seconds = 0
    """How long it must be so before anybody is told."""
    keep_s: Seconds = 300
    """How long it must not be so any more before it is over; what goes up and down is told once."""
    repeat_s: Seconds | None = None
    """Told again after this long while it lasts; None = `alerts.repeat_s`, 0 = never."""
    labels: Mapping[str, str] = {}
    """Added to its alerts; no part of their identity."""
    receivers: tuple[str, ...] = ()
    """Who is told; empty = all receivers."""


class ProviderErrors(Rule, frozen=True, kw_only=True, tag="provider_errors"):
    """Share of the attempts at one provider that failed by its fault, those that a fallback made good too."""

    fades: ClassVar[bool] = True
    severity: Severity = "critical"
    above: Share = 0.02
    window_s: Window = 300
    min_calls: Calls = 50


class Slow(Rule, frozen=True, kw_only=True, tag="slow"):
    """Quantile of latencies over its limit. Without a limit, models whose deployments have `ttft_slo_s`."""

    fades: ClassVar[bool] = True
    for_s: Seconds = 120
    by: Literal["model", "route", "provider"] = "model"
    only: tuple[str, ...] = ()
    """Names; empty = all."""
    quantile: Literal["p50", "p95", "p99"] = "p95"
    ttft_s: Annotated[float, Meta(gt=0)] | None = None
    """Limit of the time to the first content."""
    total_s: Annotated[float, Meta(gt=0)] | None = None
    """Limit of the time to the last byte."""
    window_s: Window = 600
    min_calls: Calls = 50


class Budgets(Rule, frozen=True, kw_only=True, tag="budget"):
    """Budgets used up to a share, or to their own thresholds: an alert each, until they begin anew."""

    severity: Severity = "info"
    keep_s: Seconds = 0
    repeat_s: Seconds | None = 0
    at: tuple[Annotated[float, Meta(gt=0, le=10)], ...] = (0.5, 0.8, 1.0)
    """From 0.8 on it is a warning, from 1 on critical."""


class Spend(Rule, frozen=True, kw_only=True, tag="spend"):
    """What an hour costs against what such an hour usually costs (docs/how-to/alerts.md)."""

    keep_s: Seconds = 600
    by: Literal["all", "organisation", "project", "team", "route", "model", "provider"] = "all"
    factor: Annotated[float, Meta(gt=0, le=100)] = 4
    """Robust deviations above the median."""
    times: Annotated[float, Meta(ge=1, le=1000)] = 1.5
    """Never below this multiple of the median."""
    min_usd: Annotated[float, Meta(ge=0)] = 5
    """Never less than this above it."""
    weeks: Annotated[int, Meta(ge=4, le=26)] = 8
    """How far back."""


class CacheDrop(Rule, frozen=True, kw_only=True, tag="cache"):
    """Share of answers that came from the cache, against the week before."""

    fades: ClassVar[bool] = True
    for_s: Seconds = 600
    drop: Share = 0.5
    """Of the usual share."""
    usual: Share = 0.05
    """A usual share below this is not watched."""
    window_s: Window = 3600
    min_calls: Calls = 200


class GuardRise(Rule, frozen=True, kw_only=True, tag="guards"):
    """Share of requests in which a guard found something, against the week before.

    An attack, or a guard that began to see ghosts.
    """

    fades: ClassVar[bool] = True
    for_s: Seconds = 300
    times: Annotated[float, Meta(gt=1, le=1000)] = 3
    above: Share = 0.02
    """A share below this is fine, whatever is usual."""
    window_s: Window = 3600
    min_calls: Calls = 200


class QualityDrop(Rule, frozen=True, kw_only=True, tag="quality"):
    """What judges say of a route's answers in the last days, against the weeks before (`quality.samples`)."""

    fades: ClassVar[bool] = True
    drop: Share = 0.05
    """Of the mean score, 0-1, beyond what chance explains."""
    days: Annotated[int, Meta(ge=1, le=30)] = 2
    """Whole UTC days and today."""
    usual_days: Annotated[int, Meta(ge=2, le=365)] = 28
    """Before those."""
    min_samples: Calls = 50
    """In either."""


class Certificates(Rule, frozen=True, kw_only=True, tag="certificate"):
    """A route's certificate ends soon, has ended, or was made for something else than what is configured."""

    within_s: Seconds = 604_800


class Drift(Rule, frozen=True, kw_only=True, tag="drift"):
    """The monitor of a certificate raised an alarm: prompts, losses or a model's version moved."""

    severity: Severity = "critical"
    keep_s: Seconds = 0


class Retirement(Rule, frozen=True, kw_only=True, tag="retirement"):
    """A model that a deployment serves retires soon."""

    severity: Severity = "info"
    keep_s: Seconds = 0
    repeat_s: Seconds | None = 604_800
    within_days: Days = 30


class Spool(Rule, frozen=True, kw_only=True, tag="spool"):
    """Records wait to be written, more and more, or were lost."""

    severity: Severity = "critical"
    for_s: Seconds = 60
    above_mib: Annotated[float, Meta(gt=0)] = 64


class Stores(Rule, frozen=True, kw_only=True, tag="stores"):
    """The journal or the ledger refuses."""

    severity: Severity = "critical"
    for_s: Seconds = 60
    keep_s: Seconds = 60


class Down(Rule, frozen=True, kw_only=True, tag="deployment"):
    """The circuit of a deployment is open: nobody asks it."""

    for_s: Seconds = 120
    keep_s: Seconds = 120


class Expiring(Rule, frozen=True, kw_only=True, tag="expiring"):
    """A key or a personal token ends soon."""

    severity: Severity = "info"
    keep_s: Seconds = 0
    repeat_s: Seconds | None = 604_800
    within_s: Seconds = 1_209_600


AnyRule = (
    ProviderErrors
    | Slow
    | Budgets
    | Spend
    | CacheDrop
    | GuardRise
    | QualityDrop
    | Certificates
    | Drift
    | Retirement
    | Spool
    | Stores
    | Down
    | Expiring
)
DEFAULTS: Final[Mapping[str, AnyRule]] = {
    str(each.__struct_config__.tag): each
    for each in (
        ProviderErrors(),
        Slow(),
        Budgets(),
        Spend(),
        CacheDrop(),
        GuardRise(),
        QualityDrop(),
        Certificates(),
        Drift(),
        Retirement(),
        Spool(),
        Stores(),
        Down(),
        Expiring(),
    )
}
"""In force under the name of their type, unless the file has a rule of that name."""


class Mute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Hours in which nobody is told; what still lasts afterwards is told then."""

    days: tuple[Weekday, ...] = WEEKDAYS
    """On which it begins."""
    from_: Annotated[str, Meta(pattern=TEXT_TIME)] = "00:00"
    to: Annotated[str, Meta(pattern=TEXT_TIME)] = "00:00"
    """Not later than `from` = on the next day."""
    zone: str = "UTC"
    """Of the IANA database, as `Europe/Berlin`."""
    rules: tuple[str, ...] = ()
    """Names; empty = all."""
    below: Severity | None = None
    """Only alerts less severe than this; None = all."""

    def covers(self, now: datetime) -> bool:
        """Tell whether an instant is in it."""
        here = now.astimezone(ZoneInfo(self.zone))
        begin, end = time.fromisoformat(self.from_), time.fromisoformat(self.to)
        today, yesterday = WEEKDAYS[here.weekday()], WEEKDAYS[here.weekday() - 1]
        at = here.time()
        if begin < end:
            return today in self.days and begin <= at < end
        return (today in self.days and at >= begin) or (yesterday in self.days and at < end)
