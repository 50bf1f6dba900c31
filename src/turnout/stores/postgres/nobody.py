"""Questions that nobody's request answers, known without looking at any. Floor 3."""

from typing import Final

from turnout.stores.base import Query, conditions, terms_of
from turnout.stores.columns import microseconds
from turnout.stores.postgres.connect import Connection
from turnout.stores.postgres.names import Names
from turnout.stores.postgres.usage import is_behind
from turnout.stores.sums.held import NAMES
from turnout.stores.sums.settle import contradicts, is_seen

FEWEST_FILTERS: Final = 2
NEAR: Final = 100_000
"""A Record that was stored so many requests late may be missed by a search that names a range."""
_WORDY: Final = frozenset((*NAMES, "error"))
_BEGINS: Final = """SELECT min(seq) FROM (
    SELECT seq FROM journal WHERE at_us >= %s ORDER BY at_us LIMIT %s) AS near"""


def may_be_known(query: Query) -> bool:
    """Say whether it may be known of a question that nobody's request answers it."""
    return query.search is not None or query.tag is not None or len(_filters(query)) >= FEWEST_FILTERS


def is_nobodys(db: Connection, query: Query) -> bool:
    """Say whether no request has these names together, or all these words. Raises `psycopg.Error`."""
    if not may_be_known(query):
        return False
    names, given = Names(db), _filters(query)
    seen = is_seen(names, given) if query.tag is not None or len(given) >= FEWEST_FILTERS else None
    if seen is None and query.tag is not None:
        seen = is_seen(names, {"tag": query.tag})
    if seen is False and query.tag is not None:
        return True  # every row of the others would be looked at
    if (seen is not False and query.search is None) or is_behind(db):
        return False
    return seen is False or _contradicts(db, names, query)


def _contradicts(db: Connection, names: Names, query: Query) -> bool:
    terms = () if query.search is None else terms_of(query.search)
    first: int | None = None
    if query.since is not None and names.first_noted():
        row = db.execute(_BEGINS, (microseconds(query.since), NEAR)).fetchone()
        first = None if row is None else row[0]
    given = {name: str(value) for name, value in conditions(query).items() if name in _WORDY}
    return contradicts(names, given, terms, first)


def _filters(query: Query) -> dict[str, str]:
    """Return the names that are asked for: column -> value."""
    return {name: value for name in NAMES if (value := getattr(query, name)) is not None}
