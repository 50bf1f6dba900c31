"""Tells the monitor how requests under a certificate ended, and has some answered twice. Floor 4.

1. Of each route with a certificate a uniform share of requests is drawn, by the hash of the request's id, so
   that neither the choice nor its outcome has a say in it.
2. Where the reference answered a drawn request, nothing was lost: 0, at no cost. Where another model did
   within the promise, its answer is kept and handed to the shadow, which has the reference answer too and
   both scored.
3. A drawn request is served on the canonical track: only there is the answer something that can be scored.
4. What ended outside the promise, or not at all, is no part of the sequence the monitor watches.
"""

import zlib
from collections.abc import Callable
from types import TracebackType

import msgspec

from turnout.engine.certified import Standings, ending_of
from turnout.engine.heard import Heard
from turnout.layers.base import Exchange, Handler, Inner, Reply
from turnout.types.chat import ChatRequest, ChatResponse

Shadow = Callable[[str, ChatRequest, ChatResponse], None]
"""Takes a route, a request and the answer it got; must not raise and must not block."""


def is_drawn(request_id: str, share: float) -> bool:
    """Tell whether a request is in a uniform share of all."""
    return zlib.crc32(b"shadow" + request_id.encode()) < share * 2**32


class CertifyLayer:
    """Feeds the monitor."""

    __slots__ = ("shadow", "standings")

    def __init__(self, standings: Standings, shadow: Shadow) -> None:
        self.standings = standings
        self.shadow = shadow

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where no route has a certificate."""
        if not self.standings:
            return inner
        return lambda exchange: _Certified(self, inner, exchange)

    @property
    def largest_share(self) -> float:
        """Share of the route that draws most: the route of a request is not known before it is served."""
        return self.standings.largest_share


class _Certified:
    __slots__ = ("_exchange", "_heard", "_inner", "_layer")

    def __init__(self, layer: CertifyLayer, handler: Handler, exchange: Exchange) -> None:
        self._layer = layer
        self._exchange = exchange
        self._heard: Heard | None = None
        if isinstance(exchange.request, ChatRequest) and is_drawn(
            exchange.ask.request_id, layer.largest_share
        ):
            exchange.request = msgspec.structs.replace(exchange.request)  # no longer the one that came
        self._inner: Inner = handler(exchange)

    async def __aenter__(self) -> Reply:
        reply = await self._inner.__aenter__()
        exchange = self._exchange
        standing = self._layer.standings.of("" if exchange.routing is None else exchange.routing.route)
        if standing is not None and is_drawn(exchange.ask.request_id, standing.permit.shadow_share):
            reply = self._heard = Heard(reply)
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._tell()

    def _tell(self) -> None:
        exchange, layer, heard = self._exchange, self._layer, self._heard
        routing = exchange.routing
        standing = None if routing is None else layer.standings.of(routing.route)
        if standing is None or routing is None or routing.certificate is None or exchange.explain_only:
            return
        ending = ending_of(exchange, standing.permit)
        if ending is None:
            return
        exchange.certified = routing.certificate.uncertified or ending
        layer.standings.hear(routing.route, exchange.attempts)
        layer.standings.note(routing.route, routing.certificate, ending)
        if heard is None or heard.failure is not None:
            return
        if ending == "reference":
            layer.standings.lose(routing.route, 0.0)
        elif ending == "routed" and heard.answer is not None and isinstance(exchange.original, ChatRequest):
            layer.shadow(routing.route, exchange.original, heard.answer)
