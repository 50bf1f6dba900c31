"""A mapping made when first looked at. Floor 2."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

P = TypeVar("P")


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
