"""Whom a certificate lets a request leave its reference for. Floor 2.

Theory of operation (ROUTING.md 1.2 step 7 and section 5).

1. Among the candidates that satisfy the constraints only those are chosen among that are the reference, or
   have a predicted gap to it within the threshold. Where none is left, the reference is asked.
2. What a modifier pins may only be the reference or a permitted candidate. Where the certificate's unit is
   the session, an open tool loop keeps its deployment: the session was decided when it began.
3. A certificate that does not hold (its date, an alarm, something else than it was made for) permits nobody.
   The configuration may say otherwise: the one before it, or go on and say so.
4. Where the reference cannot be asked, the others are, and the decision says that this is outside the
   promise. Behind a certified plan they stand as last fallbacks, for the same case.
5. Pure: the date is the request's own, alarms come with the context.
"""

from collections.abc import Sequence
from datetime import datetime
from math import inf, isfinite
from typing import Final, Literal

from msgspec import Struct

from turnout import plan as plans
from turnout.learn.certificate import Certificate
from turnout.strategies.base import Context
from turnout.types.deployment import Candidate, Deployment
from turnout.types.record import CertificateView

MAX_LAST: Final = 3
"""Uncertified candidates behind a certified plan: each costs its time to fail."""
EXPIRED: Final = "expired"
NOT_CALIBRATED: Final = "not_calibrated"
VERSION: Final = "model_version"
PRICE: Final = "price_change"
UNAVAILABLE: Final = "reference_unavailable"
NOTHING_SHOWN: Final = "nothing_shown"

OnExpiry = Literal["reference", "previous", "warn"]
OnDrift = Literal["warn", "abstain", "rollback"]


class Permit(Struct, frozen=True, kw_only=True):
    """A route's certificate, tied to the deployments it is about."""

    certificate: Certificate | None
    """None: there is none yet, and everything goes to the reference."""
    reference: tuple[Deployment, ...]
    """Who serves the reference model, in the declared order; at least one."""
    candidates: frozenset[str] = frozenset()
    """Ids of the deployments that serve its candidates."""
    void: str | None = None
    """Why it was made for something else than what is configured; None: it was made for this."""
    suspended: str | None = None
    """What was configured since by which it is treated as after an alarm: `price_change`. None: nothing."""
    previous: Certificate | None = None
    """The one before it, which may still hold."""
    on_expiry: OnExpiry = "reference"
    on_drift: OnDrift = "abstain"
    shadow_share: float = 0.0
    """Share of the route's requests of which the reference's answer is known for the monitor."""
    shadow_score: plans.Accept | None = None
    """Scores both answers; None: somebody else does (`turnout monitor`)."""

    @property
    def id(self) -> str:
        """Id of the certificate; empty where there is none."""
        return "" if self.certificate is None else self.certificate.id

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the deployments that serve the reference model."""
        return frozenset(each.id for each in self.reference)

    def in_force(self, context: Context) -> tuple[Certificate | None, str | None]:
        """Return the certificate to go by, None for none, and why that is not the plain case."""
        certificate = self.certificate
        if certificate is None:
            return None, NOT_CALIBRATED
        if self.void is not None:
            return None, self.void
        if not certificate.is_valid(context.at):
            if self.on_expiry == "warn":
                return certificate, EXPIRED
            return (self._earlier(context.at) if self.on_expiry == "previous" else None), EXPIRED
        alarm = context.certificate_void or self.suspended
        if alarm is not None and self.on_drift != "warn":
            return (self._earlier(context.at) if self.on_drift == "rollback" else None), alarm
        return certificate, alarm

    def _earlier(self, at: datetime) -> Certificate | None:
        return self.previous if self.previous is not None and self.previous.is_valid(at) else None


class Ruling(Struct, frozen=True, kw_only=True):
    """What a certificate says about one request."""

    view: CertificateView
    permitted: frozenset[int] | None
    """Indices of candidates that may be asked first; None: the reference cannot be asked, so anybody may."""
    fallback: frozenset[int] = frozenset()
    """Of these, who is asked where constraints leave nobody permitted: the reference, if it is there."""
    keeps_pin: bool
    """Whether a pinned deployment stays although it is not permitted."""


def rule(
    permit: Permit, context: Context, candidates: Sequence[Candidate], quality: Sequence[float], best: float
) -> Ruling:
    """Say who may be asked first.

    Args:
        permit: The certificate.
        context: The request.
        candidates: Who is left.
        quality: Predicted quality of each.
        best: Predicted quality of the reference; NaN: not known.
    """
    certificate, state = permit.in_force(context)
    tau = None if certificate is None else certificate.threshold(context.ask.surface)
    ids = permit.ids
    gaps = [best - q if c.id in permit.candidates else inf for c, q in zip(candidates, quality, strict=True)]
    reference = frozenset(i for i, c in enumerate(candidates) if c.id in ids)
    routed = frozenset(i for i, gap in enumerate(gaps) if tau is not None and gap <= tau)
    least = min((gap for gap in gaps if isfinite(gap)), default=None)
    uncertified = state if certificate is None or certificate is not permit.previous else None
    if uncertified is None and tau is None:
        uncertified = NOTHING_SHOWN
    if not reference and not routed:
        uncertified = UNAVAILABLE
    view = CertificateView(
        id=permit.id if certificate is None else certificate.id,
        tau=tau,
        gap=least,
        routed=tuple(candidates[i].id for i in sorted(routed)),
        void=context.certificate_void,
        uncertified=uncertified,
    )
    return Ruling(
        view=view,
        permitted=(reference | routed) or None,
        fallback=reference or routed,
        keeps_pin=certificate is not None and certificate.unit == "session",
    )


def followed(
    plan: plans.Plan, candidates: Sequence[Candidate], last: Sequence[int], context: Context
) -> plans.Plan:
    """Return the plan with uncertified candidates as its last fallbacks."""
    if not last or not context.ask.prefer.allow_fallbacks or isinstance(plan, plans.Cascade | plans.Fanout):
        return plan
    tail = tuple(plans.Try(candidates[i].id) for i in last[:MAX_LAST])
    nodes = plan.nodes if isinstance(plan, plans.Sequence) else (plan,)
    return plans.Sequence((*nodes, *tail))
