"""How the gateway listens and what it accepts. Floor 6."""

from msgspec import Struct

from turnout.config import Config, KeyConfig
from turnout.config.mcp import McpConfig
from turnout.config.realtime import RealtimeConfig
from turnout.config.responses import ResponsesConfig
from turnout.govern.directory import ADMIN_ONLY
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
    realtime: RealtimeConfig = RealtimeConfig()
    mcp: McpConfig = McpConfig()
    responses: ResponsesConfig = ResponsesConfig()
    admin_apart: bool = False
    """Administration has a listener of its own, and is not served beside the data plane."""
    keys: tuple[GatewayKey, ...] = ()
    """None that may call, here or at the desk = no authentication: loopback only."""


def settings_of(config: Config) -> ServerSettings:
    """Return what the data plane needs of the configuration."""
    server = config.server
    keys = [GatewayKey(secret=key.secret, principal=_principal(key)) for key in server.keys]
    if config.desk is not None and config.desk.owner_token is not None:
        owner = Principal(key_id="owner", role="owner", endpoints=ADMIN_ONLY)
        keys.append(GatewayKey(secret=config.desk.owner_token, principal=owner))
    return ServerSettings(
        max_body_bytes=int(server.max_body_mib * 1024 * 1024),
        max_open=server.max_open,
        keep_alive_s=server.keep_alive_s,
        max_streams_per_key=server.max_streams_per_key,
        behind_proxy=server.behind_proxy,
        admin_apart=config.admin.listen is not None,
        realtime=config.realtime,
        mcp=config.mcp,
        responses=config.responses,
        keys=tuple(keys),
    )


def _principal(key: KeyConfig) -> Principal:
    return Principal(
        key_id=key.name,
        role=key.role,
        organisation=key.organisation,
        project=key.project,
        team=key.team,
        customer=key.customer,
        names_customers=key.names_customers,
        tags=key.tags,
        allow=key.allow,
        default_route=key.default_route,
        routes=key.routes,
        # One with role admin may call, too, as before there were other roles; those that came later may not.
        endpoints=key.endpoints if key.role in ("call", "admin") else ADMIN_ONLY,
        networks=key.networks,
    )
