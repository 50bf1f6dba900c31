"""Sockets, and what may be served on them. Floor 6."""

import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from turnout.config import Config
from turnout.errors import ConfigError
from turnout.types.deployment import Deployment

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound
BACKLOG = 2048
_PORTS = {"http": 80, "https": 443}


class Sockets(NamedTuple):
    """What a process listens on."""

    data: socket.socket
    metrics: socket.socket | None = None
    admin: socket.socket | None = None

    @property
    def all(self) -> tuple[socket.socket, ...]:
        """Those that there are."""
        return tuple(each for each in self if each is not None)


def check_bind(config: Config, *, has_keys: bool = False) -> None:
    """Refuse a bind that would serve strangers without a key or in clear (S-100).

    Args:
        config: What is to be served.
        has_keys: Whether the desk has keys.

    Raises:
        ConfigError: It must not be served like this.
    """
    server, listen = config.server, config.admin.listen
    has_keys = has_keys or bool(server.keys)
    _check_host("server", server.host, config, lets_in=has_keys)
    if listen is not None:
        # People who sign in through a provider reach administration, and nothing else.
        _check_host("admin.listen", listen.host, config, lets_in=has_keys or config.admin.oidc is not None)


def _check_host(section: str, host: str, config: Config, *, lets_in: bool) -> None:
    if host in LOOPBACK:
        return
    if not lets_in:
        problem = f"{section}.keys" if section == "server" else section
        raise ConfigError((f"{problem}: {host} is not loopback; add at least one key, or bind 127.0.0.1",))
    if config.server.tls is None and not config.server.behind_proxy:
        problem = f"server.tls: {host} is not loopback; give tls.cert and tls.key"
        raise ConfigError((f"{problem}, or set behind_proxy: true",))


def check_upstreams(deployments: Iterable[Deployment], host: str, port: int) -> None:
    """Refuse an upstream that is this gateway's own listener (S-18). Raises `ConfigError`."""
    mine = {host} | (LOOPBACK if host in LOOPBACK | EVERYWHERE else set())
    for deployment in deployments:
        url = urlsplit(deployment.url)
        if url.hostname in mine and (url.port or _PORTS.get(url.scheme)) == port:
            raise ConfigError(
                (f"{deployment.id}: its address {deployment.url} is this gateway's own; requests would loop",)
            )


def bind(host: str, port: int, what: str = "server.port") -> socket.socket:
    """Return a listening socket.

    Args:
        host: Address.
        port: 0 = any.
        what: Key of the configuration that a failure names.

    Raises:
        ConfigError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because asyncio turns off Nagle's delay only where it is.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        problem = f"{what}: {host}:{port} cannot be bound: {error.strerror or error}"
        raise ConfigError((f"{problem}; choose another address or port",)) from None
    sock.set_inheritable(True)
    return sock


def bind_all(config: Config) -> Sockets:
    """Return a socket for everything that is configured to listen. Raises `ConfigError`."""
    server, listen = config.server, config.admin.listen
    data, port = bind(server.host, server.port), server.metrics_port
    metrics = None if port is None else bind(server.host, port, "server.metrics_port")
    admin = None if listen is None else bind(listen.host, listen.port, "admin.listen")
    return Sockets(data, metrics, admin)
