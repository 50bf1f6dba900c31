"""Tells the pacers what requests cost. Floor 4."""

from types import TracebackType

from turnout.engine.pace import Pacers
from turnout.layers.base import Clock, Exchange, Handler, Inner, Reply, conclude


class SpendLayer:
    """Adds up what was spent by route. Outermost, so that everything is settled when it looks."""

    __slots__ = ("clock", "pacers")

    def __init__(self, pacers: Pacers, clock: Clock) -> None:
        self.pacers = pacers
        self.clock = clock

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where no route is paced."""
        if not self.pacers:
            return inner
        return lambda exchange: _Spending(self, inner(exchange), exchange)


class _Spending:
    __slots__ = ("_exchange", "_inner", "_layer")

    def __init__(self, layer: SpendLayer, inner: Inner, exchange: Exchange) -> None:
        self._layer = layer
        self._inner = inner
        self._exchange = exchange

    async def __aenter__(self) -> Reply:
        try:
            return await self._inner.__aenter__()
        except BaseException as error:
            self._tell(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        exchange, layer = self._exchange, self._layer
        if exchange.routing is None:
            return
        cost = conclude(exchange, error, layer.clock()).cost_nusd
        if cost:
            layer.pacers.spend(exchange.routing.route, exchange.at, cost * 1e-9, exchange.ask.request_id)
