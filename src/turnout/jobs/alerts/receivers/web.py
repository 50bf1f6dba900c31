"""Receivers over HTTP: a signed webhook, Slack's format, PagerDuty's Events v2. Floor 4.

All of them go through the one guarded transport: only configured addresses, checked when they are dialled.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from turnout.jobs.alerts.base import Alert, Notice, told, written
from turnout.jobs.alerts.receivers.base import PagerDuty, Slack, Webhook, headline, lines, post
from turnout.jobs.alerts.step import Sent
from turnout.transport.base import Transport
from turnout.types.json import Json

SCHEMA: Final = "turnout.alert/1"
_COLOURS: Final = {"info": "#3572b0", "warning": "#b07a00", "critical": "#c0392b"}
_GOOD: Final = "#2e8b57"
_MOST_SUMMARY: Final = 1024
"""Characters of a summary that PagerDuty takes (developer.pagerduty.com, Events API v2, seen 2026-11)."""
_ENCODE: Final = msgspec.json.Encoder().encode


def signed(secret: str, at: int, body: bytes) -> bytes:
    """Return the value of `x-turnout-signature`: HMAC-SHA256 over instant and body."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}".encode()


class WebhookReceiver:
    """Posts notices as this project writes them."""

    __slots__ = ("_now", "_to", "_transport")

    def __init__(self, to: Webhook, transport: Transport, now: Callable[[], datetime]) -> None:
        self._to = to
        self._transport = transport
        self._now = now

    async def tell(self, notice: Notice) -> Sent:
        """Send a notice."""
        body = _ENCODE(
            {
                "schema": SCHEMA,
                "id": notice.id,
                "what": notice.what,
                "rule": notice.rule,
                "severity": notice.severity,
                "at": written(notice.at),
                "alerts": [told(each) for each in notice.alerts],
                "n_more": notice.n_more,
            }
        )
        headers = [(b"idempotency-key", notice.id.encode())]
        if self._to.secret is not None:
            value = signed(self._to.secret.reveal(), int(self._now().timestamp()), body)
            headers.append((b"x-turnout-signature", value))
        return await post(self._transport, notice, self._to.url.reveal(), body, headers)


class SlackReceiver:
    """Posts notices as Slack's incoming webhooks take them."""

    __slots__ = ("_to", "_transport")

    def __init__(self, to: Slack, transport: Transport) -> None:
        self._to = to
        self._transport = transport

    async def tell(self, notice: Notice) -> Sent:
        """Send a notice."""
        colour = _GOOD if notice.what == "resolved" else _COLOURS[notice.severity]
        text = _plain(headline(notice))
        body = _ENCODE(
            {
                "text": text,
                "attachments": [
                    {
                        "color": colour,
                        "fallback": text,
                        "text": _plain("\n".join(f"• {each}" for each in lines(notice))),
                        "footer": f"Turnout · {notice.rule}",
                        "ts": int(notice.at.timestamp()),
                    }
                ],
            }
        )
        return await post(self._transport, notice, self._to.url.reveal(), body, [])


def _plain(text: str) -> str:
    """Return text that mentions nobody and links nowhere."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class PagerDutyReceiver:
    """Opens and closes incidents, one for each alert: its id is the deduplication key."""

    __slots__ = ("_to", "_transport")

    def __init__(self, to: PagerDuty, transport: Transport) -> None:
        self._to = to
        self._transport = transport

    async def tell(self, notice: Notice) -> Sent:
        """Send an event for each alert; sent again, an event changes nothing there."""
        for alert in notice.alerts:
            sent = await post(self._transport, notice, self._to.url, _ENCODE(self._event(notice, alert)), [])
            if sent.problem is not None:
                return sent
        return Sent(notice.id)

    def _event(self, notice: Notice, alert: Alert) -> dict[str, Json]:
        event: dict[str, Json] = {
            "routing_key": self._to.routing_key.reveal(),
            "dedup_key": f"turnout-{alert.id}",
            "event_action": "resolve" if notice.what == "resolved" else "trigger",
        }
        if notice.what != "resolved":
            event["payload"] = {
                "summary": alert.text[:_MOST_SUMMARY],
                "source": "turnout",
                "severity": alert.severity,
                "timestamp": written(alert.fired_at or notice.at),
                "component": alert.rule,
                "group": alert.type,
                "custom_details": {**told(alert)},
            }
        return event
