"""A realtime session as an attempt: committed when the upstream has agreed, billed answer by answer. Floor 4.

Theory of operation.
1. A session is one request and, once it is open, one attempt: the rings around it choose, reserve, measure
   and record as for any other. Choosing is over when the upstream has answered the handshake with 101.
2. Each response of the upstream is paid when it ends: its price is taken off what was set aside, and the
   worst case of the next is set aside before that may begin (`Tab`). When there is nothing left,
   `BudgetExceeded` or its like is raised, and whoever holds the session ends it.
3. A response that is broken off is never told what it used. It is reckoned, from what came of it and from
   the input of the one before, and the session is marked as estimated.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from turnout.codecs import live, realtime
from turnout.codecs.speech import Heard, Speech
from turnout.engine.exchange import Call
from turnout.engine.reply import Reply
from turnout.errors import TimeoutTtft, TurnoutError, UnsupportedParameter
from turnout.plan import Plan, Sequence, Try, deployments
from turnout.types.chat import ChatResponse
from turnout.types.event import Event
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.usage import NanoUsd, Usage, cost

if TYPE_CHECKING:
    from turnout.transport.upgrade import Upgraded
    from turnout.transport.websocket import Message, WebSocket

MOST_MESSAGE: Final = 32 * 1024 * 1024
"""Bytes of one message of an upstream (SECURITY.md S-54)."""
NOTHING_USED: Final = Usage(input_uncached=0, output_text=0)
SPEECHES: Final[Mapping[str, Speech]] = {realtime.WIRE: realtime.SPEECH, live.WIRE: live.SPEECH}
"""Name of a wire -> its format."""
MOST_AT_ONCE: Final = 64
"""Responses of one session that may run at once; an upstream that claims more is not believed."""


class Tab(Protocol):
    """What a session's money is set aside by: the budget layer."""

    async def more(self) -> None:
        """Set the worst case of one more response aside. Raises a `TurnoutError` where that is refused."""
        ...

    async def pay(self, usage: Usage, cost_nusd: NanoUsd) -> None:
        """Settle one response, and set the next aside where nothing else is. Raises as `more` does."""
        ...


class Opens(Protocol):
    """What an attempt at a session needs of the upstreams."""

    async def upgrade(self, http: HttpRequest, call: Call, max_message: int) -> "Upgraded":
        """Ask the upstream for a WebSocket, with the deployment's credential."""
        ...

    def failure(self, call: Call, response: HttpResponse) -> TurnoutError:
        """Return what an upstream's refusal means."""
        ...


def in_turn(plan: Plan) -> Plan:
    """Return a plan that asks one after the other: a session can be neither collected nor raced."""
    names = deployments(plan)
    return Try(names[0]) if len(names) == 1 else Sequence(tuple(Try(name) for name in names))


