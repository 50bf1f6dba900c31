"""A mapping made when first looked at. Floor 2."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import TypeVar

from turnout.types.deployment import Candidate

P = TypeVar("P")
Term = tuple[str, Sequence[float]]
"""Name of a term, and its weighted column."""


class Lazy(Mapping[str, P]):
    """A mapping made when first looked at: most decisions are never shown to anybody."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], dict[str, P]]) -> None:
        self._make = make
        self._made: dict[str, P] | None = None

    def _all(self) -> dict[str, P]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: str) -> P:
        return self._all()[key]

    def plain(self) -> dict[str, P]:
        """Return the mapping itself, for whoever reads much of it."""
        return self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Column(Lazy[float]):
    """A number of each candidate, by its id; of one that is no number, none."""

    __slots__ = ("candidates", "numbers")

    def __init__(self, candidates: Sequence[Candidate], numbers: Sequence[float]) -> None:
        self.candidates, self.numbers = candidates, numbers
        self._made = None

    def _all(self) -> dict[str, float]:
        if self._made is None:
            both = zip(self.candidates, self.numbers, strict=True)
            self._made = {c.deployment.id: x for c, x in both if isfinite(x)}
        return self._made


class Terms(Lazy[Mapping[str, float]]):
    """The terms of each candidate's utility, by its id."""

    __slots__ = ("candidates", "columns")

    def __init__(self, candidates: Sequence[Candidate], columns: Sequence[Term]) -> None:
        self.candidates, self.columns = candidates, columns
        self._made = None

    def _all(self) -> dict[str, Mapping[str, float]]:
        if self._made is None:
            terms: list[dict[str, float]] = [{} for _ in self.candidates]
            for name, column in self.columns:
                for own, x in zip(terms, column, strict=True):
                    if isfinite(x):
                        own[name] = x
            self._made = {c.deployment.id: own for c, own in zip(self.candidates, terms, strict=True)}
        return self._made
