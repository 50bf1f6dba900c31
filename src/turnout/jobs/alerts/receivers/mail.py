"""Receivers by mail: one mail a notice. Floor 4."""

import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from turnout.jobs.alerts.base import Notice
from turnout.jobs.alerts.receivers.base import Email, headline, lines
from turnout.jobs.alerts.step import Sent
from turnout.transport.mail import MailServer, Postman

_MOST_SUBJECT: Final = 200


class MailReceiver:
    """Mails notices.

    Args:
        to: The server, and who gets mail.
        allow_cidrs: Networks that may be dialled although they are not public.
        tls: For private authorities; None = the bundle of every other upstream.

    Raises:
        Forbidden: The server cannot be used.
    """

    __slots__ = ("_postman", "_to")

    def __init__(self, to: Email, allow_cidrs: Sequence[str] = (), tls: ssl.SSLContext | None = None) -> None:
        server = MailServer(
            host=to.host, port=to.port, security=to.security, user=to.user, password=to.password
        )
        self._to = to
        self._postman = Postman(server, allow_cidrs, tls)

    async def tell(self, notice: Notice) -> Sent:
        """Send a notice."""
        refused = await self._postman.send(_message(self._to, notice))
        return Sent(notice.id) if refused is None else Sent(notice.id, refused.why, refused.final)


def _message(to: Email, notice: Notice) -> EmailMessage:
    message = EmailMessage()
    # A line break here would begin another header.
    message["Subject"] = " ".join(f"Turnout {headline(notice)}".split())[:_MOST_SUBJECT]
    message["From"] = to.from_
    message["To"] = ", ".join(to.to)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.id}@turnout.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join([headline(notice), "", *lines(notice), "", f"Rule: {notice.rule}"]) + "\n")
    return message
