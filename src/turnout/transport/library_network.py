"""The sockets under httpcore: guarded, and telling what happened on them. Floor 3. Extra: `http2`."""

import contextlib
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import httpcore

from turnout.errors import ProviderUnreachable, TurnoutError
from turnout.transport.dial import Dialer, unreachable
from turnout.transport.guard import Origin

_CANCEL = 8
"""RFC 9113 section 7: the stream is no longer needed."""


class Progress:
    """What happened on the wire during one call; httpcore's exceptions do not tell."""

    __slots__ = ("connected", "eof", "network", "received", "stream_id")

    def __init__(self) -> None:
        self.connected = False
        """A connection was opened for this call."""
        self.received = 0
        """Bytes that came."""
        self.eof = False
        """The upstream closed its side."""
        self.network: httpcore.AsyncNetworkStream | None = None
        """What was opened for the call, or what it was written to."""
        self.stream_id = 0
        """The call's stream, over HTTP/2."""


PROGRESS: ContextVar[Progress] = ContextVar("progress")
"""Set by whoever calls into httpcore; read by the streams below, which run in the same task."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Dials one peer (the upstream, or the proxy in front of it) and nothing else."""

    def __init__(self, dialer: Dialer, peer: Origin) -> None:
        self._dialer = dialer
        self._peer = peer
        self._backend = httpcore.AnyIOBackend()
        self.opened_total = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # the library's alias is not exported as a type
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the peer. Raises `Forbidden`, `ProviderUnreachable`."""
        peer = self._peer
        if (host.strip("[]"), port) != (peer.host, peer.port):
            raise ProviderUnreachable(f"{host}:{port} is not the pinned peer {peer.host}:{peer.port}")
        PROGRESS.get().connected = True
        failure: Exception | None = None
        for address in await self._dialer.addresses(peer):
            try:
                stream = await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error.__cause__ if isinstance(error.__cause__, OSError) else error
                continue
            try:
                self._dialer.guard.peer(peer, address, stream.get_extra_info("server_addr"))
            except TurnoutError:
                await stream.aclose()
                raise
            self.opened_total += 1
            return _opened(stream)
        raise unreachable(peer, failure) from failure

    async def sleep(self, seconds: float) -> None:
        """Wait; part of the library's interface."""
        await self._backend.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """Passes everything on and notes what came."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._inner.read(max_bytes, timeout)
        progress = PROGRESS.get(None)
        if progress is not None:
            progress.received += len(data)
            progress.eof = not data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        progress = PROGRESS.get(None)
        if progress is not None:
            progress.network = self
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _opened(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _opened(inner: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
    stream = PROGRESS.get().network = _Stream(inner)
    return stream


async def abandon(pool: httpcore.AsyncConnectionPool, progress: Progress) -> None:
    """Let nothing of a call that was given up live on: its connection, or over HTTP/2 its stream.

    httpcore 1.0.9 (github.com/encode/httpcore, seen 2025-11) keeps a connection open for ever when the call
    is cancelled between connecting and sending; and it forgets an HTTP/2 stream in silence, so that the
    upstream goes on computing and what it sends eats the connection's window. The call's connection is found
    through private names. Can go when the soak and "an HTTP/2 answer given up is reset" pass without it.
    """
    for outer in pool.connections:
        connection = getattr(outer, "_connection", None)
        if connection is None or getattr(connection, "_network_stream", None) is not progress.network:
            continue
        if isinstance(connection, httpcore.AsyncHTTP2Connection):
            await _reset_stream(connection, progress.stream_id)
        else:
            await outer.aclose()
        return
    if progress.network is not None:  # cancelled before httpcore made a connection of it, as in a handshake
        await progress.network.aclose()


async def _reset_stream(connection: httpcore.AsyncHTTP2Connection, stream_id: int) -> None:
    import h2.exceptions  # noqa: PLC0415 - HTTP/2 only

    state = getattr(connection, "_h2_state", None)
    write = getattr(connection, "_write_outgoing_data", None)
    if state is None or write is None:
        await connection.aclose()
    elif stream_id:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # it ended in the meantime
            state.reset_stream(stream_id, error_code=_CANCEL)
            await write(httpcore.Request("GET", "https://-"))
