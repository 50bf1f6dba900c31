"""One call for many equal requests that come at once. Floor 4.

Theory of operation.

1. Of equal requests the first leads; the others wait for its whole answer and are given it. So a thousand
   cost one call.
2. A leader that goes away before its answer is complete hands over to whoever waits longest; the others go on
   waiting.
3. A leader that fails, or whose answer is not to be kept, lets everybody go on their own: a failure may be
   the leader's alone (its budget, its deadline), and nobody should wait for a second one in line.
4. Nobody waits for longer than a limit: a leader reads at the pace of its client.
5. A flight is in the register as long as somebody leads it, and no longer.
"""

import asyncio
from collections import deque
from typing import Final, Literal

from turnout.stores.cache.base import Kept

Fate = Kept | Literal["lead", "alone"]
LEAD: Final = "lead"
ALONE: Final = "alone"


class Flight:
    """Equal requests under way."""

    __slots__ = ("_key", "_register", "_waiting")

    def __init__(self, register: "Flights", key: bytes) -> None:
        self._register = register
        self._key = key
        self._waiting: deque[asyncio.Future[Fate]] = deque()

    async def wait(self, limit_s: float) -> Fate:
        """Return the leader's answer, or what to do instead: lead, or go alone."""
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait((future,), timeout=limit_s)
        except asyncio.CancelledError:
            if future.done() and future.result() == LEAD:
                self.hand_over()  # called upon, and gone in the same moment
            future.cancel()
            raise
        if not future.done():
            future.cancel()
            return ALONE
        return future.result()

    def land(self, kept: Kept) -> None:
        """Give everybody the answer."""
        self._end(kept)

    def release(self) -> None:
        """Let everybody go on their own."""
        self._end(ALONE)

    def hand_over(self) -> None:
        """Let whoever waits longest lead; where nobody waits, end."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(LEAD)
                return
        self._register.drop(self._key)

    def _end(self, fate: Fate) -> None:
        self._register.drop(self._key)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(fate)


class Flights:
    """Every flight of a process, by key: as many as there are requests being served at most."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: bytes) -> Flight | None:
        """Return the flight to wait for; None: nobody leads one."""
        return self._by_key.get(key)

    def lead(self, key: bytes) -> Flight:
        """Begin a flight."""
        flight = self._by_key[key] = Flight(self, key)
        return flight

    def drop(self, key: bytes) -> None:
        """Take a flight out."""
        self._by_key.pop(key, None)
