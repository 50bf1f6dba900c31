"""Client connections to test, ours and uvicorn's own, in front of an application that echoes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import msgspec
import uvicorn

from tests.server.kit import HOST, Quick
from turnout.server.bind import bind
from turnout.server.protocol import WireLimits, protocol_for

FRONTS = ("ours", "uvicorn")
SOON_S = 30.0
END = b"\r\n\r\n"
AFTER = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", path: bytes = b"/a") -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"host: x", *lines]) + END + body


class Seen(msgspec.Struct, frozen=True):
    """A request as the application got it."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    n_body: int
    body: str
    """Digest of it."""


class Echo:
    """Answers every request with what it was; `/slow` waits to be told, `/deaf` reads no body."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.left = 0
        """Clients that went before their answer."""
        self.go_on = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        body, message = b"", {"more_body": scope["path"] != "/deaf"}
        while message["more_body"]:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
        headers = sorted(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        query = scope["query_string"].decode("latin-1")
        digest = sha256(body).hexdigest()[:16]
        seen = Seen(scope["method"], scope["path"], query, tuple(headers), len(body), digest)
        self.seen.append(seen)
        if scope["path"] == "/slow":
            await self.go_on.wait()
        text = b"" if scope["method"] == "HEAD" else msgspec.json.encode(seen)
        length = (b"content-length", b"%d" % len(text))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})


class Front:
    """One kind of connection, listening."""

    def __init__(self, server: uvicorn.Server, port: int, app: Echo) -> None:
        self.server, self.port, self.app = server, port, app

    async def say(self, *pieces: bytes, half: bool = True) -> bytes:
        """Send pieces, each in a segment of its own; return all that came until the other side closed."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            for n, piece in enumerate(pieces):
                if n:
                    await asyncio.sleep(0)
                writer.write(piece)
                await writer.drain()
            if half:
                await asyncio.sleep(0.01)
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), SOON_S)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def front(kind: str, **config) -> AsyncIterator[Front]:
    """Listen with one kind of connection."""
    app = Echo()
    http = protocol_for(WireLimits()) if kind == "ours" else "httptools"
    fixed = {"lifespan": "off", "ws": "none", "log_config": None, "access_log": False, "interface": "asgi3"}
    settings = uvicorn.Config(app, http=http, proxy_headers=False, server_header=False, **fixed, **config)
    settings.load()
    server, sock = uvicorn.Server(settings), bind(HOST, 0)
    async with Quick(server, sock):
        yield Front(server, sock.getsockname()[1], app)
