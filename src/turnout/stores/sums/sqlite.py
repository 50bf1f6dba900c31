"""Sums kept beside the journal's rows in SQLite. Floor 3.

Theory of operation.
1. Whoever asked and whoever answered, taken together, is a subject: one row of `sum_subjects`. `sum_hours`
   and `sum_days` hold one narrow row for each subject and hour, and day. A question reads whole days as such
   and only the ends of its range by the hour, so it takes as long as there are subjects × days, whatever the
   number of requests.
2. They are written in the transaction that adds the Records, batch by batch and only for Records that are
   new: what a crash makes the journal write again counts once.
3. Deleting Records leaves the sums: what was spent stays spent when retention removes who asked what.
4. A column that holds nothing holds the empty text, since NULLs are all different in a key.
"""

import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from math import isfinite
from typing import Final

import msgspec

from turnout.stores.columns import EPOCH, Columns, Who, microseconds, who
from turnout.stores.sums.base import DIMENSIONS, HOUR_US, HOURS, Sum, SumQuery, ordered

DAY: Final = 24
"""Hours."""
MOST_KNOWN: Final = 50_000
"""Subjects whose numbers are held in memory; beyond, they are looked up again."""
_FOREVER: Final = 24 << 36
"""Hours; a whole number of days."""
_SUMS: Final = """subject INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
        n_failed INTEGER NOT NULL, n_unpriced INTEGER NOT NULL, cost_nusd INTEGER NOT NULL,
        n_input INTEGER NOT NULL, n_output INTEGER NOT NULL, total_s REAL NOT NULL,
        PRIMARY KEY (subject, bucket)) WITHOUT ROWID"""
SCHEMA: Final = (
    """CREATE TABLE sum_subjects (
        id INTEGER PRIMARY KEY, organisation TEXT NOT NULL, project TEXT NOT NULL, team TEXT NOT NULL,
        principal TEXT NOT NULL, customer TEXT NOT NULL, tags TEXT NOT NULL, route TEXT NOT NULL,
        model TEXT NOT NULL, provider TEXT NOT NULL,
        UNIQUE (principal, model, route, customer, tags, provider, project, team, organisation))""",
    "CREATE TABLE sum_hours (" + _SUMS,
    "CREATE TABLE sum_days (" + _SUMS,
)
_SUBJECT: Final = """INSERT INTO sum_subjects
    (organisation, project, team, principal, customer, tags, route, model, provider)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"""
_KNOWN: Final = """SELECT id FROM sum_subjects WHERE organisation = ? AND project = ? AND team = ?
    AND principal = ? AND customer = ? AND tags = ? AND route = ? AND model = ? AND provider = ?"""
_ADD: Final = """ (subject, bucket, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (subject, bucket) DO UPDATE SET
    n = n + excluded.n, n_failed = n_failed + excluded.n_failed,
    n_unpriced = n_unpriced + excluded.n_unpriced, cost_nusd = cost_nusd + excluded.cost_nusd,
    n_input = n_input + excluded.n_input, n_output = n_output + excluded.n_output,
    total_s = total_s + excluded.total_s"""
_ADD_HOURS: Final = "INSERT INTO sum_hours" + _ADD
_ADD_DAYS: Final = "INSERT INTO sum_days" + _ADD
BACKFILL: Final = (
    """INSERT INTO sum_subjects
        (organisation, project, team, principal, customer, tags, route, model, provider)
        SELECT DISTINCT ifnull(organisation, ''), ifnull(project, ''), ifnull(team, ''),
            ifnull(principal, ''), ifnull(customer, ''), ifnull(tags, '[]'), ifnull(route, ''),
            ifnull(model, ''), ifnull(provider, '')
        FROM records""",
    """INSERT INTO sum_hours
        SELECT s.id, r.at_us / 3600000000, count(*), sum(r.error IS NOT NULL),
            sum(r.error IS NULL AND r.cost_nusd IS NULL), sum(ifnull(r.cost_nusd, 0)),
            sum(ifnull(r.n_input, 0)), sum(ifnull(r.n_output, 0)), sum(ifnull(r.total_s, 0))
        FROM records r JOIN sum_subjects s
            ON s.principal = ifnull(r.principal, '') AND s.model = ifnull(r.model, '')
            AND s.route = ifnull(r.route, '') AND s.customer = ifnull(r.customer, '')
            AND s.tags = ifnull(r.tags, '[]') AND s.provider = ifnull(r.provider, '')
            AND s.project = ifnull(r.project, '') AND s.team = ifnull(r.team, '')
            AND s.organisation = ifnull(r.organisation, '')
        GROUP BY 1, 2""",
    """INSERT INTO sum_days
        SELECT subject, bucket / 24, sum(n), sum(n_failed), sum(n_unpriced), sum(cost_nusd), sum(n_input),
            sum(n_output), sum(total_s)
        FROM sum_hours GROUP BY 1, 2""",
)
"""What a file from before needs once: its Records are summed by the columns they have."""

_NAMES: Final = """WITH named AS (SELECT sum_subjects.id AS id,
    CASE WHEN :by_organisation THEN organisation ELSE '' END AS g1,
    CASE WHEN :by_project THEN project ELSE '' END AS g2, CASE WHEN :by_team THEN team ELSE '' END AS g3,
    CASE WHEN :by_key THEN principal ELSE '' END AS g4,
    CASE WHEN :by_customer THEN customer ELSE '' END AS g5, CASE WHEN :by_route THEN route ELSE '' END AS g7,
    CASE WHEN :by_model THEN model ELSE '' END AS g8,
    CASE WHEN :by_provider THEN provider ELSE '' END AS g9, """
