"""Endpoints that decide again from Records, and tell how a route's choice is doing. Floor 6.

Nothing is sent: what an edit would change is told by deciding the route's last requests again, once as
configured now and once as edited, from what their Records hold. Signals that only the edited strategy reads
are not in them: it then goes by its default.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.strict import convert
from turnout.engine.certified import permit_of
from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import NotFound, StoreUnavailable, TurnoutError
from turnout.evaluate.corrections import bins, gauge_of, points, suggest
from turnout.evaluate.feedback_data import records_of, words_of
from turnout.evaluate.replay import decide_again, differences, router_of
from turnout.server.admin.call import Call, Endpoint, Given, journal_of
from turnout.server.admin.overlay import Overlay
from turnout.server.admin.requests import found_request
from turnout.stores.base import Query
from turnout.stores.feedback import FeedbackQuery
from turnout.types.json import Json
from turnout.types.record import CandidateView, Decision, Record

MOST_DECIDED: Final = 1000
MOST_SCORED: Final = 2000
_RATE: Final = 0.05
"""Of corrections, for the suggestion shown beside the distribution."""


class Edited(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sections as a version would hold them."""

    sections: dict[str, Json]


class Side(Struct, frozen=True, kw_only=True):
    """What one configuration decides of the same requests."""

    shares: dict[str, float]
    """Model -> share of the requests that go to it first."""
    cost_nusd: int | None
    """Predicted, of all of them; None = a price is not known."""
    quality: float | None
    """Mean of the predicted; None = nothing is predicted."""


class Effect(Struct, frozen=True, kw_only=True):
    """What an edit would change."""

    n: int
    changed: int
    unable: int
    """Requests that could not be decided again under both."""
    before: Side
    after: Side
    object: str = "route.effect"


async def _replay(call: Call) -> Given:
    record = await found_request(call)
    then, snapshot = record.decision, call.built.engine.snapshot
    if then is None:
        raise NotFound(f"the request {record.request_id} was not decided")
    told: dict[str, Json] = {"object": "decision.replay", "request_id": record.request_id}
    told["other_config"] = then.config_digest != snapshot.digest
    try:
        now = decide_again(record, then, snapshot, router_of(snapshot))
    except TurnoutError as error:
        return Given(body={**told, "same": False, "chosen": [], "reason": error.row.word, "differences": []})
    except LookupError as missing:
        why = str(missing.args[0])
        return Given(body={**told, "same": False, "chosen": [], "reason": why, "differences": []})
    lines: list[Json] = list(differences(then, now))
    found: dict[str, Json] = {"same": not lines, "chosen": list(now.chosen), "reason": now.reason}
    return Given(body={**told, **found, "differences": lines})


def _route(call: Call) -> Route:
    route = call.built.engine.snapshot.routes.get(call.id)
    if route is None:
        raise NotFound(f"there is no route {call.id[:64]!r}")
    return route


async def _certificate(call: Call) -> Given:
    permit = permit_of(_route(call))
    certificate = None if permit is None else permit.certificate
    if permit is None or certificate is None:
        return Given(body={"object": "route.certificate", "id": None})
    standing = call.built.monitor.standings.of(call.id)
    state = None if standing is None else standing.state
    expires: Json = msgspec.to_builtins(certificate.expires)
    body: dict[str, Json] = {
        "object": "route.certificate",
        "id": certificate.id,
        "max_loss": certificate.epsilon,
        "confidence": 1 - certificate.delta,
        "reference": certificate.reference,
        "tau": certificate.tau,
        "expires": expires,
        "n": certificate.n,
        "void": None if state is None else state.void,
        "watched": None if state is None else msgspec.to_builtins(state),
    }
    return Given(body=body)


async def _records(call: Call, most: int) -> list[Record]:
    """Return the latest requests of the path's route that the actor may see."""
    journal = journal_of(call)
    query = Query(
        route=call.id,
        organisation=call.organisation(),
        since=call.instant("since"),
        until=call.instant("until"),
    )
    return await records_of(journal, query, most)


