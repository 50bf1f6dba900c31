"""The section `quality`: samples of live answers that another model judges. Floor 5."""

from typing import Annotated

from msgspec import Meta, Struct

Share = Annotated[float, Meta(gt=0, le=1)]
Name = Annotated[str, Meta(min_length=1)]


class SampleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which answers of one route are judged, and by whom."""

    route: Name
    share: Share = 0.01
    """Of its requests, drawn by the hash of their id."""
    judges: tuple[Name, ...]
    """Models or deployments; the first of another provider than the answer's judges it. It is sent question
    and answer."""
    rubric: Annotated[str, Meta(min_length=1, max_length=8000)] | None = None
    """What a good answer is, in words; None = correct, complete, and does what the question asks."""
    against: Name | None = None
    """Model or deployment that answers too: the two are compared, in both orders. None = a grade alone."""
    same_vendor: bool = False
    """Whether a judge may be of the answer's provider: models favour their own kin."""
    earlier_chars: Annotated[int, Meta(ge=0, le=16_000)] = 4_000
    """Of what was said before the last question, the latest; only where the text of requests is stored
    (`store_content`), elsewhere and with 0 the judge sees the last question alone."""


class QualityConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of live traffic is judged, in the background, for how much."""

    samples: tuple[SampleConfig, ...] = ()
    budget_usd: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    """Of all judging, a UTC day; what is drawn beyond is left out and counted."""
    max_running: Annotated[int, Meta(ge=1, le=64)] = 2
