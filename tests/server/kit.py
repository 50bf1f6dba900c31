"""A gateway in front of emulated upstreams, all on loopback sockets in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from turnout.build import build
from turnout.config import parse_config
from turnout.server.app import Gateway
from turnout.server.bind import bind
from turnout.server.protocol import sweep_all
from turnout.server.serve import Listener, settings_of
from turnout.stores.memory import MemoryJournal
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects, serving

__all__ = ["Behaviour", "Fault"]

SECRET = "sk-canary-upstream-9f8e7d6c5b4a"
"""The operator's key at every upstream: must never be seen by a client or in a log."""
HOST = "127.0.0.1"


def config_text(base: str, extra: str = "", *, server: str = "", routes: str = "") -> str:
    """Three providers, one per wire format, with two models each."""
    return f"""
server: {{port: 0{", " + server if server else ""}}}
journal: {{enabled: false}}
retry: {{base_s: 0.001}}
providers:
  oai: {{vendor: openai, base_url: "{base}/v1", secret: {SECRET}}}
  ant: {{vendor: anthropic, base_url: "{base}/v1", secret: {SECRET}}}
  gem: {{vendor: gemini, base_url: "{base}/v1beta", secret: {SECRET}}}
models:
{"".join(_model(provider, name) for provider in ("oai", "ant", "gem") for name in ("one", "two"))}\
  - {{model: oai/vectors, price: {{input: 0.02, output: 0}}}}
routes:
  - {{name: assistant, models: [oai/one, ant/one, gem/one]}}
{routes}
default_route: assistant
aliases: {{fast: ant/two, helper: turnout/assistant}}
{extra}
"""


def _model(provider: str, name: str) -> str:
    facts = "price: {input: 1, output: 2}, context_window: 100000, max_output: 8192"
    return f"  - {{model: {provider}/{name}, upstream_model: {provider}-{name}, {facts}}}\n"


class Quick:
    """A listener without its loop and its waits: up and down in milliseconds."""

    def __init__(self, server: Listener, sock) -> None:
        self.server, self.sock = server, sock

    async def __aenter__(self) -> str:
        server = self.server
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([self.sock])
        return f"http://{HOST}:{self.sock.getsockname()[1]}"

    async def __aexit__(self, *exc: object) -> None:
        for each in self.server.servers:
            each.close()
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sock.close()


class Rig:
    """A running gateway with what stands around it."""

    def __init__(self, built, gateway, journal, server, url) -> None:
        self.built, self.gateway, self.journal = built, gateway, journal
        self.server, self.url = server, url
        self.config = ""
        """The text it was configured with."""
        self.emulator: Emulator
        self.upstream = ""
        """The emulator's address."""

    @staticmethod
    def parsed(text: str):
        """Read a configuration as the gateway's own was read."""
        return parse_config(text, env={})

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def records(self):
        """All Records, oldest first."""
        from turnout.stores.base import Query

        return (await self.journal.query(Query(order="oldest", limit=1000))).records

    async def record(self, request_id: str):
        return await self.journal.get(request_id)

    def behave(self, model: str, *faults: Fault, **behaviour) -> None:
        """Give an upstream model a behaviour: `behave("oai-one", Fault(kind="hang"))`."""
        self.emulator.add(model, behaviour=Behaviour(faults=faults, **behaviour))


@asynccontextmanager
async def rig(
    extra: str = "", *, server: str = "", routes: str = "", edit: Callable[[str], str] = str
) -> AsyncIterator[Rig]:
    """Start an emulator and a gateway in front of it; `edit` may change the configuration's text."""
    async with AsyncExitStack() as stack:
        emulator = Emulator(dialects())
        upstream = await stack.enter_async_context(serving(emulator))
        text = edit(config_text(upstream, extra, server=server, routes=routes))
        running = await _gateway(stack, text)
        running.emulator, running.upstream = emulator, upstream
        yield running


@asynccontextmanager
async def gateway(text: str) -> AsyncIterator[Rig]:
    """Start a gateway alone, with upstreams of the test's own."""
    async with AsyncExitStack() as stack:
        yield await _gateway(stack, text)


async def _gateway(stack: AsyncExitStack, text: str) -> Rig:
    parsed = parse_config(text, env={})
    journal = MemoryJournal()
    built = await build(parsed, {}, journal=journal)
    stack.push_async_callback(built.close)
    app = Gateway(built.engine, built.dialects, settings_of(parsed))
    server = Listener(parsed, app)
    url = await stack.enter_async_context(Quick(server, bind(HOST, 0)))
    running = Rig(built, app, journal, server, url)
    running.config = text
    return running


class Reply(Struct):
    """An HTTP answer as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self):
        return json.loads(self.body)


class Wire:
    """A raw connection: what is written is what is sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, list[tuple[str, str]], bytes]:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        first, *lines = raw.decode("latin-1")[:-4].split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        return int(first.split(" ")[1]), [(name.lower(), value) for name, _, value in pairs], raw

    async def chunk(self) -> bytes:
        """One piece of a chunked body; b"" at its end."""
        size = int((await asyncio.wait_for(self.reader.readline(), 5)).strip() or b"0", 16)
        data = await asyncio.wait_for(self.reader.readexactly(size + 2), 5)
        return data[:-2]

    async def reply(self) -> Reply:
        status, headers, raw = await self.head()
        fields = dict(headers)
        if status == 100:
            return Reply(status, headers, b"", raw)
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while piece := await self.chunk():
                body += piece
        else:
            body = await asyncio.wait_for(self.reader.readexactly(int(fields["content-length"])), 5)
        return Reply(status, headers, body, raw)

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def wire(rig: Rig) -> AsyncIterator[Wire]:
    """Open a raw connection to the gateway."""
    connection = Wire(*await asyncio.open_connection(HOST, rig.port))
    try:
        yield connection
    finally:
        connection.close()


def request(path: str, body: bytes | dict | None = None, *headers: str, method: str = "POST") -> bytes:
    """Write a request; a dict is sent as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode("latin-1") + data


async def call(
    rig: Rig, path: str, body: bytes | dict | None = None, *headers: str, method: str = "POST"
) -> Reply:
    """Send one request over a connection of its own."""
    async with wire(rig) as connection:
        await connection.send(request(path, body, *headers, method=method))
        return await connection.reply()


def chat(model: str = "oai/one", text: str = "Hello there", **fields) -> dict:
    """A chat-completions body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def message(model: str = "ant/one", text: str = "Hello there", **fields) -> dict:
    """A messages body."""
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **fields}


def frames(body: bytes) -> list[bytes]:
    """Cut an event stream into its frames; every frame ends with one blank line."""
    assert body.endswith(b"\n\n")
    return body[:-2].split(b"\n\n")


def data_of(frame: bytes):
    """Return the JSON of a frame's data line; the word of one that holds none."""
    line = next(line for line in frame.split(b"\n") if line.startswith(b"data: "))[6:]
    return line.decode() if line == b"[DONE]" else json.loads(line)


async def until(claim, timeout_s: float = 30.0) -> float:
    """Wait until `claim()` holds; return for how many seconds this loop has slept.

    A machine that is busy elsewhere makes a sleep longer, not more of them: what is promised within a time is
    held against this, whatever else runs.
    """
    slept_s = 0.0
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.005)
            slept_s += 0.005
    return slept_s


def sweep(rig: Rig, after_s: float) -> None:
    """Let the gateway look at its connections as if `after_s` had passed."""
    sweep_all(rig.server.server_state.connections, asyncio.get_running_loop().time() + after_s)
