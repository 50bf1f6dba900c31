"""How the certificates in force are doing: alarms, counts, and what the monitor saw. Floor 4.

Theory of operation (ROUTING.md section 5.4).

1. A route with a certificate has a `Standing`. Requests tell it their predicted gap and how they ended,
   shadow pairs what they lost. An alarm is a word; from then on decisions read it from their context.
2. What was seen is kept in a file, one line an observation, named by the certificate. A new process reads
   it before it serves, and workers read each other's lines: all of them watch one and the same sequence.
3. Gaps are counted by the worker that saw them and only whole windows matter, so an open window is lost with
   its process; losses and alarms are not.
4. An alarm is told once a process: a log line, and to whoever listens. It ends with its certificate only.
5. Providers move a name to another version of a model without a word in the configuration, but their answers
   say it. The first name that each deployment answers by under a certificate is kept with its lines; another
   one is an alarm.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from turnout.engine.exchange import Exchange
from turnout.engine.snapshot import Route
from turnout.learn.certificate import Certificate
from turnout.learn.monitor import LOSS_ALARM, SHIFT_ALARM, LossWatch, ShiftWatch
from turnout.stores.sightings import Sightings
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.certified import EXPIRED, NOTHING_SHOWN, UNAVAILABLE, VERSION, Permit
from turnout.types.record import Attempt, CertificateView

log = logging.getLogger("turnout.certificate")

LOOK_EVERY: Final = 256
"""Requests after which other workers' lines are read."""

Ending = Literal["routed", "reference", "failover", "uncertified"]
"""How a request of a certified route ended; `failover` = answered by somebody the promise does not cover."""


class Alarm(Struct, frozen=True, kw_only=True):
    """A certificate stopped holding."""

    route: str
    certificate: str
    word: str
    """Closed: an alarm of the monitor, or why the certificate was made for something else."""
    action: str
    """What requests go by now."""


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation, as it is kept."""

    loss: float | None = None
    shift: float | None = None
    """Population stability index of a whole window that was too far off."""
    deployment: str | None = None
    version: str | None = None
    """What the deployment's upstream calls the model that answered."""


class State(Struct, frozen=True, kw_only=True):
    """How one certificate is doing."""

    route: str
    certificate: str
    void: str | None
    endings: Mapping[str, int]
    n_pairs: int
    mean_loss: float | None
    evidence: float
    """Log evidence that the promise is broken; an alarm at log(100)."""
    shift: float | None


OnAlarm = Callable[[Alarm], None]
"""Must not raise and must not block."""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Line)


class Standing:
    """How the certificate of one route is doing."""

    __slots__ = (
        "_n",
        "_sightings",
        "_told",
        "alarm",
        "endings",
        "losses",
        "permit",
        "route",
        "shift",
        "versions",
    )

    def __init__(self, route: str, permit: Permit, sightings: Sightings) -> None:
        self.route = route
        self.permit = permit
        self.alarm: str | None = None
        self.endings: Counter[str] = Counter()
        self._sightings = sightings
        self._n = 0
        self._told: set[str] = set()
        self.versions: dict[str, str] = {}
        """Deployment -> the name that its answers first went by under this certificate."""
        certificate = permit.certificate
        self.losses = None if certificate is None else LossWatch(certificate.epsilon)
        self.shift = None if certificate is None or not certificate.shares else _shift(certificate)
        self.look()

    def look(self) -> None:
        """Take in the lines that any worker wrote since."""
        for line in self._sightings.read(self.permit.id) if self.permit.id else ():
            try:
                seen = _DECODER.decode(line)
            except msgspec.DecodeError:
                continue  # written by another version, or by hand
            if seen.loss is not None and self.losses is not None and -1 <= seen.loss <= 1:
                self.losses.take(seen.loss)
                if self.losses.alarms:
                    self.alarm = self.alarm or LOSS_ALARM
            if seen.shift is not None:
                self.alarm = self.alarm or SHIFT_ALARM
            if seen.deployment is not None and seen.version is not None:
                first = self.versions.setdefault(seen.deployment, seen.version)
                self.alarm = self.alarm or (VERSION if first != seen.version else None)

    def note(self, view: CertificateView, ending: Ending) -> None:
        """Take in a request that ended."""
        self.endings[ending if view.uncertified is None else view.uncertified] += 1
        self._n += 1
        if self.shift is not None and view.gap is not None and self.shift.take(view.gap):
            self._write(Line(shift=self.shift.index))
        if self._n % LOOK_EVERY == 0:
            self.look()

    def lose(self, loss: float) -> None:
        """Take in what a request lost against the reference."""
        self._write(Line(loss=loss))

    def hear(self, deployment: str, version: str) -> None:
        """Take in by which name a deployment's upstream answered."""
        about = deployment in self.permit.ids or deployment in self.permit.candidates
        if about and self.permit.id and self.versions.get(deployment) != version and self.alarm is None:
            self._write(Line(deployment=deployment, version=version))

    def news(self, view: CertificateView | None = None) -> str | None:
        """Return a word that was not told before; None: there is no news."""
        certificate = self.permit.certificate
        words = [self.permit.void, self.permit.suspended, self.alarm]
        if view is not None and view.uncertified not in {UNAVAILABLE, NOTHING_SHOWN}:
            words.append(view.uncertified)
        for word in words:
            if word is not None and word not in self._told and certificate is not None:
                self._told.add(word)
                return word
        return None

    @property
    def state(self) -> State:
        """What is known now."""
        losses = self.losses
        return State(
            route=self.route,
            certificate=self.permit.id,
            void=self.permit.void or self.permit.suspended or self.alarm,
            endings=dict(self.endings),
            n_pairs=0 if losses is None else losses.n,
            mean_loss=None if losses is None or not losses.n else losses.total / losses.n,
            evidence=0.0 if losses is None else losses.log_evidence,
            shift=None if self.shift is None else self.shift.index,
        )

    def _write(self, line: Line) -> None:
        try:
            self._sightings.append(self.permit.id, _ENCODER.encode(line))
        except OSError as error:
            log.warning("certificate %s: an observation is lost: %s", self.permit.id, error.strerror)
        self.look()


