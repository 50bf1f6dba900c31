"""Moves alerts on: pending, firing, resolved, and who is to be told. Pure. Floor 4.

Theory of operation.

1. A reading that says yes begins an alert, pending; after `for_s` of yes it fires. A no ends a pending one at
   once, and a firing one after `keep_s` of nothing but no. So an alert that goes up and down fires once.
2. A rule that could not be asked changes nothing. A thing that a rule has no news of is as good as no, except
   for rules that fade: there it stays as it is for `STALE_S`.
3. A firing alert that is neither muted nor silenced is told once to each of its receivers, again every
   `repeat_s`, and when it is over, to those that were told and to nobody else. What fires while it is muted
   is told when that ends, if it lasts.
4. Alerts of one rule that are told at the same time are one notice for each receiver.
5. Notices wait in the state itself (`outbox`), written before anything is sent: what was decided is sent even
   if the process ends here. One that was sent and not yet crossed off is sent again; it has the same id.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from turnout.jobs.alerts.base import (
    MOST_ALERTS,
    MOST_HISTORY,
    MOST_IN_NOTICE,
    MOST_OUTBOX,
    RANK,
    Alert,
    Checked,
    Count,
    Notice,
    Reading,
    Severity,
    State,
    What,
    fingerprint,
    worst,
)
from turnout.jobs.alerts.rules import AnyRule, Mute

STALE_S: Final = 3600.0
"""How long an alert of a rule that fades outlives its last reading."""
GIVE_UP_S: Final = 86_400.0
"""How long a notice is tried."""
FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 3600.0
GAP_S: Final = 600.0
"""A pending alert that was not looked at for this long begins anew."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is configured, as far as alerts move by it."""

    rules: Mapping[str, AnyRule]
    receivers: Mapping[str, Severity]
    """Names, each with the least severity it is told of."""
    mutes: tuple[Mute, ...] = ()
    repeat_s: float = 14_400.0


class Sent(Struct, frozen=True):
    """How sending one notice went."""

    notice: str
    problem: str | None = None
    """None = it arrived."""
    final: bool = False
    """Whether there is no use in trying again."""


def advance(state: State, checked: Sequence[Checked], plan: Plan, now: datetime) -> State:
    """Return the state after an evaluation of the rules."""
    alerts = {each.id: each for each in state.alerts}
    n_left_out = state.n_left_out
    for each in checked:
        rule = plan.rules[each.rule]
        if each.problem is not None:
            continue
        n_left_out += _read(alerts, each, rule, now)
    asked = {each.rule for each in checked}
    failed = {each.rule for each in checked if each.problem is not None}
    ended = [each for each in alerts.values() if each.rule not in failed and _is_over(each, plan, asked, now)]
    live = [each for key, each in alerts.items() if key not in {one.id for one in ended}]
    over = [replace(each, state="resolved", ended_at=now) for each in ended if each.state == "firing"]
    live, notices = _tell(live, over, state, plan, now)
    outbox = (*state.outbox, *notices)
    return replace(
        state,
        checked_at=now,
        alerts=tuple(sorted(live, key=lambda each: (-RANK[each.severity], each.since, each.id))),
        history=(*sorted(over, key=lambda each: each.id), *state.history)[:MOST_HISTORY],
        silences=tuple(each for each in state.silences if each.until > now),
        outbox=outbox[:MOST_OUTBOX],
        counts=_given_up(state.counts, outbox[MOST_OUTBOX:]),
        problems={each.rule: each.problem for each in checked if each.problem is not None},
        n_left_out=n_left_out,
    )


def _read(alerts: dict[str, Alert], checked: Checked, rule: AnyRule, now: datetime) -> int:
    """Take in what one rule said; return how many alerts had no place."""
    seen: set[str] = set()
    n_left_out = 0
    for reading in checked.readings:
        key = fingerprint(checked.rule, reading.labels)
        seen.add(key)
        known = alerts.get(key)
        if known is None and reading.breach:
            if len(alerts) >= MOST_ALERTS:
                n_left_out += 1
                continue
            known = _begun(key, checked.rule, rule, reading, now)
        if known is not None and reading.breach is not None:
            alerts[key] = _moved(known, rule, reading, now)
    if not rule.fades:
        for key, alert in alerts.items():
            if alert.rule == checked.rule and key not in seen:
                alerts[key] = replace(alert, known_at=now, good_since=alert.good_since or now)
    return n_left_out


def _begun(key: str, name: str, rule: AnyRule, reading: Reading, now: datetime) -> Alert:
    return Alert(
        id=key,
        rule=name,
        type=str(rule.__struct_config__.tag),
        severity=reading.severity or rule.severity,
        labels={**rule.labels, **reading.labels},
        since=now,
        known_at=now,
    )


def _moved(alert: Alert, rule: AnyRule, reading: Reading, now: datetime) -> Alert:
    if not reading.breach:
        return replace(alert, known_at=now, good_since=alert.good_since or now)
    if alert.state == "pending" and (now - alert.known_at).total_seconds() > GAP_S:
        alert = replace(alert, since=now)  # nobody looked meanwhile
    fires = alert.state == "firing" or (now - alert.since).total_seconds() >= rule.for_s
    return replace(
        alert,
        known_at=now,
        good_since=None,
        severity=reading.severity or rule.severity,
        text=reading.text,
        value=reading.value,
        limit=reading.limit,
        state="firing" if fires else "pending",
        fired_at=alert.fired_at or (now if fires else None),
    )


