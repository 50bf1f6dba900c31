"""Rows of `server.keys`: keys that stand in the file. Floor 5."""

from ipaddress import ip_network
from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.types.secret import Secret

Name = Annotated[str, Meta(min_length=1)]


class KeyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that clients present to the gateway."""

    name: Name
    secret: Secret
    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    default_route: str | None = None
    role: Literal["call", "viewer", "operator", "admin", "owner", "scrape"] = "call"
    """`admin` may also change what the gateway knows, such as benchmark scores."""
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    customer: str | None = None
    """The end customer whose key it is."""
    names_customers: bool = False
    """Whether the end user named in a request is believed, and counted as the customer."""
    tags: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """Names of routes it may use; empty = all, and models by name."""
    endpoints: tuple[
        Literal[
            "chat",
            "embeddings",
            "rerank",
            "images",
            "audio",
            "moderations",
            "models",
            "explain",
            "recommend",
            "feedback",
            "background",
            "files",
            "batches",
            "passthrough",
            "realtime",
            "mcp",
            "usage",
        ],
        ...,
    ] = ()
    """What it may call; empty = everything."""
    networks: tuple[str, ...] = ()
    """Address ranges it may be used from, such as 10.0.0.0/8; empty = anywhere."""
    guards: tuple[str, ...] = ()
    """Guards of every request with this key, by name."""

    def __post_init__(self) -> None:
        for network in self.networks:
            ip_network(network)
