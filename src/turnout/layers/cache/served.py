"""The decision to ask nobody, because the answer is there. Floor 4."""

from turnout.engine.exchange import Exchange
from turnout.types.chat import ChatRequest
from turnout.types.record import Asked, CertificateView, Decision, InputView, Reason


class Served:
    """What the Record says of a request that was answered from the cache."""

    __slots__ = ("_deployment", "_source", "route")
    strategy: str = "cache"
    reason: Reason = "cache_hit"
    n_tokens_reference: int = 0
    certificate: CertificateView | None = None

    def __init__(self, route: str, source: str, deployment: str) -> None:
        self.route = route
        self._source = source
        self._deployment = deployment

    def decision(self, exchange: Exchange) -> Decision:
        """Write the Decision."""
        ask, request = exchange.ask, exchange.request
        facts = request.facts
        chat = request if isinstance(request, ChatRequest) else None
        return Decision(
            decision_id="dec_" + ask.request_id[4:],
            route=self.route,
            strategy=self.strategy,
            asked=Asked(endpoint=ask.endpoint, dialect=ask.dialect, model=request.model, source=self._source),
            input=InputView(
                n_tokens=0,
                n_tokens_source="none",
                max_tokens_out=None if chat is None else chat.max_tokens,
                modalities=tuple(sorted(facts.modalities)),
                n_tools=facts.n_tools,
                structured=bool(facts.structured),
                stream=chat is not None and chat.stream,
                n_messages=facts.n_messages,
            ),
            candidates=(),
            plan=None,
            kind="cached",
            chosen=(self._deployment,),
            reason=self.reason,
        )

    def written(self, exchange: Exchange) -> Decision:
        """Return it to be encoded."""
        return self.decision(exchange)
