"""Station 10: a committed reply becomes the client's bytes. Floor 6.

Theory of operation. The last bytes of an answer are sent only after the rings have unwound: whatever was
answered completely has been settled and is in the journal, also if the process dies in the next instant.
For a plain answer these are all its bytes; for a stream, the closing frames.
"""

from time import time

import msgspec

from turnout.codecs.base import Dialect, StreamEncoder, Summary
from turnout.engine.engine import Engine, Opened
from turnout.engine.exchange import Exchange
from turnout.engine.reply import Reply
from turnout.errors import TurnoutError
from turnout.server.http import JSON_TYPE, STREAM_HEADERS, RawHeaders, Send, respond
from turnout.server.keepalive import KeepAlive
from turnout.types.chat import ChatRequest
from turnout.types.json import JsonObject
from turnout.types.record import Attempt, CostState

_Key = tuple[str, str, str, str]


class Answer:
    """Writes the answers of one dialect at one gateway."""

    __slots__ = ("_dialect", "_engine", "_keep_alive_s", "_statics")

    def __init__(self, engine: Engine, dialect: Dialect, *, keep_alive_s: float) -> None:
        self._engine = engine
        self._dialect = dialect
        self._keep_alive_s = keep_alive_s
        self._statics: dict[_Key, RawHeaders] = {}
        """Headers that repeat from request to request; bounded by deployments x routes x reasons."""

    async def send(self, opened: Opened, send: Send) -> None:
        """Serve one opened request: headers, body, and the error in the dialect if it fails."""
        request = opened.exchange.request
        if isinstance(request, ChatRequest) and request.stream:
            await _Stream(self, opened, send).run()
            return
        exchange = opened.exchange
        assert isinstance(request, ChatRequest)
        body, response = b"", None
        async with opened as reply:
            if reply.express:
                body = reply.body()
            else:
                response = await reply.response()
        if response is not None:
            body = self._dialect.render(response, request, self.summary(exchange, reply, final=True))
        headers = [JSON_TYPE, *self.head(exchange, reply), *self.tail(exchange)]
        await respond(send, 200, headers, body)

    def head(self, exchange: Exchange, reply: Reply) -> RawHeaders:
        """Return the headers known at commit."""
        routing = exchange.routing
        assert routing is not None
        reason = exchange.fallback_reason or routing.reason
        key = (reply.deployment.id, routing.route, routing.strategy, reason)
        statics = self._statics.get(key)
        if statics is None:
            if len(self._statics) > 10_000:
                self._statics.clear()
            deployment = reply.deployment
            statics = self._statics[key] = [
                (b"x-turnout-model", deployment.model.id.encode()),
                (b"x-turnout-provider", deployment.vendor.name.encode()),
                (b"x-turnout-route", routing.route.encode()),
                (b"x-turnout-strategy", routing.strategy.encode()),
                (b"x-turnout-reason", reason.encode()),
            ]
        request_id = exchange.ask.request_id.encode()
        headers = [
            (b"x-turnout-request-id", request_id),
            (b"x-request-id", request_id),
            *statics,
            (b"x-turnout-decision-id", b"dec_" + request_id[4:]),
            (b"x-turnout-attempts", b"%d" % exchange.n_calls),
            (b"x-turnout-fallbacks", b"%d" % exchange.n_fallbacks),
        ]
        if exchange.dropped:
            headers.append(
                (b"x-turnout-dropped-params", ",".join(exchange.dropped).encode("latin-1", "replace"))
            )
        warnings = (*exchange.ask.warnings, *exchange.warnings)
        if warnings:
            headers.append((b"x-turnout-warnings", ",".join(dict.fromkeys(warnings)).encode()))
        return headers

    def tail(self, exchange: Exchange) -> RawHeaders:
        """Return the headers known once everything is settled."""
        cost_nusd, state = total_cost(exchange.attempts)
        total_s = self._engine.clock() - exchange.started
        headers = [
            (b"x-turnout-cost-state", state.encode()),
            (b"x-turnout-overhead-ms", b"%.3f" % (max(0.0, total_s - exchange.upstream_s) * 1000)),
            (b"x-turnout-upstream-ms", b"%.3f" % (exchange.upstream_s * 1000)),
        ]
        if cost_nusd is not None:
            headers.append((b"x-turnout-cost-usd", usd(cost_nusd).encode()))
        return headers

    def summary(self, exchange: Exchange, reply: Reply, *, final: bool) -> Summary:
        """Return what Turnout adds to the answer itself."""
        cost_nusd, state = total_cost(exchange.attempts) if final else (None, "unknown")
        deployment = reply.deployment
        explain = exchange.ask.explain
        return Summary(
            request_id=exchange.ask.request_id,
            model=exchange.original.model if exchange.policy.echo_model else deployment.model.id,
            created=int(time()),
            provider=deployment.vendor.name,
            attempts=exchange.n_calls,
            cost_usd=None if cost_nusd is None else usd(cost_nusd),
            cost_state=state,
            full=_full(exchange) if explain == "full" and final else None,
            show=explain != "none",
        )

    def failure(self, error: TurnoutError, request_id: str) -> tuple[int, RawHeaders, bytes]:
        """Return status, headers and body of a failure before the first byte."""
        status, body = self._dialect.error(error, request_id)
        return status, [JSON_TYPE, *error_headers(error, request_id)], body

    def encoder(self, exchange: Exchange, reply: Reply) -> StreamEncoder:
        """Return a writer for one stream."""
        assert isinstance(exchange.request, ChatRequest)
        return self._dialect.stream(exchange.request, self.summary(exchange, reply, final=False))

    def early_encoder(self, exchange: Exchange) -> StreamEncoder:
        """Return a writer for a stream whose model is not chosen yet: for keep-alives and failures."""
        assert isinstance(exchange.request, ChatRequest)
        blank = Summary(request_id=exchange.ask.request_id, model=exchange.request.model, created=int(time()))
        return self._dialect.stream(exchange.request, blank)

    def keep_alive(self, exchange: Exchange, send: Send) -> KeepAlive:
        """Return the beat of one stream, already started."""
        request_id = exchange.ask.request_id.encode()
        early = [*STREAM_HEADERS, (b"x-turnout-request-id", request_id), (b"x-request-id", request_id)]
        return KeepAlive(send, early, lambda: self.early_encoder(exchange).keep_alive(), self._keep_alive_s)


