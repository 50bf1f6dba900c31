"""How the gateway listens and what it accepts. Floor 6."""

from msgspec import Struct

from turnout.types.principal import Principal
from turnout.types.secret import Secret


class GatewayKey(Struct, frozen=True, kw_only=True):
    """A key clients may present, as configured."""

    secret: Secret
    principal: Principal
    """Who presents it."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Limits and keys of one gateway process."""

    max_body_bytes: int = 32 * 1024 * 1024
    max_open: int = 4096
    """Requests served at once; further ones are answered 503."""
    keep_alive_s: float = 15.0
    """A stream silent for this long gets a keep-alive frame."""
    max_streams_per_key: int = 64
    """Streams one key may have open; further ones are answered 503."""
    behind_proxy: bool = False
    """Client addresses are all the proxy's: nothing is counted by address."""
    keys: tuple[GatewayKey, ...] = ()
    """Empty = no authentication: loopback only."""
