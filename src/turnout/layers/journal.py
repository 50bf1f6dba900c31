"""Leaves one Record of every request. Floor 4.

Theory of operation.
1. The Record is built and appended exactly once per request: when the request is left, however it ended,
   or earlier by `finish`, which a server calls before it hands the last bytes of the answer to the socket.
   So a process that is killed has a Record of every answer a client has seen the end of.
2. Recording never fails a request: a defect on the way is counted and logged by its class, without text.
3. Questions, sessions and end users appear as keyed digests only; without a key they do not appear.
4. Text is stored only where the route says so and the caller did not forbid it. Then the reply is read
   through a `Kept` reply, which copies what passes, up to a limit. On the express track that is the
   upstream's own JSON or frames.
"""

import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Protocol, runtime_checkable

import msgspec

from turnout.engine.exchange import Request
from turnout.engine.reply import Relay
from turnout.layers.base import Clock, Exchange, Handler, Reply, conclude
from turnout.stores.base import ENCODER, encode
from turnout.types.chat import ChatRequest, ChatResponse, Text
from turnout.types.embed import EmbedResponse
from turnout.types.event import Event, TextDelta
from turnout.types.record import Content, Decision, Record
from turnout.types.task import TaskRequest, words

DIGEST_BYTES = 16
MOST_CONTENT = 256 * 1024
"""Characters kept of each side where a route stores text."""

Redact = Callable[[str], str]
log = logging.getLogger("turnout.journal")


class Journal(Protocol):
    """Where Records go."""

    def append(self, record: Record) -> None:
        """Take a Record; returns when it would survive the process. Must not wait for a database."""
        ...


@runtime_checkable
class Payloads(Protocol):
    """A journal that stores Records as `stores.base.encode` writes them."""

    def append_payload(self, payload: bytes) -> None:
        """Take a Record that is encoded; see `Journal.append`."""
        ...


