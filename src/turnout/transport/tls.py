"""TLS towards upstreams: always verified, never below 1.2. Floor 3."""

import ssl

from turnout.errors import ConfigError


def tls_context(
    *, ca_file: str | None = None, system: bool = False, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """Make a client context that verifies certificate and host name (S-50).

    Args:
        ca_file: PEM file of further authorities to trust, for upstreams inside an organisation.
        system: Trust the system's store in place of the `certifi` bundle.
        alpn: Protocols offered, most wanted first; none = no negotiation, HTTP/1.1 is spoken.

    Raises `ConfigError` when the file cannot be read.
    """
    if system:
        context = ssl.create_default_context()
    else:
        import certifi  # noqa: PLC0415 - parsing the bundle takes 10 ms, paid by the first TLS user only

        context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError((f"ca_file {ca_file}: {error}; expected a PEM file",)) from error
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def require_verification(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context when it verifies peers and names at TLS ≥ 1.2. Raises `ConfigError`."""
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ConfigError(("TLS context: certificate and host name verification must be on",))
    if context.minimum_version < ssl.TLSVersion.TLSv1_2:
        raise ConfigError(("TLS context: minimum_version must be TLS 1.2 or above",))
    return context
