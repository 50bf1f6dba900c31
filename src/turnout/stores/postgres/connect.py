"""Connections to PostgreSQL that never wait longer than they may. Floor 3.

Theory of operation.

1. The library waits for an answer for as long as the connection stands, and so for ever on a server that is
   frozen; cancelling makes it wait once more. So time is counted where it waits: it hands its steps over one
   by one, and between two of them it is looked whether there is time left.
2. A connection whose call failed or was broken off is closed, never used again.
3. What the database refuses, whatever the reason, is `StoreUnavailable`; nothing was changed then, or it is
   not known.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from turnout.errors import ConfigError, StoreUnavailable

TIMEOUT_S: Final = 2.0
MAX_CONNECTIONS: Final = 16
_LOOK_S: Final = 0.1
_SETTINGS: Final = "SET default_transaction_isolation = 'read committed'; SET application_name = 'turnout'"
T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
"""Of a result; its types are those of the statement."""


class Connection(psycopg.Connection[Row]):
    """A blocking connection; `timeout_s` limits each wait."""

    timeout_s = TIMEOUT_S

    def wait(self, gen: Generator[Any, Any, T], interval: float = _LOOK_S, timeout: float | None = None) -> T:
        """Wait for the server, as the library asks."""
        return super().wait(_limited(gen, time.monotonic() + self.timeout_s), interval, timeout)


class AsyncConnection(psycopg.AsyncConnection[Row]):
    """A connection for the event loop; `timeout_s` limits each wait."""

    timeout_s = TIMEOUT_S

    async def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = _LOOK_S,
        timeout: float | None = None,  # noqa: ASYNC109  the library's
    ) -> T:
        """Wait for the server, as the library asks."""
        return await super().wait(_limited(gen, time.monotonic() + self.timeout_s), interval, timeout)


def _limited(gen: Generator[Any, Any, T], give_up_at: float) -> Generator[Any, Any, T]:
    """Hand on what the library waits for, until there is no time left."""
    try:
        state = next(gen)
        while True:
            ready = yield state
            if time.monotonic() > give_up_at:
                raise StoreUnavailable("postgres: no answer in time")
            state = gen.send(ready)
    except StopIteration as end:
        found: T = end.value
        return found


def check_url(url: str) -> None:
    """Refuse an address that is none. Raises `ConfigError`, which does not quote it."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigError(
            ("the address of the database is no URL of the form postgres://user@host:port/name",)
        ) from None


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> Connection:
    """Open a blocking connection that commits each statement by itself. Raises `StoreUnavailable`."""
    try:
        db = Connection.connect(url, autocommit=True, connect_timeout=max(2, round(timeout_s)))
        db.timeout_s = timeout_s
        db.execute(_SETTINGS)
    except psycopg.Error as failure:
        raise unavailable(failure) from failure
    return db


def unavailable(failure: psycopg.Error) -> StoreUnavailable:
    """Return what the database refused as our failure, in one line."""
    return StoreUnavailable(f"postgres: {' '.join(str(failure).split())[:300] or type(failure).__name__}")


class Pool:
    """A bounded number of connections for one event loop.

    Args:
        url: `postgres://user:password@host:port/name`, or whatever libpq takes.
        timeout_s: Of one call, dialling included.
        max_connections: Open at once.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        check_url(url)
        self._url = url
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(max_connections)
        self._idle: list[AsyncConnection] = []
        self._closed = False

    async def fetch(self, statement: str, values: Sequence[object]) -> list[Row]:
        """Run one statement as one transaction; return its rows. Raises `StoreUnavailable`."""
        async with self.connection() as db:
            return await (await db.execute(_bytes(statement), values)).fetchall()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection. Raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise StoreUnavailable("postgres: every connection is busy") from None
        try:
            db = self._idle.pop() if self._idle else await self._open()
            try:
                yield db
            except BaseException:
                await db.close()
                raise
            if self._closed:
                await db.close()
            else:
                self._idle.append(db)
        except psycopg.Error as failure:
            raise unavailable(failure) from failure
        finally:
            self._places.release()

    async def _open(self) -> AsyncConnection:
        try:
            async with asyncio.timeout(self._timeout_s):
                db = await AsyncConnection.connect(self._url, autocommit=True)
        except TimeoutError:
            raise StoreUnavailable("postgres: no connection in time") from None
        db.timeout_s = self._timeout_s
        await db.execute(_SETTINGS)
        return db

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()


def _bytes(statement: str) -> bytes:
    """Hand a statement on as the library takes text that is no literal: ours are constants all the same."""
    return statement.encode()
