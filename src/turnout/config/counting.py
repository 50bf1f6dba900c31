"""The section `counting`: who counts the tokens of a request that is not sent. Floor 5."""

from typing import Annotated

from msgspec import Meta, Struct


class CountingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`count_tokens` and its kin: by the gateway, or by the provider that would be asked."""

    providers: tuple[str, ...] = ()
    """Names under `providers` whose own counters are asked; empty = tokens are reckoned here."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Wait for a counter, after which the gateway's own estimate is told."""
