"""What there is to say of the routes' certificates before they are served. Floor 7."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from turnout.engine.certified import Standing, permit_of
from turnout.engine.snapshot import Route

if TYPE_CHECKING:
    from turnout.stores.sightings import Sightings
    from turnout.strategies.pipeline.certified import Permit

SOON = 7
"""Days before its end from which a certificate is said to end soon."""


def certificate_lines(routes: Iterable[Route], sightings: "Sightings") -> list[str]:
    """Return the state of each route's certificate, and what about it deserves a look."""
    from turnout.compile.certificates import stale_prices

    now = datetime.now(UTC)
    found: list[str] = []
    for route in routes:
        permit = permit_of(route)
        if permit is None:
            continue
        name = f"route {route.name}: certificate"
        certificate = permit.certificate
        if certificate is None:
            found.append(f"{name}: none yet, everything goes to the reference; turnout calibrate writes one")
            continue
        found.append(f"{name} {certificate.id}: {_state(Standing(route.name, permit, sightings), now)}")
        outside = [d.id for d in route.deployments if d.id not in permit.ids | permit.candidates]
        if outside:
            found.append(f"{name} {certificate.id}: never asked first: {', '.join(outside)}")
        stale = stale_prices(certificate, route.deployments)
        if stale:
            found.append(
                f"{name} {certificate.id}: savings were stated at other prices of {', '.join(stale)}"
            )
    return found


def _state(standing: Standing, now: datetime) -> str:
    """Say whether a certificate holds, how long yet, and what it promises."""
    permit: Permit = standing.permit
    certificate = permit.certificate
    assert certificate is not None
    state = standing.state
    if state.void is not None:
        return f"does not hold: {state.void}"
    if not certificate.is_valid(now):
        return f"expired on {certificate.expires:%Y-%m-%d}; calibrate again"
    days = (certificate.expires - now).days
    promise = f"a mean loss of at most {certificate.epsilon:g}, confidence {1 - certificate.delta:g}"
    seen = "" if state.mean_loss is None else f"; {state.n_pairs} compared, mean loss {state.mean_loss:.4f}"
    if certificate.tau is None:
        return f"showed nothing, everything goes to the reference; {days} days left"
    soon = " (soon)" if days < SOON else ""
    return f"holds, {days} days left{soon}; {promise}; threshold {certificate.tau:.4f}{seen}"
