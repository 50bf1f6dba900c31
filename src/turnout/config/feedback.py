"""The section `feedback`: what is taken in about answers, and how much of it. Floor 5."""

from typing import Annotated

from msgspec import Meta, Struct

AtLeastOne = Annotated[int, Meta(ge=1)]


class FeedbackConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Feedback is kept beside the journal, as long as the Records it is about."""

    per_minute: AtLeastOne = 120
    """Words that one key may say a minute."""
    per_day: AtLeastOne = 20_000
    max_age_days: Annotated[int, Meta(ge=1, le=36_500)] = 30
    """Older requests take no feedback from clients."""
    quarantine_h: Annotated[float, Meta(ge=0, le=8760)] = 24
    """Words of clients and sessions count towards calibration only after this long: time to look at them."""
    max_share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """Largest share of one key in what a calibration goes by."""
    implicit: bool = False
    """Whether signs of displeasure are looked for in the next requests of a session: the same asked again,
    asked in other words, corrected. In memory, without text; reads the words of every request."""