async def _scores(call: Call) -> Given:
    route, store = _route(call), call.built.quality.store
    if store is None:
        raise StoreUnavailable("no journal is kept here")
    permit = permit_of(route)
    certificate = None if permit is None else permit.certificate
    row = next((each for each in call.built.config.routes if each.name == call.id), None)
    gauge = gauge_of(row, None if certificate is None else (certificate.tau, certificate.reference))
    records = await _records(call, MOST_SCORED)
    query = FeedbackQuery(route=call.id, organisation=call.organisation())
    words = await words_of(store, query, datetime.now(UTC), call.built.config.feedback.quarantine_h)
    found = await asyncio.to_thread(points, records, words, gauge, call.built.config.feedback.max_share)
    rows: list[Json] = [
        {**msgspec.to_builtins(each), "rate": msgspec.to_builtins(each.rate)} for each in bins(found)
    ]
    suggestion: Json = msgspec.to_builtins(suggest(found, gauge, _RATE))
    return Given(
        body={
            "object": "route.scores",
            "route": call.id,
            "of": gauge.name or gauge.kind,
            "threshold": gauge.threshold,
            "n": len(found),
            "bins": rows,
            "suggestion": suggestion,
        }
    )


def _effect_endpoint(overlay: Overlay) -> Endpoint:
    async def effect(call: Call) -> Given:
        _route(call)
        sections = convert(call.fields, Edited).sections
        edited = call.built.prepare(overlay.put_together(overlay.base, sections))
        if call.id not in edited.routes:
            raise NotFound(f"the edit has no route {call.id[:64]!r}")
        records = await _records(call, MOST_DECIDED)
        found = await asyncio.to_thread(effect_of, records, call.built.engine.snapshot, edited)
        return Given(body=msgspec.to_builtins(found))

    return Endpoint(
        method="POST",
        path="/routes/{id}/effect",
        serve=effect,
        summary="What an edit would change for the route's last requests, decided again; nothing is sent",
        takes=Edited,
        gives=Effect,
    )


def effect_of(records: Sequence[Record], now: Snapshot, edited: Snapshot) -> Effect:
    """Decide requests again under two configurations, and compare."""
    routers = router_of(now), router_of(edited)
    pairs: list[tuple[Decision, Decision]] = []
    for record in records:
        then = record.decision
        if then is None:
            continue
        try:
            before = decide_again(record, then, now, routers[0], anew=True)
            after = decide_again(record, then, edited, routers[1], anew=True)
        except (TurnoutError, LookupError):
            continue
        pairs.append((before, after))
    return Effect(
        n=len(pairs),
        changed=sum(before.chosen[:1] != after.chosen[:1] for before, after in pairs),
        unable=len(records) - len(pairs),
        before=_side([before for before, _ in pairs]),
        after=_side([after for _, after in pairs]),
    )


def _side(decisions: Sequence[Decision]) -> Side:
    first = [view for each in decisions if (view := _first(each)) is not None]
    models = Counter(view.model for view in first)
    costs = [view.cost_nusd.mean if view.cost_nusd is not None else None for view in first]
    known = [cost for cost in costs if cost is not None]
    qualities = [view.q for view in first if view.q is not None]
    return Side(
        shares={name: n / len(first) for name, n in models.most_common()},
        cost_nusd=sum(known) if len(known) == len(costs) else None,
        quality=sum(qualities) / len(qualities) if qualities and len(qualities) == len(first) else None,
    )


def _first(decision: Decision) -> CandidateView | None:
    name = decision.chosen[0] if decision.chosen else None
    return next((view for view in decision.candidates if view.id == name), None)


def endpoints(overlay: Overlay) -> tuple[Endpoint, ...]:
    """Return the endpoints; an edit is laid over a process's file."""
    return (
        Endpoint(
            method="GET",
            path="/requests/{id}/replay",
            serve=_replay,
            summary="Decide a request again from its Record, as configured now; nothing is sent",
        ),
        Endpoint(
            method="GET",
            path="/routes/{id}/certificate",
            serve=_certificate,
            summary="What is promised of a route, and whether it holds",
        ),
        Endpoint(
            method="GET",
            path="/routes/{id}/scores",
            serve=_scores,
            summary="How much a stronger model was needed, how often answers were corrected, and a threshold",
            query=("since", "until", "organisation"),
        ),
        _effect_endpoint(overlay),
    )
