"""Finds what cost most of one who asked, in the index that has the cost in it. Floor 3.

Where usage says that somebody has at most `FEW` requests in the range, all of them are looked at in the
index, and only the rows that are told are read. Those of a model, or of a provider with few models, are found
day by day and model by model in an index of their own; all others day by day (`select`).
"""

from typing import Final

from turnout.stores.base import Query, conditions
from turnout.stores.postgres.connect import Connection
from turnout.stores.sums.usage import CUBES, DAY_US

FEW: Final = 1_000_000
NAMES: Final = ("customer", "principal", "team", "project", "organisation", "route", "model", "provider")
_COUNT: Final = """SELECT coalesce(sum(c.n), 0) FROM usage_subjects AS s JOIN usage_days AS c
    ON c.cube = s.cube AND c.at >= %s AND c.at <= %s AND c.subject = s.id
    WHERE s.cube = %s AND s.{name} = %s"""
_FEW: Final = """SELECT j.cost_nusd, j.seq, j.record FROM (SELECT seq FROM journal
    WHERE {name} = %s AND at_us >= %s AND at_us < %s AND cost_nusd IS NOT NULL AND (cost_nusd, seq) < (%s, %s)
    ORDER BY cost_nusd DESC, seq DESC LIMIT %s) AS dear JOIN journal AS j USING (seq)
    ORDER BY j.cost_nusd DESC, j.seq DESC"""
MOST_MODELS: Final = 40
_ANSWERED: Final = CUBES.index(("organisation", "project", "team", "route", "model", "provider"))
# What usage has not followed yet may name others.
_MODELS: Final = """SELECT model FROM usage_subjects WHERE cube = %s AND provider = %s
    UNION SELECT coalesce(model, '') FROM journal
        WHERE seq > (SELECT seq FROM usage_through) AND provider = %s LIMIT %s"""
_BY_MODEL: Final = """SELECT j.cost_nusd, j.seq, j.record FROM (SELECT dear.cost_nusd, dear.seq FROM
    generate_series(
        (SELECT greatest(min(at_us), %s::bigint) FROM journal) / 86400000000,
        (SELECT least(max(at_us), %s::bigint) FROM journal) / 86400000000) AS day
    CROSS JOIN unnest(%s::text[]) AS named (model)
    CROSS JOIN LATERAL (SELECT one.cost_nusd, one.seq FROM journal AS one
        WHERE one.model = named.model AND one.at_us / 86400000000 = day AND one.cost_nusd IS NOT NULL
        AND one.at_us + 0 >= %s AND one.at_us + 0 < %s AND (one.cost_nusd, one.seq) < (%s, %s){test}
        ORDER BY one.cost_nusd DESC, one.seq DESC LIMIT %s) AS dear
    ORDER BY 1 DESC, 2 DESC LIMIT %s) AS told JOIN journal AS j USING (seq)
    ORDER BY j.cost_nusd DESC, j.seq DESC"""
_MOST: Final = 2**62


def of_one(db: Connection, query: Query) -> tuple[str, tuple[object, ...]] | None:
    """Return the statement for one of `NAMES` alone, if it has few; else None. Raises `psycopg.Error`."""
    given = conditions(query)
    asked = given.keys() - {"since", "until"}
    if len(asked) != 1 or query.search is not None or query.error is not None:
        return None
    (name,) = asked
    if name not in NAMES:
        return None
    since, until = int(given.get("since", 0)), int(given.get("until", _MOST))
    cube = CUBES.index(tuple(dict.fromkeys(("organisation", "key" if name == "principal" else name))))
    days = (since // DAY_US, (until - 1) // DAY_US)
    row = db.execute(_COUNT.format(name=name).encode(), (*days, cube, given[name])).fetchone()
    before = (_MOST, _MOST) if query.after is None else (query.after.at_us, query.after.seq)
    if row is None or row[0] > FEW:
        models = _models(db, name, str(given[name]))
        if models is None:
            return None
        test, values = ("", ()) if name == "model" else (f" AND one.{name} = %s", (given[name],))
        most = query.limit + 1
        bounds = (since, until - 1, models, since, until, *before, *values, most, most)
        return _BY_MODEL.format(test=test), bounds
    return _FEW.format(name=name), (given[name], since, until, *before, query.limit + 1)


def _models(db: Connection, name: str, value: str) -> list[str] | None:
    """Return the models by which the dearest are found; None = they are found otherwise."""
    if name == "model":
        return [value]
    if name != "provider":
        return None
    rows = db.execute(_MODELS.encode(), (_ANSWERED, value, value, MOST_MODELS + 1)).fetchall()
    models = [model for (model,) in rows]
    return models if len(models) <= MOST_MODELS and "" not in models else None  # "" = some have none
