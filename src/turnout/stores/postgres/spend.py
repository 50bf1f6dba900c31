"""Sums of spend in PostgreSQL, from the cells of usage where these know all of them. Floor 3."""

from typing import Final

from turnout.stores.postgres import sums
from turnout.stores.postgres.connect import Connection
from turnout.stores.postgres.usage import read_usage
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums.alike import MOST_UNCOUNTED, begins_before, sums_of, usage_of
from turnout.stores.sums.held import facts_of

WHOLE: Final = """
-- The first day from which cells know of every request that sums know of: requests may have been summed whose
-- Records were deleted before there were cells.
CREATE TABLE usage_whole (day BIGINT NOT NULL);
INSERT INTO usage_whole SELECT coalesce(max(bucket) + 1, -1000000) FROM
    (SELECT bucket, sum(n) AS n FROM sum_days GROUP BY bucket) AS s WHERE n >
    coalesce((SELECT sum(c.n) FROM usage_days AS c WHERE c.cube = 0 AND c.at = s.bucket), 0)
    + (SELECT count(*) FROM journal WHERE seq > (SELECT seq FROM usage_through)
        AND at_us >= s.bucket * 86400000000 AND at_us < (s.bucket + 1) * 86400000000);
"""
_STATE: Final = """SELECT (SELECT value FROM journal_last), coalesce((SELECT max(seq) FROM journal), 0), seq,
    (SELECT day FROM usage_whole), (SELECT at FROM usage_hours WHERE cube = 0 ORDER BY at LIMIT 1)
    FROM usage_through"""
_UNCOUNTED: Final = "SELECT record FROM journal WHERE seq > %s ORDER BY seq"
_ONE_STATE: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


def read_spend(db: Connection, query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for. Raises `psycopg.Error`."""
    asked = usage_of(query)
    if asked is None:
        return sums.read_sums(db, query)
    with db.transaction():
        db.execute(_ONE_STATE)
        row = db.execute(_STATE).fetchone()
        assert row is not None
        given, last, through, whole, first_hour = row
        is_known = given <= max(last, through) and last - through <= MOST_UNCOUNTED
        if not is_known or begins_before(asked, whole, first_hour):
            return sums.read_sums(db, query)
        found = read_usage(db, asked) or ()
        rows = [facts_of(each) for (each,) in db.execute(_UNCOUNTED, (through,), binary=True).fetchall()]
        return sums_of(found, (facts for facts in rows if facts is not None), query)