def _is_over(alert: Alert, plan: Plan, asked: set[str], now: datetime) -> bool:
    rule = plan.rules.get(alert.rule)
    if rule is None or alert.rule not in asked:
        return True  # it is not configured any more
    if alert.good_since is not None:
        return alert.state == "pending" or (now - alert.good_since).total_seconds() >= rule.keep_s
    return rule.fades and (now - alert.known_at).total_seconds() > STALE_S


def is_quiet(alert: Alert, state: State, plan: Plan, now: datetime) -> bool:
    """Tell whether nobody is told about an alert now."""
    if any(each.alert == alert.id and each.until > now for each in state.silences):
        return True
    return any(
        (not mute.rules or alert.rule in mute.rules)
        and (mute.below is None or RANK[alert.severity] < RANK[mute.below])
        and mute.covers(now)
        for mute in plan.mutes
    )


def _tell(
    live: Sequence[Alert], over: Sequence[Alert], state: State, plan: Plan, now: datetime
) -> tuple[list[Alert], list[Notice]]:
    """Return the firing alerts with who is told of them, and the notices."""
    groups: dict[tuple[str, What, str], list[Alert]] = {}
    kept: list[Alert] = []
    deaf = {each.receiver for each in state.outbox if each.tries}
    for alert in live:
        if alert.state != "firing" or is_quiet(alert, state, plan, now):
            kept.append(alert)
            continue
        names = [name for name in _receivers(alert, plan) if name not in alert.told]
        again = [name for name in alert.told if name not in deaf] if _is_due(alert, plan, now) else []
        if names or again:
            alert = replace(alert, told=(*alert.told, *names), told_at=now)  # noqa: PLW2901  as it is kept
        for name in names:
            groups.setdefault((alert.rule, "firing", name), []).append(alert)
        for name in again:
            groups.setdefault((alert.rule, "reminder", name), []).append(alert)
        kept.append(alert)
    for alert in over:
        for name in alert.told:
            groups.setdefault((alert.rule, "resolved", name), []).append(alert)
    notices = [_notice(key, alerts, now) for key, alerts in groups.items() if key[2] in plan.receivers]
    return kept, notices


def _given_up(counts: Mapping[str, Count], notices: Sequence[Notice]) -> Mapping[str, Count]:
    """Count notices that found no place in the outbox."""
    found = dict(counts)
    for each in notices:
        count = found.get(each.receiver, Count())
        found[each.receiver] = replace(count, given_up=count.given_up + 1, last_problem="too many wait")
    return found


def _receivers(alert: Alert, plan: Plan) -> Iterable[str]:
    named = plan.rules[alert.rule].receivers or tuple(plan.receivers)
    return (each for each in named if RANK[alert.severity] >= RANK[plan.receivers[each]])


def _is_due(alert: Alert, plan: Plan, now: datetime) -> bool:
    rule = plan.rules[alert.rule]
    every = plan.repeat_s if rule.repeat_s is None else rule.repeat_s
    return bool(every) and alert.told_at is not None and (now - alert.told_at).total_seconds() >= every


def _notice(key: tuple[str, What, str], alerts: Sequence[Alert], now: datetime) -> Notice:
    rule, what, receiver = key
    about = {each.id: what for each in alerts} | {"at": now.isoformat(), "to": receiver}
    return Notice(
        id=f"ntc_{fingerprint(rule, about)}",
        receiver=receiver,
        what=what,
        rule=rule,
        severity=worst(alerts),
        at=now,
        alerts=tuple(alerts[:MOST_IN_NOTICE]),
        n_more=max(0, len(alerts) - MOST_IN_NOTICE),
        next_at=now,
    )


def due(state: State, now: datetime) -> dict[str, list[Notice]]:
    """Return the notices to send now, by receiver: to each in order, behind a failed one nothing."""
    found: dict[str, list[Notice]] = {}
    blocked: set[str] = set()
    for notice in state.outbox:
        if notice.next_at > now:
            blocked.add(notice.receiver)
        elif notice.receiver not in blocked:
            found.setdefault(notice.receiver, []).append(notice)
    return found


def crossed_off(state: State, results: Sequence[Sent], now: datetime) -> State:
    """Return the state after notices were sent, or not."""
    by_id = {each.notice: each for each in results}
    outbox: list[Notice] = []
    counts = dict(state.counts)
    for notice in state.outbox:
        result = by_id.get(notice.id)
        if result is None:
            outbox.append(notice)
            continue
        count = counts.get(notice.receiver, Count())
        if result.problem is None:
            counts[notice.receiver] = replace(count, sent=count.sent + 1, last_problem="", last_at=now)
            continue
        count = replace(count, failed=count.failed + 1, last_problem=result.problem, last_at=now)
        if result.final or (now - notice.at).total_seconds() >= GIVE_UP_S:
            count = replace(count, given_up=count.given_up + 1)
        else:
            pause = min(FIRST_PAUSE_S * 2**notice.tries, LONGEST_PAUSE_S)
            outbox.append(replace(notice, tries=notice.tries + 1, next_at=now + timedelta(seconds=pause)))
        counts[notice.receiver] = count
    return replace(state, outbox=tuple(outbox), counts=counts)
