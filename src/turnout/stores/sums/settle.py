"""Finds out whether anybody can match a search, without looking at any request. Floor 3.

Theory of operation.
1. A word of a search is in some name of a request (`usage_values`). A filter says what one of its names is:
   all other values of that column are out of question, and so is what usage never saw beside the filters.
   A word of which no value is left matches nobody.
2. Two words that are each in one column only, and in no value of it together, match nobody either.
3. A word that all names of another one hold too need not be looked up: of customer-00700 the second will do.
4. What is not known, or would be long to find out, counts as possible: then the words are looked up.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Final, Protocol, TypeAlias

from turnout.stores.base import Term
from turnout.stores.columns import split
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.held import NAMES
from turnout.stores.sums.usage import CUBES

MOST_VALUES: Final = 50
"""That hold a word; one that more of them hold is looked up."""
MOST_PAIRS: Final = 200
_CUBES: Final = tuple(frozenset(NAMES[DIMENSIONS.index(name)] for name in cube) for cube in CUBES)
Value: TypeAlias = tuple[str, str]
"""Name of a column, and its value."""


class Names(Protocol):
    """What a database knows of names."""

    def is_known(self, cube: int, named: Mapping[str, str]) -> bool:
        """Say whether a cube has a subject with these values: column -> value."""
        ...

    def values_with(self, term: Term, most: int) -> Sequence[Value] | None:
        """Return columns and their values that hold a word; None = there are more than `most`."""
        ...

    def first_noted(self) -> int:
        """Return the row after which the names of all requests were noted."""
        ...


def is_seen(names: Names, given: Mapping[str, str]) -> bool | None:
    """Say whether usage saw a request with these values together; None = it cannot know."""
    cube = next((at for at, columns in enumerate(_CUBES) if given.keys() <= columns), None)
    if cube is None:
        return None
    # All columns that the cube lacks are empty: said, so that the index is entered where the others begin.
    named = {name: given.get(name, "") for name in NAMES if name in given or name not in _CUBES[cube]}
    return names.is_known(cube, named)


def contradicts(names: Names, given: Mapping[str, str], terms: Sequence[Term], first: int | None) -> bool:
    """Say whether words contradict what is given, or each other. Raises what `names` raises.

    Args:
        names: What is known.
        given: What single columns have to be.
        terms: The words of the search.
        first: The row from which on is searched; None = all are.
    """
    noted = names.first_noted()
    if noted and (first is None or first <= noted):
        return False
    left: list[Sequence[Value]] = []
    for term in terms:
        values = None if term.is_id else names.values_with(term, MOST_VALUES)
        if not values or any(given.get(name) == value for name, value in values):
            continue
        possible = [each for each in values if _can_be(names, given, each)]
        if not possible:
            return True
        left.append(possible)
    return any(
        len(one) * len(other) <= MOST_PAIRS
        and not any(
            _can_be(names, {**given, name: value}, more) for (name, value), more in product(one, other)
        )
        for one, other in combinations(left, 2)
    )


def needed(names: Names, terms: Sequence[Term], first: int | None) -> list[Term]:
    """Return the words that have to be looked up: not those that come with others. As `contradicts`."""
    noted = names.first_noted()
    implied: set[str] = set()
    for term in terms if not noted or (first is not None and first > noted) else ():
        if term.is_id or term.begins or term.word in implied:
            continue
        values = names.values_with(term, MOST_VALUES)
        if values:
            implied |= set[str].intersection(*(set(split(text)) for _, text in values)) - {term.word}
    return [term for term in terms if term.is_id or term.begins or term.word not in implied]


def _can_be(names: Names, given: Mapping[str, str], value: Value) -> bool:
    """Say whether a request with all that is given may have this value too."""
    name, text = value
    if name in given:
        return name == "tag" or given[name] == text
    return is_seen(names, {**given, name: text}) is not False
