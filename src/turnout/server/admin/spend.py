"""What was spent and used, told as tables: for the admin API and the command line alike. Floor 6.

Money is nano-USD inside and USD as exact decimal text outside. Ranges are whole hours, because sums are.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from turnout.errors import InvalidRequest, StoreUnavailable
from turnout.server.admin.cells import csv_rows
from turnout.stores.sums import DIMENSIONS, Dimension, Sum, SumQuery, Sums
from turnout.types.json import Json
from turnout.types.usage import usd

MOST_GROUPS: Final = 3
"""Dimensions a table may be grouped by."""
MOST_ROWS: Final = 50_000
MOST_BILL: Final = 100_000
"""Lines of a provider's usage export."""
LEVELS: Final[tuple[Dimension, ...]] = ("customer", "team", "project", "organisation", "key")
"""Whom a statement may be made out to."""
_NANO: Final = 10**9
_MONEY: Final = ("requests", "failed", "unpriced", "cost_usd")
_USE: Final = ("requests", "failed", "input_tokens", "output_tokens", "mean_s")


class Bill(Struct, frozen=True):
    """One line of what a provider says it charges."""

    provider: str
    model: str
    day: str
    nusd: int


def asked(
    query: Mapping[str, str], *, money: bool, since: datetime | None, until: datetime | None
) -> SumQuery:
    """Read the parameters of `spend` and `usage`.

    Args:
        query: `by` (comma list), `per` (hour, day), and a value for each dimension to narrow by; `key_id` for
            that of a key.
        money: Whether it is asked for spend: only for the name in messages.
        since: Beginning of the range.
        until: Its end.

    Raises:
        InvalidRequest: One of them is not understood.
    """
    what = "spend" if money else "usage"
    by = tuple(name for name in query.get("by", "").split(",") if name)
    found: list[Dimension] = []
    for name in by:
        known = next((each for each in DIMENSIONS if each == name), None)
        if known is None or known in found:
            raise InvalidRequest(f"by: expected some of {', '.join(DIMENSIONS)}, each once", param="by")
        found.append(known)
    if len(found) > MOST_GROUPS:
        raise InvalidRequest(f"by: {what} is grouped by at most {MOST_GROUPS} of them", param="by")
    per = query.get("per")
    if per not in {None, "hour", "day"}:
        raise InvalidRequest("per: expected hour or day", param="per")
    return SumQuery(
        since=whole_hour(since, "since"),
        until=whole_hour(until, "until"),
        by=tuple(found),
        per="hour" if per == "hour" else "day" if per == "day" else None,
        **{name: query[word] for name in DIMENSIONS if (word := parameter(name)) in query},
    )


def parameter(of: Dimension) -> str:
    """Return the parameter that narrows by a dimension. Not `key`: keys in URLs are refused by that name."""
    return "key_id" if of == "key" else of


def whole_hour(at: datetime | None, name: str) -> datetime | None:
    """Return an instant that is a whole hour in UTC. Raises `InvalidRequest` for any other."""
    if at is not None and (at := at.astimezone(UTC)) != at.replace(minute=0, second=0, microsecond=0):
        raise InvalidRequest(
            f"{name}: sums are kept by the hour; give a whole hour, as 2026-01-31T12:00:00Z", param=name
        )
    return at


async def summed(journal: object, query: SumQuery) -> tuple[Sum, ...]:
    """Ask a journal for sums. Raises `StoreUnavailable` without any, `InvalidRequest` for too many."""
    if not isinstance(journal, Sums):
        raise StoreUnavailable("no journal is kept here, or one without sums; set journal.enabled: true")
    found = await journal.sums(query)
    if len(found) > MOST_ROWS:
        raise InvalidRequest(
            f"that makes {len(found):,} rows, above {MOST_ROWS:,}; narrow it or group by less", param="by"
        )
    return found


def rows_of(query: SumQuery, sums: Sequence[Sum], *, money: bool) -> list[dict[str, Json]]:
    """Return sums as rows: the group, the time where asked for, and the numbers."""
    return [
        {
            **({} if each.at is None else {"at": written(each.at)}),
            **{name: value or None for name, value in zip(query.by, each.group, strict=True)},
            **(_money(each) if money else _use(each)),
        }
        for each in sums
    ]


def _money(of: Sum) -> dict[str, Json]:
    return {"requests": of.n, "failed": of.n_failed, "unpriced": of.n_unpriced, "cost_usd": usd(of.cost_nusd)}


def _use(of: Sum) -> dict[str, Json]:
    return {
        "requests": of.n,
        "failed": of.n_failed,
        "input_tokens": of.n_input,
        "output_tokens": of.n_output,
        "mean_s": round(of.total_s / of.n, 6),
    }


def as_csv(query: SumQuery, rows: Sequence[Mapping[str, Json]], *, money: bool) -> bytes:
    """Write rows as CSV with a line of names."""
    names = [*(("at",) if query.per else ()), *query.by, *(_MONEY if money else _USE)]
    return csv_rows([names, *([row[name] for name in names] for row in rows)])


def month(text: str) -> tuple[datetime, datetime]:
    """Return the beginning of a month, in UTC, and that of the next. Raises `InvalidRequest`."""
    try:
        begins = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidRequest("month: expected a month such as 2026-01", param="month") from None
    return begins, (begins + timedelta(days=32)).replace(day=1)