class Standings:
    """The standings of all routes that have a certificate. A reload keeps those whose certificate stays."""

    __slots__ = ("_on_alarm", "_sightings", "_standings")

    def __init__(self, sightings: Sightings, on_alarm: OnAlarm | None = None) -> None:
        self._sightings = sightings
        self._on_alarm = on_alarm
        self._standings: dict[str, Standing] = {}

    def __bool__(self) -> bool:
        return bool(self._standings)

    def keep(self, routes: Mapping[str, Route]) -> None:
        """Have a standing for each of these routes that has a certificate, and for no other."""
        found: dict[str, Standing] = {}
        for name, route in routes.items():
            permit = permit_of(route)
            if permit is None:
                continue
            old = self._standings.get(name)
            if old is not None and old.permit.id == permit.id:
                old.permit = permit
                found[name] = old
            else:
                found[name] = Standing(name, permit, self._sightings)
        self._standings = found
        for standing in found.values():
            self._tell(standing)

    @property
    def largest_share(self) -> float:
        """Share of the route that draws most requests for the monitor."""
        return max((standing.permit.shadow_share for standing in self._standings.values()), default=0.0)

    def of(self, route: str) -> Standing | None:
        """Return the standing of a route; None where it has no certificate."""
        return self._standings.get(route)

    def void(self, route: str) -> str | None:
        """Return the alarm by which a route's certificate does not hold; None where there is none."""
        standing = self._standings.get(route)
        return None if standing is None else standing.alarm

    def note(self, route: str, view: CertificateView, ending: Ending) -> None:
        """Take in a request that ended."""
        standing = self._standings.get(route)
        if standing is not None:
            standing.note(view, ending)
            self._tell(standing, view)

    def hear(self, route: str, attempts: Sequence[Attempt]) -> None:
        """Take in by which names the upstreams of a request answered; none: by those they were asked by."""
        standing = self._standings.get(route)
        for attempt in attempts if standing is not None else ():
            if standing is not None and attempt.upstream_model is not None:
                standing.hear(attempt.deployment, attempt.upstream_model)

    def lose(self, route: str, loss: float) -> None:
        """Take in what one uniformly drawn request of a route lost against the reference."""
        standing = self._standings.get(route)
        if standing is not None:
            standing.lose(loss)
            self._tell(standing)

    def states(self) -> tuple[State, ...]:
        """Return how every certificate is doing."""
        return tuple(standing.state for standing in self._standings.values())

    def _tell(self, standing: Standing, view: CertificateView | None = None) -> None:
        word = standing.news(view)
        if word is None:
            return
        alarm = Alarm(
            route=standing.route,
            certificate=standing.permit.id,
            word=word,
            action=_action(standing.permit, word),
        )
        log.warning("route %s: certificate %s: %s; %s", alarm.route, alarm.certificate, word, alarm.action)
        if self._on_alarm is not None:
            self._on_alarm(alarm)


def permit_of(route: Route) -> Permit | None:
    """Return the certificate of a route as its strategy heeds it; None where it has none."""
    return route.strategy.permit if isinstance(route.strategy, Pipeline) else None


def ending_of(exchange: Exchange, permit: Permit) -> Ending | None:
    """Return how a request of a certified route ended; None where nobody answered it."""
    routing, reply = exchange.routing, exchange.reply
    view = None if routing is None else routing.certificate
    if view is None or reply is None or routing is None:
        return None
    answered = reply.deployment.id
    if view.uncertified is not None:
        return "uncertified"
    if answered in permit.ids:
        return "reference"
    return "routed" if answered in view.routed else "failover"


def _shift(certificate: Certificate) -> ShiftWatch:
    return ShiftWatch(certificate.thresholds, certificate.shares)


def _action(permit: Permit, word: str) -> str:
    """Say what requests go by from now on."""
    if word == permit.void:
        return "requests go to the reference"
    rule = permit.on_expiry if word == EXPIRED else permit.on_drift
    if rule == "warn":
        return "requests go on as before, without a promise"
    if rule in {"previous", "rollback"} and permit.previous is not None:
        return f"requests go by certificate {permit.previous.id} where it still holds"
    return "requests go to the reference"
