"""An answer that httpcore is receiving. Floor 3. Extra: `http2`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

import httpcore

from turnout.errors import ProviderBadResponse, StreamInterrupted, TimeoutIdle, TurnoutError
from turnout.transport.decompress import Decompressor, decompressor, require_end
from turnout.transport.headers import HeaderMap
from turnout.transport.library_network import PROGRESS
from turnout.transport.library_upstream import Call


class LibraryResponse:
    """`Response` of `LibraryTransport`."""

    __slots__ = (
        "_call",
        "_decoder",
        "_error",
        "_network",
        "_over",
        "_parts",
        "_received",
        "_stream",
        "headers",
        "status",
    )

    def __init__(self, response: httpcore.Response, call: Call) -> None:
        self._call = call
        self._stream = response.stream
        self._network: httpcore.AsyncNetworkStream = response.extensions["network_stream"]
        self._parts: AsyncIterator[bytes] = response.stream.__aiter__()  # type: ignore[union-attr] # asynchronous
        self._over = False
        self._error: TurnoutError | None = None
        self._received = 0
        self._decoder: Decompressor | None = None
        self.status = response.status
        self.headers: Mapping[str, str] = HeaderMap(response.headers)

    async def read(self) -> bytes:
        """Return the rest of the body, decoded."""
        limit = self._call.upstream.limits.body_bytes
        parts = []
        size = 0
        while part := await self.chunk():
            parts.append(part)
            size += len(part)
            if max(size, self._received) > limit:
                self.close()
                raise ProviderBadResponse(f"{self._call.upstream.where}: body is longer than {limit} bytes")
        return b"".join(parts)

    async def chunk(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the clean end."""
        encoding = self.headers.get("content-encoding")
        if encoding and self._decoder is None:
            self._decoder = decompressor(encoding)
        decoder = self._decoder
        while True:
            if decoder is not None and decoder.more:
                out = decoder.feed(b"")
            else:
                data = await self._next()
                if not data:
                    if decoder is not None and self._received:
                        require_end(decoder)
                    return b""
                out = data if decoder is None else decoder.feed(data)
            if out:
                return out

    def close(self) -> None:
        """Give the connection up when the answer is not complete. Idempotent."""
        if not self._over:
            where = self._call.upstream.where
            self._error = StreamInterrupted(f"{where}: the answer was closed before its end")
            self._over = True
            self._call.later(self._abandon())

    async def _next(self) -> bytes:
        if self._over:
            if self._error is not None:
                raise self._error
            return b""
        call = self._call
        PROGRESS.set(call.progress)
        try:
            async with asyncio.timeout_at(call.until(call.timeouts.idle_s)):
                data = await self._some()
        except TimeoutError:
            where, idle_s = call.upstream.where, call.timeouts.idle_s
            self._fail(call.late(TimeoutIdle(f"{where}: the answer was silent for {idle_s} s")))
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            self._fail(self._broken(error), error)
        except BaseException:  # cancelled: nobody will read on
            self.close()
            raise
        self._received += len(data)
        if not data:
            self._over = True
            await asyncio.shield(call.later(self._return()))  # a cancellation here must not stop it
        elif self._received > call.upstream.limits.stream_bytes:
            self._fail(ProviderBadResponse(f"{call.upstream.where}: stream is too long"))
        return data

    async def _some(self) -> bytes:
        async for data in self._parts:
            if data:  # an HTTP/2 frame may be empty
                return data
        return b""

    def _broken(self, error: Exception) -> TurnoutError:
        where, progress = self._call.upstream.where, self._call.progress
        if isinstance(error, httpcore.ProtocolError) and not (progress.eof or progress.stream_id):
            return ProviderBadResponse(f"{where}: the answer cannot be read ({type(error).__name__})")
        return StreamInterrupted(f"{where}: connection closed before the answer's end")

    def _fail(self, error: TurnoutError, cause: Exception | None = None) -> NoReturn:
        self.close()
        self._error = error
        raise error from cause

    async def _abandon(self) -> None:
        await self._call.give_up()
        await self._release()

    async def _return(self) -> None:
        if _leftover(self._stream):
            await self._network.aclose()
        await self._release()

    async def _release(self) -> None:
        PROGRESS.set(self._call.progress)
        try:
            with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError, OSError):
                await self._parts.aclose()  # type: ignore[attr-defined] # an asynchronous generator
                await self._stream.aclose()  # type: ignore[union-attr] # asynchronous
        finally:
            self._call.leave()


def _leftover(stream: object) -> bool:
    """Tell whether bytes came behind the end of an HTTP/1.1 answer.

    httpcore 1.0.9 (github.com/encode/httpcore, seen 2025-11) keeps them in h11's buffer and takes them for
    the next answer on that connection. Its parser is reached through private names; when they are gone the
    connection is not reused. Can go when the script "a second answer behind the first" passes without it.
    """
    carrier = getattr(stream, "_stream", None)
    if isinstance(getattr(carrier, "_connection", None), httpcore.AsyncHTTP2Connection):
        return False  # frames have no such gap
    parser = getattr(getattr(carrier, "_connection", None), "_h11_state", None)
    return parser is None or bool(parser.trailing_data[0])
