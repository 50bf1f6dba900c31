"""What receivers are configured by, and what their messages are made of. Floor 4."""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from turnout.errors import TurnoutError
from turnout.jobs.alerts.base import Alert, Notice, Severity
from turnout.jobs.alerts.step import Sent
from turnout.transport.base import Transport
from turnout.types.http import HttpRequest, Timeouts
from turnout.types.secret import Secret

TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=10.0, total_s=20.0)
_MARK: Final = {"firing": "firing", "reminder": "still firing", "resolved": "resolved"}
Mail = Annotated[str, Meta(pattern=r"^[^\s@<>]{1,64}@[^\s@<>]{1,255}$")]
MOST_LINES: Final = 20


class To(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What every receiver has."""

    min_severity: Severity = "info"
    """Alerts less severe are not told here."""


class Webhook(To, frozen=True, kw_only=True, tag="webhook"):
    """JSON to an address of yours, signed (docs/how-to/alerts.md)."""

    url: Secret
    """May hold a token, so it is never shown."""
    secret: Secret | None = None
    """Key of the signature; none = it is not signed."""


class Slack(To, frozen=True, kw_only=True, tag="slack"):
    """A webhook that takes what Slack's incoming webhooks take: Mattermost and others do too."""

    url: Secret


class PagerDuty(To, frozen=True, kw_only=True, tag="pagerduty"):
    """An address that takes PagerDuty's Events API v2."""

    routing_key: Secret
    url: str = "https://events.pagerduty.com/v2/enqueue"


class Email(To, frozen=True, kw_only=True, tag="email", rename={"from_": "from"}):
    """A mail server."""

    host: Annotated[str, Meta(min_length=1, max_length=255)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` = in clear, without a login, to loopback only."""
    user: str = ""
    password: Secret | None = None
    from_: Mail
    to: Annotated[tuple[Mail, ...], Meta(min_length=1, max_length=50)]


AnyReceiver = Webhook | Slack | PagerDuty | Email


def headline(notice: Notice) -> str:
    """Return a notice in one line."""
    n = len(notice.alerts) + notice.n_more
    what = _MARK[notice.what]
    if n == 1:
        return f"[{notice.severity}] {what}: {notice.alerts[0].text}"
    return f"[{notice.severity}] {what}: {n} × {notice.rule}"


def lines(notice: Notice) -> list[str]:
    """Return the alerts of a notice, one line each."""
    found = [f"{each.text} ({told_when(each)})" for each in notice.alerts[:MOST_LINES]]
    n_more = len(notice.alerts) - len(found) + notice.n_more
    return [*found, f"and {n_more} more"] if n_more else found


def told_when(alert: Alert) -> str:
    """Return when an alert was, in words."""
    begin = f"since {_minute(alert.since)}"
    return begin if alert.ended_at is None else f"{begin}, over at {_minute(alert.ended_at)}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


async def post(
    transport: Transport, notice: Notice, url: str, body: bytes, headers: list[tuple[bytes, bytes]]
) -> Sent:
    """Send JSON; a failure says why, without the address, and whether another try makes sense."""
    whole = [(b"content-type", b"application/json"), *headers]
    try:
        response = await transport.send(HttpRequest("POST", url, whole, body), TIMEOUTS)
    except TurnoutError as failure:
        return Sent(notice.id, f"{failure.row.word}: {failure.message}")
    status = response.status
    response.close()
    if 200 <= status < 300:
        return Sent(notice.id)
    # What is wrong with this message stays wrong; too early (425) and too many (429) do not.
    final = 400 <= status < 500 and status not in (401, 403, 404, 408, 425, 429)
    return Sent(notice.id, f"answered {status}", final=final)
