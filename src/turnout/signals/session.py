"""`session`: what is known about the conversation so far. Floor 2."""

from typing import Final

from msgspec import Struct

from turnout.signals.base import AbsentError, moment_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class SessionSense(Struct, frozen=True):
    """What is known about the conversation so far. Declared default when absent: a new session."""

    name: str = "session"
    needs: frozenset[str] = frozenset({"moment"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return deployment, idle time, warm prefix and turns. Raises `AbsentError` for a new session."""
        session = moment_of(so_far).session
        if session is None:
            raise AbsentError("new_session" if ask.session is not None else "not_named")
        return Signal(
            value={
                "deployment": session.deployment,
                "idle_s": session.idle_s,
                "prefix_tokens": session.prefix_tokens,
                "n_turns": session.n_turns,
            }
        )


SESSION: Final = SessionSense()
