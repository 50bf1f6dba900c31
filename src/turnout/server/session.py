"""A realtime session under way: frames both ways, limits, and how it ends. Floor 6.

Theory of operation.
1. One task carries what the client says, one what the upstream says, one looks at the clock; the first that
   has an `End` ends the session. A task takes the next message only when the one before has been passed on,
   so that whoever is slow slows the other side: nothing is collected here.
2. The client's events are read strictly before they are passed on. One that asks for another model than the
   one that was chosen, or that cannot be read, is answered with an error event and goes no further.
3. The upstream's events pass as they came, without an object that only we may write; those that tell what was
   used are billed after they were passed on. When nothing is left, the client is told why.
4. When the gateway shuts down, responses under way may end within the grace period; a session without one
   ends at once, with 1001.
5. Whoever may not open a session any more, as a key was revoked, loses the one that is open with the next
   look at the clock.
6. Nothing of what is said is kept or logged.
"""

import asyncio
from collections.abc import Callable, Coroutine
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from turnout.codecs import realtime
from turnout.config.realtime import RealtimeConfig
from turnout.engine.exchange import Exchange
from turnout.engine.session import SessionReply
from turnout.errors import Forbidden, GatewayOverloaded, InvalidRequest, StreamInterrupted, TurnoutError
from turnout.transport.websocket import BROKEN, GOING_AWAY, LOST, NORMAL, POLICY, Closed, Message, WebSocket

NO_BINARY: Final = 1003
NO_CODE: Final = 1005
OWN_CODES: Final = range(3000, 5000)
"""Codes that mean what the upstream says they mean."""
SILENT_PINGS: Final = 3
_POLICY: Final = frozenset({"caller", "policy"})


class End(Struct, frozen=True):
    """How a session ended."""

    code: int = NORMAL
    """What the client is told; nothing where it left."""
    reason: str = ""
    error: TurnoutError | None = None
    upstream_code: int = NORMAL

    @classmethod
    def of(cls, error: TurnoutError) -> "End":
        """Return the end that a failure is."""
        word = error.row.word
        if isinstance(error, GatewayOverloaded) or word == "timeout_total":
            return cls(GOING_AWAY, word, error)
        return cls(POLICY if error.domain.value in _POLICY else BROKEN, word, error)