class _Stream:
    """One streamed answer."""

    __slots__ = ("_answer", "_exchange", "_opened", "_send")

    def __init__(self, answer: Answer, opened: Opened, send: Send) -> None:
        self._answer = answer
        self._opened = opened
        self._exchange = opened.exchange
        self._send = send

    async def run(self) -> None:
        beat = self._answer.keep_alive(self._exchange, self._send)
        try:
            async with self._opened as reply:
                await beat.start_with([*STREAM_HEADERS, *self._answer.head(self._exchange, reply)])
                last = await (self._pass(reply, beat) if reply.express else self._encode(reply, beat))
        except TurnoutError as error:
            if not beat.started:
                raise
            last = self._answer.early_encoder(self._exchange).fail(error, self._blank())
        finally:
            beat.stop()
        if isinstance(last, Closing):
            last = last.close(self._answer, self._exchange)
        await self._send({"type": "http.response.body", "body": last})

    def _blank(self) -> Summary:
        return Summary(
            request_id=self._exchange.ask.request_id, model=self._exchange.request.model, created=int(time())
        )

    async def _pass(self, reply: Reply, beat: KeepAlive) -> bytes:
        """Pass the upstream's frames; return the piece that ends the stream."""
        held = b""
        try:
            async for frames in reply.frames():
                if held:
                    await beat.send(held)
                    held = b""
                if reply.ended:
                    held = frames
                else:
                    await beat.send(frames)
        except TurnoutError as error:
            return held + self._answer.encoder(self._exchange, reply).fail(
                error, self._answer.summary(self._exchange, reply, final=False)
            )
        return held

    async def _encode(self, reply: Reply, beat: KeepAlive) -> "bytes | Closing":
        """Write the events in the client's dialect; return the writer that will end the stream."""
        encoder = self._answer.encoder(self._exchange, reply)
        beat.frame = encoder.keep_alive
        try:
            async for events in reply.events():
                frames = encoder.feed(events)
                if frames:
                    await beat.send(frames)
        except TurnoutError as error:
            return encoder.fail(error, self._answer.summary(self._exchange, reply, final=False))
        return Closing(encoder, reply)


class Closing:
    """A stream that ended well and waits for its closing frames, which name the settled cost."""

    __slots__ = ("_encoder", "_reply")

    def __init__(self, encoder: StreamEncoder, reply: Reply) -> None:
        self._encoder = encoder
        self._reply = reply

    def close(self, answer: Answer, exchange: Exchange) -> bytes:
        """Return the closing frames."""
        return self._encoder.end(self._reply.usage, answer.summary(exchange, self._reply, final=True))


def total_cost(attempts: list[Attempt]) -> tuple[int | None, CostState]:
    """Sum what all attempts cost; the state is the weakest of theirs."""
    total, state = 0, "exact"
    billed = [a for a in attempts if a.usage is not None]
    if not billed:
        return (
            (0, "exact") if attempts and all(a.outcome == "failed" for a in attempts) else (None, "unknown")
        )
    for attempt in billed:
        if attempt.cost_nusd is None:
            return None, "unknown"
        total += attempt.cost_nusd
        if attempt.cost_state == "estimated":
            state = "estimated"
    return total, "estimated" if state == "estimated" else "exact"


def usd(nano: int) -> str:
    """Write nano-USD as decimal USD with at most nine places."""
    whole, rest = divmod(nano, 1_000_000_000)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def error_headers(error: TurnoutError, request_id: str) -> RawHeaders:
    """Return the headers that tell a client what to do with a failure."""
    rid = request_id.encode()
    headers: RawHeaders = [
        (b"x-turnout-request-id", rid),
        (b"x-request-id", rid),
        (b"x-turnout-error-class", error.row.word.encode()),
    ]
    wait = error.retry_after_s
    if wait is not None:
        headers.append((b"retry-after", b"%d" % max(1, -int(-wait // 1))))
        headers.append((b"retry-after-ms", b"%d" % int(wait * 1000)))
    headers.append((b"x-should-retry", b"true" if should_retry(error) else b"false"))
    return headers


def should_retry(error: TurnoutError) -> bool:
    """Tell whether the same request may succeed if the client sends it again."""
    if error.upstream is not None and error.upstream.should_retry is not None:
        return error.upstream.should_retry
    return error.row.status in {429, 502, 503, 504} and error.row.word != "quota_exceeded"


def _full(exchange: Exchange) -> JsonObject | None:
    decision = exchange.full_decision()
    return None if decision is None else msgspec.to_builtins(decision)
