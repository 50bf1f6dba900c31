"""Which deployment answered a conversation last: what stickiness goes by. Floor 4.

Theory of operation. A conversation is a key's session id; two keys never share one. It is remembered when an
answer is in hand, in this process only: another worker starts without, and pays at most one cold prompt. The
longest idle ones are forgotten beyond `MAX_SESSIONS`, and each after `MAX_IDLE_S`.
"""

from collections.abc import Callable

from msgspec import Struct

from turnout.types.ask import Ask
from turnout.types.moment import Session

MAX_SESSIONS = 50_000
"""About 20 MB."""
MAX_IDLE_S = 3600.0
"""Longest life of a prompt cache at any vendor (seen 2026-11)."""

Key = tuple[str | None, str]


class Turn(Struct, frozen=True):
    """The last answer of a conversation."""

    deployment: str
    prefix_tokens: int
    at: float
    n_turns: int


class Sessions:
    """Conversations under way."""

    __slots__ = ("_clock", "_turns")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turns: dict[Key, Turn] = {}

    def of(self, ask: Ask) -> Session | None:
        """Return what is known of the conversation a request goes on with, or None."""
        turn = self._turns.get(_key(ask)) if ask.session is not None else None
        if turn is None:
            return None
        idle_s = self._clock() - turn.at
        if idle_s > MAX_IDLE_S:
            return None
        return Session(
            deployment=turn.deployment, prefix_tokens=turn.prefix_tokens, idle_s=idle_s, n_turns=turn.n_turns
        )

    def note(self, ask: Ask, deployment: str, n_tokens_in: int) -> None:
        """Take in that a deployment answers this turn."""
        if ask.session is None:
            return
        key = _key(ask)
        before = self._turns.pop(key, None)
        n_turns = 1 if before is None else before.n_turns + 1
        self._turns[key] = Turn(deployment, n_tokens_in, self._clock(), n_turns)
        if len(self._turns) > MAX_SESSIONS:
            del self._turns[next(iter(self._turns))]


def _key(ask: Ask) -> Key:
    return ask.principal.key_id, ask.session or ""
