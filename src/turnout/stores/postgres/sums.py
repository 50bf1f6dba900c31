"""Sums kept beside the journal's rows in PostgreSQL: the same tables as in SQLite. Floor 3.

They are written in the transaction that adds the Records, which holds the row of the last number: so nobody
else writes sums meanwhile, and the numbers of subjects that one writer holds in memory stay true.
"""

from collections.abc import Iterable
from datetime import timedelta
from math import isfinite
from typing import Final, LiteralString

from turnout.stores.columns import EPOCH, Columns, microseconds
from turnout.stores.postgres.connect import Connection
from turnout.stores.sums.base import DIMENSIONS, HOUR_US, HOURS, Sum, SumQuery, ordered
from turnout.stores.sums.sqlite import written_tags

MOST_KNOWN: Final = 50_000
_DAY: Final = 24
_FOREVER: Final = 24 << 36
_SUMS: Final = """subject BIGINT NOT NULL, bucket BIGINT NOT NULL, n BIGINT NOT NULL,
    n_failed BIGINT NOT NULL, n_unpriced BIGINT NOT NULL, cost_nusd BIGINT NOT NULL,
    n_input BIGINT NOT NULL, n_output BIGINT NOT NULL, total_s DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (subject, bucket)) WITH (fillfactor = 70);"""
SCHEMA: Final = f"""
CREATE TABLE sum_subjects (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organisation TEXT NOT NULL, project TEXT NOT NULL,
    team TEXT NOT NULL, principal TEXT NOT NULL, customer TEXT NOT NULL, tags TEXT NOT NULL,
    route TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,
    UNIQUE (principal, model, route, customer, tags, provider, project, team, organisation));
CREATE TABLE sum_hours ({_SUMS}
CREATE TABLE sum_days ({_SUMS}
-- Rows of before are summed by the columns they have.
INSERT INTO sum_subjects (organisation, project, team, principal, customer, tags, route, model, provider)
    SELECT DISTINCT coalesce(organisation, ''), coalesce(project, ''), coalesce(team, ''),
        coalesce(principal, ''), coalesce(customer, ''), '[]', coalesce(route, ''), coalesce(model, ''),
        coalesce(provider, '') FROM journal;
INSERT INTO sum_hours
    SELECT s.id, r.at_us / 3600000000, count(*), count(r.error),
        count(*) FILTER (WHERE r.error IS NULL AND r.cost_nusd IS NULL), sum(coalesce(r.cost_nusd, 0)),
        sum(coalesce(r.n_input, 0)), sum(coalesce(r.n_output, 0)), sum(coalesce(r.total_s, 0))
    FROM journal r JOIN sum_subjects s
        ON s.principal = coalesce(r.principal, '') AND s.model = coalesce(r.model, '')
        AND s.route = coalesce(r.route, '') AND s.customer = coalesce(r.customer, '')
        AND s.provider = coalesce(r.provider, '') AND s.project = coalesce(r.project, '')
        AND s.team = coalesce(r.team, '') AND s.organisation = coalesce(r.organisation, '')
    GROUP BY 1, 2;
INSERT INTO sum_days
    SELECT subject, bucket / 24, sum(n), sum(n_failed), sum(n_unpriced), sum(cost_nusd), sum(n_input),
        sum(n_output), sum(total_s)
    FROM sum_hours GROUP BY 1, 2;
"""  # noqa: S608
_SUBJECT: Final = """INSERT INTO sum_subjects
    (organisation, project, team, principal, customer, tags, route, model, provider)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id"""
_KNOWN: Final = """SELECT id FROM sum_subjects WHERE organisation = %s AND project = %s AND team = %s
    AND principal = %s AND customer = %s AND tags = %s AND route = %s AND model = %s AND provider = %s"""
_ADD: Final = """ AS held (subject, bucket, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::float8[])
    ON CONFLICT (subject, bucket) DO UPDATE SET
    n = held.n + excluded.n, n_failed = held.n_failed + excluded.n_failed,
    n_unpriced = held.n_unpriced + excluded.n_unpriced, cost_nusd = held.cost_nusd + excluded.cost_nusd,
    n_input = held.n_input + excluded.n_input, n_output = held.n_output + excluded.n_output,
    total_s = held.total_s + excluded.total_s"""
_ADD_HOURS: Final = "INSERT INTO sum_hours" + _ADD
_ADD_DAYS: Final = "INSERT INTO sum_days" + _ADD
# Subject by subject (`OFFSET 0`): how many there are, with tags above all, the database guesses too high.
_NAMES: Final = """WITH named AS (SELECT sum_subjects.id AS id,
    CASE WHEN %(by_organisation)s THEN organisation ELSE '' END AS g1,
    CASE WHEN %(by_project)s THEN project ELSE '' END AS g2,
    CASE WHEN %(by_team)s THEN team ELSE '' END AS g3,
    CASE WHEN %(by_key)s THEN principal ELSE '' END AS g4,
    CASE WHEN %(by_customer)s THEN customer ELSE '' END AS g5,
    CASE WHEN %(by_route)s THEN route ELSE '' END AS g7,
    CASE WHEN %(by_model)s THEN model ELSE '' END AS g8,
    CASE WHEN %(by_provider)s THEN provider ELSE '' END AS g9, """
