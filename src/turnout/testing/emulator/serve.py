"""Puts an emulator on a socket: in this process for tests, as a process of its own for demos. Floor 6."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TypeAlias

import uvicorn
from uvicorn.server import ServerState

from turnout.codecs.base import Dialect
from turnout.registry import BUILTINS, load
from turnout.server.http import Receive, Scope, Send

HOST = "127.0.0.1"
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
_GRACE_S = 1


def dialects() -> dict[str, Dialect]:
    """Return every wire format an emulator can speak."""
    found: dict[str, Dialect] = {}
    for name in BUILTINS["turnout.dialects"]:
        make: Callable[[], Dialect] = load("turnout.dialects", name)  # type: ignore[assignment]  # the group's protocol
        found[name] = make()
    return found


def listen(port: int = 0) -> socket.socket:
    """Return a listening socket on loopback. Raises OSError when the port is taken."""
    # The protocol is named, because asyncio turns off Nagle's delay only where it is.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    sock.listen(256)
    return sock


def config_of(application: Application) -> uvicorn.Config:
    """Return how an emulator is served."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)

    return uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="websockets-sansio" if find_spec("websockets") else "none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=_GRACE_S,
    )


@asynccontextmanager
async def serving(application: Application) -> AsyncIterator[str]:
    """Serve an emulator, or another ASGI application, on a free port of loopback; yield its address.

    Leaving breaks off what is still being answered: a test waits for nobody.
    """
    config = config_of(application)
    config.load()
    state = ServerState()
    make: Callable[..., asyncio.Protocol] = config.http_protocol_class
    protocol = partial(make, config=config, server_state=state, app_state={})
    sock = listen()
    server = await asyncio.get_running_loop().create_server(protocol, sock=sock)
    try:
        yield f"http://{HOST}:{sock.getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in tuple(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the sockets close before the loop may end


@contextmanager
def serving_in_thread(application: Application) -> Iterator[str]:
    """Serve as `serving` does, for callers without an event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="turnout-emulator", daemon=True)
    thread.start()
    server = serving(application)
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
