"""Station 10: a committed reply becomes the client's bytes. Floor 6.

Theory of operation. The last bytes of an answer are sent only after the rings have unwound: whatever was
answered completely has been settled and is in the journal, also if the process dies in the next instant.
For a plain answer these are all its bytes; for a stream (stream.py), the closing frames.
"""

from time import time

import msgspec

from turnout.codecs.base import Dialect, Embeds, EmbedsByAddress, InLines, StreamEncoder, Summary
from turnout.engine.engine import Engine, Opened
from turnout.engine.exchange import Exchange
from turnout.engine.reply import Reply
from turnout.errors import TurnoutError
from turnout.layers.base import conclude
from turnout.server import headers as told
from turnout.server.cycle import Cycle
from turnout.server.http import JSON_TYPE, LINE_HEADERS, STREAM_HEADERS, RawHeaders, Send
from turnout.server.views import caller_view
from turnout.types.chat import ChatRequest
from turnout.types.embed import EmbedRequest
from turnout.types.json import JsonObject
from turnout.types.record import Outcome
from turnout.types.usage import usd

_Key = tuple[str, str, str, str]
_MOST_STATICS = 10_000


class Whole(msgspec.Struct, frozen=True):
    """A complete answer, ready to be sent."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


def answered(send: Send, whole: Whole) -> bool:
    """Send a complete answer at once; False where it was not: somebody stands between, or it must wait."""
    cycle = getattr(send, "__self__", None)
    return isinstance(cycle, Cycle) and cycle.answer(200, whole.headers, whole.body)


class Answer:
    """Writes the answers of one dialect at one gateway."""

    __slots__ = ("_dialect", "_engine", "_names_request", "_statics", "keep_alive_s", "stream_headers")

    def __init__(self, engine: Engine, dialect: Dialect, *, keep_alive_s: float) -> None:
        self._engine = engine
        self._dialect = dialect
        self._names_request = dialect.wire == "anthropic"
        """Whether clients of this dialect look for the id in `request-id`."""
        self.keep_alive_s = keep_alive_s
        self.stream_headers = LINE_HEADERS if isinstance(dialect, InLines) else STREAM_HEADERS
        self._statics: dict[_Key, RawHeaders] = {}
        """Headers that repeat from request to request; bounded by deployments x routes x reasons."""

    async def whole(self, opened: Opened) -> Whole:
        """Serve one opened request that is not streamed. Raises `TurnoutError`."""
        exchange = opened.exchange
        request = exchange.request
        assert isinstance(request, ChatRequest)
        body, response = b"", None
        async with opened as reply:
            if reply.express:
                body = reply.body()
            else:
                response = await reply.response()
        if response is not None:
            body = self._dialect.render(response, request, self.summary(exchange, reply, final=True))
        return self.finished(exchange, reply, body, [JSON_TYPE])

    async def vectors(self, opened: Opened) -> Whole:
        """Serve one opened embeddings request. Raises `TurnoutError`."""
        exchange = opened.exchange
        request = exchange.request
        assert isinstance(request, EmbedRequest)
        assert isinstance(self._dialect, Embeds | EmbedsByAddress)
        async with opened as reply:
            found = await reply.vectors()
        body = self._dialect.render_embed(found, request, self.summary(exchange, reply, final=True))
        return self.finished(exchange, reply, body, [JSON_TYPE])

    def finished(self, exchange: Exchange, reply: Reply, body: bytes, types: RawHeaders) -> Whole:
        """Return a complete answer with everything known at its end, under the headers of its content."""
        headers = self.head(exchange, reply)
        headers += types
        headers += told.spent(self._outcome(exchange), exchange.upstream_s)
        return Whole(headers, body)

    def head(self, exchange: Exchange, reply: Reply) -> RawHeaders:
        """Return the headers known at commit."""
        routing = exchange.routing
        assert routing is not None
        reason = exchange.fallback_reason or routing.reason
        key = (reply.deployment.id, routing.route, routing.strategy, reason)
        statics = self._statics.get(key)
        if statics is None:
            if len(self._statics) > _MOST_STATICS:
                self._statics.clear()
            deployment = reply.deployment
            statics = self._statics[key] = [
                *told.answered_by(deployment.model.id, deployment.vendor.name),
                *told.chosen(routing, reason),
            ]
        headers = self.ids(exchange.ask.request_id)
        headers += statics
        headers += told.effort(exchange)
        if exchange.dropped or exchange.warnings or exchange.ask.warnings:
            headers += told.notices(exchange)
        if exchange.guards:
            headers += told.guards(exchange)
        if exchange.cached is not None:
            headers += told.cached(exchange.cached)
        if exchange.compressed is not None and exchange.compressed.steps:
            headers += told.compressed(exchange.compressed)
        if exchange.room is not None:
            headers += told.room(exchange.room, exchange.at, wire=self._dialect.wire)
        return headers

    def ids(self, request_id: str) -> RawHeaders:
        """Return the headers that name the request, on every answer."""
        value = request_id.encode()
        ids = [(b"x-turnout-request-id", value), (b"x-request-id", value)]
        if self._names_request:
            ids.append((b"request-id", value))
        return ids

    def summary(self, exchange: Exchange, reply: Reply, *, final: bool) -> Summary:
        """Return what Turnout adds to the answer itself; `final`: everything is settled."""
        deployment = reply.deployment
        explain = exchange.ask.explain
        outcome = self._outcome(exchange) if final and explain != "none" else None
        cost_nusd = None if outcome is None else outcome.cost_nusd
        return Summary(
            request_id=exchange.ask.request_id,
            model=exchange.original.model if exchange.policy.echo_model else deployment.model.id,
            created=int(time()),
            provider=deployment.vendor.name,
            attempts=exchange.n_calls,
            cost_usd=None if cost_nusd is None else usd(cost_nusd),
            cost_state="unknown" if outcome is None else outcome.cost_state,
            full=_full(exchange) if explain == "full" and final else None,
            show=explain != "none",
        )

    def failure(
        self, error: TurnoutError, request_id: str, exchange: Exchange | None = None
    ) -> tuple[int, RawHeaders, bytes]:
        """Return status, headers and body of a failure before the first byte."""
        status, body = self._dialect.error(error, request_id)
        return status, [JSON_TYPE, *self.ids(request_id), *told.failed(error, exchange)], body

    def writer(self, exchange: Exchange, reply: Reply | None) -> StreamEncoder:
        """Return a writer for one stream; without a reply, for keep-alives and failures before commit."""
        assert isinstance(exchange.request, ChatRequest)
        return self._dialect.stream(exchange.request, self.opening(exchange, reply))

    def opening(self, exchange: Exchange, reply: Reply | None) -> Summary:
        """Return what is known while nothing is settled."""
        if reply is not None:
            return self.summary(exchange, reply, final=False)
        return Summary(request_id=exchange.ask.request_id, model=exchange.request.model, created=int(time()))

    def _outcome(self, exchange: Exchange) -> Outcome:
        return exchange.outcome or conclude(exchange, None, self._engine.clock())


def _full(exchange: Exchange) -> JsonObject | None:
    decision = exchange.full_decision()
    return None if decision is None else caller_view(decision, exchange.ask.principal)
