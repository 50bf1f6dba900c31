"""Decoders of streams that come in lines or frames, and hold back a failure behind content. Floor 2."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from turnout.errors import TurnoutError
from turnout.types.event import Event, Start, UsageUpdate

_QUIET = (Start, UsageUpdate)
Piece = TypeVar("Piece")


class HoldingDecoder(ABC, Generic[Piece]):
    """Push parser of one upstream stream.

    A failure found behind content of the same read waits for the next call, so that the split of the bytes
    changes nothing.
    """

    __slots__ = ("_cut", "_failure")

    def __init__(self, cut: Callable[[bytes], Iterable[Piece]]) -> None:
        self._cut = cut
        """Takes the next bytes, returns the pieces they complete."""
        self._failure: TurnoutError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, return the events they complete. Raises the class of an error in them."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            for piece in self._cut(data):
                self._take(piece, events)
        except TurnoutError as error:
            self._failure = error
            if all(isinstance(event, _QUIET) for event in events):
                raise
        return events

    @abstractmethod
    def _take(self, piece: Piece, events: list[Event], /) -> None:
        """Read one piece."""
