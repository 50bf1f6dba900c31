"""Rules over what stands: budgets, certificates, retirements, stores, circuits, keys. Floor 4.

What a process alone knows (circuits, its spool, whether it reaches the ledger, alarms of certificates that it
has seen) is read of the process that evaluates the rules.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from turnout.engine.certified import permit_of
from turnout.jobs.alerts.base import Reading, Severity
from turnout.jobs.alerts.rules import Budgets, Certificates, Down, Drift, Expiring, Retirement, Spool, Stores
from turnout.jobs.alerts.world import Used, World
from turnout.types.usage import usd

MIB: Final = 1024 * 1024
DAY_S: Final = 86_400.0
DOLLAR: Final = 1_000_000_000
NEARLY, FULL = 0.8, 1.0
"""Shares of a budget from which on it is a warning, and critical."""


async def budgets(rule: Budgets, world: World) -> tuple[Reading, ...]:
    """Read which budgets are used up to which shares. Raises `StoreUnavailable`."""
    return tuple(
        _used_to(rule, each, share)
        for each in await world.budgets()
        for share in sorted({*rule.at, *(own.at for own in each.budget.thresholds)})
    )


def _used_to(rule: Budgets, of: Used, share: float) -> Reading:
    budget, limit = of.budget, of.budget.limit_nusd
    used = of.used_nusd / limit if limit else 0.0
    until = "" if of.resets_at is None else f", until {of.resets_at:%Y-%m-%d %H:%M} UTC"
    text = f"{_dollars(of.used_nusd)} of {_dollars(limit)} USD used ({used:.0%}{until})"
    return Reading(
        labels={"budget": budget.id, "subject": of.subject, "at": f"{share:.0%}"},
        breach=used >= share,
        value=used,
        limit=share,
        severity=_severity(rule, share),
        text=f"budget {budget.id} of {budget.level} {of.subject}: {text}",
    )


def _dollars(nano: int) -> str:
    """Write money as far as people read it: cents, and of less than a dollar all of it."""
    return usd(nano) if abs(nano) < DOLLAR else f"{nano / DOLLAR:,.2f}"


def _severity(rule: Budgets, share: float) -> Severity:
    if share >= FULL:
        return "critical"
    return "warning" if share >= NEARLY else rule.severity


def certificates(rule: Certificates, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read which certificates end soon, have ended, or were made for something else."""
    found: list[Reading] = []
    for name, route in sorted(world.snapshot().routes.items()):
        permit = permit_of(route)
        if permit is None or permit.certificate is None:
            continue
        expires = permit.certificate.expires
        left_s = (expires - now).total_seconds()
        void = permit.void or permit.suspended
        if void is not None:
            text = f"does not hold: {void}"
        elif left_s <= 0:
            text = f"ended at {expires:%Y-%m-%d %H:%M} UTC"
        else:
            text = f"ends at {expires:%Y-%m-%d %H:%M} UTC"
        found.append(
            Reading(
                labels={"route": name, "certificate": permit.certificate.id},
                breach=void is not None or left_s <= rule.within_s,
                value=round(left_s),
                limit=rule.within_s,
                severity="critical" if void is not None or left_s <= 0 else None,
                text=f"certificate {permit.certificate.id} of route {name} {text}",
            )
        )
    return tuple(found)


def drift(_: Drift, world: World) -> tuple[Reading, ...]:
    """Read which certificates the monitor has raised an alarm about."""
    found: list[Reading] = []
    for state in world.standings.states():
        standing = world.standings.of(state.route)
        alarm = None if standing is None else standing.alarm
        found.append(
            Reading(
                labels={"route": state.route, "certificate": state.certificate},
                breach=alarm is not None,
                value=state.evidence,
                text=f"certificate {state.certificate} of route {state.route}: {alarm or 'no alarm'}",
            )
        )
    return tuple(found)


def retirement(rule: Retirement, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read which models that are served retire soon, or have."""
    found: list[Reading] = []
    snapshot = world.snapshot()
    for name, retiring in sorted(snapshot.retiring.items()):
        day = datetime.fromisoformat(retiring.on).replace(tzinfo=UTC)
        left = day - now
        past = left <= timedelta(0)
        others = ", ".join(each.id for each in retiring.successors) or "nobody"
        found.append(
            Reading(
                labels={"deployment": name},
                breach=left <= timedelta(days=rule.within_days),
                value=round(left.total_seconds() / DAY_S, 1),
                limit=rule.within_days,
                severity="warning" if past else None,
                text=f"{name} {'retired' if past else 'retires'} on {retiring.on}; {others} stands in for it",
            )
        )
    return tuple(found)


def spool(rule: Spool, world: World) -> tuple[Reading, ...]:
    """Read how much waits to be written, and what was lost."""
    if world.journal is None:
        return ()
    stats = world.journal.stats()
    size = stats.spooled_bytes / MIB
    waiting = Reading(
        labels={"of": "waiting"},
        breach=size > rule.above_mib,
        value=size,
        limit=rule.above_mib,
        text=f"{size:.1f} MiB of Records wait to be written (limit {rule.above_mib:g} MiB)",
    )
    lost = Reading(
        labels={"of": "lost"},
        breach=bool(stats.held),
        value=stats.held,
        limit=0,
        text=f"{stats.held} Records are in memory only, as the spool cannot grow; {stats.dropped} were lost",
    )
    return waiting, lost


def stores(_: Stores, world: World) -> tuple[Reading, ...]:
    """Read which stores refuse."""
    found: list[Reading] = []
    if world.journal is not None:
        error = world.journal.stats().error
        text = "the journal writes" if error is None else f"the journal refuses: {error}"
        found.append(Reading(labels={"store": "journal"}, breach=error is not None, text=text))
    books = world.books()
    if books is not None:
        down = books.is_down
        text = "the ledger cannot be reached: ledger.on_down decides" if down else "the ledger answers"
        found.append(Reading(labels={"store": "ledger"}, breach=down, text=text))
    return tuple(found)


def circuits(_: Down, world: World) -> tuple[Reading, ...]:
    """Read whose circuit is open."""
    return tuple(
        Reading(
            labels={"deployment": name},
            breach=stats.state != "closed",
            value=stats.error_ratio,
            text=f"the circuit of {name} is {stats.state.replace('_', ' ')}",
        )
        for name, stats in sorted(world.health().items())
    )


async def expiring(rule: Expiring, world: World) -> tuple[Reading, ...]:
    """Read which keys and tokens end soon. Raises `StoreUnavailable`."""
    return tuple(
        Reading(
            labels={each.kind: each.id},
            breach=True,
            text=f"{each.kind} {each.id} ({each.name or 'without a name'}) ends at "
            f"{each.expires:%Y-%m-%d %H:%M} UTC",
        )
        for each in await world.expiring(rule.within_s)
    )