# Groups are numbered once, so that the many rows below are put together by two integers.
_REST: Final = """ WHERE (:organisation IS NULL OR organisation = :organisation)
        AND (:project IS NULL OR project = :project) AND (:team IS NULL OR team = :team)
        AND (:key IS NULL OR principal = :key) AND (:customer IS NULL OR customer = :customer)
        AND (:route IS NULL OR route = :route) AND (:model IS NULL OR model = :model)
        AND (:provider IS NULL OR provider = :provider)
        AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag))),
wanted AS MATERIALIZED (
    SELECT *, dense_rank() OVER (ORDER BY g1, g2, g3, g4, g5, g6, g7, g8, g9) AS place FROM named),
part AS (
    SELECT place, bucket * 24 / :step AS step, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s
    FROM wanted CROSS JOIN sum_days ON subject = id AND bucket >= :first AND bucket < :last
    UNION ALL
    SELECT place, bucket / :step, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s
    FROM wanted CROSS JOIN sum_hours
        ON subject = id AND bucket >= :since AND bucket < min(:first * 24, :until)
    WHERE :since < :first * 24
    UNION ALL
    SELECT place, bucket / :step, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s
    FROM wanted CROSS JOIN sum_hours ON subject = id AND bucket >= :last * 24 AND bucket < :until
    WHERE :last * 24 < :until),
summed AS (
    SELECT place, step, sum(n) AS n, sum(n_failed) AS n_failed, sum(n_unpriced) AS n_unpriced,
        sum(cost_nusd) AS cost_nusd, sum(n_input) AS n_input, sum(n_output) AS n_output,
        sum(total_s) AS total_s
    FROM part GROUP BY place, step)
SELECT g1, g2, g3, g4, g5, g6, g7, g8, g9, step, n, n_failed, n_unpriced, cost_nusd, n_input, n_output,
    total_s
FROM summed JOIN (SELECT * FROM wanted GROUP BY place) USING (place)"""
_PLAIN: Final = _NAMES + "'' AS g6 FROM sum_subjects" + _REST
_BY_TAG: Final = _NAMES + "ifnull(value, '') AS g6 FROM sum_subjects LEFT JOIN json_each(tags)" + _REST


class Subjects:
    """Numbers of the subjects that one connection has written."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], int] = {}

    def forget(self) -> None:
        """Hold nothing: a transaction was rolled back, and numbers given in it may be given again."""
        self._known.clear()

    def of(self, db: sqlite3.Connection, asked: Who) -> int:
        """Return the number of whoever asked and answered."""
        organisation, project, team, principal, customer, tags, *answered = asked
        named = (organisation, project, team, principal, customer, written_tags(tags), *answered)
        name = tuple([each or "" for each in named])
        number = self._known.get(name)
        if number is None:
            row = db.execute(_KNOWN, name).fetchone() or db.execute(_SUBJECT, name).fetchone()
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            number = self._known[name] = int(row[0])
        return number


def written_tags(tags: tuple[str, ...]) -> str:
    """Write tags so that equal sets of them are one subject."""
    return msgspec.json.encode(sorted(set(tags))).decode() if tags else "[]"


def add(db: sqlite3.Connection, subjects: Subjects, facts: Iterable[Columns]) -> None:
    """Sum Records that are new in the rows, in the transaction that adds them."""
    alike: dict[tuple[Who, int], list[float]] = {}
    for each in facts:
        key = (who(each), each.at_us // HOUR_US)
        held = alike.get(key)
        if held is None:
            held = alike[key] = [0] * 6 + [0.0]
        held[0] += 1
        cost, total_s = each.cost_nusd, each.total_s
        if each.error is not None:
            held[1] += 1
        elif cost is None:
            held[2] += 1
        held[3] += cost or 0
        held[4] += each.n_input or 0
        held[5] += each.n_output or 0
        held[6] += total_s if isfinite(total_s) else 0.0
    hours: dict[tuple[int, int], list[float]] = {}
    days: dict[tuple[int, int], list[float]] = {}
    for (asked, hour), one in alike.items():
        subject = subjects.of(db, asked)
        for sums, place in ((hours, (subject, hour)), (days, (subject, hour // DAY))):
            other = sums.get(place)
            sums[place] = one if other is None else [a + b for a, b in zip(other, one, strict=True)]
    # In the order of the key, which is how they lie in the file.
    db.executemany(_ADD_HOURS, [(*key, *hours[key]) for key in sorted(hours)])
    db.executemany(_ADD_DAYS, [(*key, *days[key]) for key in sorted(days)])


def read_sums(db: sqlite3.Connection, query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for. Raises `sqlite3.Error`."""
    step = HOURS.get(query.per, 0)
    values: dict[str, object] = {name: getattr(query, name) for name in DIMENSIONS}
    values |= {f"by_{name}": name in query.by for name in DIMENSIONS}
    # `_FOREVER` is a whole number of days: a range without an end has no rest of hours.
    since = -_FOREVER if query.since is None else microseconds(query.since) // HOUR_US
    until = _FOREVER if query.until is None else microseconds(query.until) // HOUR_US
    first, last = -(-since // DAY), until // DAY
    if query.per == "hour" or first >= last:
        first = last = _FOREVER  # no whole day: all of it by the hour
    values |= {"step": step or _FOREVER, "since": since, "until": until, "first": first, "last": last}
    places = [DIMENSIONS.index(name) for name in query.by]
    found = db.execute(_BY_TAG if "tag" in query.by else _PLAIN, values).fetchall()
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
