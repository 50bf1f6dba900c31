"""How a fact about a request is computed. Floor 2."""

from typing import Protocol

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class Sense(Protocol):
    """Computes one signal. Pure and fast; a raised exception makes the signal absent."""

    name: str

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the signal. `so_far` holds the signals computed before it."""
        ...
