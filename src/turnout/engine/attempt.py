"""One attempt: encode, send, decode. Floor 4.

Theory of operation.
1. Entering sends the request and waits until the first *content* is in hand; then the reply exists and
   the attempt is committed. Everything before that is an ordinary exception: retry and fallback may follow.
2. The express track is taken when the client's dialect is the upstream's wire format, no layer replaced
   the request, and nothing is to be written into the answer (the `turnout` object, the requested model):
   the client's JSON goes out, the upstream's bytes come back, a `Tap` reads along.
3. Leaving closes the response; a response read to its end gives its connection back to the pool.
4. Nothing here waits without a limit: connect, first byte, idle and total are enforced by the transport,
   and frames without content (comments, pings, role-only chunks) do not extend the first-content limit.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from turnout.codecs.base import Codec, Decoder, Encoded, Tap
from turnout.codecs.hosts import compose
from turnout.engine.collect import Collector
from turnout.engine.exchange import Call, Clock
from turnout.engine.reply import Reply, VectorsReply, WholeReply
from turnout.engine.session import SessionAttempt
from turnout.engine.tapped import TappedReply
from turnout.engine.tasks import perform
from turnout.errors import ProviderBadResponse, TimeoutTtft, TurnoutError, UnsupportedParameter
from turnout.transport.base import Authorise, Prepared, Response, Transport, Upgrades
from turnout.transport.rotation import Rotation
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment, Host
from turnout.types.embed import EmbedRequest
from turnout.types.event import Event, Finish, NativeDelta, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.task import TaskRequest

if TYPE_CHECKING:
    from turnout.transport.upgrade import Upgraded

COMMITS = (TextDelta, ToolDelta, ReasoningDelta, RefusalDelta, NativeDelta, Finish)
"""Events that carry content, or say that there will be none."""


class Upstreams:
    """Everything an attempt needs from outside: codecs by name, the network, credentials, the clock."""

    __slots__ = ("_authorise", "_codecs", "_hosted", "_prepared", "_traced", "_transport", "clock")

    def __init__(
        self,
        codecs: Mapping[str, Codec],
        transport: Transport,
        authorise: Mapping[str, Authorise],
        clock: Clock,
        traced: frozenset[str] = frozenset(),
    ) -> None:
        self._codecs, self._traced = codecs, traced  # providers that are told the trace; "*" = all
        self._transport, self.clock = transport, clock
        self._authorise = authorise
        """Deployment id -> credential headers; absent = none."""
        self._prepared = {name: each for name, each in authorise.items() if isinstance(each, Prepared)}
        self._hosted: dict[tuple[Host, str], Codec] = {}

    def codec(self, deployment: Deployment) -> Codec:
        """Return the codec of a deployment's wire format, in its host's envelope."""
        vendor = deployment.vendor
        if vendor.host is None:
            return self._codecs[vendor.codec]
        key = (vendor.host, vendor.codec)
        if key not in self._hosted:
            self._hosted[key] = compose(vendor.host, self._codecs[vendor.codec])
        return self._hosted[key]

    def send(self, encoded: Encoded, call: Call) -> Awaitable[Response]:
        """Send with the deployment's credential; wait for the head of the answer."""
        http, name, ask = encoded.http, call.deployment.id, call.exchange.ask
        if ask.hops is not None or call.exchange.trace is not None:
            http = self._told(http, call)
        if name in self._prepared:
            return self._when_prepared(http, call, self._prepared[name])
        authorise = self._authorise.get(name)
        if isinstance(authorise, Rotation):
            return self._in_turn(http, call, authorise)
        return self._transport.send(http, call.timeouts, authorise)

    async def _when_prepared(self, http: HttpRequest, call: Call, authorise: Prepared) -> Response:
        await authorise.prepare(self._transport)
        return await self._transport.send(http, call.timeouts, authorise)

    def _told(self, http: HttpRequest, call: Call) -> HttpRequest:
        hops, trace = call.exchange.ask.hops, call.exchange.trace
        more: tuple[tuple[bytes, bytes], ...] = () if hops is None else ((b"x-turnout-hop", hops),)
        if trace is not None and not self._traced.isdisjoint((call.deployment.vendor.name, "*")):
            more += trace.headers(call.n)
        return HttpRequest(http.method, http.url, (*http.headers, *more), http.body) if more else http

    async def _in_turn(self, http: HttpRequest, call: Call, rotation: Rotation) -> Response:
        """Send with the credential whose turn it is, and with the next where the vendor refuses it."""
        while True:
            standing, authorise = rotation.turn()
            if isinstance(authorise, Prepared):
                await authorise.prepare(self._transport)
            response = await self._transport.send(http, call.timeouts, authorise)
            if not rotation.heard(standing, response.status):
                return response
            response.close()

    async def upgrade(self, http: HttpRequest, call: Call, max_message: int) -> "Upgraded":
        """Ask for a WebSocket with the deployment's credential, or the one whose turn it is."""
        transport, name = self._transport, call.deployment.id
        if not isinstance(transport, Upgrades):
            raise UnsupportedParameter("sessions cannot be opened through egress.proxy or egress.http2")
        http, authorise = self._told(http, call), self._authorise.get(name)
        while True:
            standing, one = authorise.turn() if isinstance(authorise, Rotation) else (None, authorise)
            if isinstance(one, Prepared):
                await one.prepare(transport)
            found = await transport.upgrade(http, call.timeouts, one, max_message)
            if not isinstance(authorise, Rotation) or standing is None:
                return found
            if not authorise.heard(standing, found.response.status):
                return found

    def failure(self, call: Call, response: HttpResponse) -> TurnoutError:
        """Return what an upstream's refusal to open a session means."""
        if response.status // 100 in (4, 5):
            return self.codec(call.deployment).error(response)
        return ProviderBadResponse(f"the upstream answered {response.status} where a session was to begin")

    def open(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Return the attempt; the innermost `CallHandler`."""
        return SessionAttempt(self, call) if call.request.facts.realtime else _Attempt(self, call)


class _Attempt:
    __slots__ = ("_call", "_response", "_upstreams")

    def __init__(self, upstreams: Upstreams, call: Call) -> None:
        self._upstreams = upstreams
        self._call = call
        self._response: Response | None = None

    async def __aenter__(self) -> Reply:
        try:
            return await self._enter()
        except BaseException:
            if self._response is not None:
                self._response.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()

    async def _enter(self) -> Reply:
        call = self._call
        request = call.request
        codec = self._upstreams.codec(call.deployment)
        if isinstance(request, EmbedRequest):
            return await self._vectors(codec, request)
        if isinstance(request, TaskRequest):
            reply = await perform(codec, request, call, self._noted, self._check_first_content)
            self._commit()
            return reply
        exchange = call.exchange
        wire = exchange.ask.wire
        express = (
            wire is not None
            and wire.format == codec.wire
            and request is exchange.original
            and exchange.ask.explain == "none"
            and not exchange.policy.echo_model
        )
        if express and wire is not None:
            encoded = codec.forward(wire, call.deployment, stream=request.stream)
        else:
            encoded = codec.encode(request, call.deployment)
        if encoded.dropped or encoded.warnings:
            self._note(encoded)
        response = self._response = await self._upstreams.send(encoded, call)
        status = call.status = response.status
        if status // 100 != 2:
            raise codec.error(HttpResponse(status, response.headers, await response.read()))
        if request.stream and not response.headers.get("content-type", "").startswith("application/json"):
            if express:
                return await self._tapped(response, codec.tap(strip_usage=not request.include_usage))
            return await self._decoded(response, codec.decoder())
        return self._whole(codec, HttpResponse(status, response.headers, await response.read()), express)

    async def _send(self, encoded: Encoded) -> Response:
        response = self._response = await self._upstreams.send(encoded, self._call)
        self._call.status = response.status
        return response

    def _note(self, encoded: Encoded) -> None:
        exchange = self._call.exchange
        if encoded.dropped:
            if exchange.policy.reject_unsupported:
                names = ", ".join(encoded.dropped)
                raise UnsupportedParameter(f"{names}: not supported by {self._call.deployment.model.id}")
            exchange.dropped = encoded.dropped
        if encoded.warnings:
            exchange.warnings.extend(encoded.warnings)

    async def _vectors(self, codec: Codec, request: EmbedRequest) -> Reply:
        encoded = codec.encode_embed(request, self._call.deployment)
        self._note(encoded)
        response = await self._send(encoded)
        http = HttpResponse(response.status, response.headers, await response.read())
        if http.status // 100 != 2:
            raise codec.error(http)
        reply = VectorsReply(self._call.deployment, codec.decode_embed(http))
        self._commit()
        return reply

    async def _noted(self, encoded: Encoded) -> Response:
        self._note(encoded)
        return await self._send(encoded)

    def _whole(self, codec: Codec, http: HttpResponse, express: bool) -> Reply:
        call = self._call
        reply: Reply
        if express and not (isinstance(call.request, ChatRequest) and call.request.stream):
            glance = codec.glance(http)
            reply = ExpressReply(call.deployment, glance.body)
            reply.usage = glance.usage
            reply.finish = glance.finish
            reply.upstream_id = glance.upstream_id
            reply.upstream_model = glance.model
            if glance.usage.output_text is None:
                reply.n_text = len(glance.body)
        else:
            reply = WholeReply(call.deployment, codec.decode(http))
        call.committed_at = self._upstreams.clock()
        return reply

    async def _tapped(self, response: Response, tap: Tap) -> Reply:
        held = b""
        while not (tap.has_content or tap.done):
            data = await response.chunk()
            held += tap.feed(data) if data else tap.end()
            self._check_first_content()
            if not data and not tap.has_content and not tap.done:
                raise ProviderBadResponse("the upstream's stream ended without content")
        self._commit()
        return TappedReply(self._call.deployment, response, tap, held)

    async def _decoded(self, response: Response, decoder: Decoder) -> Reply:
        held: list[Event] = []
        while True:
            data = await response.chunk()
            events = decoder.feed(data) if data else decoder.end()
            held += events
            if any(isinstance(event, COMMITS) for event in events):
                break
            if not data:
                raise ProviderBadResponse("the upstream's stream ended without content")
            self._check_first_content()
        self._commit()
        return DecodedReply(self._call.deployment, response, decoder, held)

    def _check_first_content(self) -> None:
        limit = self._call.timeouts.first_byte_s
        if limit is not None and self._upstreams.clock() - self._call.started > limit:
            raise TimeoutTtft(f"no content within {limit:g} s from {self._call.deployment.model.id}")

    def _commit(self) -> None:
        self._call.committed_at = self._upstreams.clock()


class ExpressReply(Reply):
    """A complete answer that passes through as bytes."""

    __slots__ = ("_body",)

    def __init__(self, deployment: Deployment, body: bytes) -> None:
        super().__init__(deployment, express=True)
        self._body = body
        self.done = True

    def body(self) -> bytes:
        """Return the upstream's own body."""
        return self._body

    async def response(self) -> ChatResponse:
        """Refuse: an express reply is read as bytes."""
        raise TypeError("an express reply has body(), not response()")

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: an express reply is read as bytes."""
        raise TypeError("an express reply has body(), not events()")


class DecodedReply(Reply):
    """A stream that is decoded into events."""

    __slots__ = ("_decoder", "_held", "_response")

    def __init__(
        self, deployment: Deployment, response: Response, decoder: Decoder, held: list[Event]
    ) -> None:
        super().__init__(deployment)
        self._response = response
        self._decoder = decoder
        self._held = held

    def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events; the batch that committed comes first."""
        return self

    def __aiter__(self) -> "DecodedReply":
        return self

    async def __anext__(self) -> list[Event]:
        if self._held:
            events, self._held = self._held, []
            self._saw(events)
            return events
        while not self.done:
            try:
                data = await self._response.chunk()
                events = self._decoder.feed(data) if data else self._decoder.end()
            except TurnoutError as error:
                self.failure = error
                raise
            if not data:
                self.done = True
            if events:
                self._saw(events)
                return events
        raise StopAsyncIteration

    async def response(self) -> ChatResponse:
        """Read the stream to its end and return the complete answer."""
        collector = Collector()
        async for events in self:
            collector.add(events)
        return collector.response()
