"""Receivers against real servers of this machine: what arrives, in which form, and what a failure says."""

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import pytest
from msgspec.structs import replace

from tests.transport.conftest import certificates  # noqa: F401  a fixture
from turnout.errors import Forbidden
from turnout.jobs.alerts.base import Alert, Notice
from turnout.jobs.alerts.receivers.base import Email, PagerDuty, Slack, Webhook
from turnout.jobs.alerts.receivers.mail import MailReceiver
from turnout.jobs.alerts.receivers.web import PagerDutyReceiver, SlackReceiver, WebhookReceiver
from turnout.jobs.alerts.step import Sent
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.transport.tls import tls_context
from turnout.types.secret import Secret

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ALERT = Alert(
    id="0123456789abcdef",
    rule="provider_errors",
    type="provider_errors",
    severity="critical",
    labels={"provider": "oai"},
    text="50 of 100 attempts at oai failed <b>",
    value=0.5,
    limit=0.02,
    state="firing",
    since=AT,
    fired_at=AT,
    known_at=AT,
)
NOTICE = Notice(
    id="ntc_1",
    receiver="ops",
    what="firing",
    rule="provider_errors",
    severity="critical",
    at=AT,
    alerts=(ALERT,),
    next_at=AT,
)
OVER = replace(
    NOTICE,
    id="ntc_2",
    what="resolved",
    alerts=(replace(ALERT, state="resolved", ended_at=AT + timedelta(hours=1)),),
)


@asynccontextmanager
async def listening(status=200):
    """Serve HTTP; yield an address with a secret path, and what arrives there."""
    arrived = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        arrived.append((head[0], headers, body))
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/T0/SECRETPATH"
        transport = HttpTransport(egress_for([url]))
        yield url, arrived, transport
        await transport.close()