class SessionReply(Reply):
    """An open session.

    Attributes:
        socket: The upstream's end.
        speech: What is spoken.
        greeting: The upstream's first message, where it has come already: the client's to have.
        tab: Where it is billed; None = nobody limits it.
        n_responses: Responses that ended.
    """

    __slots__ = ("_call", "_last_input", "_running", "greeting", "n_responses", "socket", "speech", "tab")

    def __init__(self, call: Call, socket: "WebSocket", speech: Speech) -> None:
        super().__init__(call.deployment, express=True)
        self.socket = socket
        self.speech = speech
        self.greeting: Message | None = None
        self.tab: Tab | None = None
        self.usage: Usage | None = NOTHING_USED
        self.cost_nusd: NanoUsd | None = None
        self.n_responses = 0
        self._call = call
        self._running: dict[str, tuple[int, int]] = {}
        """Id of a response under way -> characters of text and of audio that came of it."""
        self._last_input = 0

    @property
    def n_running(self) -> int:
        """Responses under way."""
        return len(self._running)

    async def heard(self, event: Heard) -> None:
        """Take in an event of the upstream. Raises a `TurnoutError` when nothing more may be spent."""
        match event.kind:
            case "began":
                if event.id in self._running or len(self._running) >= MOST_AT_ONCE:
                    return
                self._running[event.id] = (0, 0)
                if len(self._running) > 1 and self.tab is not None:
                    await self.tab.more()
            case "ended":
                text, audio = self._running.pop(event.id, (0, 0))
                usage = event.usage
                if usage is None:
                    usage = self._reckoned(text, audio)
                    self.estimated = True
                self.n_responses += 1
                self._last_input = usage.n_input
                await self._bill(usage)
            case "session":
                self.upstream_id = event.id[:128] or None
            case "text" | "audio" if event.id in self._running:
                text, audio = self._running[event.id]
                is_text = event.kind == "text"
                self._running[event.id] = (
                    text + event.n_chars * is_text,
                    audio + event.n_chars * (not is_text),
                )

    def leave(self) -> None:
        """Take in that the session is over: what ran is reckoned, and the rest was whole."""
        if not self._running:
            self.done = self.failure is None
            return
        self.estimated = True
        for text, audio in self._running.values():
            self._add(self._reckoned(text, audio))
        self._running.clear()

    async def _bill(self, usage: Usage) -> None:
        spent = self._add(usage)
        if self.tab is not None:
            await self.tab.pay(usage, spent)

    def _add(self, usage: Usage) -> NanoUsd:
        self.usage = plus(self.usage or NOTHING_USED, usage)
        price = self.deployment.model.price
        spent = NanoUsd(0) if price is None else cost(usage, price)
        if price is not None:
            self.cost_nusd = NanoUsd((self.cost_nusd or 0) + spent)
        return spent

    def _reckoned(self, text: int, audio: int) -> Usage:
        return Usage(
            input_uncached=self._last_input,
            output_text=int(text / realtime.TEXT_CHARS_PER_TOKEN),
            audio_out=audio // self.speech.audio_chars_per_token,
        )

    async def response(self) -> ChatResponse:
        """Refuse: a session is spoken through its socket."""
        raise TypeError("a session has a socket, not response()")

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: a session is spoken through its socket."""
        raise TypeError("a session has a socket, not events()")


class SessionAttempt:
    """One attempt to open a session."""

    __slots__ = ("_call", "_reply", "_upstreams")

    def __init__(self, upstreams: Opens, call: Call) -> None:
        self._upstreams = upstreams
        self._call = call
        self._reply: SessionReply | None = None

    async def __aenter__(self) -> Reply:
        call, to = self._call, self._call.deployment
        wire = call.exchange.ask.wire
        assert wire is not None
        speech = SPEECHES[wire.format]
        if not speech.is_spoken(to):
            raise UnsupportedParameter(f"{to.model.id} is served in a format without such sessions")
        http = HttpRequest("GET", speech.address(to), wire.headers)
        upgraded = await self._upstreams.upgrade(http, call, MOST_MESSAGE)
        call.status = upgraded.response.status
        if upgraded.socket is None:
            raise self._upstreams.failure(call, upgraded.response)
        reply = self._reply = SessionReply(call, upgraded.socket, speech)
        opening = speech.opening(wire.body, to)
        if opening is not None:
            try:
                reply.greeting = await self._greeted(upgraded.socket, opening)
            except BaseException:
                reply.socket.end(1000)
                raise
        return reply

    async def _greeted(self, socket: "WebSocket", opening: bytes) -> "Message":
        """Open the session with its first message; return the upstream's. Raises what its refusal means."""
        from turnout.transport.websocket import Closed, Message  # noqa: PLC0415  an extra

        call = self._call
        limit_s = call.timeouts.first_byte_s
        try:
            async with asyncio.timeout(limit_s):
                await socket.send(Message(opening))
                return await socket.receive()
        except TimeoutError:
            raise TimeoutTtft(f"no session within {limit_s:g} s from {call.deployment.model.id}") from None
        except Closed as closed:
            refused = HttpResponse(_status_of(closed.code, closed.reason), {}, _failure(closed.reason))
            call.status = refused.status
            raise self._upstreams.failure(call, refused) from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reply is not None:
            self._reply.leave()
            self._reply.socket.end(1000)


def _status_of(code: int, reason: str) -> int:
    """Return the status that a refusal would have had: such a format has closing codes alone."""
    match code:
        case 1007:
            return 400
        case 1008:
            return 404 if "not found" in reason else 403
        case _:
            return 503


def _failure(reason: str) -> bytes:
    return msgspec.json.encode({"error": {"message": reason or "the upstream opened no session"}})


def plus(one: Usage, other: Usage) -> Usage:
    """Return what two responses used together."""
    sums: dict[str, int | None] = {}
    for name in Usage.__struct_fields__:
        a: int | None = getattr(one, name)
        b: int | None = getattr(other, name)
        sums[name] = a if b is None else b if a is None else a + b
    return msgspec.convert(sums, Usage)
