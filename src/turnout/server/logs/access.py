"""One line per request at the gateway. Floor 6.

The HTTP side (method, path, status, bytes) is seen here, around the application; what the engine did comes as
an `AccessEvent` in the same context, before the last byte is sent.
"""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import lru_cache

from turnout.layers.trace import AccessEvent
from turnout.server.http import Message, Receive, Scope, Send
from turnout.server.ids import CURRENT
from turnout.server.logs.line import Line

App = Callable[[Scope, Receive, Send], Awaitable[None]]
LOGGER = "turnout.access"
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


class Access:
    """The application, with a line in the log for each request."""

    def __init__(self, app: App, put: Callable[[Line], None], redact: Callable[[str], str]) -> None:
        self._app = app
        self._put = put
        self._redact = lru_cache(maxsize=1024)(redact)  # paths are few

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, started = _Asked(), time.monotonic()
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
            self._put(self._line(scope, asked, time.monotonic() - started))

    def _line(self, scope: Scope, asked: _Asked, duration_s: float) -> Line:
        event = asked.event
        path = None if asked.status in _UNKNOWN else self._redact(scope["path"][:200])
        http = (scope["method"][:16], path, asked.status or None, round(duration_s, 6), asked.n_bytes)
        if event is None:
            method, path, status, duration_s, n_bytes = http
            return Line(
                at=time.time(),
                level="info",
                logger=LOGGER,
                message="request",
                request_id=CURRENT.get(),
                method=method,
                path=path,
                status=status,
                duration_s=duration_s,
                bytes_out=n_bytes,
            )
        return _served(event, *http)


def _served(
    event: AccessEvent, method: str, path: str | None, status: int | None, duration_s: float, n_bytes: int
) -> Line:
    return Line(
        at=time.time(),
        level="info",
        logger=LOGGER,
        message="request",
        request_id=event.request_id,
        trace_id=event.trace_id,
        method=method,
        path=path,
        status=status,
        duration_s=duration_s,
        bytes_out=n_bytes,
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
