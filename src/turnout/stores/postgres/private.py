"""How rows in PostgreSQL forget: each function works in a transaction of its caller. Floor 3."""

from datetime import datetime
from typing import Final

from turnout.stores.base import restore
from turnout.stores.columns import columns_of, microseconds, words_of
from turnout.stores.postgres import names
from turnout.stores.postgres.connect import Connection
from turnout.stores.private.base import Whose, anonymised, stripped
from turnout.stores.sums.usage import CUBES

_OWNERS: Final = """SELECT DISTINCT organisation, project FROM usage_subjects WHERE cube = 2
    UNION SELECT DISTINCT organisation, project FROM sum_subjects"""
# Each of four, as an index knows IS NULL and `=`, and not "the same or both nothing".
_BOTH: Final = "project = %(project)s AND organisation = %(organisation)s"
_MATCHES: Final = {
    (True, True): _BOTH,
    (True, False): "project = %(project)s AND organisation IS NULL",
    (False, True): "project IS NULL AND organisation = %(organisation)s",
    (False, False): "project IS NULL AND organisation IS NULL",
}
_OLD: Final = """DELETE FROM journal WHERE seq IN (
    SELECT seq FROM journal WHERE {owner} AND at_us < %(before)s ORDER BY at_us LIMIT %(most)s)"""
_TEXTS: Final = """SELECT seq, record FROM journal WHERE {owner} AND at_us < %(before)s
    AND has_text IS NOT FALSE ORDER BY at_us LIMIT %(most)s FOR UPDATE"""
_OF: Final = """SELECT seq, record FROM journal
    WHERE customer = %s AND (%s::text IS NULL OR organisation = %s) LIMIT %s FOR UPDATE"""
_STRIP: Final = "UPDATE journal SET record = %s, has_text = FALSE WHERE seq = %s"
_RENAME: Final = """UPDATE journal SET record = %s, customer = %s, has_text = FALSE,
    words = array_to_tsvector(%s::text[]) WHERE seq = %s"""
_SUBJECTS: Final = (
    "UPDATE usage_subjects SET customer = %s WHERE customer = %s AND (%s::text IS NULL OR organisation = %s)",
    "UPDATE sum_subjects SET customer = %s WHERE customer = %s AND (%s::text IS NULL OR organisation = %s)",
)
_CUSTOMERS: Final = CUBES.index(("organisation", "customer"))
_STILL: Final = "SELECT 1 FROM usage_subjects WHERE cube = %s AND principal = '' AND customer = %s LIMIT 1"
_ERASED: Final = "UPDATE journal_erasures SET n = n + 1"
_N_ERASED: Final = "SELECT n FROM journal_erasures"


def owners(db: Connection) -> tuple[Whose, ...]:
    """Return everybody who has Records, or had."""
    return tuple(Whose(org or None, project or None) for org, project in db.execute(_OWNERS).fetchall())


def expire(db: Connection, whose: Whose, before: datetime, most: int) -> int:
    """Delete old Records."""
    return max(0, db.execute(*_about(_OLD, whose, before, most)).rowcount)


def strip(db: Connection, whose: Whose, before: datetime, most: int) -> int:
    """Remove the text of old Records."""
    found = db.execute(*_about(_TEXTS, whose, before, most), binary=True).fetchall()
    with db.cursor() as cursor:
        cursor.executemany(_STRIP, [(stripped(bytes(payload)), seq) for seq, payload in found])
    return len(found)


def _about(text: str, whose: Whose, before: datetime, most: int) -> tuple[bytes, dict[str, object]]:
    owner = _MATCHES[whose.project is not None, whose.organisation is not None]
    values = {"project": whose.project, "organisation": whose.organisation}
    return text.format(owner=owner).encode(), {**values, "before": microseconds(before), "most": most}


def anonymise(db: Connection, who: tuple[str, str | None], name: str, most: int) -> int:
    """Make Records nobody's; with `most` 0 the sums."""
    customer, organisation = who
    db.execute(_ERASED)
    if most == 0:
        for statement in _SUBJECTS:
            db.execute(statement, (name, customer, organisation, organisation))
        if db.execute(_STILL, (_CUSTOMERS, customer)).fetchone() is None:
            names.forget(db, "customer", customer)
        return 0
    found = db.execute(_OF, (customer, organisation, organisation, most), binary=True).fetchall()
    names.note(db, (("customer", name),))
    changed = [(seq, anonymised(bytes(payload), name)) for seq, payload in found]
    with db.cursor() as cursor:
        cursor.executemany(
            _RENAME,
            [(payload, name, words_of(columns_of(restore(payload))), seq) for seq, payload in changed],
        )
    return len(found)


def n_erased(db: Connection) -> int:
    """Return how often somebody became nobody: whoever remembers numbers of names forgets them then."""
    row = db.execute(_N_ERASED).fetchone()
    assert row is not None
    return int(row[0])
