"""Hands mail to a server: in a thread, at an address that was checked. Floor 3.

The address guard judges what the name resolves to, and the connection goes to exactly that address; the
certificate must be for the name. Nothing is sent in clear, except to this machine itself.
"""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final, Literal

from msgspec import Struct

from turnout.errors import Forbidden, TurnoutError
from turnout.transport.dial import Dialer, Resolver, system_lookup
from turnout.transport.guard import Egress, Guard, Origin, normal_host
from turnout.transport.tls import tls_context
from turnout.types.secret import Secret

TIMEOUT_S: Final = 10.0
_PERMANENT: Final = 500
"""SMTP replies from here on are not to be tried again (RFC 5321, 4.2.1)."""
Security = Literal["starttls", "tls", "none"]


class MailServer(Struct, frozen=True, kw_only=True):
    """Where mail is handed in."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: Secret | None = None


class Refused(Struct, frozen=True):
    """Mail was not taken."""

    why: str
    """Without anything that the server said, which may quote a login."""
    final: bool = False
    """Whether there is no use in trying again."""


class Postman:
    """Hands mail to one server.

    Args:
        server: Where to.
        allow_cidrs: Networks that may be dialled although they are not public.
        tls: For private authorities; None = the bundle of every other upstream.

    Raises:
        Forbidden: The host is none, or mail would leave this machine in clear.
    """

    __slots__ = ("_dialer", "_origin", "_server", "_tls")

    def __init__(
        self, server: MailServer, allow_cidrs: Sequence[str] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._tls = tls
        self._origin = Origin("smtp", normal_host(server.host), server.port)
        allowed = Egress(origins=frozenset((self._origin,)), allow_cidrs=tuple(allow_cidrs))
        self._dialer = Dialer(Guard(allowed), Resolver(system_lookup))
        if server.security == "none" and not self._origin.is_loopback:
            raise Forbidden(f"{server.host}: mail in clear is handed to loopback only; use starttls or tls")

    async def send(self, message: EmailMessage) -> Refused | None:
        """Hand a mail in; None = every recipient was taken."""
        try:
            address, *_ = await self._dialer.addresses(self._origin)
        except TurnoutError as failure:
            return Refused(f"{failure.row.word}: {failure.message}")
        return await asyncio.to_thread(self._send, message, address)

    def _send(self, message: EmailMessage, address: str) -> Refused | None:
        try:
            refused = self._converse(message, address)
        except smtplib.SMTPRecipientsRefused as failure:
            codes = [code for code, _ in failure.recipients.values()]
            return Refused(
                f"every recipient is refused ({codes[0]})", all(each >= _PERMANENT for each in codes)
            )
        except smtplib.SMTPResponseException as failure:
            return Refused(f"the mail server answered {failure.smtp_code}")
        except (OSError, smtplib.SMTPException) as failure:
            return Refused(f"the mail server cannot be used: {type(failure).__name__}")
        return Refused(f"{refused} of the recipients are refused", final=True) if refused else None

    def _converse(self, message: EmailMessage, address: str) -> int:
        """Return how many recipients were refused, where some were taken."""
        server = self._server
        context = self._tls or tls_context()
        with _Guarded(server, address, context if server.security == "tls" else None) as connection:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.password is not None and server.security != "none":
                connection.login(server.user, server.password.reveal())
            return len(connection.send_message(message))


class _Guarded(smtplib.SMTP):
    """A connection to an address that was judged, under the name it was judged for."""

    def __init__(self, server: MailServer, address: str, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._context = context
        super().__init__(server.host, server.port, timeout=TIMEOUT_S)

    # What `smtplib.SMTP_SSL` overrides too.
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        found = socket.create_connection((self._address, port), timeout)
        return found if self._context is None else self._context.wrap_socket(found, server_hostname=host)
