r"""An HTTP server that follows a script byte by byte, for testing transports. Floor 6.

A script is a sequence of steps: bytes are written as they are, a float is a pause in seconds, an
`asyncio.Event` is waited for, and `End` says how the connection ends. A script without an `End` leaves the
connection open for the next request, as a well-behaved server would.

    async with Misbehaving() as server:
        url = server.script("/cut", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", End.CLOSE)
"""

import asyncio
import socket
import ssl
import struct
from enum import Enum
from typing import Self

from msgspec import Struct


class End(Enum):
    """How a script ends its connection."""

    CLOSE = "close"
    """In good order (FIN)."""
    RESET = "reset"
    """At once (RST)."""
    HOLD = "hold"
    """Not at all: silence until the client goes away."""


Step = bytes | float | asyncio.Event | End
Script = tuple[Step, ...]


class Received(Struct, frozen=True):
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection it came on, from 0."""


class Misbehaving:
    """The server; an asynchronous context manager listening on a free port of 127.0.0.1."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._host = host
        self._scripts: dict[str, list[Script]] = {}
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.n_connections = 0
        """Connections accepted so far."""
        self.n_open = 0
        """Connections open now."""
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def script(self, path: str, *steps: Step) -> str:
        """Set the steps for a path; a further call for the same path scripts its next request.

        The last script of a path repeats. Returns the URL.
        """
        self._scripts.setdefault(path, []).append(steps)
        return self.base + path

    async def until_open(self, n_open: int) -> None:
        """Wait until exactly `n_open` connections are open; the caller limits the wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.n_open == n_open)

    async def until_received(self, n_requests: int) -> None:
        """Wait until `n_requests` requests have come; the caller limits the wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= n_requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self.n_connections = self.n_connections, self.n_connections + 1
        await self._note_open(1)
        try:
            while await self._answer(reader, writer, number):
                pass
        except (OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away (uvloop: RuntimeError), or the test is over
        finally:
            writer.close()
            self._tasks.discard(task)
            await self._note_open(-1)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        request = await _read_request(reader, number)
        async with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        scripts = self._scripts.get(request.target) or [(b"HTTP/1.1 404 No Script\r\n\r\n", End.CLOSE)]
        steps = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, asyncio.Event):
                await _first(step, reader)
            elif step is End.HOLD:
                await _gone(reader)
                return False
            else:
                _end(writer, step)
                return False
        return True

    async def _note_open(self, change: int) -> None:
        async with self._changed:
            self.n_open += change
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader, number: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, target, headers, body, number)


async def _gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def _first(gate: asyncio.Event, reader: asyncio.StreamReader) -> None:
    waits = [asyncio.ensure_future(gate.wait()), asyncio.ensure_future(_gone(reader))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _end(writer: asyncio.StreamWriter, how: End) -> None:
    if how is End.RESET:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
