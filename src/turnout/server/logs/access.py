"""One line per request at the gateway. Floor 6.

The HTTP side (method, path, status, bytes) is seen here, around the application; what the engine did comes as
an `AccessEvent` in the same context, before the last byte is sent. On the path a request only leaves what is
known of it (`Served`); whoever writes makes the line of it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import lru_cache
from time import monotonic, time

from msgspec import Struct

from turnout.layers.trace import AccessEvent
from turnout.server.http import Message, Receive, Scope, Send
from turnout.server.ids import CURRENT
from turnout.server.logs.line import Line, Told

App = Callable[[Scope, Receive, Send], Awaitable[None]]
LOGGER = "turnout.access"
MOST_PATH = 200
"""Characters: thousands of requests may wait for their line, and an address has 32 KiB."""
_UNKNOWN = frozenset({404, 405})
"""Statuses after which a path is the client's own text."""
_ASKED: ContextVar["_Asked | None"] = ContextVar("turnout_access", default=None)


class _Asked:
    __slots__ = ("event", "n_bytes", "status")

    def __init__(self) -> None:
        self.event: AccessEvent | None = None
        self.status = 0
        self.n_bytes = 0


def heard(event: AccessEvent) -> None:
    """Take what the engine did for the request that is being answered."""
    asked = _ASKED.get()
    if asked is not None:
        asked.event = event


class Served(Struct, frozen=True, gc=False):
    """One request that ended, as the path leaves it."""

    at: float
    redact: Callable[[str], str]
    event: AccessEvent | None
    request_id: str | None
    """Of a request that the engine never saw."""
    method: str
    path: str
    status: int
    duration_s: float
    n_bytes: int

    def line(self) -> Line:
        """Return it as a line: paths of what is not found are the client's own text, and left out."""
        path = None if self.status in _UNKNOWN else self.redact(self.path)
        if self.event is not None:
            return _served(self, self.event, path)
        return Line(
            at=self.at,
            level="info",
            logger=LOGGER,
            message="request",
            request_id=self.request_id,
            method=self.method[:16],
            path=path,
            status=self.status or None,
            duration_s=round(self.duration_s, 6),
            bytes_out=self.n_bytes,
        )


class Access:
    """The application, with a line in the log for each request."""

    def __init__(self, app: App, put: Callable[[Told], None], redact: Callable[[str], str]) -> None:
        self._app = app
        self._put = put
        self._redact = lru_cache(maxsize=1024)(redact)  # paths are few

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, started = _Asked(), monotonic()
        _ASKED.set(asked)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked.status = message["status"]
            else:
                asked.n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            _ASKED.set(None)
            self._put(
                Served(
                    time(),
                    self._redact,
                    asked.event,
                    CURRENT.get() if asked.event is None else None,
                    scope["method"],
                    scope["path"][:MOST_PATH],
                    asked.status,
                    monotonic() - started,
                    asked.n_bytes,
                )
            )


def _served(one: Served, event: AccessEvent, path: str | None) -> Line:
    return Line(
        at=one.at,
        level="info",
        logger=LOGGER,
        message="request",
        request_id=event.request_id,
        trace_id=event.trace_id,
        method=one.method[:16],
        path=path,
        status=one.status or None,
        duration_s=round(one.duration_s, 6),
        bytes_out=one.n_bytes,
        key_id=event.key_id,
        route=event.route,
        model=event.model,
        provider=event.provider,
        error=event.error,
        attempts=event.n_attempts,
        fallbacks=event.n_fallbacks or None,
        cache=event.cache,
        tokens_in=event.n_input,
        tokens_out=event.n_output,
        cost_usd=None if event.cost_nusd is None else event.cost_nusd * 1e-9,
        ttft_s=event.ttft_s,
        overhead_s=event.overhead_s,
    )
