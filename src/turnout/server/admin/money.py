"""Endpoints of spend, usage, statements and reconciliation. Floor 6."""

from typing import Final

from msgspec.structs import replace

from turnout.errors import InvalidRequest, NotFound
from turnout.server.admin import spend
from turnout.server.admin.audit import noted
from turnout.server.admin.call import CSV, LINES, Call, Endpoint, Given
from turnout.server.admin.cells import csv_rows, json_lines
from turnout.stores.sums import DIMENSIONS, SumQuery
from turnout.types.json import Json

_RANGE: Final = ("since", "until", "by", "per", *map(spend.parameter, DIMENSIONS))
_LEVELS: Final = {level: spend.parameter(level) for level in spend.LEVELS}
_DIFFERENCES: Final = ("provider", "model", "day", "recorded_usd", "charged_usd", "difference_usd")


def scoped(call: Call, query: SumQuery) -> SumQuery:
    """Return a query narrowed to what the actor reaches. Raises `NotFound` for another organisation's."""
    query = replace(query, organisation=call.organisation())
    if call.reach != "own objects":
        return query
    if query.key not in {None, call.actor.id}:
        raise NotFound(f"there is no key {query.key[:64] if query.key else ''!r}")
    return replace(query, key=call.actor.id)


async def _table(call: Call, *, money: bool) -> tuple[SumQuery, list[dict[str, Json]]]:
    asked = spend.asked(call.query, money=money, since=call.instant("since"), until=call.instant("until"))
    query = scoped(call, asked)
    return query, spend.rows_of(query, await spend.summed(call.built.journal, query), money=money)


def _listed(query: SumQuery, rows: list[dict[str, Json]]) -> Given:
    told: dict[str, Json] = {"object": "list", "by": list(query.by), "data": rows, "has_more": False}
    return Given(body={**told, "next": None})


async def _spend(call: Call) -> Given:
    return _listed(*await _table(call, money=True))


async def _usage(call: Call) -> Given:
    return _listed(*await _table(call, money=False))


async def _export(call: Call) -> Given:
    form = _form(call)
    query, rows = await _table(call, money=True)
    await noted(call, "export", {"rows": len(rows), "by": list(query.by)})
    if form == "csv":
        return Given(text=spend.as_csv(query, rows, money=True), content_type=CSV, file="spend.csv")
    return Given(text=json_lines(rows), content_type=LINES, file="spend.jsonl")


async def _statement(call: Call) -> Given:
    named = [(level, call.query[word]) for level, word in _LEVELS.items() if word in call.query]
    if call.actor.organisation is not None:  # said or not, it is this one's
        named = [each for each in named if each[0] != "organisation"] or [
            ("organisation", call.organisation() or "")
        ]
    if len(named) != 1 or "month" not in call.query:
        levels = ", ".join(_LEVELS.values())
        raise InvalidRequest(f"expected month and one of {levels}", param="month")
    (level, subject) = named[0]
    found = await spend.statement(
        call.built.journal, level, subject, call.query["month"], call.organisation()
    )
    if _form(call, "json") == "csv":
        return Given(text=spend.statement_csv(found), content_type=CSV, file="statement.csv")
    return Given(body=found)


async def _reconcile(call: Call) -> Given:
    if call.content_type != "text/csv":
        raise InvalidRequest("content-type must be text/csv", param="content-type")
    rows = await spend.reconcile(call.built.journal, spend.read_bill(call.body))
    if _form(call, "json") == "csv":
        cells = [_DIFFERENCES, *([row[name] for name in _DIFFERENCES] for row in rows)]
        return Given(text=csv_rows(cells), content_type=CSV, file="reconciliation.csv")
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


def _form(call: Call, default: str = "csv") -> str:
    form = call.query.get("format", default)
    if form not in {"csv", "json" if default == "json" else "jsonl"}:
        other = "json" if default == "json" else "jsonl"
        raise InvalidRequest(f"format: expected csv or {other}", param="format")
    return form


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/spend", serve=_spend, summary="What was spent, by whom", query=_RANGE),
    Endpoint(method="GET", path="/usage", serve=_usage, summary="What was used, by whom", query=_RANGE),
    Endpoint(
        method="GET",
        path="/exports/spend",
        serve=_export,
        summary="Spend as a file: CSV or JSON lines",
        query=(*_RANGE, "format"),
    ),
    Endpoint(
        method="GET",
        path="/statements",
        serve=_statement,
        summary="What one customer, team, project, organisation or key spent in a month",
        query=("month", "format", *_LEVELS.values()),
    ),
    Endpoint(
        method="POST",
        path="/reconciliation",
        serve=_reconcile,
        summary="Compare a provider's usage export with what was recorded",
        query=("format",),
        takes_text="text/csv",
    ),
)
