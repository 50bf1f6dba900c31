"""One Valkey server, and scripts that run in it. Floor 3.

Theory of operation.

1. A script is one step for the server: nobody else's command comes in between. It is called by its digest;
   a server that does not know it (it was started again) is given the text, once.
2. Every call has one time limit over everything: waiting for a connection, dialling, sending, the answer.
   What fails or takes longer is `StoreUnavailable`; what the server did with it is then not known.
3. Connections are the library's, their pool is ours: a call is one write and one read, without a look at the
   socket first. They are bounded. One whose call was broken off is closed, never used again: an answer that
   comes late would be taken for that of the next call.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

from valkey.asyncio import Connection, ConnectionPool
from valkey.exceptions import NoScriptError, ResponseError, ValkeyError

from turnout.errors import ConfigError, StoreUnavailable

TIMEOUT_S: Final = 0.5
"""Some hundred times what a call takes within a data centre."""
MAX_CONNECTIONS: Final = 32
Reply: TypeAlias = "bytes | int | list[Reply] | None"
Value: TypeAlias = bytes | str | int
_SCHEMES: Final = {"redis": "valkey", "rediss": "valkeys"}


class Script:
    """A script, and the digest it is called by."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Client:
    """A bounded number of connections to one server.

    Args:
        url: `valkey://[user:password@]host:port/db`; `valkeys` = TLS; `redis` and `rediss` are the same.
        timeout_s: Of one call, everything included.
        max_connections: Open at once.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        scheme, colon, rest = url.partition(":")
        try:
            self._made = ConnectionPool.from_url(
                _SCHEMES.get(scheme, scheme) + colon + rest,
                socket_timeout=None,  # the time limit of the call counts; the library's may swallow a cancel
                socket_connect_timeout=timeout_s,
            )
        except ValueError:
            raise ConfigError(
                ("the address of the store is no URL of the form valkey://host:port/db",)
            ) from None
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(max_connections)
        self._timeout_s = timeout_s
        self._closed = False

    async def run(self, script: Script, keys: Sequence[str], values: Sequence[Value]) -> Reply:
        """Run a script. Raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._command("EVALSHA", script.digest, len(keys), *keys, *values)
                except NoScriptError:
                    return await self._command("EVAL", script.text, len(keys), *keys, *values)
        except (ValkeyError, OSError, TimeoutError) as failure:
            raise StoreUnavailable(f"valkey: {_reason(failure)}") from failure

    async def call(self, *words: Value) -> Reply:
        """Run a command. Raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._command(*words)
        except (ValkeyError, OSError, TimeoutError) as failure:
            raise StoreUnavailable(f"valkey: {_reason(failure)}") from failure

    async def _command(self, *words: Value) -> Reply:
        """Send a command on a connection that nobody uses, and read its answer."""
        async with self._free:
            link = await self._link()
            try:
                await link.send_command(*words)
                reply = await link.read_response()
            except ResponseError:  # an answer like any other
                self._idle.append(link)
                raise
            except BaseException:
                await link.disconnect(nowait=True)
                raise
            if self._closed:
                await link.disconnect(nowait=True)
            else:
                self._idle.append(link)
        return cast("Reply", reply)

    async def _link(self) -> Connection:
        """Return a connection: the one used last, or a new one where none is idle or its server went away."""
        while self._idle:
            link = self._idle.pop()
            heard = link._reader  # noqa: SLF001  nothing public tells without I/O
            if heard is not None and link.is_connected and not heard.at_eof():
                return link
            await link.disconnect(nowait=True)
        link = self._made.make_connection()  # type: ignore[no-untyped-call]
        await link.connect()
        return cast("Connection", link)

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect()


def _reason(failure: Exception) -> str:
    """Say what failed; messages of the library may hold an address, but no password."""
    return str(failure) or "no answer in time"