async def statement(
    journal: object, level: Dimension, subject: str, period: str, organisation: str | None
) -> dict[str, Json]:
    """Return what a subject spent in a month, model by model: the facts of an invoice.

    Args:
        journal: With sums.
        level: What the subject is.
        subject: Its id.
        period: Month, as `2026-01`.
        organisation: Only what this one spent; None = all.

    Raises:
        InvalidRequest: The month cannot be read.
        StoreUnavailable: The journal keeps no sums, or cannot be read.
    """
    begins, ends = month(period)
    query = SumQuery(since=begins, until=ends, by=("model", "route"), organisation=organisation)
    query = replace(query, **{level: subject})
    sums = await summed(journal, query)
    lines: list[Json] = [
        {**row, **_use(each)} for row, each in zip(rows_of(query, sums, money=True), sums, strict=True)
    ]
    return {
        "object": "statement",
        "for": {"level": level, "id": subject},
        "from": written(begins),
        "until": written(ends),
        "currency": "USD",
        "lines": lines,
        "total_usd": usd(sum(each.cost_nusd for each in sums)),
        "requests": sum(each.n for each in sums),
        "unpriced": sum(each.n_unpriced for each in sums),
    }


_STATEMENT: Final = ("model", "route", "requests", "input_tokens", "output_tokens", "unpriced", "cost_usd")


def statement_csv(of: Mapping[str, Json]) -> bytes:
    """Write a statement as CSV: its lines and their total."""
    lines = of["lines"]
    assert isinstance(lines, list)
    total = ["total", None, of["requests"], None, None, of["unpriced"], of["total_usd"]]
    return csv_rows([_STATEMENT, *([line[name] for name in _STATEMENT] for line in lines), total])


def read_bill(text: bytes) -> tuple[Bill, ...]:
    """Read a provider's usage export: CSV with the columns provider, model, day and cost_usd.

    Raises:
        InvalidRequest: It cannot be read; the message names the line.
    """
    try:
        lines = csv.DictReader(io.StringIO(text.decode("utf-8-sig")), strict=True)
        rows = [(lines.line_num, row) for row in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"body: is no CSV in UTF-8: {error}") from None
    missing = {"provider", "model", "day", "cost_usd"} - set(lines.fieldnames or ())
    if missing:
        raise InvalidRequest(f"body: the column {min(missing)} is missing", param=min(missing))
    if len(rows) > MOST_BILL:
        raise InvalidRequest(f"body: has {len(rows):,} lines, above {MOST_BILL:,}; send a month at a time")
    return tuple(_bill(at, row) for at, row in rows)


def _bill(at: int, row: Mapping[str, str]) -> Bill:
    try:
        day = datetime.strptime(row["day"] or "", "%Y-%m-%d").replace(tzinfo=UTC)
        nusd = Decimal(row["cost_usd"] or "") * _NANO
        return Bill(row["provider"] or "", row["model"] or "", day.strftime("%Y-%m-%d"), round(nusd))
    except (ValueError, InvalidOperation, OverflowError):
        raise InvalidRequest(
            f"body: line {at}: expected a day such as 2026-01-31 and an amount in USD"
        ) from None


async def reconcile(journal: object, bills: Sequence[Bill]) -> list[dict[str, Json]]:
    """Compare what providers charge with what was recorded, by provider, model and day, largest first.

    A provider may call a model by its own name: `gpt-x` is `openai/gpt-x` here.
    """
    if not bills:
        return []
    days = sorted({bill.day for bill in bills})
    since = datetime.fromisoformat(days[0]).replace(tzinfo=UTC)
    until = datetime.fromisoformat(days[-1]).replace(tzinfo=UTC) + timedelta(days=1)
    query = SumQuery(since=since, until=until, by=("provider", "model"), per="day")
    providers = {bill.provider for bill in bills}
    ours: dict[tuple[str, str, str], int] = {}
    for each in await summed(journal, query):
        assert each.at is not None
        if each.group[0] in providers:
            provider, model = each.group
            ours[provider, model, each.at.strftime("%Y-%m-%d")] = each.cost_nusd
    models = {model for _, model, _ in ours}
    theirs: dict[tuple[str, str, str], int] = {}
    for bill in bills:
        full = f"{bill.provider}/{bill.model}"
        key = (bill.provider, bill.model if bill.model in models else full, bill.day)
        theirs[key] = theirs.get(key, 0) + bill.nusd
    keys = sorted(
        ours.keys() | theirs.keys(), key=lambda key: (-abs(theirs.get(key, 0) - ours.get(key, 0)), key)
    )
    return [_difference(key, ours.get(key), theirs.get(key)) for key in keys]


def _difference(key: tuple[str, str, str], ours: int | None, theirs: int | None) -> dict[str, Json]:
    provider, model, day = key
    return {
        "provider": provider,
        "model": model,
        "day": day,
        "recorded_usd": None if ours is None else usd(ours),
        "charged_usd": None if theirs is None else usd(theirs),
        "difference_usd": usd((theirs or 0) - (ours or 0)),
    }


def written(at: datetime) -> str:
    """Write an instant as this API does."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
