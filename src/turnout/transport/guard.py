"""Where connections may go: the egress rules S-50 to S-53 as pure functions. Floor 3.

Theory of operation.
1. A URL is read once into an `Origin` (scheme, host, port) and a target; anything a resolver or another
   parser could read differently (user-info, zone ids, decimal, octal, hex or short IP literals, spaces,
   backslashes) is refused here, so that the host compared is the host dialled.
2. `Guard.admit` compares the origin with the configured set; it runs once per origin, when its pool is made.
3. `Guard.check` judges every address a name resolved to, at connect, for each new connection. One bad
   address refuses the whole answer: a name that is public and private at once is a rebinding attempt.
4. `Guard.peer` compares the socket's peer with the address that was judged.
5. A pooled connection was judged when it was opened and costs nothing again.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

from turnout.errors import ConfigError, Forbidden, ProviderUnreachable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = {"http": 80, "https": 443}
"""The schemes that may be spoken, with their own ports."""
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[/?][!-\"$-~]*)?", re.ASCII
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")

# IANA special-purpose address registries (RFC 6890 and later), seen 2025-11.
_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), word)
    for network, word in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),  # Azure's wire server, in public space
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), word)
    for network, word in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("2001::/23", "reserved"),  # Teredo and ORCHID included
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_EMBEDDED: tuple[tuple[IPv6Network, int, str], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0, "IPv4-mapped"),
    (IPv6Network("::ffff:0:0:0/96"), 0, "IPv4-translated"),
    (IPv6Network("64:ff9b::/96"), 0, "NAT64"),
    (IPv6Network("2002::/16"), 80, "6to4"),
)
"""Forms that carry an IPv4 address, and how many bits to its right."""


class Origin(Struct, frozen=True, order=True):
    """One place requests are sent to."""

    scheme: str
    host: str
    """Lower case, after IDNA, without a trailing dot; an IPv6 literal without brackets."""
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The `Host` header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the operator wrote this machine itself."""
        literal = self.literal
        return self.host == "localhost" if literal is None else refusal(literal) == "loopback"

    @property
    def literal(self) -> Address | None:
        """The address, when the host is one and needs no resolver."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


class Egress(Struct, frozen=True, kw_only=True):
    """What the operator allows; made from the configured base URLs by `egress_for`."""

    origins: frozenset[Origin]
    allow_cidrs: tuple[str, ...] = ()
    """Networks that may be dialled although they are not public, such as `10.20.0.0/16`."""
    allow_http: frozenset[str] = frozenset()
    """Hosts that may be spoken to without TLS; loopback always may."""


def egress_for(
    urls: Iterable[str], *, allow_cidrs: Sequence[str] = (), allow_http: Iterable[str] = ()
) -> Egress:
    """Allow exactly the origins of the configured base URLs.

    Raises `ConfigError` naming every URL, network or host that cannot be used.
    """
    origins: set[Origin] = set()
    problems: list[str] = []
    for url in urls:
        try:
            origins.add(parse_url(url)[0])
        except Forbidden as error:
            problems.append(error.message)
    hosts: set[str] = set()
    for host in allow_http:
        try:
            hosts.add(normal_host(host))
        except Forbidden as error:
            problems.append(error.message)
    if problems:
        raise ConfigError(tuple(problems))
    allowed = Egress(origins=frozenset(origins), allow_cidrs=tuple(allow_cidrs), allow_http=frozenset(hosts))
    problems = Guard(allowed).unusable()
    if problems:
        raise ConfigError(tuple(problems))
    return allowed


def parse_url(url: str) -> tuple[Origin, str]:
    """Split an absolute URL into its origin and the request target.

    Raises `Forbidden` for anything another reader could take for another host (S-53). The message never
    quotes the path or query, which may hold a key.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise Forbidden("the upstream URL is not of the form http(s)://host[:port]/path in plain ASCII")
    scheme, authority, target = match["scheme"].lower(), match["authority"], match["target"] or "/"
    if scheme not in PORTS:
        raise Forbidden(f"scheme {scheme!r} is not allowed; use https (or http to loopback)")
    if "@" in authority:
        raise Forbidden("user information in an upstream URL is not allowed; use a credential")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise Forbidden("the host or port of the upstream URL is malformed")
    host = normal_host(parts["host"])
    port = int(parts["port"]) if parts["port"] else PORTS[scheme]
    if not 0 < port < 65536:
        raise Forbidden(f"{host}: port {port} does not exist")
    return Origin(scheme, host, port), target if target[0] == "/" else "/" + target