class JournalLayer:
    """Records requests.

    Attributes:
        n_lost: Records that could not be written.
    """

    __slots__ = ("_finish", "_journal", "_key", "_payloads", "_redact", "clock", "n_lost")

    def __init__(
        self, journal: Journal | None, clock: Clock, *, key: bytes | None = None, redact: Redact | None = None
    ) -> None:
        self._journal = journal
        self._payloads: Payloads | None = journal if isinstance(journal, Payloads) else None
        self._key = key
        """Secret of the digests, at most 64 bytes; None = no digests."""
        self._redact = redact
        """Applied to text before it is stored."""
        self._finish = self.finish
        self.clock = clock
        self.n_lost = 0

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler."""
        return inner if self._journal is None else partial(_Journalled, self, inner)

    def watch(self, exchange: Exchange, reply: Reply) -> Reply:
        """Note the commit; return the reply to hand on."""
        exchange.committed_at = self.clock()
        exchange.finish = self._finish
        if exchange.reply is None:
            exchange.reply = reply
        if exchange.policy.store_content and exchange.ask.log_content and exchange.ask.principal.stores_text:
            kept = Kept(reply)
            exchange.content_of = partial(_content, exchange, kept, self._redact)
            return kept
        return reply

    def finish(self, exchange: Exchange, error: BaseException | None) -> None:
        """Record the request unless it is recorded already. Never raises."""
        if exchange.outcome is not None or self._journal is None:
            return
        try:
            if self._payloads is not None:
                self._payloads.append_payload(self._payload(exchange, error))
            else:
                self._journal.append(self._record(exchange, error, exchange.full_decision()))
            exchange.content_of = None  # it points back to the exchange
        except Exception as defect:  # noqa: BLE001  the answer matters more than its record; counted
            self.n_lost += 1
            log.error("record of %s lost: %s", exchange.ask.request_id, type(defect).__name__)  # noqa: TRY400

    def _payload(self, exchange: Exchange, error: BaseException | None) -> bytes:
        """Return the Record as it is stored."""
        try:
            return ENCODER.encode(self._record(exchange, error, exchange.written_decision()))
        except (UnicodeEncodeError, OverflowError):
            return encode(self._record(exchange, error, exchange.full_decision()))

    def _record(self, exchange: Exchange, error: BaseException | None, decision: Decision | None) -> Record:
        outcome = conclude(exchange, error, self.clock())
        ask = exchange.ask
        principal = ask.principal
        key = self._key
        return Record(
            request_id=ask.request_id,
            client_request_id=ask.client_request_id,
            at=exchange.at,
            endpoint=ask.endpoint,
            dialect=ask.dialect,
            principal=principal.key_id,
            organisation=principal.organisation,
            project=principal.project,
            team=principal.team,
            customer=principal.customer or (ask.end_user if principal.names_customers else None),
            end_user_hash=None if key is None else _digest(key, b"end_user", ask.end_user),
            session_hash=None if key is None else _digest(key, b"session", ask.session),
            surface=ask.surface,
            tags=tuple(dict.fromkeys((*principal.tags, *ask.tags))) if principal.tags else ask.tags,
            metadata=ask.metadata,
            trace_id=exchange.trace_id,
            query_hash=None if key is None else _digest(key, b"query", last_question(exchange.original)),
            decision=decision,
            attempts=tuple(exchange.attempts),
            outcome=outcome,
            warnings=(*ask.warnings, *exchange.warnings) if exchange.warnings else ask.warnings,
            dropped_params=exchange.dropped,
            guards=tuple(exchange.guards) if exchange.guards else (),
            cache=exchange.cached,
            compressed=exchange.compressed,
            content=None if exchange.content_of is None else exchange.content_of(),
        )


def finish(exchange: Exchange, error: BaseException | None = None) -> None:
    """Record a request now. For servers: call it when only the last bytes are left to be written.

    Leaving the request afterwards records nothing more. Without a journal, or before commit, it does nothing.
    """
    if exchange.finish is not None:
        exchange.finish(exchange, error)


class _Journalled:
    __slots__ = ("_exchange", "_inner", "_layer")

    def __init__(self, layer: JournalLayer, handler: Handler, exchange: Exchange) -> None:
        self._layer = layer
        self._exchange = exchange
        self._inner = handler(exchange)

    async def __aenter__(self) -> Reply:
        try:
            reply = await self._inner.__aenter__()
        except BaseException as error:
            self._layer.finish(self._exchange, error)
            raise
        return self._layer.watch(self._exchange, reply)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            swallowed = await self._inner.__aexit__(kind, error, trace)
        except BaseException as final:
            self._layer.finish(self._exchange, final)
            raise
        self._layer.finish(self._exchange, error)
        return swallowed


def last_question(request: Request) -> str | None:
    """Return the text of the last user message; None where there is none."""
    if not isinstance(request, ChatRequest):
        return None
    for message in reversed(request.messages):
        if message.role == "user":
            texts = [part.text for part in message.parts if isinstance(part, Text)]
            if texts:
                return "\n".join(texts)
    return None


def _digest(key: bytes, what: bytes, value: str | None) -> str | None:
    """Return a keyed digest; `what` keeps equal texts of different meaning apart."""
    if value is None:
        return None
    return blake2b(
        value.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=key, person=what
    ).hexdigest()


def session_digest(key: bytes, session: str) -> str:
    """Return what a Record holds of a session."""
    found = _digest(key, b"session", session)
    assert found is not None  # there is a key
    return found


def _content(exchange: Exchange, kept: "Kept", redact: Redact | None) -> Content:
    request = exchange.original if exchange.masked is None else exchange.request
    question = msgspec.json.encode(_asked(request)).decode()[:MOST_CONTENT]
    answer = kept.text()
    if exchange.masked is not None:
        answer = exchange.masked(answer)
    if redact is not None:
        question, answer = redact(question), redact(answer)
    return Content(question, answer)


def _asked(request: Request) -> object:
    if isinstance(request, ChatRequest):
        return tuple(request.messages)
    if isinstance(request, TaskRequest):
        return words(request)
    return request.input


class Kept(Relay):
    """A reply whose text is copied as it is read."""

    __slots__ = ("_n_left", "_pieces", "_reply")

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.deployment, express=reply.express)
        self._reply = reply
        self._pieces: list[str] = []
        self._n_left = MOST_CONTENT
        self._follow()

    def text(self) -> str:
        """Return what was kept so far."""
        return "".join(self._pieces)

    @property
    def ended(self) -> bool:
        """Whether the bytes handed out so far hold the terminal event of the answer."""
        return self._reply.ended

    async def response(self) -> ChatResponse:
        """Return the complete answer."""
        try:
            response = await self._reply.response()
        finally:
            self._follow()
        for choice in response.choices:
            for part in choice.parts:
                if isinstance(part, Text):
                    self._keep(part.text)
        return response

    async def vectors(self) -> EmbedResponse:
        """Return the vectors; nothing of them is kept."""
        return await self._reply.vectors()

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events as they arrive."""
        try:
            async for events in self._reply.events():
                for event in events:
                    if isinstance(event, TextDelta):
                        self._keep(event.text)
                self._follow()
                yield events
        finally:
            self._follow()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's own frames."""
        try:
            async for frame in self._reply.frames():
                self._keep(frame.decode("utf-8", "replace"))
                self._follow()
                yield frame
        finally:
            self._follow()

    def body(self) -> bytes:
        """Return the upstream's own body."""
        body = self._reply.body()
        self._keep(body.decode("utf-8", "replace"))
        return body

    def _keep(self, text: str) -> None:
        if self._n_left > 0:
            self._pieces.append(text[: self._n_left])
            self._n_left -= len(text)

    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""
        reply = self._reply
        self.usage = reply.usage
        self.finish = reply.finish
        self.done = reply.done
        self.failure = reply.failure
        self.n_text = reply.n_text
        self.upstream_id = reply.upstream_id
        self.warnings = reply.warnings
