"""`cost`: what a call is expected to cost. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct, field

from turnout.strategies.base import Context, Role, expected_nusd
from turnout.types.deployment import Candidate

NAN = float("nan")


class Cost(Struct, frozen=True, tag="cost", kw_only=True, forbid_unknown_fields=True):
    """Minus the expected USD. An unknown price has no number: it is not zero."""

    lambda_: float = field(default=1.0, name="lambda")
    """Quality that one USD is worth."""
    unknown_usd: float | None = None
    """What a call is reckoned at whose price is not known; None = it has no number, and is asked last."""

    def __post_init__(self) -> None:
        if self.unknown_usd is not None and not 0 <= self.unknown_usd < float("inf"):
            raise ValueError(f"unknown_usd is {self.unknown_usd}; expected a number of at least 0")
        if not 0 <= self.lambda_ < float("inf"):
            raise ValueError(f"lambda is {self.lambda_}; expected a number of at least 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "cost"

    @property
    def role(self) -> Role:
        """Its weight is λ."""
        return "cost"

    @property
    def weight(self) -> float:
        """λ."""
        return self.lambda_

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return minus the expected USD of each call."""
        unknown = NAN if self.unknown_usd is None else -self.unknown_usd
        if context.tokens_in or context.tokens_out:
            costs = [expected_nusd(context, c.deployment) for c in candidates]
            return [unknown if nusd is None else nusd * -1e-9 for nusd in costs]
        n_in, n_out, found = context.n_tokens_in, context.n_tokens_out, list[float]()
        for candidate in candidates:
            price = candidate.deployment.model.price
            if price is None:
                found.append(unknown)
            elif price.tiers or price.per_request:
                found.append((expected_nusd(context, candidate.deployment) or 0) * -1e-9)
            else:
                found.append(-(-(n_in * price.input + n_out * price.output) // 1000) * -1e-9)
        return found
