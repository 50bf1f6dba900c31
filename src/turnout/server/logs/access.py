"""One line per request at the gateway. Floor 6.

The HTTP side (method, path, status, bytes) is seen here, around the application; what the engine did comes as
an `AccessEvent` in the same context, before the last byte is sent. On the path a request only leaves what is
known of it (`Served`); whoever writes makes the line of it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import lru_cache
from time import monotonic, time

import msgspec
from msgspec import Struct

from turnout.layers.trace import AccessEvent
from turnout.server.cycle import Cycle
from turnout.server.http import Message, Receive, Scope, Send
from turnout.server.ids import CURRENT
from turnout.server.logs.line import Line, Told, stamp

App = Callable[[Scope, Receive, Send], Awaitable[None]]
LOGGER = "turnout.access"
MOST_PATH = 200
"""Characters: thousands of requests may wait for their line, and an address has 32 KiB."""
_BEGIN = b'"level":"info","logger":"%b","message":"request"' % LOGGER.encode()
_MOST_KNOWN = 4096
_UNKNOWN = frozenset({404, 405})
"""Statuses after which a path is the client's own text."""
_encode = msgspec.json.Encoder().encode
_ASKED: ContextVar["_Asked | None"] = ContextVar("turnout_access", default=None)


class _Asked:
    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event: AccessEvent | None = None


def heard(event: AccessEvent) -> None:
    """Take what the engine did for the request that is being answered."""
    asked = _ASKED.get()
    if asked is not None:
        asked.event = event


class _Course(Struct, frozen=True, omit_defaults=True):
    """What few requests have of their own: lines of those that went alike share one."""

    key_id: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    error: str | None = None
    attempts: int | None = None
    fallbacks: int | None = None
    cache: str | None = None


class _Known(Struct, frozen=True):
    """A course, and its fields as they stand in a line of JSON."""

    course: _Course
    json: bytes


_NOTHING = _Known(_Course(), b"")
"""Of a request that the engine never saw."""


class Served(Struct, frozen=True, gc=False):
    """One request that ended, as the path leaves it: small, as thousands may wait for their line."""

    at: float
    redact: Callable[[str], str]
    request_id: str | None
    method: str
    path: str
    status: int
    duration_s: float
    n_bytes: int
    trace_id: str | None = None
    known: _Known = _NOTHING
    n_input: int | None = None
    n_output: int | None = None
    cost_nusd: int | None = None
    ttft_s: float | None = None
    overhead_s: float | None = None

    def line(self) -> Line:
        """Return it as a line: paths of what is not found are the client's own text, and left out."""
        course = self.known.course
        return Line(
            at=self.at,
            level="info",
            logger=LOGGER,
            message="request",
            request_id=self.request_id,
            trace_id=self.trace_id,
            method=self.method,
            path=None if self.status in _UNKNOWN else self.redact(self.path),
            status=self.status or None,
            duration_s=round(self.duration_s, 6),
            bytes_out=self.n_bytes,
            key_id=course.key_id,
            route=course.route,
            model=course.model,
            provider=course.provider,
            error=course.error,
            attempts=course.attempts,
            fallbacks=course.fallbacks,
            cache=course.cache,
            tokens_in=self.n_input,
            tokens_out=self.n_output,
            cost_usd=None if self.cost_nusd is None else self.cost_nusd * 1e-9,
            ttft_s=self.ttft_s,
            overhead_s=self.overhead_s,
        )

    def json(self) -> bytes:
        """Return the line as JSON; what comes again in many is encoded once."""
        path = None if self.status in _UNKNOWN else self.redact(self.path)
        numbers = _Numbers(
            round(self.duration_s, 6),
            self.n_bytes,
            self.request_id,
            self.trace_id,
            self.n_input,
            self.n_output,
            None if self.cost_nusd is None else self.cost_nusd * 1e-9,
            self.ttft_s,
            self.overhead_s,
        )
        return b'{"time":"%b",%b%b%b,%b' % (
            stamp(self.at),
            _BEGIN,
            _way(self.method, path, self.status or None),
            self.known.json,
            _encode(numbers)[1:],
        )


class _Way(Struct, frozen=True, omit_defaults=True):
    method: str
    path: str | None = None
    status: int | None = None


class _Numbers(Struct, frozen=True, omit_defaults=True):
    duration_s: float
    bytes_out: int
    request_id: str | None = None
    trace_id: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    ttft_s: float | None = None
    overhead_s: float | None = None


@lru_cache(maxsize=4096)
def _way(method: str, path: str | None, status: int | None) -> bytes:
    return _inside(_Way(method, path, status))


def _inside(part: _Way | _Course) -> bytes:
    """Return the fields of a part of a line, with a comma before each."""
    fields = _encode(part)[1:-1]
    return b"," + fields if fields else b""


class Access:
    """The application, with a line in the log for each request."""

    def __init__(self, app: App, put: Callable[[Told], None], redact: Callable[[str], str]) -> None:
        self._app = app
        self._put = put
        self._redact = lru_cache(maxsize=1024)(redact)  # paths are few
        self._known: dict[tuple[str | int | None, ...], _Known] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, started = _Asked(), monotonic()
        _ASKED.set(asked)
        cycle = getattr(send, "__self__", None)
        counted = cycle if isinstance(cycle, Cycle) else _Counted(send)
        try:
            await self._app(scope, receive, counted.send)
        finally:
            _ASKED.set(None)
            self._put(self._served(asked.event, scope, counted, monotonic() - started))

    def _served(
        self, event: AccessEvent | None, scope: Scope, counted: "Cycle | _Counted", duration_s: float
    ) -> Served:
        at, method, path = time(), scope["method"][:16], scope["path"][:MOST_PATH]
        if event is None:
            request_id = CURRENT.get()
            return Served(
                at, self._redact, request_id, method, path, counted.status, duration_s, counted.n_sent
            )
        key = (
            event.key_id, event.route, event.model, event.provider,
            event.error, event.n_attempts, event.n_fallbacks or None, event.cache,
        )  # fmt: skip
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            course = _Course(*key)
            known = self._known[key] = _Known(course, _inside(course))
        return Served(
            at, self._redact, event.request_id, method, path, counted.status, duration_s, counted.n_sent,
            event.trace_id, known, event.n_input, event.n_output, event.cost_nusd,
            event.ttft_s, event.overhead_s,
        )  # fmt: skip


class _Counted:
    """What a server is sent that does not count itself."""

    __slots__ = ("_send", "n_sent", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.n_sent = 0

    async def send(self, message: Message) -> None:
        """Pass on a part of an answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.n_sent += len(message.get("body", b""))
        await self._send(message)
