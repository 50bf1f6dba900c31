"""What alerts are made of: readings, alerts, silences, notices, and what they are kept in. Floor 4."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from turnout.types.json import Json

Severity = Literal["info", "warning", "critical"]
RANK: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}
What = Literal["firing", "reminder", "resolved"]
"""Why a notice is sent."""
MOST_HISTORY: Final = 200
"""Alerts that ended, kept to be looked at."""
MOST_ALERTS: Final = 500
"""Alerts pending or firing at once; further ones are counted and left out."""
MOST_OUTBOX: Final = 500
"""Notices on their way at once."""
MOST_IN_NOTICE: Final = 50
"""Alerts told in full in one notice."""


class Reading(Struct, frozen=True, kw_only=True):
    """What one rule says about one thing at one instant."""

    labels: Mapping[str, str] = {}
    """What it is about: with the rule's name, its identity."""
    breach: bool | None
    """None = not enough is known to say."""
    value: float | None = None
    limit: float | None = None
    text: str
    """One sentence for people."""
    severity: Severity | None = None
    """None = the rule's."""


class Checked(Struct, frozen=True, kw_only=True):
    """What one rule said at one instant."""

    rule: str
    readings: tuple[Reading, ...] = ()
    problem: str | None = None
    """Why it could not be asked; its alerts stay as they are."""


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is wrong, or was."""

    id: str
    """Of the rule and its labels: the same each time it comes back."""
    rule: str
    type: str
    severity: Severity
    labels: Mapping[str, str] = {}
    text: str = ""
    value: float | None = None
    limit: float | None = None
    state: Literal["pending", "firing", "resolved"] = "pending"
    since: datetime
    """When it began."""
    fired_at: datetime | None = None
    known_at: datetime
    """When a reading last said yes or no."""
    good_since: datetime | None = None
    """Since when it is not so any more, while it is not resolved yet."""
    ended_at: datetime | None = None
    told: tuple[str, ...] = ()
    """Receivers that were told, and are told when it is over."""
    told_at: datetime | None = None


class Silence(Struct, frozen=True, kw_only=True):
    """Until then nobody is told about an alert, or about a rule."""

    id: str
    alert: str
    """Id of the alert."""
    until: datetime
    by: str
    reason: str = ""
    at: datetime


class Notice(Struct, frozen=True, kw_only=True):
    """One message to one receiver, until it arrived."""

    id: str
    receiver: str
    what: What
    rule: str
    severity: Severity
    at: datetime
    alerts: tuple[Alert, ...]
    n_more: int = 0
    """Further alerts of the same rule that are not told in full."""
    tries: int = 0
    next_at: datetime
    """Not before."""


class Count(Struct, frozen=True, kw_only=True):
    """How telling one receiver went."""

    sent: int = 0
    failed: int = 0
    """Tries that failed."""
    given_up: int = 0
    """Notices that never arrived."""
    last_problem: str = ""
    last_at: datetime | None = None


class State(Struct, frozen=True, kw_only=True):
    """All of it, as it is kept. One process at a time moves it on: the holder, until its lease ends."""

    holder: str = ""
    lease_until: datetime | None = None
    checked_at: datetime | None = None
    alerts: tuple[Alert, ...] = ()
    """Pending and firing."""
    history: tuple[Alert, ...] = ()
    """Resolved, newest first."""
    silences: tuple[Silence, ...] = ()
    outbox: tuple[Notice, ...] = ()
    """Oldest first."""
    counts: Mapping[str, Count] = {}
    """By receiver."""
    problems: Mapping[str, str] = {}
    """By rule: why it could not be asked."""
    n_left_out: int = 0
    """Alerts that had no place."""


EMPTY: Final = State()
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """Return the identity of an alert."""
    return hashlib.sha256(_ENCODE((rule, sorted(labels.items())))).hexdigest()[:16]


def worst(alerts: Sequence[Alert]) -> Severity:
    """Return the highest severity among alerts."""
    return max((each.severity for each in alerts), key=RANK.__getitem__)


def told(alert: Alert) -> dict[str, Json]:
    """Return an alert as webhooks and the admin API tell it."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "type": alert.type,
        "severity": alert.severity,
        "state": alert.state,
        "labels": dict(alert.labels),
        "text": alert.text,
        "value": alert.value,
        "limit": alert.limit,
        "since": written(alert.since),
        "fired_at": written(alert.fired_at),
        "ended_at": written(alert.ended_at),
    }


def written(at: datetime | None) -> str | None:
    """Write an instant."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")
