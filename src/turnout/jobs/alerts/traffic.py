"""Rules over what requests did, read from the journal. Floor 4.

1. Ratios and latencies come from the sums that the dashboard shows; attempts, which those do not hold, from
   the latest `MOST_RECORDS` Records of the window.
2. A thing with fewer than `min_calls` requests in the window has no reading that says yes or no. But of a
   provider that is down few attempts are made, as its circuits open: there `LEAST_FAILED` failures say yes
   where they are more than half.
3. What is usual for the cache and the guards is the week before the window.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from turnout.errors import Domain, StoreUnavailable, TurnoutError
from turnout.jobs.alerts.base import Reading
from turnout.jobs.alerts.rules import CacheDrop, GuardRise, ProviderErrors, Slow
from turnout.jobs.alerts.world import World
from turnout.stores.base import Journal, Query
from turnout.stores.sums.base import Dimension
from turnout.stores.sums.usage import Latency, UsageQuery, Usages, Used

MOST_RECORDS: Final = 1_000
USUAL: Final = timedelta(days=7)
LEAST_FAILED: Final = 5
_NOT_TRIED: Final = frozenset(("cancelled", "lost"))
"""Outcomes of attempts that say nothing about the provider."""


def journal_of(world: World) -> Journal:
    """Return the journal. Raises `StoreUnavailable` where nothing is kept."""
    if world.journal is None:
        raise StoreUnavailable("the journal is off: journal.enabled")
    return world.journal


def usages_of(world: World) -> Usages:
    """Return what keeps usage. Raises `StoreUnavailable`."""
    journal = journal_of(world)
    if not isinstance(journal, Usages):
        raise StoreUnavailable("this journal keeps no usage")
    return journal


def _faults(kind: type[TurnoutError] = TurnoutError) -> Iterator[str]:
    """Yield the class words of failures that are a provider's fault."""
    for each in kind.__subclasses__():
        row = getattr(each, "row", None)
        if row is not None and getattr(each, "domain", None) is Domain.PROVIDER:
            yield row.word
        yield from _faults(each)


_PROVIDERS_FAULT: Final = frozenset(_faults())


async def provider_errors(rule: ProviderErrors, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read which share of the attempts at each provider failed by its fault."""
    query = Query(since=now - timedelta(seconds=rule.window_s), limit=MOST_RECORDS)
    page = await journal_of(world).query(query)
    n: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for record in page.records:
        for attempt in record.attempts:
            if attempt.outcome not in _NOT_TRIED:
                n[attempt.provider] += 1
                failed[attempt.provider] += attempt.error in _PROVIDERS_FAULT
    return tuple(
        Reading(
            labels={"provider": name},
            breach=_fails(rule, n[name], failed[name]),
            value=failed[name] / n[name],
            limit=rule.above,
            text=f"{failed[name]} of {n[name]} attempts at {name} failed by its fault "
            f"({failed[name] / n[name]:.1%}; limit {rule.above:.1%})",
        )
        for name in sorted(n)
    )


def _fails(rule: ProviderErrors, n: int, failed: int) -> bool | None:
    if n >= rule.min_calls:
        return failed / n > rule.above
    return True if failed >= LEAST_FAILED and failed > n / 2 else None


async def slow(rule: Slow, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read the latencies of models, routes or providers that have a limit."""
    rows = await usages_of(world).usage(_window(rule.window_s, now, by=rule.by))
    own = _slos(world) if rule.by == "model" and rule.ttft_s is None and rule.total_s is None else {}
    found: list[Reading] = []
    for row in rows:
        name = row.group[0]
        if not name or (rule.only and name not in rule.only):
            continue
        enough = row.n >= rule.min_calls
        limits = (
            ("time to first content", row.ttft, rule.ttft_s or own.get(name)),
            ("total time", row.total, rule.total_s),
        )
        for what, latency, limit in limits:
            value = _quantile(latency, rule.quantile)
            if limit is None or value is None:
                continue
            text = f"{rule.quantile} {what} of {name} is {value:.2f} s (limit {limit:g} s, {row.n} requests)"
            found.append(
                Reading(
                    labels={rule.by: name, "of": what},
                    breach=value > limit if enough else None,
                    value=value,
                    limit=limit,
                    text=text,
                )
            )
    return tuple(found)


def _slos(world: World) -> dict[str, float]:
    """Return the lowest limit of each model's deployments."""
    found: dict[str, float] = {}
    for each in world.snapshot().deployments.values():
        if each.ttft_slo_s is not None:
            found[each.model.id] = min(each.ttft_slo_s, found.get(each.model.id, each.ttft_slo_s))
    return found


def _quantile(latency: Latency | None, name: str) -> float | None:
    if latency is None:
        return None
    return {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99}[name]


async def cache_drop(rule: CacheDrop, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read how the share of hits stands to what is usual."""
    recent, before = await _and_before(rule.window_s, world, now)
    share, usual = _share(recent, "n_hits"), _share(before, "n_hits")
    if share is None or usual is None or recent.n < rule.min_calls or before.n < rule.min_calls:
        return ()
    limit = usual * (1 - rule.drop)
    return (
        Reading(
            breach=usual >= rule.usual and share < limit,
            value=share,
            limit=limit,
            text=f"{share:.1%} of {recent.n} requests were answered from the cache (usual {usual:.1%})",
        ),
    )


async def guard_rise(rule: GuardRise, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read how the share of requests in which a guard found something stands to what is usual."""
    recent, before = await _and_before(rule.window_s, world, now)
    share, usual = _share(recent, "n_guarded"), _share(before, "n_guarded")
    if share is None or usual is None or recent.n < rule.min_calls or before.n < rule.min_calls:
        return ()
    limit = max(rule.above, usual * rule.times)
    return (
        Reading(
            breach=share > limit,
            value=share,
            limit=limit,
            text=f"guards found something in {share:.1%} of {recent.n} requests (usual {usual:.1%})",
        ),
    )


async def _and_before(window_s: float, world: World, now: datetime) -> tuple[Used, Used]:
    """Return the window, and the week before it."""
    usages, begin = usages_of(world), now - timedelta(seconds=window_s)
    recent = await usages.usage(_window(window_s, now))
    before = await usages.usage(UsageQuery(since=begin - USUAL, until=begin, latencies=False))
    return (recent or (Used(),))[0], (before or (Used(),))[0]


def _window(window_s: float, now: datetime, by: Dimension | None = None) -> UsageQuery:
    until = now.astimezone(UTC)
    return UsageQuery(
        since=until - timedelta(seconds=window_s),
        until=until,
        by=() if by is None else (by,),
        latencies=by is not None,
    )


def _share(of: Used, name: str) -> float | None:
    part = of.n_hits if name == "n_hits" else of.n_guarded
    return None if part is None or not of.n else part / of.n
