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

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from turnout.codecs import realtime
from turnout.engine.exchange import Call
from turnout.engine.reply import Reply
from turnout.errors import TurnoutError, UnsupportedParameter
from turnout.plan import Plan, Sequence, Try, deployments
from turnout.types.chat import ChatResponse
from turnout.types.event import Event
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.usage import NanoUsd, Usage, cost

if TYPE_CHECKING:
    from turnout.transport.upgrade import Upgraded
    from turnout.transport.websocket import WebSocket

MOST_MESSAGE: Final = 32 * 1024 * 1024
"""Bytes of one message of an upstream (SECURITY.md S-54)."""
NOTHING_USED: Final = Usage(input_uncached=0, output_text=0)
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
        tab: Where it is billed; None = nobody limits it.
        n_responses: Responses that ended.
    """

    __slots__ = ("_call", "_last_input", "_running", "n_responses", "socket", "tab")

    def __init__(self, call: Call, socket: "WebSocket") -> None:
        super().__init__(call.deployment, express=True)
        self.socket = socket
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

    async def heard(self, event: realtime.Heard) -> None:
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
            audio_out=audio // realtime.AUDIO_CHARS_PER_TOKEN,
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
        if not realtime.is_spoken(to):
            raise UnsupportedParameter(f"{to.model.id} is served in a format without realtime sessions")
        wire = call.exchange.ask.wire
        http = HttpRequest("GET", realtime.address(to), () if wire is None else wire.headers)
        upgraded = await self._upstreams.upgrade(http, call, MOST_MESSAGE)
        call.status = upgraded.response.status
        if upgraded.socket is None:
            raise self._upstreams.failure(call, upgraded.response)
        self._reply = SessionReply(call, upgraded.socket)
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reply is not None:
            self._reply.leave()
            self._reply.socket.end(1000)


def plus(one: Usage, other: Usage) -> Usage:
    """Return what two responses used together."""
    sums: dict[str, int | None] = {}
    for name in Usage.__struct_fields__:
        a: int | None = getattr(one, name)
        b: int | None = getattr(other, name)
        sums[name] = a if b is None else b if a is None else a + b
    return msgspec.convert(sums, Usage)
