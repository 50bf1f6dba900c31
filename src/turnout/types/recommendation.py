"""What a recommender is asked and what it says: which models suit a request, best first. Floor 0."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from turnout.types.json import Json
from turnout.types.record import CostView, Decision, Quantiles

Count = Annotated[int, Meta(ge=0, le=100_000_000)]


class Features(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request described by numbers, so that its words need not leave who holds them."""

    tokens_in: Count
    tokens_out: Count | None = None
    """Expected; None = the declared default."""
    max_tokens: Count | None = None
    """Limit the caller would set."""
    modalities: frozenset[str] = frozenset()
    """Subset of image, audio, video, document."""
    n_tools: Count = 0
    structured: bool = False
    """Whether the answer must follow a JSON schema."""
    stream: bool = True
    language: str | None = None
    embedding: tuple[float, ...] | None = None
    """Computed by the caller with the encoder that the route's strategy names."""
    signals: Mapping[str, Json] = {}
    """Signal name -> value computed by the caller (`complexity`, …)."""


class Constraints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what may be recommended. None = no bound."""

    max_cost_usd: Annotated[float, Meta(ge=0)] | None = None
    """Worst case of one call."""
    max_ttft_ms: Annotated[float, Meta(gt=0)] | None = None
    """Observed 95th percentile of the time to the first content."""
    min_quality: Annotated[float, Meta(ge=0, le=1)] | None = None
    regions: tuple[str, ...] = ()


class Ranked(Struct, frozen=True, kw_only=True):
    """One model that could serve the request. None = not known."""

    rank: int
    """From 1."""
    id: str
    """Deployment."""
    model: str
    q: float | None
    """Predicted quality."""
    sd: float | None
    """Standard deviation of `q`."""
    cost_nusd: CostView
    ttft_s: Quantiles
    utility: float | None
    reasons: tuple[str, ...]
    """Closed words. Of the first: the decision's reason. Of the others: `lower_utility`, `next_choice` or
    `below_min_quality`. Of any: `best_quality`, `cheapest`, `soonest` among the ranked; `quality_unknown`,
    `price_unknown`, `ttft_unknown`."""


class Recommendation(Struct, frozen=True, kw_only=True):
    """A decision that was not carried out, and the models in the order it prefers them."""

    schema: str = "turnout.recommendation/1"
    decision: Decision
    ranked: tuple[Ranked, ...]

    @property
    def model(self) -> str:
        """The model to ask first."""
        return self.ranked[0].model