_COUNTS: Final = "n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s"
_REST: Final = f""" WHERE (%(organisation)s::text IS NULL OR organisation = %(organisation)s)
        AND (%(project)s::text IS NULL OR project = %(project)s)
        AND (%(team)s::text IS NULL OR team = %(team)s) AND (%(key)s::text IS NULL OR principal = %(key)s)
        AND (%(customer)s::text IS NULL OR customer = %(customer)s)
        AND (%(route)s::text IS NULL OR route = %(route)s) AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(provider)s::text IS NULL OR provider = %(provider)s)
        AND (%(tag)s::text IS NULL OR tags::jsonb ? %(tag)s::text)),
part AS (
    SELECT named.*, bucket * 24 / %(step)s AS step, {_COUNTS} FROM named CROSS JOIN LATERAL (
        SELECT * FROM sum_days WHERE subject = id AND bucket >= %(first)s AND bucket < %(last)s OFFSET 0) AS d
    UNION ALL
    SELECT named.*, bucket / %(step)s, {_COUNTS} FROM named CROSS JOIN LATERAL (
        SELECT * FROM sum_hours WHERE subject = id
        AND bucket >= %(since)s AND bucket < least(%(first)s * 24, %(until)s) OFFSET 0) AS h
    UNION ALL
    SELECT named.*, bucket / %(step)s, {_COUNTS} FROM named CROSS JOIN LATERAL (
        SELECT * FROM sum_hours WHERE subject = id
        AND bucket >= %(last)s * 24 AND bucket < %(until)s OFFSET 0) AS h)
SELECT g1, g2, g3, g4, g5, g6, g7, g8, g9, step, sum(n)::bigint, sum(n_failed)::bigint,
    sum(n_unpriced)::bigint, sum(cost_nusd)::bigint, sum(n_input)::bigint, sum(n_output)::bigint, sum(total_s)
FROM part GROUP BY g1, g2, g3, g4, g5, g6, g7, g8, g9, step"""  # noqa: S608  constants
_PLAIN: Final = _NAMES + "'' AS g6 FROM sum_subjects" + _REST
_BY_TAG: Final = (
    _NAMES
    + """coalesce(value, '') AS g6 FROM sum_subjects
    LEFT JOIN LATERAL jsonb_array_elements_text(tags::jsonb) AS value ON TRUE"""
    + _REST
)


class Subjects:
    """Numbers of the subjects that one connection has written."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], int] = {}

    def forget(self) -> None:
        """Hold nothing: a transaction was rolled back, and its subjects are not there."""
        self._known.clear()

    def of(self, db: Connection, facts: Columns) -> int:
        """Return the number of whoever asked and answered."""
        names = (
            *(facts.organisation, facts.project, facts.team, facts.principal, facts.customer),
            *(written_tags(facts.tags), facts.route, facts.model, facts.provider),
        )
        name = tuple(text(each or "") for each in names)
        number = self._known.get(name)
        if number is None:
            row = db.execute(_KNOWN, name).fetchone() or db.execute(_SUBJECT, name).fetchone()
            assert row is not None
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            number = self._known[name] = int(row[0])
        return number


def text(value: str) -> str:
    """Replace what PostgreSQL's text and JSON cannot hold: one row must not stop all others."""
    if "\x00" in value or "\\u0000" in value:
        return value.replace("\x00", "\ufffd").replace("\\u0000", "\ufffd")
    return value


def add(db: Connection, subjects: Subjects, facts: Iterable[Columns]) -> None:
    """Sum Records that are new in the rows, in the transaction that adds them."""
    hours: dict[tuple[int, int], tuple[float, ...]] = {}
    days: dict[tuple[int, int], tuple[float, ...]] = {}
    for each in facts:
        subject, hour = subjects.of(db, each), each.at_us // HOUR_US
        failed, cost = each.error is not None, each.cost_nusd
        one = (
            *(1, int(failed), int(not failed and cost is None), cost or 0),
            *(each.n_input or 0, each.n_output or 0, each.total_s if isfinite(each.total_s) else 0.0),
        )
        for sums, key in ((hours, (subject, hour)), (days, (subject, hour // _DAY))):
            held = sums.get(key)
            sums[key] = one if held is None else tuple([a + b for a, b in zip(held, one, strict=True)])
    _write(db, _ADD_HOURS, hours)
    _write(db, _ADD_DAYS, days)


def _write(db: Connection, statement: LiteralString, sums: dict[tuple[int, int], tuple[float, ...]]) -> None:
    if sums:
        rows = [(*key, *sums[key]) for key in sorted(sums)]
        db.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def read_sums(db: Connection, query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for. Raises `psycopg.Error`."""
    step = HOURS.get(query.per, 0)
    values: dict[str, object] = {name: getattr(query, name) for name in DIMENSIONS}
    values |= {f"by_{name}": name in query.by for name in DIMENSIONS}
    # `_FOREVER` is a whole number of days: a range without an end has no rest of hours.
    since = -_FOREVER if query.since is None else microseconds(query.since) // HOUR_US
    until = _FOREVER if query.until is None else microseconds(query.until) // HOUR_US
    first, last = -(-since // _DAY), until // _DAY
    if query.per == "hour" or first >= last:
        first = last = _FOREVER  # no whole day: all of it by the hour
    values |= {"step": step or _FOREVER, "since": since, "until": until, "first": first, "last": last}
    places = [DIMENSIONS.index(name) for name in query.by]
    found = db.execute((_BY_TAG if "tag" in query.by else _PLAIN).encode(), values).fetchall()
    n = len(DIMENSIONS)
    return ordered(
        [
            Sum(
                group=tuple(row[place] for place in places),
                at=EPOCH + timedelta(hours=row[n] * step) if step else None,
                n=row[n + 1],
                n_failed=row[n + 2],
                n_unpriced=row[n + 3],
                cost_nusd=row[n + 4],
                n_input=row[n + 5],
                n_output=row[n + 6],
                total_s=row[n + 7],
            )
            for row in found
        ]
    )
