"""The section `mcp`: the gateway as a tool server. Floor 5."""

from msgspec import Struct


class McpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/mcp`: agents ask where a request would go, and what they have spent."""

    enabled: bool = False
    origins: tuple[str, ...] = ()
    """Web pages that may ask, such as `https://app.example.com`; programs name no origin."""