class Session:
    """The two ends of one session.

    Args:
        client: Our end of the client's connection.
        reply: The upstream's, and where the session is billed.
        exchange: The request it is.
        config: Limits.
        drain: Set when it is to end as soon as no response is under way.
        refused: Returns why the client could not open this session now; None = it could.
    """

    def __init__(
        self,
        client: WebSocket,
        reply: SessionReply,
        exchange: Exchange,
        config: RealtimeConfig,
        drain: asyncio.Event,
        refused: Callable[[], TurnoutError | None],
    ) -> None:
        to = reply.deployment
        self._client = client
        self._upstream = reply.socket
        self._reply = reply
        self._allow = exchange.ask.principal.allow
        self._speech, self._ear = reply.speech, reply.speech.ear()
        self._names = frozenset(
            {exchange.original.model, to.model.id, to.model.id.partition("/")[2], to.upstream_model}
        )
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._began = self._moved_at = self._loop.time()
        self._drain = drain
        self._refused = refused

    async def run(self) -> End:
        """Carry the session to its end."""
        works: tuple[Callable[[], Coroutine[None, None, End]], ...] = (
            self._from_client,
            self._from_upstream,
            self._watch,
            self._drained,
        )
        tasks = [self._loop.create_task(_ending(work())) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return next(task for task in tasks if task in done).result()

    async def _from_client(self) -> End:
        speech = self._speech
        while True:
            try:
                message = await self._client.receive()
            except Closed as closed:
                return End(upstream_code=NORMAL if closed.code in (NO_CODE, LOST) else _relayed(closed.code))
            if not message.is_text and not speech.has_bytes:
                return End(NO_BINARY, "events are sent as text")
            self._moved_at = self._loop.time()
            try:
                data = self._checked(message.data)
            except TurnoutError as error:
                if not speech.has_errors:
                    return End.of(error)
                await self._pass(self._client, Message(_told(error, message.data)))
                continue
            try:
                await self._pass(self._upstream, Message(data, message.is_text))
            except Closed as closed:
                return self._upstream_closed(closed)

    def _checked(self, data: bytes) -> bytes:
        """Return an event as it may go on. Raises `InvalidRequest`, `Forbidden`."""
        asked = self._speech.ask(data)
        for model in asked.transcribers:
            self._check_allowed(model)
        if not asked.models:
            return data
        for model in asked.models:
            if model not in self._names:
                raise Forbidden("a session keeps the model it was opened with; open another one for this")
        return asked.naming(self._reply.deployment.upstream_model)

    def _check_allowed(self, model: str) -> None:
        vendor = self._reply.deployment.vendor.name
        if self._allow and not any(
            fnmatchcase(f"{vendor}/{model}", glob) or fnmatchcase(vendor, glob) for glob in self._allow
        ):
            raise Forbidden("this key may not use the model that is to write down what is said")

    async def _from_upstream(self) -> End:
        reply = self._reply
        if reply.greeting is not None:
            await self._heard(reply.greeting)
        while True:
            try:
                message = await self._upstream.receive()
            except Closed as closed:
                return self._upstream_closed(closed)
            self._moved_at = self._loop.time()
            if await self._heard(message) and self._drain.is_set() and not reply.n_running:
                return _shut_down()

    async def _heard(self, message: Message) -> bool:
        """Pass a message of the upstream, and bill what it tells; return whether it told anything."""
        if not message.is_text and not self._speech.has_bytes:
            await self._pass(self._client, message)
            return False
        heard = [each for each in self._ear(message.data) if each.kind]
        await self._pass(self._client, Message(realtime.without_ours(message.data), message.is_text))
        for each in heard:
            await self._reply.heard(each)
        return bool(heard)

    def _upstream_closed(self, closed: Closed) -> End:
        if closed.code in (NORMAL, NO_CODE, GOING_AWAY) and not self._reply.n_running:
            return End(NORMAL if closed.code == NO_CODE else closed.code, closed.reason)
        if closed.code in OWN_CODES:
            return End(closed.code, closed.reason)
        error = StreamInterrupted("the upstream ended the session")
        self._reply.failure = error
        return End.of(error)

    async def _pass(self, to: WebSocket, message: Message) -> None:
        """Send, giving up on a side that takes nothing. Raises `Closed`, `StreamInterrupted`."""
        if not to.is_full:
            await to.send(message)
            return
        try:
            async with asyncio.timeout(self._config.stall_s):
                await to.send(message)
        except TimeoutError:
            took = f"took nothing for {self._config.stall_s:g} s"
            if to is self._upstream:
                self._reply.failure = StreamInterrupted(f"the upstream {took}")
                raise self._reply.failure from None
            to.abort()
            raise Closed(LOST) from None

    async def _watch(self) -> End:
        config, ends = self._config, (self._client, self._upstream)
        while True:
            now = self._loop.time()
            total_s, silent_s = now - self._began, now - self._moved_at
            if total_s >= config.max_session_s:
                return End(GOING_AWAY, "session_expired")
            if silent_s >= config.idle_s:
                return End(GOING_AWAY, "session_idle")
            if (refused := self._refused()) is not None:
                return End.of(refused)
            for end in ends:
                if not end.is_held and now - end.heard_at > SILENT_PINGS * config.ping_s:
                    end.abort()  # the task that reads it hears of it
                end.ping()
            await asyncio.sleep(min(config.ping_s, config.max_session_s - total_s, config.idle_s - silent_s))

    async def _drained(self) -> End:
        await self._drain.wait()
        while self._reply.n_running:
            await asyncio.Event().wait()  # the task that hears the upstream ends the session
        return _shut_down()


async def _ending(work: Coroutine[None, None, End]) -> End:
    """Return how a task's side ended; a client that is gone is told nothing."""
    try:
        return await work
    except Closed:
        return End()
    except TurnoutError as error:
        return End.of(error)


def _shut_down() -> End:
    return End.of(GatewayOverloaded("the gateway is shutting down", retry_after_s=1))


def _relayed(code: int) -> int:
    return code if code in OWN_CODES or code in (NORMAL, GOING_AWAY) else NORMAL


def _told(error: TurnoutError, data: bytes) -> bytes:
    about = None
    if not isinstance(error, InvalidRequest):
        about = realtime.ask(data).id
    return event_of(error, about)


def event_of(error: TurnoutError, about: str | None = None) -> bytes:
    """Write the event that tells a client of a failure."""
    row = error.row
    return realtime.error_event(error.code or row.openai_code, error.message, row.openai_type, about)
