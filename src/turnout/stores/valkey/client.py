"""One Valkey server, and scripts that run in it. Floor 3.

Theory of operation.

1. A script is one step for the server: nobody else's command comes in between. It is called by its digest;
   a server that does not know it (it was started again) is given the text, once.
2. Every call has one time limit over everything: waiting for a connection, dialling, sending, the answer.
   What fails or takes longer is `StoreUnavailable`; what the server did with it is then not known.
3. Connections are bounded. One whose call was broken off is closed, never used again: an answer that comes
   late would be taken for that of the next call.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Final, TypeAlias, cast

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import NoScriptError, ValkeyError

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
            pool = BlockingConnectionPool.from_url(
                _SCHEMES.get(scheme, scheme) + colon + rest,
                max_connections=max_connections,
                timeout=None,  # the time limit of the call counts
                socket_timeout=None,  # likewise; the library's own is a `wait_for`, which may swallow a cancel
                socket_connect_timeout=timeout_s,
            )
        except ValueError:
            raise ConfigError(
                ("the address of the store is no URL of the form valkey://host:port/db",)
            ) from None
        self._valkey = Valkey.from_pool(pool)
        self._valkey.response_callbacks.clear()  # answers as they came
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

    def _command(self, *words: Value) -> Awaitable[Reply]:
        call = self._valkey.execute_command(*words)  # type: ignore[no-untyped-call]  # the library has none here
        return cast("Awaitable[Reply]", call)  # of the asynchronous client every call is one

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        if not self._closed:
            self._closed = True
            await self._valkey.aclose(close_connection_pool=True)


def _reason(failure: Exception) -> str:
    """Say what failed; messages of the library may hold an address, but no password."""
    return str(failure) or "no answer in time"
