"""Sums kept beside the journal's rows in SQLite. Floor 3.

Theory of operation.
1. Whoever asked and whoever answered, taken together, is a subject: one row of `sum_subjects`. `sums` holds
   one narrow row for each subject and hour. A question reads these, never the Records, so it takes as long
   as there are subjects × hours, whatever the number of requests.
2. A trigger keeps them, in the transaction that adds the Record. A Record that is there already adds nothing,
   because it fires no trigger. An older Turnout that writes to the same file keeps them too.
3. Deleting Records leaves the sums: what was spent stays spent when retention removes who asked what.
4. A column that holds nothing holds the empty text, since NULLs are all different in a key.
"""

import sqlite3
from datetime import timedelta
from typing import Final

from turnout.stores.columns import EPOCH, microseconds
from turnout.stores.sums.base import DIMENSIONS, HOUR_US, HOURS, Sum, SumQuery, ordered

_FOREVER: Final = 1 << 62
SCHEMA: Final = (
    """CREATE TABLE sum_subjects (
        id INTEGER PRIMARY KEY, organisation TEXT NOT NULL, project TEXT NOT NULL, team TEXT NOT NULL,
        principal TEXT NOT NULL, customer TEXT NOT NULL, tags TEXT NOT NULL, route TEXT NOT NULL,
        model TEXT NOT NULL, provider TEXT NOT NULL,
        UNIQUE (principal, model, route, customer, tags, provider, project, team, organisation))""",
    """CREATE TABLE sums (
        subject INTEGER NOT NULL, hour INTEGER NOT NULL, n INTEGER NOT NULL, n_failed INTEGER NOT NULL,
        n_unpriced INTEGER NOT NULL, cost_nusd INTEGER NOT NULL, n_input INTEGER NOT NULL,
        n_output INTEGER NOT NULL, total_s REAL NOT NULL, PRIMARY KEY (subject, hour)) WITHOUT ROWID""",
    """CREATE TRIGGER records_summed AFTER INSERT ON records BEGIN
        INSERT INTO sum_subjects
            (organisation, project, team, principal, customer, tags, route, model, provider)
            VALUES (ifnull(NEW.organisation, ''), ifnull(NEW.project, ''), ifnull(NEW.team, ''),
                ifnull(NEW.principal, ''), ifnull(NEW.customer, ''), ifnull(NEW.tags, '[]'),
                ifnull(NEW.route, ''), ifnull(NEW.model, ''), ifnull(NEW.provider, ''))
            ON CONFLICT DO NOTHING;
        INSERT INTO sums (subject, hour, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s)
            SELECT id, NEW.at_us / 3600000000, 1, NEW.error IS NOT NULL,
                NEW.error IS NULL AND NEW.cost_nusd IS NULL, ifnull(NEW.cost_nusd, 0),
                ifnull(NEW.n_input, 0), ifnull(NEW.n_output, 0), ifnull(NEW.total_s, 0)
            FROM sum_subjects
            WHERE organisation = ifnull(NEW.organisation, '') AND project = ifnull(NEW.project, '')
                AND team = ifnull(NEW.team, '') AND principal = ifnull(NEW.principal, '')
                AND customer = ifnull(NEW.customer, '') AND tags = ifnull(NEW.tags, '[]')
                AND route = ifnull(NEW.route, '') AND model = ifnull(NEW.model, '')
                AND provider = ifnull(NEW.provider, '')
            ON CONFLICT (subject, hour) DO UPDATE SET
                n = n + 1, n_failed = n_failed + excluded.n_failed,
                n_unpriced = n_unpriced + excluded.n_unpriced, cost_nusd = cost_nusd + excluded.cost_nusd,
                n_input = n_input + excluded.n_input, n_output = n_output + excluded.n_output,
                total_s = total_s + excluded.total_s;
        END""",
)
BACKFILL: Final = (
    """INSERT INTO sum_subjects
        (organisation, project, team, principal, customer, tags, route, model, provider)
        SELECT DISTINCT ifnull(organisation, ''), ifnull(project, ''), ifnull(team, ''),
            ifnull(principal, ''), ifnull(customer, ''), ifnull(tags, '[]'), ifnull(route, ''),
            ifnull(model, ''), ifnull(provider, '')
        FROM records""",
    """INSERT INTO sums (subject, hour, n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s)
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
)
"""What a file from before needs once: its Records are summed by the columns they have."""

_PARTS: Final = """WITH part AS (
    SELECT subject, hour / :step AS bucket, sum(n) AS n, sum(n_failed) AS n_failed,
        sum(n_unpriced) AS n_unpriced, sum(cost_nusd) AS cost_nusd, sum(n_input) AS n_input,
        sum(n_output) AS n_output, sum(total_s) AS total_s
    FROM sums
    WHERE hour >= :since AND hour < :until AND subject IN (
        SELECT id FROM sum_subjects
        WHERE (:organisation IS NULL OR organisation = :organisation)
            AND (:project IS NULL OR project = :project) AND (:team IS NULL OR team = :team)
            AND (:key IS NULL OR principal = :key) AND (:customer IS NULL OR customer = :customer)
            AND (:route IS NULL OR route = :route) AND (:model IS NULL OR model = :model)
            AND (:provider IS NULL OR provider = :provider)
            AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag)))
    GROUP BY subject, bucket)
SELECT CASE WHEN :by_organisation THEN organisation ELSE '' END,
    CASE WHEN :by_project THEN project ELSE '' END, CASE WHEN :by_team THEN team ELSE '' END,
    CASE WHEN :by_key THEN principal ELSE '' END, CASE WHEN :by_customer THEN customer ELSE '' END, """
_REST: Final = """, CASE WHEN :by_route THEN route ELSE '' END,
    CASE WHEN :by_model THEN model ELSE '' END, CASE WHEN :by_provider THEN provider ELSE '' END,
    bucket, sum(n), sum(n_failed), sum(n_unpriced), sum(cost_nusd), sum(n_input), sum(n_output), sum(total_s)
FROM part JOIN sum_subjects ON sum_subjects.id = subject"""
_GROUPED: Final = " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
_PLAIN: Final = _PARTS + "''" + _REST + _GROUPED
_BY_TAG: Final = _PARTS + "ifnull(value, '')" + _REST + " LEFT JOIN json_each(tags)" + _GROUPED


def read_sums(db: sqlite3.Connection, query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for. Raises `sqlite3.Error`."""
    step = HOURS.get(query.per, 0)
    values: dict[str, object] = {name: getattr(query, name) for name in DIMENSIONS}
    values |= {f"by_{name}": name in query.by for name in DIMENSIONS}
    values["step"] = step or _FOREVER
    values["since"] = -_FOREVER if query.since is None else microseconds(query.since) // HOUR_US
    values["until"] = _FOREVER if query.until is None else microseconds(query.until) // HOUR_US
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
