"""Sends things on in batches, beside the path. Floor 6.

Theory of operation.
1. `put` appends to a bounded queue and returns: from any thread, without waiting, waking or encoding.
   What finds the queue full is dropped and counted.
2. One task looks every `every_s` and sends what is there, a batch at a time. Only it encodes: a batch is as
   large as may be encoded in one go without a request noticing.
3. A batch that the receiver cannot take now (429, 502, 503, 504, no connection) is sent again after growing
   pauses, or when the receiver says so; after `TRIES` it is dropped and counted, and so is a batch that the
   receiver refuses. Meanwhile the queue fills: a dead receiver costs memory for one queue, and nothing else.
4. `close` sends what is left, as long as `CLOSE_S` allows; the rest is dropped and counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.transport.base import Transport
from turnout.types.http import HttpRequest, Timeouts
from turnout.types.secret import Secret

T = TypeVar("T")
TRIES = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
CLOSE_S = 2.0
LATER = frozenset({429, 502, 503, 504})
"""Statuses after which a batch may be sent again (OTLP 1.x, section OTLP/HTTP response)."""

log = logging.getLogger("turnout.telemetry")


class Receiver(Struct, frozen=True):
    """Where batches go."""

    url: str
    content_type: str
    headers: Mapping[str, Secret]
    timeout_s: float


class Sent(Struct):
    """What became of everything that was put in."""

    sent: int = 0
    full: int = 0
    """Found no room in the queue."""
    failed: int = 0
    """Were refused by the receiver, or never reached it."""


class Shipper(Generic[T]):
    """Takes things, and sends them in batches."""

    def __init__(
        self,
        transport: Transport,
        receiver: Receiver,
        encode: Callable[[Sequence[T]], bytes],
        *,
        most: int,
        batch: int,
        every_s: float = 1.0,
    ) -> None:
        self._transport = transport
        self._receiver = receiver
        self._encode = encode
        self._queue: deque[T] = deque()
        self._most = most
        self._batch = batch
        self._every_s = every_s
        self._is_well = True
        self.counts = Sent()

    def put(self, item: T) -> None:
        """Take something to send; drop it where there is no room."""
        if len(self._queue) >= self._most:
            self.counts.full += 1
        else:
            self._queue.append(item)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()

    async def close(self) -> None:
        """Send what is left, for a short while. Call it when `run` has ended."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        except TimeoutError:
            self.counts.failed += len(self._queue)
            self._queue.clear()

    async def flush(self) -> None:
        """Send what waits, now."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            settled = False
            try:
                settled = await self._deliver(self._encode(batch), len(batch))
            finally:
                if not settled:  # cancelled on the way
                    self.counts.failed += len(batch)

    async def _deliver(self, body: bytes, n: int) -> Literal[True]:
        pause_s = FIRST_PAUSE_S
        for n_try in range(1, TRIES + 1):
            status, wait_s = await self._post(body)
            if 200 <= status < 300:
                self.counts.sent += n
                self._note(well=True, why="")
                return True
            self._note(well=False, why=f"status {status}" if status else "no connection")
            if (status and status not in LATER) or n_try == TRIES:
                break
            await asyncio.sleep(min(wait_s or pause_s, LONGEST_PAUSE_S))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.counts.failed += n
        return True

    async def _post(self, body: bytes) -> tuple[int, float]:
        """Return the status, 0 where none came, and how long to wait, 0 where it does not say."""
        row = self._receiver
        headers = tuple((k.lower().encode(), v.reveal().encode()) for k, v in row.headers.items())
        request = HttpRequest("POST", row.url, ((b"content-type", row.content_type.encode()),), body)
        limits = Timeouts(row.timeout_s, row.timeout_s, row.timeout_s, row.timeout_s)
        try:
            response = await self._transport.send(request, limits, lambda _: headers)
            try:
                await response.read()
            finally:
                response.close()
        except TurnoutError:
            return 0, 0.0
        said = response.headers.get("retry-after", "")
        return response.status, float(said) if said.isascii() and said.isdigit() else 0.0

    def _note(self, *, well: bool, why: str) -> None:
        """Tell the log once when the receiver fails, and once when it is back."""
        if well == self._is_well:
            return
        self._is_well = well
        if well:
            log.info("%s takes what is sent again", self._receiver.url)
        else:
            log.warning("%s does not take what is sent: %s", self._receiver.url, why)
