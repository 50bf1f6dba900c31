"""The section `passthrough`: endpoints of providers that the gateway does not know. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class PassthroughConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/{provider}/…` goes to that provider with the operator's credential.

    Nothing is chosen, nothing is read but what it cost. Only for keys whose `endpoints` name `passthrough`.
    """

    vendors: tuple[str, ...] = ()
    """Names under `providers`; empty = off."""
    paths: tuple[str, ...] = ()
    """Globs over the path beneath the provider's address, such as `assistants*`; empty = none."""
    methods: tuple[Method, ...] = ("GET", "POST")
    max_body_mib: Annotated[float, Meta(gt=0, le=1024)] = 32
    """Of a request."""

    def __post_init__(self) -> None:
        for name in self.vendors:
            if not name or "/" in name or name in TAKEN:
                raise ValueError(f"vendors: {name!r} cannot be the beginning of a path here")


TAKEN = frozenset({"v1", "v1beta", "v2", "api", "admin", "auth", "livez", "readyz", "metrics"})
"""Beginnings of paths of our own."""