async def test_a_webhook_is_signed_over_what_arrives() -> None:
    async with listening() as (url, arrived, transport):
        to = Webhook(url=Secret(url), secret=Secret("k" * 32))
        assert await WebhookReceiver(to, transport, lambda: AT).tell(NOTICE) == Sent("ntc_1")
    ((line, headers, body),) = arrived
    assert line == "POST /T0/SECRETPATH HTTP/1.1"
    assert headers["idempotency-key"] == "ntc_1"
    at, digest = (part.split("=")[1] for part in headers["x-turnout-signature"].split(","))
    assert int(at) == AT.timestamp()
    assert digest == hmac.new(b"k" * 32, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert json.loads(body) == {
        "schema": "turnout.alert/1",
        "id": "ntc_1",
        "what": "firing",
        "rule": "provider_errors",
        "severity": "critical",
        "at": "2026-03-04T05:06:00Z",
        "alerts": [
            {
                "id": "0123456789abcdef",
                "rule": "provider_errors",
                "type": "provider_errors",
                "severity": "critical",
                "state": "firing",
                "labels": {"provider": "oai"},
                "text": "50 of 100 attempts at oai failed <b>",
                "value": 0.5,
                "limit": 0.02,
                "since": "2026-03-04T05:06:00Z",
                "fired_at": "2026-03-04T05:06:00Z",
                "ended_at": None,
            }
        ],
        "n_more": 0,
    }


async def test_slack_gets_text_that_is_no_markup() -> None:
    async with listening() as (url, arrived, transport):
        receiver = SlackReceiver(Slack(url=Secret(url)), transport)
        assert [await receiver.tell(each) for each in (NOTICE, OVER)] == [Sent("ntc_1"), Sent("ntc_2")]
    first, second = (json.loads(body) for _, _, body in arrived)
    text = "[critical] firing: 50 of 100 attempts at oai failed &lt;b&gt;"
    assert first == {
        "text": text,
        "attachments": [
            {
                "color": "#c0392b",
                "fallback": text,
                "text": "• 50 of 100 attempts at oai failed &lt;b&gt; (since 2026-03-04 05:06 UTC)",
                "footer": "Turnout · provider_errors",
                "ts": int(AT.timestamp()),
            }
        ],
    }
    assert second["attachments"][0]["color"] == "#2e8b57"
    assert second["attachments"][0]["text"].endswith("over at 2026-03-04 06:06 UTC)")


async def test_pagerduty_opens_and_closes_one_incident_by_its_key() -> None:
    async with listening() as (url, arrived, transport):
        receiver = PagerDutyReceiver(PagerDuty(routing_key=Secret("R" * 32), url=url), transport)
        assert [await receiver.tell(each) for each in (NOTICE, OVER)] == [Sent("ntc_1"), Sent("ntc_2")]
    opened, closed = (json.loads(body) for _, _, body in arrived)
    key = {"routing_key": "R" * 32, "dedup_key": "turnout-0123456789abcdef"}
    details = opened["payload"].pop("custom_details")
    assert details["labels"] == {"provider": "oai"}
    assert opened == {
        **key,
        "event_action": "trigger",
        "payload": {
            "summary": "50 of 100 attempts at oai failed <b>",
            "source": "turnout",
            "severity": "critical",
            "timestamp": "2026-03-04T05:06:00Z",
            "component": "provider_errors",
            "group": "provider_errors",
        },
    }
    assert closed == {**key, "event_action": "resolve"}


@pytest.mark.parametrize(("status", "final"), [(503, False), (429, False), (404, False), (400, True)])
async def test_a_failure_says_whether_to_try_again_and_never_the_address(status, final) -> None:
    async with listening(status) as (url, _, transport):
        to = Webhook(url=Secret(url))
        sent = await WebhookReceiver(to, transport, lambda: AT).tell(NOTICE)
    assert sent == Sent("ntc_1", f"answered {status}", final=final)


async def test_an_address_that_is_not_configured_or_not_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/SECRETPATH"
        transport = HttpTransport(egress_for([url]))
        gone = await SlackReceiver(Slack(url=Secret(url)), transport).tell(NOTICE)
        other = await SlackReceiver(Slack(url=Secret("http://127.0.0.1:1/SECRETPATH")), transport).tell(
            NOTICE
        )
        await transport.close()
    assert gone.problem.startswith("provider_unreachable: ")
    assert other.problem.startswith("forbidden: ")
    assert not any("SECRETPATH" in each.problem or each.final for each in (gone, other))


# Mail.


class Box:
    """What a mail server took."""

    def __init__(self):
        self.mails, self.logins = [], []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  its name
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  its name
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 OK"


@asynccontextmanager
async def mail_server(box, tls=None, *, login=False):
    pytest.importorskip("aiosmtpd", reason="aiosmtpd, the mail server of these tests, is not installed")
    from aiosmtpd.smtp import SMTP, AuthResult

    def check(server, session, envelope, mechanism, data):
        box.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    def make():
        return SMTP(
            box,
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login,
            authenticator=check,
            hostname="test",
        )

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def tls(certificates):  # noqa: F811  the fixture
    """Return the context of a server, and one of a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates / "server.pem")
    return server, tls_context(ca_file=str(certificates / "ca.pem"))


def email(port, **fields):
    return Email(host="localhost", port=port, from_="turnout@example.com", to=("ops@example.com",), **fields)


async def test_mail_goes_over_starttls_with_a_login(tls) -> None:
    box, (server, client) = Box(), tls
    async with mail_server(box, server, login=True) as port:
        to = email(port, user="me", password=Secret("right"))
        assert await MailReceiver(to, tls=client).tell(OVER) == Sent("ntc_2")
        wrong = email(port, user="me", password=Secret("wrong"))
        assert await MailReceiver(wrong, tls=client).tell(NOTICE) == Sent(
            "ntc_1", "the mail server answered 535"
        )
    ((sender, to, content, secure),) = box.mails
    assert [sender, to, secure, box.logins[0]] == [
        "turnout@example.com",
        ["ops@example.com"],
        True,
        (b"me", b"right"),
    ]
    mail = message_from_bytes(content)
    assert mail["Subject"] == "Turnout [critical] resolved: 50 of 100 attempts at oai failed <b>"
    assert mail["Message-ID"] == "<ntc_2@turnout.invalid>"
    assert "over at 2026-03-04 06:06 UTC" in mail.get_payload(decode=True).decode()


async def test_mail_is_not_sent_where_the_certificate_is_of_another(tls) -> None:
    box, (server, _) = Box(), tls
    async with mail_server(box, server) as port:
        sent = await MailReceiver(email(port), tls=ssl.create_default_context()).tell(NOTICE)
    assert sent == Sent("ntc_1", "the mail server cannot be used: SSLCertVerificationError")
    assert box.mails == []


async def test_a_recipient_that_is_refused_is_not_tried_again_and_a_dead_server_is() -> None:
    box = Box()
    async with mail_server(box) as port:
        to = replace(email(port, security="none"), to=("nobody@example.com",))
        refused = await MailReceiver(to).tell(NOTICE)
    assert refused == Sent("ntc_1", "every recipient is refused (550)", final=True)
    assert (
        await MailReceiver(to).tell(NOTICE)
    ).problem == "the mail server cannot be used: ConnectionRefusedError"


async def test_mail_goes_only_to_addresses_that_were_checked() -> None:
    with pytest.raises(Forbidden, match="in clear"):
        MailReceiver(replace(email(25, security="none"), host="mail.example.com"))
    sent = await MailReceiver(replace(email(25), host="10.1.2.3")).tell(NOTICE)
    assert sent.problem.startswith("forbidden: 10.1.2.3 is private")


async def test_a_line_break_in_a_text_is_no_header() -> None:
    box = Box()
    async with mail_server(box) as port:
        bad = replace(ALERT, text="x\r\nBcc: all@example.com")
        await MailReceiver(email(port, security="none")).tell(replace(NOTICE, alerts=(bad,)))
    ((_, _, content, _),) = box.mails
    assert message_from_bytes(content)["Bcc"] is None