def normal_host(host: str) -> str:
    """Return the one spelling under which a host is compared and dialled. Raises `Forbidden`."""
    if "%" in host:
        raise Forbidden("a zone id or percent escape in a host is not allowed")
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise Forbidden(f"{host} is not an IPv6 literal") from None
    name = _ascii(host).lower().removesuffix(".")
    if _NAME.fullmatch(name) is None:
        raise Forbidden(f"{name!r} is not a host name")
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        return _dotted_quad(name)
    return name


def refusal(address: Address) -> str | None:
    """Return the word for why an address must not be dialled; None when it is public."""
    if isinstance(address, IPv4Address):
        return next((word for network, word in _V4 if address in network), None)
    inner = embedded(address)
    if inner is not None:
        form, plain = inner
        word = refusal(plain)
        return f"{form} form of {word}" if word else None
    special = next((word for network, word in _V6 if address in network), None)
    return special or (None if address in _GLOBAL_V6 else "reserved")


def embedded(address: IPv6Address) -> tuple[str, IPv4Address] | None:
    """Return the form and the IPv4 address that an IPv6 address carries, if it carries one."""
    for network, shift, form in _EMBEDDED:
        if address in network:
            return form, IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


class Guard:
    """The rules of one `Egress`, ready to be asked. Holds no state that changes."""

    __slots__ = ("_networks", "egress")

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self._networks = tuple(_network(cidr) for cidr in egress.allow_cidrs)

    def admit(self, origin: Origin) -> None:
        """Refuse an origin that no configuration named, or that would be spoken to without TLS.

        Raises `Forbidden`.
        """
        if origin not in self.egress.origins:
            raise Forbidden(f"{origin} is not a configured destination")
        if origin.scheme == "http" and not (origin.is_loopback or origin.host in self.egress.allow_http):
            raise Forbidden(f"{origin}: plain HTTP is allowed to loopback or with allow_http only")

    def unusable(self) -> list[str]:
        """Return one line for each configured origin that would be refused whatever a resolver says."""
        found: list[str] = []
        for origin in sorted(self.egress.origins):
            try:
                self.admit(origin)
                if origin.literal is not None:
                    self.check(origin, (str(origin.literal),))
            except Forbidden as error:
                found.append(error.message)
        return found

    def admits(self, origin: Origin) -> bool:
        """Tell whether `admit` would let the origin pass."""
        try:
            self.admit(origin)
        except Forbidden:
            return False
        return True

    def check(self, origin: Origin, addresses: Sequence[str]) -> None:
        """Refuse an answer of the resolver that holds any address which must not be dialled.

        Raises `Forbidden` naming host, address and reason.
        """
        for text in addresses:
            reason = self._reason(origin, text)
            if reason is not None:
                found = (
                    f"{origin.host} is" if origin.literal else f"{origin.host} resolves to {text}, which is"
                )
                raise Forbidden(f"{found} {reason}; see egress.allow_cidrs")

    def peer(self, origin: Origin, dialled: str, peer: tuple[str, int] | None) -> None:
        """Refuse a socket that is connected to another address than the one judged.

        Raises `Forbidden`, or `ProviderUnreachable` when the socket is connected no more.
        """
        if peer is None:
            raise ProviderUnreachable(f"{origin.host}:{origin.port}: connection closed at once")
        if dialled != peer[0] and ip_address(dialled) != ip_address(peer[0]):
            raise Forbidden(f"{origin.host}: dialled {dialled} but the connection's peer is {peer[0]}")

    def _reason(self, origin: Origin, text: str) -> str | None:
        if "%" in text:
            return "scoped to a zone"
        address = ip_address(text)
        reason = refusal(address)
        if reason is None or (reason == "loopback" and origin.is_loopback):
            return None
        inner = embedded(address) if isinstance(address, IPv6Address) else None
        forms = (address,) if inner is None else (address, inner[1])
        return None if any(form in network for form in forms for network in self._networks) else reason


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise Forbidden(f"{host!r} is not an international host name") from None


def _dotted_quad(name: str) -> str:
    try:
        return str(IPv4Address(name))
    except ValueError:
        raise Forbidden(
            f"{name} is a decimal, octal, hex or short IP literal; write four decimal numbers"
        ) from None


def _network(cidr: str) -> Network:
    try:
        return ip_network(cidr)
    except ValueError as error:
        raise ConfigError((f"egress.allow_cidrs: {error}",)) from None
