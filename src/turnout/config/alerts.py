"""The section `alerts`: what is watched, and who is told. Floor 5."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from turnout.errors import ConfigError, Forbidden
from turnout.jobs.alerts.receivers.base import AnyReceiver, Email, PagerDuty, Slack, Webhook
from turnout.jobs.alerts.rules import DEFAULTS, AnyRule, Mute
from turnout.transport.guard import Egress, Origin, egress_for, normal_host

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
PATH: Final = ".turnout/alerts.db"


class AlertsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that are evaluated once a receiver is configured."""

    receivers: Mapping[Name, AnyReceiver] = {}
    """Who is told, by name; none = nothing is evaluated."""
    rules: Mapping[Name, AnyRule] = {}
    """By name. One with the name of a default (its type) replaces it; others are added."""
    mutes: tuple[Mute, ...] = ()
    """Hours in which nobody is told."""
    every_s: Annotated[float, Meta(ge=5, le=3600)] = 30
    """Between two evaluations."""
    repeat_s: Annotated[float, Meta(ge=0, le=31_622_400)] = 14_400
    """What still lasts is told again after this long; 0 = never."""
    path: str = PATH
    """SQLite file of what is firing, shared by the workers of a machine. Replicas with a shared desk keep it
    there."""

    @property
    def in_force(self) -> Mapping[str, AnyRule]:
        """All rules, the defaults among them."""
        return {**DEFAULTS, **self.rules}


def egress_of(receivers: Mapping[str, AnyReceiver], cidrs: Sequence[str], plain: Sequence[str]) -> Egress:
    """Return where receivers may be reached over HTTP. Raises `ConfigError`, which names no path."""
    urls = [_url(each) for each in receivers.values() if not isinstance(each, Email)]
    return egress_for(urls, allow_cidrs=cidrs, allow_http=plain)


def _url(to: Webhook | Slack | PagerDuty) -> str:
    return to.url if isinstance(to, PagerDuty) else to.url.reveal()


def problems(alerts: AlertsConfig, cidrs: Sequence[str], plain: Sequence[str]) -> tuple[str, ...]:
    """Return what does not go together, one line each; no address is shown whole.

    Args:
        alerts: The section.
        cidrs: `egress.allow_cidrs`.
        plain: `egress.allow_http`.
    """
    return (*_receivers(alerts, cidrs, plain), *_rules(alerts), *_mutes(alerts))


def _receivers(alerts: AlertsConfig, cidrs: Sequence[str], plain: Sequence[str]) -> Iterator[str]:
    for name, to in alerts.receivers.items():
        where = f"alerts.receivers.{name}"
        if isinstance(to, Email):
            yield from (f"{where}: {each}" for each in _mail(to))
            continue
        try:
            egress_of({name: to}, cidrs, plain)
        except ConfigError as failure:
            yield from (f"{where}.url: {each}" for each in failure.problems)


def _mail(to: Email) -> Iterator[str]:
    if to.password is not None and (not to.user or to.security == "none"):
        yield "a password needs `user`, and `security: starttls` or `tls`"
    if to.user and to.password is None:
        yield "a user needs a `password`"
    try:
        local = Origin("smtp", normal_host(to.host), to.port).is_loopback
    except Forbidden as failure:
        yield f"host: {failure.message}"
    else:
        if to.security == "none" and not local:
            yield "mail in clear is handed to loopback only; use `security: starttls` or `tls`"


def _rules(alerts: AlertsConfig) -> Iterator[str]:
    for name, rule in alerts.rules.items():
        kind = str(rule.__struct_config__.tag)
        if name in DEFAULTS and name != kind:
            yield f"alerts.rules.{name}: type is {kind}; a rule of this name replaces the default of its type"
        for each in rule.receivers:
            if each not in alerts.receivers:
                yield f"alerts.rules.{name}.receivers: there is no receiver {each!r}"


def _mutes(alerts: AlertsConfig) -> Iterator[str]:
    for at, mute in enumerate(alerts.mutes):
        try:
            ZoneInfo(mute.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield f"alerts.mutes[{at}].zone: no time zone {mute.zone!r}; expected one as Europe/Berlin"
        for each in mute.rules:
            if each not in alerts.in_force:
                yield f"alerts.mutes[{at}].rules: there is no rule {each!r}"
