"""A strategy of your own: a pure function from candidates to a plan, registered by name, used in a route."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan
from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig, RouteConfig
from turnout.registry import register
from turnout.strategies.base import Choice, Context, Draw
from turnout.sync import Client
from turnout.types.deployment import Candidate
from turnout.types.secret import Secret


class ShortToSmall(Struct, frozen=True, tag="short_to_small"):
    """Asks the cheapest model where the question is short, the dearest where it is long."""

    limit: int = 50
    """Tokens up to which a question is short."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "short_to_small"

    @property
    def needs(self) -> frozenset[str]:
        """Signals it reads: none."""
        return frozenset()

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return the order in which to ask."""
        is_long = context.n_tokens_in > self.limit
        ordered = sorted(candidates, key=_price, reverse=is_long)
        return Choice(plan=plan.Sequence(tuple(plan.Try(c.id) for c in ordered)), reason="rule_matched")


def _price(candidate: Candidate) -> int:
    return price.output if (price := candidate.deployment.model.price) else 0


register("turnout.strategies", "short_to_small", ShortToSmall)

MODELS = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")
CONFIG = Config(
    providers={name: ProviderConfig(secret=Secret("not used")) for name in ("openai", "anthropic")},
    models=tuple(ModelConfig(model=name) for name in MODELS),
    routes=(RouteConfig(name="mine", models=MODELS, strategy={"type": "short_to_small", "limit": 20}),),
    journal=JournalConfig(enabled=False),
)


with Client(CONFIG) as client:
    for question in ("Hello!", "Compare the two drafts. " * 20):
        decision = client.explain(question, model="turnout/mine")
        print(f"about {decision.input.n_tokens} tokens: ask {' then '.join(decision.chosen)}")
