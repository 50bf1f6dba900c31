"""What a configuration says about guards. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.guards.base import Mode, Source, Stage
from turnout.types.json import Json
from turnout.types.secret import Secret


class GuardConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One guard at its place. Routes, surfaces and keys name it; order is that of this list."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    guard: dict[str, Json]
    """What is looked for: `type` and the fields of that guard."""
    mode: Mode = "block"
    """What a finding leads to: the request is refused, the place is replaced, the request is marked, or only
    the Record tells."""
    stages: tuple[Stage, ...] | None = None
    """None = wherever the guard can stand."""
    sources: tuple[Source, ...] | None = None
    """None = every text."""
    everywhere: bool = False
    """Applies to every request, whatever names it."""
    teams: tuple[str, ...] = ()
    """Teams whose requests it applies to."""
    on_failure: Literal["closed", "open"] = "closed"
    """What happens when a guard that asks a model or an address gets no answer."""
    provider: str | None = None
    """Whose address and credential a guard uses that asks a provider."""
    secret: Secret | None = None
    """Sent as a bearer token by a guard that asks an address."""


class GuardsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks of what goes to models and what comes back."""

    rules: tuple[GuardConfig, ...] = ()
    """Asked in this order; the first that blocks ends the round."""
    block_as: Literal["error", "refusal"] = "error"
    """How a blocked request ends: 403, or 200 with `finish_reason: content_filter`."""
    max_chars: Annotated[int, Meta(ge=1_000, le=32_000_000)] = 4_000_000
    """Characters of one request that are looked at; a longer one is refused where a guard applies."""
