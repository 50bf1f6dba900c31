"""Making transports under test and saying in one value what came of a call. Floor 6."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.testing.transport_scripts import BODY_LIMIT, PATIENT, Scripted
from turnout.transport.base import Response, Transport
from turnout.transport.dial import Lookup, system_lookup
from turnout.types.http import HttpRequest, Timeouts


class Setup(Struct, frozen=True, kw_only=True):
    """What a transport under test is made for."""

    urls: tuple[str, ...]
    """Where it may send to."""
    max_connections: int = 8
    body_bytes: int = BODY_LIMIT
    lookup: Lookup = system_lookup


Make = Callable[[Setup], Transport]
Outcome = tuple[int, bytes] | str
"""Status and body, or the word of the class raised."""


def probe(url: str, method: str = "POST") -> HttpRequest:
    """Return a small request."""
    return HttpRequest(method, url, ((b"x-probe", b"1"),), b"" if method == "HEAD" else b'{"n":1}')


async def outcome(transport: Transport, scripted: Scripted, url: str, *, whole: bool) -> Outcome:
    """Send one request and say what came of it."""
    try:
        response = await transport.send(probe(url, scripted.method), scripted.timeouts)
    except TurnoutError as error:
        return error.row.word
    try:
        return response.status, await (response.read() if whole else _chunks(response))
    except TurnoutError as error:
        return error.row.word
    finally:
        response.close()


def expected(scripted: Scripted) -> Outcome:
    """Return the outcome a script must have."""
    return scripted.error.row.word if scripted.error is not None else (scripted.status, scripted.body)


async def _chunks(response: Response) -> bytes:
    parts = []
    while part := await response.chunk():
        parts.append(part)
    assert await response.chunk() == b"", "the end stays the end"
    return b"".join(parts)


@asynccontextmanager
async def opened(make: Make, setup: Setup) -> AsyncIterator[Transport]:
    """Make a transport and close it in the end."""
    transport = make(setup)
    try:
        yield transport
    finally:
        await transport.close()


async def call(
    transport: Transport, url: str, *, request: HttpRequest | None = None, timeouts: Timeouts = PATIENT
) -> Outcome:
    """Make one call, read its body as a whole, and say what came of it."""
    try:
        response = await transport.send(request or probe(url), timeouts)
    except TurnoutError as error:
        return error.row.word
    try:
        return response.status, await response.read()
    except TurnoutError as error:
        return error.row.word
    finally:
        response.close()
