"""Endpoints of alerts: what is wrong and was, who is told, silence, and a test of a receiver. Floor 6."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.strict import convert
from turnout.errors import NotFound
from turnout.jobs.alerts.base import Alert, Count, State, told
from turnout.jobs.alerts.board import Board
from turnout.jobs.alerts.receivers.base import AnyReceiver
from turnout.server.admin.audit import noted
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.server.admin.spend import written
from turnout.types.json import Json

MOST_SILENCE_S: Final = 31_622_400.0


class Silenced(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long nobody is told about an alert."""

    for_s: Annotated[float, Meta(ge=0, le=MOST_SILENCE_S)] = 3600.0
    """0 = its silence ends."""
    reason: Annotated[str, Meta(max_length=200)] = ""


class Tried(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which receiver is to be tried."""

    receiver: Annotated[str, Meta(min_length=1, max_length=64)]


class Alerts(Struct, kw_only=True):
    """Everything about alerts."""

    object: str = "alerts"
    watched: bool
    """Whether rules are evaluated: a receiver is configured."""
    checked_at: str | None
    firing: list[dict[str, Json]]
    pending: list[dict[str, Json]]
    """Not firing yet: it must last."""
    history: list[dict[str, Json]]
    """Over, newest first."""
    silences: list[dict[str, Json]]
    receivers: list[dict[str, Json]]
    rules: list[dict[str, Json]]
    waiting: int
    """Notices on their way."""


async def _list(call: Call) -> Given:
    board, config = call.built.alerts, call.built.config.alerts
    state = State() if board is None else await board.state()
    silenced = {each.alert: each.until for each in state.silences}
    shown = Alerts(
        watched=bool(config.receivers),
        checked_at=_at(state.checked_at),
        firing=[_alert(each, silenced) for each in state.alerts if each.state == "firing"],
        pending=[_alert(each, silenced) for each in state.alerts if each.state == "pending"],
        history=[_alert(each, {}) for each in state.history],
        silences=[_silence(each) for each in state.silences],
        receivers=[
            _receiver(name, to, state.counts.get(name, Count())) for name, to in config.receivers.items()
        ],
        rules=[_rule(name, rule, state.problems.get(name)) for name, rule in config.in_force.items()],
        waiting=len(state.outbox),
    )
    return Given(body=msgspec.to_builtins(shown))


def _alert(alert: Alert, silenced: dict[str, datetime]) -> dict[str, Json]:
    return {
        **told(alert),
        "told": list(alert.told),
        "told_at": _at(alert.told_at),
        "silenced_until": _at(silenced.get(alert.id)),
    }


def _silence(of: object) -> dict[str, Json]:
    tree: dict[str, Json] = msgspec.to_builtins(of)
    return tree


def _rule(name: str, rule: Struct, problem: str | None) -> dict[str, Json]:
    tree: dict[str, Json] = msgspec.to_builtins(rule)
    return {"name": name, **tree, "problem": problem}


def _receiver(name: str, to: AnyReceiver, count: Count) -> dict[str, Json]:
    """Return a receiver without its address, which may hold a token."""
    return {
        "name": name,
        "type": str(to.__struct_config__.tag),
        "min_severity": to.min_severity,
        "sent": count.sent,
        "failed": count.failed,
        "given_up": count.given_up,
        "last_problem": count.last_problem or None,
        "last_at": _at(count.last_at),
    }


def _at(at: datetime | None) -> str | None:
    return None if at is None else written(at)


async def _silenced(call: Call) -> Given:
    wish = convert(call.fields if call.body else {}, Silenced)
    board = _board(call)
    await _on_record(call, f"alert/{call.id}", {"for_s": wish.for_s}, wish.reason)
    made = await board.silence(call.id, wish.for_s, call.actor.id, wish.reason)
    until = None if made is None else _at(made.until)
    return Given(body={"object": "silence", "alert": call.id, "until": until, "reason": wish.reason})


async def _test(call: Call) -> Given:
    name = convert(call.fields, Tried).receiver
    board = _board(call)
    await _on_record(call, f"receiver/{name}", {}, "")
    problem = await board.test(name)
    body: dict[str, Json] = {
        "object": "alert.test",
        "receiver": name,
        "delivered": problem is None,
        "problem": problem,
    }
    return Given(body=body)


def _board(call: Call) -> Board:
    if call.built.alerts is None:
        raise NotFound("no alerts are watched at this gateway")
    return call.built.alerts


async def _on_record(call: Call, about: str, facts: dict[str, Json], reason: str) -> None:
    """Put an act on record where there is a desk: alerts need none."""
    if call.has_office:
        await noted(call, about, facts, reason)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/alerts",
        serve=_list,
        summary="What is wrong now and was before, who is told, and by which rules",
        gives=Alerts,
    ),
    Endpoint(
        method="POST",
        path="/alerts/{id}/silence",
        serve=_silenced,
        summary="Tell nobody about an alert for a while",
        takes=Silenced,
    ),
    Endpoint(
        method="POST",
        path="/alerts/test",
        serve=_test,
        summary="Tell a receiver of an alert that is none, and that it is over",
        takes=Tried,
    ),
)
