"""Where the state of alerts is kept: one document of a desk, changed by whoever saw it last. Floor 4."""

from collections.abc import Callable
from typing import Final

import msgspec

from turnout.errors import StoreUnavailable
from turnout.jobs.alerts.base import EMPTY, State
from turnout.stores.desk.base import Desk

NAME: Final = "state"
MOST_TRIES: Final = 5
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(State).decode


class Kept:
    """The state of alerts.

    Args:
        desk: Where it is; a desk of its own file, or the one that replicas share.

    Attributes:
        seen: The state when it was read last.
    """

    __slots__ = ("_desk", "seen")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.seen = EMPTY

    async def read(self) -> tuple[int, State]:
        """Return the state and its version. Raises `StoreUnavailable`."""
        found = await self._desk.get("alerts", NAME)
        if found is None:
            return 0, EMPTY
        try:
            self.seen = _DECODE(found.body)
        except msgspec.MsgspecError:  # of another version of Turnout: what lasts fires again
            self.seen = EMPTY
        return found.version, self.seen

    async def swap(self, seen: int, state: State) -> bool:
        """Keep a state where nobody changed it since it was seen. Raises `StoreUnavailable`."""
        return await self._desk.swap("alerts", NAME, seen, _ENCODE(state))

    async def change(self, change: Callable[[State], State]) -> State:
        """Change the state, whoever else does. Raises `StoreUnavailable`."""
        for _ in range(MOST_TRIES):
            version, state = await self.read()
            changed = change(state)
            if changed == state or await self.swap(version, changed):
                return changed
        raise StoreUnavailable("the alerts are being changed by others; try again")

    async def close(self) -> None:
        """Let go of it."""
        await self._desk.close()
