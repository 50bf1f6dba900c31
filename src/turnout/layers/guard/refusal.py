"""An answer in nobody's name: a request that a guard blocked, ended as a model's refusal would. Floor 4."""

from typing import Final

from turnout.engine.exchange import Exchange
from turnout.engine.reply import Reply, WholeReply
from turnout.types.chat import ChatResponse, Choice
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.record import Asked, CertificateView, Decision, InputView, Reason
from turnout.types.usage import Usage

NOBODY: Final = Deployment(
    id="turnout/guard",
    vendor=Vendor(name="turnout", base_url="", codec="", auth="none"),
    model=Model(id="turnout/guard"),
    upstream_model="guard",
)
"""Who answers a request that goes to no model."""


class _Nowhere:
    """The decision not to ask anybody."""

    route: str = "none"
    strategy: str = "guard"
    reason: Reason = "rewritten_by_policy"
    n_tokens_reference: int = 0
    certificate: CertificateView | None = None

    def decision(self, exchange: Exchange) -> Decision:
        """Write the Decision."""
        ask = exchange.ask
        return Decision(
            decision_id="dec_" + ask.request_id[4:],
            route=self.route,
            strategy=self.strategy,
            asked=Asked(
                endpoint=ask.endpoint, dialect=ask.dialect, model=exchange.request.model, source="guard"
            ),
            input=InputView(n_tokens=0, n_tokens_source="none"),
            candidates=(),
            plan=None,
            kind="single",
            chosen=(),
            reason=self.reason,
        )

    def written(self, exchange: Exchange) -> Decision:
        """Return it to be encoded."""
        return self.decision(exchange)


def refused(exchange: Exchange) -> Reply:
    """Return an empty answer that ends with `content_filter`."""
    exchange.routing = _Nowhere()
    choice = Choice(parts=(), finish="content_filter")
    answer = ChatResponse(
        id="guard_" + exchange.ask.request_id[4:],
        model=NOBODY.model.id,
        choices=(choice,),
        usage=Usage(input_uncached=0, output_text=0),
    )
    exchange.reply = reply = WholeReply(NOBODY, answer)
    return reply
