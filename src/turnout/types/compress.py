"""What a route lets be shortened, and what was. Floor 0."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Step = Literal["tidy", "tables", "trim", "compact", "repeats", "fit"]
"""Layout; lists of objects as tables; long tool results; earlier turns; what stands twice; the window."""
Wish = Literal["default", "off", "lossless", "fit"]
"""What one request asks: as the route says, nothing, only what loses nothing, or the window's limit too."""


class Compact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how earlier turns are replaced by their gist."""

    above_tokens: Annotated[int, Meta(ge=500)] = 16_000
    """Size of a conversation from which on its earlier turns are shortened."""
    keep_turns: Annotated[int, Meta(ge=2, le=1_000)] = 4
    """Turns at the end that stay whole, at least; up to twice as many: the border moves in steps of this."""
    to_tokens: Annotated[int, Meta(ge=50)] = 1_000
    """Size of what stands for them."""
    by: str = "extract"
    """`extract` = their sentences that say most about the last question; else the model (`provider/model`, or
    the id of a deployment) that writes a summary, as a call of its own."""


class CompressRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is shortened before a request goes out."""

    tidy: bool = True
    """White space of JSON and blank lines in tool results, and texts that stand twice: loses nothing."""
    tables: bool = False
    """Lists of like objects in JSON tool results as columns and rows: another shape, the same values."""
    tool_tokens: Annotated[int, Meta(ge=50)] | None = None
    """The longest tool result; of a longer one head, tail and the lines that tell of errors stay."""
    keep_tools: tuple[str, ...] = ()
    """Globs over names of tools whose results are left as they are, such as those that read files."""
    compact: Compact | None = None
    """Earlier turns; None = they stay."""
    fit: bool = False
    """Whether the middle of a conversation that is too long for every model of the pool is left out."""
    min_tokens: Annotated[int, Meta(ge=0)] = 500
    """A smaller request is not looked at."""


class Shortened(Struct, frozen=True):
    """What one step took away."""

    step: Step
    n_tokens: int
    """Fewer than before the step, as estimated for a decision."""
    n_places: int
    """Texts changed, or messages left out."""


class CompressView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a request was shortened: sizes, never text."""

    n_before: int
    """Input tokens as they came, estimated."""
    n_after: int
    steps: tuple[Shortened, ...] = ()
    """Those that changed something, in their order."""
    duration_s: float = 0.0
    why: str | None = None
    """What did not work out: a closed word (`summary_failed`, `still_too_long`)."""
