"""Finds out whether anybody can match a search, without looking at any request. Floor 3.

Theory of operation.
1. A word of a search is in some name of a request (`values_sqlite`). A filter says what one of its names is:
   all other values of that column are out of question, and so is what usage never saw beside the filters.
   A word of which no value is left matches nobody.
2. Two words that are each in one column only, and in no value of it together, match nobody either.
3. What is not known, or would be long to find out, counts as possible: then the words are looked up.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Final

from turnout.stores.base import Term
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.held import NAMES
from turnout.stores.sums.usage import CUBES
from turnout.stores.sums.values_sqlite import first_noted, values_with

MOST_VALUES: Final = 50
"""That hold a word; one that more of them hold is looked up."""
MOST_PAIRS: Final = 200
_CUBES: Final = tuple(frozenset(NAMES[DIMENSIONS.index(name)] for name in cube) for cube in CUBES)
_KNOWN: Final = "SELECT 1 FROM usage_subjects WHERE cube = ? AND "
Value = tuple[str, str]
"""Name of a column, and its value."""


def is_seen(db: sqlite3.Connection, given: Mapping[str, str]) -> bool | None:
    """Say whether usage saw a request with these values together; None = it cannot know."""
    cube = next((at for at, names in enumerate(_CUBES) if given.keys() <= names), None)
    if cube is None:
        return None
    # All columns that the cube lacks are empty: said, so that the index is entered where the others begin.
    named = {name: given.get(name, "") for name in NAMES if name in given or name not in _CUBES[cube]}
    tests = " AND ".join(f"{name} = ?" for name in named)
    return db.execute(_KNOWN + tests + " LIMIT 1", (cube, *named.values())).fetchone() is not None


def contradicts(
    db: sqlite3.Connection, given: Mapping[str, str], terms: Sequence[Term], first: int | None
) -> bool:
    """Say whether words contradict what is given, or each other. Raises `sqlite3.Error`.

    Args:
        db: The file.
        given: What single columns have to be.
        terms: The words of the search.
        first: The row from which on is searched; None = all are.
    """
    noted = first_noted(db)
    if noted and (first is None or first <= noted):
        return False
    left: list[Sequence[Value]] = []
    for term in terms:
        values = None if term.is_id else values_with(db, term, MOST_VALUES)
        if not values or any(given.get(name) == value for name, value in values):
            continue
        possible = [each for each in values if _can_be(db, given, each)]
        if not possible:
            return True
        left.append(possible)
    return any(
        len(one) * len(other) <= MOST_PAIRS
        and not any(_can_be(db, {**given, name: value}, more) for (name, value), more in product(one, other))
        for one, other in combinations(left, 2)
    )


def _can_be(db: sqlite3.Connection, given: Mapping[str, str], value: Value) -> bool:
    """Say whether a request with all that is given may have this value too."""
    name, text = value
    if name in given:
        return name == "tag" or given[name] == text
    return is_seen(db, {**given, name: text}) is not False
