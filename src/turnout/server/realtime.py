"""`/v1/realtime`: sessions of speech, passed through and paid for. Floor 6.

Theory of operation.
1. A session is opened in the order of any request: who asks, what for, which model, is there money; then the
   upstream is dialled. Only when it has agreed is the client's own wish granted, so that every refusal is an
   HTTP answer with its status, and another model may still be tried.
2. A session is settled and recorded before its closing frame is sent.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from turnout.codecs import realtime
from turnout.codecs.base import Body
from turnout.config.realtime import RealtimeConfig
from turnout.engine.engine import Engine, Opened
from turnout.engine.exchange import Exchange
from turnout.engine.reply import Reply
from turnout.engine.session import SessionReply
from turnout.errors import GatewayOverloaded, InvalidRequest, NotFound, TurnoutError, UnsupportedParameter
from turnout.server.asking import make_ask
from turnout.server.http import RawHeaders
from turnout.server.paths import OPENAI, Paths
from turnout.server.upgrade import Offer, check_library, check_origin, grant, read_offer
from turnout.server.verbs import Steps
from turnout.server.visit import StreamPlace, Visit, while_there
from turnout.types.ask import Ask, Preferences, Wire
from turnout.types.chat import ChatRequest, Facts

SPARE_S: Final = 5.0
"""Between the longest session and the deadline of its request: the session ends itself, with a word."""
MIB: Final = 1024 * 1024
_BETA: Final = b"openai-beta"
_QUERY: Final = frozenset({"model", "deployment", "api-version"})
Head = Callable[[Exchange, Reply], RawHeaders]


class Realtime:
    """The endpoint at one gateway.

    Args:
        engine: Serves sessions.
        steps: What the gateway does for each of its endpoints.
        head: Writes the headers of an answer.
    """

    def __init__(self, engine: Engine, steps: Steps, head: Head) -> None:
        self._engine = engine
        self._enter = steps.enter
        self._head = head
        self._settings = steps.settings
        self._open: dict[str, int] = {}
        """Key -> its sessions at this process."""

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths: OpenAI's own, and Azure's."""
        paths.add("GET", "/realtime", self._serve, OPENAI)
        paths.add_root("/openai/realtime", self._serve, ("GET",))

    def entered(self, visit: Visit) -> tuple[Offer, RealtimeConfig]:
        """Check who asks, and from where; return the handshake and what holds. Raises a `TurnoutError`."""
        config = self._settings().realtime
        if not config.enabled:
            raise NotFound("realtime sessions are off at this gateway", param="realtime")
        try:
            offer = read_offer(visit.scope)
        except TurnoutError as error:
            if error.param == "upgrade":  # a plain request: its key stands where keys stand
                self._enter(visit, "realtime")
            raise
        visit.inbound.keys = (*visit.inbound.keys, *offer.credentials)
        self._enter(visit, "realtime")
        check_origin(offer, config.origins)
        check_library()
        return offer, config

    def place(self, visit: Visit, config: RealtimeConfig) -> StreamPlace:
        """Return a place among the sessions of the key."""
        return StreamPlace(self._open, visit.principal.key_id, config.max_sessions_per_key)

    def refused(self, visit: Visit) -> TurnoutError | None:
        """Return why the caller of a session that is open could not open it now; None = it could."""
        try:
            self._enter(visit, "realtime")
        except GatewayOverloaded:  # for others: this one has its place
            return None
        except TurnoutError as error:
            return error
        return None

    async def _serve(self, visit: Visit) -> None:
        offer, config = self.entered(visit)
        model = _model(visit.scope["query_string"])
        beta = next((value for name, value in visit.scope["headers"] if name == _BETA), None) or offer.beta
        wire = Wire(realtime.WIRE, {}, () if beta is None else ((_BETA, beta),))
        body = Body(request_of(model, realtime.WIRE), Preferences(), wire)
        with self.place(visit, config):
            opened = self._engine.open(body.request, asked(visit, body, config))
            visit.exchange = opened.exchange
            await self._carry(visit, offer, opened, config)

    async def _carry(self, visit: Visit, offer: Offer, opened: Opened, config: RealtimeConfig) -> None:
        """Hold a session from its opening to its end. Raises what `Engine.open` raises while it is opened."""
        from turnout.server.session import End, Session, event_of  # noqa: PLC0415  an extra
        from turnout.transport.websocket import GOING_AWAY, Closed, Message, WebSocket  # noqa: PLC0415

        client: WebSocket | None = None
        try:
            async with _While(visit, opened) as reply:
                if not isinstance(reply, SessionReply):
                    raise UnsupportedParameter("this route's answers are looked at; sessions cannot be")
                drain = asyncio.Event()
                headers = self._head(opened.exchange, reply)
                limit = int(config.max_message_mib * MIB)
                client = grant(visit.scope, offer, headers, limit, drain.set)
                session = Session(client, reply, opened.exchange, config, drain, partial(self.refused, visit))
                end = await session.run()
                opened.exchange.outcome_error = None if end.error is None else end.error.row.word
        except TurnoutError as error:
            if client is None:
                raise
            end = End.of(error)
        except asyncio.CancelledError:
            if client is not None:
                client.end(GOING_AWAY, GatewayOverloaded.row.word)
            raise
        visit.error = end.error
        if end.error is not None:
            try:
                client.tell(Message(event_of(end.error)))
            except Closed:
                return
        client.end(end.code, end.reason)
        await client.closed()


class _While:
    """An opened request whose opening ends when the client leaves."""

    __slots__ = ("_opened", "_visit")

    def __init__(self, visit: Visit, opened: Opened) -> None:
        self._visit = visit
        self._opened = opened

    async def __aenter__(self) -> Reply:
        return await while_there(self._visit, self._opened.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)


def _model(query: bytes) -> str:
    """Return the model a session is opened with. Raises `InvalidRequest`, `UnsupportedParameter`."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in found:
            raise InvalidRequest(f"{name[:64]} was given twice", param=name[:64])
        if name not in _QUERY:
            raise UnsupportedParameter(f"{name[:64]} is not served here", param=name[:64])
        found[name] = value
    model = found.get("model") or found.get("deployment") or "auto"
    if len(model) > 256:
        raise InvalidRequest("model: expected at most 256 characters", param="model")
    return model


def request_of(model: str, wire: str, codec: str = "") -> ChatRequest:
    """Return what the engine opens a session for; `codec`: the only one whose hosts have such."""
    return ChatRequest(model=model, messages=(), wire=wire, facts=Facts(realtime=True, native_wire=codec))


def asked(visit: Visit, body: Body, config: RealtimeConfig) -> Ask:
    """Return the envelope of a session, which says how long it may last."""
    ask = make_ask(visit.request_id, visit.inbound, body, visit.principal, body.wire.format, hops=visit.hops)
    longest_s = config.max_session_s + SPARE_S
    return msgspec.structs.replace(
        ask,
        endpoint="realtime",
        timeout_s=longest_s if ask.timeout_s is None else min(ask.timeout_s, longest_s),
        log_content=False,
    )
