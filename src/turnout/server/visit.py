"""One HTTP request at the gateway, and what it holds while it is served. Floor 6."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from turnout.engine.engine import Opened
from turnout.engine.exchange import Exchange, Request
from turnout.errors import GatewayOverloaded, NotFound, TurnoutError
from turnout.server.http import HEAD, ON_LEAVE, Disconnected, HangUp, Leave, Receive, Scope, Send
from turnout.server.ids import CURRENT, new_request_id
from turnout.server.inbound import Inbound, read
from turnout.server.paths import no_such
from turnout.types.ask import Ask
from turnout.types.principal import ANONYMOUS

T = TypeVar("T")

MOST_DIGITS = 9
"""Zeros before a number count: what is longer is read as none."""
NOTHING_READ = Inbound()
"""What stands in a visit until its headers were read. Never written to."""
_NO_EXTENSIONS: Mapping[str, Any] = {}


class Visit:
    """One HTTP request at the gateway."""

    __slots__ = (
        "error",
        "exchange",
        "hops",
        "inbound",
        "opens",
        "owner",
        "path_rest",
        "principal",
        "receive",
        "request_id",
        "scope",
        "send",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.request_id = new_request_id()
        CURRENT.set(self.request_id)
        self.path_rest = ""
        self.inbound = NOTHING_READ
        self.principal = ANONYMOUS
        self.hops = b""
        self.exchange: Exchange | None = None
        """What the engine made of it, once it had it."""
        self.error: TurnoutError | None = None
        """The failure it was answered with."""
        self.opens: Callable[[Request, Ask], Opened] | None = None
        """What opens the request of a background job; None = a client is at the other end."""
        self.owner = ""
        """Id of the key that handed the job in."""

    @property
    def address(self) -> str:
        """The client's address; "" where it has none."""
        client = self.scope.get("client")
        return client[0] if client else ""


def inbound_of(scope: Scope) -> Inbound:
    """Read the headers of a request, unless they are those of the one before but for the length.

    Raises `InvalidRequest` as `read` does.
    """
    headers = scope["headers"]
    known = scope.get("extensions", _NO_EXTENSIONS).get(HEAD)
    if known is None:
        return read(headers)
    if known.inbound is None:
        known.inbound = read(headers)
    inbound: Inbound = known.inbound.__copy__()  # it is filled further for some
    inbound.content_length = known.length(headers)
    return inbound


class StreamPlace:
    """A place among the streams one key may have open."""

    __slots__ = ("_key", "_most", "_open")

    def __init__(self, open_: dict[str, int], key: str | None, most: int) -> None:
        self._open = open_
        self._key = key
        self._most = most

    def __enter__(self) -> None:
        if self._key is None:
            return
        n_open = self._open.get(self._key, 0)
        if n_open >= self._most:
            raise GatewayOverloaded("this key has too many streams open", retry_after_s=1)
        self._open[self._key] = n_open + 1

    def __exit__(self, *exc: object) -> None:
        if self._key is None:
            return
        self._open[self._key] -= 1
        if not self._open[self._key]:
            del self._open[self._key]


async def while_there(visit: Visit, work: Awaitable[T]) -> T:
    """Wait for work as long as the client is there. Raises `Disconnected` when it left."""
    on_leave = visit.scope.get("extensions", _NO_EXTENSIONS).get(ON_LEAVE)
    hang_up = HangUp(visit.receive) if on_leave is None else Leave(on_leave)
    try:
        return await work
    except asyncio.CancelledError:
        if hang_up.gone:
            raise Disconnected from None
        raise
    finally:
        hang_up.stop()


def query_of(visit: Visit) -> dict[str, str]:
    """Return the parameters behind the path; of those that are said twice, the last."""
    return dict(parse_qsl(visit.scope["query_string"].decode("latin-1")))


def number_in(text: str, least: int, most: int) -> int | None:
    """Return a whole number that a client wrote; None = it is none, or out of bounds."""
    is_number = len(text) <= MOST_DIGITS and text.isascii() and text.isdigit()
    return int(text) if is_number and least <= int(text) <= most else None


def no_endpoint(visit: Visit, methods: Sequence[str] = ()) -> NotFound:
    """Return the error of a path that nothing serves, or only with other methods."""
    return NotFound(no_such(visit.scope["method"], visit.scope["path"], methods))
