"""`surface`: the product place a request is for. Floor 2."""

from typing import Final

from msgspec import Struct

from turnout.signals.base import AbsentError
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class SurfaceSense(Struct, frozen=True):
    """Name of the product place the request is for. No default when absent: no surface rules apply."""

    name: str = "surface"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the name. Raises `AbsentError` where the request names none."""
        if ask.surface is None:
            raise AbsentError("not_named")
        return Signal(value=ask.surface)


SURFACE: Final = SurfaceSense()
