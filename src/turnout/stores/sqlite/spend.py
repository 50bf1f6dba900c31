"""Sums of spend in one SQLite file, from the cells of usage where these know all of them. Floor 3."""

import sqlite3
from typing import Final

from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums import sqlite as sums
from turnout.stores.sums.alike import MOST_UNCOUNTED, begins_before, sums_of, usage_of
from turnout.stores.sums.held import facts_of
from turnout.stores.sums.usage_sqlite import read_usage

SCHEMA: Final = (
    # The first day from which cells know of every request that sums know of: in a file from before there were
    # cells, requests may have been summed whose Records were deleted since.
    "CREATE TABLE usage_whole (day INTEGER NOT NULL)",
    """INSERT INTO usage_whole SELECT ifnull(max(bucket) + 1, -1000000) FROM
        (SELECT bucket, sum(n) AS n FROM sum_days GROUP BY bucket) AS s WHERE n >
        ifnull((SELECT sum(c.n) FROM usage_days AS c WHERE c.cube = 0 AND c.at = s.bucket), 0)
        + (SELECT count(*) FROM records WHERE seq > (SELECT seq FROM usage_through)
            AND at_us >= s.bucket * 86400000000 AND at_us < (s.bucket + 1) * 86400000000)""",
)
_STATE: Final = """SELECT (SELECT value FROM last_seq), ifnull((SELECT max(seq) FROM records), 0), seq,
    (SELECT day FROM usage_whole), (SELECT at FROM usage_hours WHERE cube = 0 ORDER BY at LIMIT 1)
    FROM usage_through"""
_UNCOUNTED: Final = "SELECT record FROM records WHERE seq > ? ORDER BY seq"


def read_spend(db: sqlite3.Connection, query: SumQuery) -> tuple[Sum, ...]:
    """Return the sums that a query asks for. Raises `sqlite3.Error`."""
    asked = usage_of(query)
    if asked is None:
        return sums.read_sums(db, query)
    db.execute("BEGIN")  # one state of the file for all that is read
    try:
        given, last, through, whole, first_hour = db.execute(_STATE).fetchone()
        is_known = given <= max(last, through) and last - through <= MOST_UNCOUNTED
        if not is_known or begins_before(asked, whole, first_hour):
            return sums.read_sums(db, query)
        found = read_usage(db, asked) or ()
        rows = (facts_of(payload) for (payload,) in db.execute(_UNCOUNTED, (through,)))
        return sums_of(found, (facts for facts in rows if facts is not None), query)
    finally:
        db.execute("COMMIT")
