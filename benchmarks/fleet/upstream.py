"""The upstreams' process: each on a socket of its own, speaking OpenAI's chat completions.

Much lighter than `turnout.testing.emulator`, which checks every request as a provider would: here the
upstreams share two cores with what is measured.

`POST /control` with `{"scenario": NAME, "start": CLOCK, "seed": N}` on any port begins a scenario;
`GET /served` tells how many calls came to each upstream and how they ended.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
from msgspec import Struct

from benchmarks.fleet.clock import run
from benchmarks.fleet.scenario import SCENARIOS, Turn, Upstream

N_PIECES = 4
MAX_NAMES = 8
"""Sockets opened: as many as the largest scenario has upstreams."""
_WORDS = ("The answer", " to this", " is forty", "-two.")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Control(Struct, forbid_unknown_fields=True):
    """What begins a scenario."""

    scenario: str
    start: float
    seed: int = 0


class Message(Struct):
    """A turn of the conversation."""

    content: str = ""


class Body(Struct):
    """What is read of a request."""

    messages: list[Message] = []
    stream: bool = False


class Served(Struct):
    """What came to one upstream."""

    calls: int = 0
    answered: int = 0
    refused: int = 0
    """429, 400 and the like."""
    failed: int = 0
    left: int = 0
    """Calls whose client went away before the end."""


class House:
    """Everything the sockets share: the scenario in force and the books."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.upstreams: Mapping[str, Upstream] = {}
        self.served: dict[str, Served] = {}
        self.start = 0.0

    def begin(self, control: Control) -> None:
        """Put a scenario in force."""
        rows = SCENARIOS[control.scenario]
        self.names = tuple(rows)
        self.upstreams = {name: Upstream(row.script, f"{control.seed}:{name}") for name, row in rows.items()}
        self.served = {name: Served() for name in rows}
        self.start = control.start


def _frame(**fields: object) -> bytes:
    base = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return msgspec.json.encode({**base, **fields})


def _piece(text: str) -> bytes:
    delta = {"role": "assistant", "content": text} if text == _WORDS[0] else {"content": text}
    return _frame(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


_USED = {"prompt_tokens": 100, "completion_tokens": 8, "total_tokens": 108}
_FINISH = _frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
_USAGE = _frame(choices=[], usage=_USED)


def _events(*frames: bytes) -> bytes:
    return b"".join(b"data: " + frame + b"\n\n" for frame in frames)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def frames_of() -> list[bytes]:
    """Return a streamed answer, piece by piece; the last piece holds its end."""
    pieces = [_events(_piece(word)) for word in _WORDS]
    pieces[-1] += _events(_FINISH, _USAGE, b"[DONE]")
    return pieces


_CHUNKS = [_chunk(piece) for piece in frames_of()]


PLAIN = msgspec.json.encode(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(_WORDS)},
                "finish_reason": "stop",
            }
        ],
        "usage": _USED,
    }
)
"""The same answer in one piece."""


def refusal(turn: Turn) -> bytes:
    """Return the body of an error."""
    return msgspec.json.encode({"error": {"message": turn.error, "type": turn.error, "code": turn.error}})


def _whole(status: int, body: bytes, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        len(body),
        extra,
        body,
    )


class Visit(asyncio.Protocol):
    """One connection: requests one after another, each answered by its script."""

    def __init__(self, house: House, place: int) -> None:
        self._house = house
        self._place = place
        self._held = b""
        self._busy: Served | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Stop what was being answered."""
        if self._timer is not None:
            self._timer.cancel()
        if self._busy is not None:
            self._busy.left += 1

    def data_received(self, data: bytes) -> None:
        """Collect a request; answer it when it is whole."""
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._held[:end].lower()
        at = head.find(b"content-length:")
        n = int(head[at + 15 : (head + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
        if len(self._held) < end + 4 + n:
            return
        body, self._held = self._held[end + 4 : end + 4 + n], b""
        self._visit(head, body)

    def _visit(self, head: bytes, body: bytes) -> None:
        house, transport = self._house, self._transport
        assert transport is not None
        if head.startswith(b"post /control"):
            house.begin(msgspec.json.decode(body, type=Control))
            transport.write(_whole(200, b"{}"))
            return
        if head.startswith(b"get /served"):
            transport.write(_whole(200, msgspec.json.encode(house.served)))
            return
        name = house.names[self._place]
        served = house.served[name]
        served.calls += 1
        request = msgspec.json.decode(body, type=Body)
        prompt = request.messages[-1].content if request.messages else ""
        loop = asyncio.get_running_loop()
        turn = house.upstreams[name].turn(loop.time() - house.start, prompt)
        self._play(turn, served, stream=request.stream)

    def _play(self, turn: Turn, served: Served, *, stream: bool) -> None:
        transport = self._transport
        assert transport is not None
        if turn.status == 0:
            served.failed += 1
            transport.abort()
            return
        self._busy = served
        if turn.status == -1:
            served.failed += 1
            self._busy = None
            return
        if turn.status != 200:
            self._later(turn.wait_s, self._refuse, turn)
        elif stream:
            self._later(turn.wait_s, self._stream, turn.gap_s, 0)
        else:
            self._later(turn.wait_s + (N_PIECES - 1) * turn.gap_s, self._answer)

    def _later(self, wait_s: float, call: object, *args: object) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, call, *args)  # type: ignore[arg-type]  # our own methods

    def _refuse(self, turn: Turn) -> None:
        assert self._transport is not None
        assert self._busy is not None
        if turn.status >= 500:
            self._busy.failed += 1
        else:
            self._busy.refused += 1
        self._busy = None
        extra = b"" if turn.retry_after_s is None else b"Retry-After: %.3f\r\n" % turn.retry_after_s
        self._transport.write(_whole(turn.status, refusal(turn), extra))

    def _answer(self) -> None:
        assert self._transport is not None
        self._transport.write(_whole(200, PLAIN))
        self._end()

    def _stream(self, gap_s: float, at: int) -> None:
        assert self._transport is not None
        data = _CHUNKS[at] if at else _HEAD + _CHUNKS[0]
        if at == N_PIECES - 1:
            self._transport.write(data + b"0\r\n\r\n")
            self._end()
            return
        self._transport.write(data)
        self._later(gap_s, self._stream, gap_s, at + 1)

    def _end(self) -> None:
        if self._busy is not None:
            self._busy.answered += 1
        self._busy = None


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[list[int]]:
    """Open the sockets on the running loop; yield their ports."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        ports: list[int] = []
        for place in range(MAX_NAMES):
            made = await loop.create_server(partial(Visit, house, place), "127.0.0.1", 0, backlog=1024)
            server = await stack.enter_async_context(made)
            ports.append(server.sockets[0].getsockname()[1])
        yield ports


async def serve() -> None:
    """Open the sockets, print their ports, and serve until the parent is gone."""
    async with listening(House()) as ports:
        await _serve(ports)


async def _serve(ports: list[int]) -> None:
    sys.stdout.write(msgspec.json.encode(ports).decode() + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  nobody tells a process that its parent is gone
        await asyncio.sleep(20)


if __name__ == "__main__":
    run(serve())
