"""Sums of Records that are in memory. Floor 3."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from turnout.stores.columns import EPOCH, Columns, microseconds
from turnout.stores.sums.base import HOUR_US, HOURS, Dimension, Sum, SumQuery, ordered


def summed(facts: Iterable[Columns], query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for."""
    groups: dict[tuple[int, tuple[str, ...]], list[Columns]] = {}
    step = HOURS.get(query.per, 0)
    for each in facts:
        if not _matches(each, query):
            continue
        bucket = each.at_us // HOUR_US // step if step else 0
        for group in _groups(each, query.by):
            groups.setdefault((bucket, group), []).append(each)
    return ordered(
        [
            Sum(
                group=group,
                at=EPOCH + timedelta(hours=bucket * step) if step else None,
                n=len(rows),
                n_failed=sum(row.error is not None for row in rows),
                n_unpriced=sum(row.error is None and row.cost_nusd is None for row in rows),
                cost_nusd=sum(row.cost_nusd or 0 for row in rows),
                n_input=sum(row.n_input or 0 for row in rows),
                n_output=sum(row.n_output or 0 for row in rows),
                total_s=sum(row.total_s for row in rows),
            )
            for (bucket, group), rows in groups.items()
        ]
    )


def _matches(of: Columns, query: SumQuery) -> bool:
    hour = of.at_us // HOUR_US
    return (
        (query.since is None or hour >= microseconds(query.since) // HOUR_US)
        and (query.until is None or hour < microseconds(query.until) // HOUR_US)
        and query.organisation in {None, of.organisation}
        and query.project in {None, of.project}
        and query.team in {None, of.team}
        and query.key in {None, of.principal}
        and query.customer in {None, of.customer}
        and (query.tag is None or query.tag in of.tags)
        and query.route in {None, of.route}
        and query.model in {None, of.model}
        and query.provider in {None, of.provider}
    )


def _groups(of: Columns, by: tuple[Dimension, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every group a request falls into: several where it has several tags."""
    for tag in (of.tags or ("",)) if "tag" in by else ("",):
        yield tuple(tag if name == "tag" else _value(of, name) for name in by)


def _value(of: Columns, name: Dimension) -> str:
    found = of.principal if name == "key" else getattr(of, name)
    return found or ""
