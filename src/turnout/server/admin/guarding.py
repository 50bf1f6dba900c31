"""Endpoints of guards: what is configured, what it found, and whether it was right. Floor 6.

What guards found is read from the journal, newest first, so many Records at most: the answer says how far
back it looked. A review is a word of feedback on the request (S-34); no text of a request is ever told here.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from turnout.codecs.strict import convert
from turnout.config.guards import GuardConfig
from turnout.errors import InvalidRequest, NotFound
from turnout.server.admin.audit import noted
from turnout.server.admin.call import Call, Endpoint, Given, journal_of
from turnout.server.admin.spend import written
from turnout.server.hearing import feedback_id
from turnout.stores.base import Query
from turnout.stores.columns import EPOCH
from turnout.stores.feedback import FeedbackQuery, FeedbackStore
from turnout.stores.glance.base import glance
from turnout.types.feedback import Feedback
from turnout.types.json import Json
from turnout.types.record import Record

QUERY: Final = (
    *("since", "until", "step", "limit", "organisation", "project", "team", "customer", "key_id", "tag"),
    *("model", "provider", "route"),
)
MOST_LOOKED: Final = 10_000
"""Records that one question reads."""
MOST_REVIEWS: Final = 10_000
_PAGE: Final = 500
_STEPS: Final = {"minute": 60, "hour": 3_600, "day": 86_400}
_HITS: Final = frozenset(("block", "redact", "flag", "monitor"))
_FAILED: Final = frozenset(("failed_open", "failed_closed"))
Verdict = Literal["right", "false_alarm"]


class Reviewed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody who looked says of a hit."""

    request_id: Annotated[str, Meta(min_length=1, max_length=256)]
    guard: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """Name of the configured guard."""
    verdict: Verdict


class Tallied(Struct, kw_only=True):
    """One guard in a time."""

    name: str
    asked: int = 0
    """Requests it looked at."""
    hits: int = 0
    """Requests in which it found something."""
    failures: int = 0
    right: int = 0
    false_alarms: int = 0
    total_s: float = 0.0
    kinds: dict[str, int] = {}


class View(Struct, frozen=True, gc=False):
    """The part of a guard's word that is counted."""

    name: str
    type: str
    stage: str
    action: str
    found: dict[str, int] = {}
    duration_s: float = 0.0


class Answered(Struct, frozen=True, gc=False):
    """The part of an outcome that is told."""

    model: str | None = None


class Decided(Struct, frozen=True, gc=False):
    """The part of a decision that is told."""

    route: str


class Seen(Struct, frozen=True, gc=False):
    """The part of a Record that is counted: a third of the time of reading it whole."""

    request_id: str
    at: datetime
    outcome: Answered
    guards: tuple[View, ...] = ()
    decision: Decided | None = None


async def _list(call: Call) -> Given:
    step_s = _STEPS.get(call.text("step") or "hour")
    if step_s is None:
        raise InvalidRequest("step: expected minute, hour or day", param="step")
    limit = call.number("limit", 50, 500)
    tallies: dict[str, Tallied] = {}
    steps: dict[tuple[int, str], int] = {}
    latest: list[tuple[Seen, View]] = []
    records = await _records(call)
    n, oldest = len(records), records[-1].at if records else None
    for record in records:
        if record.guards:
            _count(record, tallies)
        for view in _hits(record):
            at = int((record.at - EPOCH).total_seconds()) // step_s * step_s
            steps[at, view.name] = steps.get((at, view.name), 0) + 1
            if len(latest) < limit:
                latest.append((record, view))
    reviews = await _reviews(call, tallies)
    posts = {row.name: _configured(call, row) for row in call.built.config.guards.rules}
    rows: list[Json] = [
        {**posts.get(name, {"name": name, "type": None}), **_told(tallies.get(name) or Tallied(name=name))}
        for name in (*posts, *sorted(tallies.keys() - posts.keys()))
    ]
    body: dict[str, Json] = {
        "object": "guards",
        "guards": rows,
        "series": [
            {"at": written(EPOCH + timedelta(seconds=at)), "guard": name, "hits": hits}
            for (at, name), hits in sorted(steps.items())
        ],
        "latest": [_hit(record, view, reviews) for record, view in latest],
        "looked_at": n,
        "since": None if oldest is None else written(oldest),
        "complete": n < MOST_LOOKED,
    }
    return Given(body=body)


async def _records(call: Call) -> tuple[Seen, ...]:
    journal = journal_of(call)
    query = Query(
        since=call.instant("since"),
        until=call.instant("until"),
        organisation=call.organisation(),
        project=call.text("project"),
        team=call.text("team"),
        customer=call.text("customer"),
        principal=call.text("key_id"),
        model=call.text("model"),
        provider=call.text("provider"),
        route=call.text("route"),
        tag=call.text("tag"),
        limit=MOST_LOOKED,
    )
    return await glance(journal, query, Seen)


def _hits(record: Seen) -> list[View]:
    """Return where a guard found something: once a guard, at the stage where it did most."""
    found: dict[str, View] = {}
    for view in record.guards:
        if view.action in _HITS and view.found:
            known = found.get(view.name)
            if known is None or sum(view.found.values()) > sum(known.found.values()):
                found[view.name] = view
    return list(found.values())


def _count(record: Seen, tallies: dict[str, Tallied]) -> None:
    for name in {view.name for view in record.guards if view.action != "skipped"}:
        tallies.setdefault(name, Tallied(name=name, kinds={})).asked += 1
    for view in record.guards:
        if view.action == "skipped":
            continue
        tally = tallies[view.name]
        tally.total_s += view.duration_s
        tally.failures += view.action in _FAILED
        for kind, n in view.found.items():
            tally.kinds[kind] = tally.kinds.get(kind, 0) + n
    for view in _hits(record):
        tallies[view.name].hits += 1


async def _reviews(call: Call, tallies: dict[str, Tallied]) -> dict[tuple[str, str], str]:
    """Return what was said of hits, and count it: of every request that the time holds."""
    store = call.built.quality.store
    if store is None:
        return {}
    query = FeedbackQuery(
        kind="guard", organisation=call.organisation(), since=call.instant("since"), limit=_PAGE
    )
    said: dict[tuple[str, str], str] = {}
    for _ in range(MOST_REVIEWS // _PAGE):
        page = await store.query(query)
        for told in page:
            name = told.feedback.source.removeprefix("guard:")
            key = (told.feedback.request_id, name)
            if key in said:
                continue  # the newest word on a hit counts
            said[key] = str(told.feedback.value)
            tally = tallies.setdefault(name, Tallied(name=name, kinds={}))
            tally.right += told.feedback.value == "right"
            tally.false_alarms += told.feedback.value == "false_alarm"
        if len(page) < _PAGE:
            break
        query = replace(query, after=page[-1].place)
    return said


def _configured(call: Call, row: GuardConfig) -> dict[str, Json]:
    """Return a guard without the fields of what it looks for: words and tokens may be secret."""
    config = call.built.config
    post = next((each for each in call.built.engine.snapshot.guards.posts if each.name == row.name), None)
    return {
        "name": row.name,
        "type": str(row.guard.get("type")),
        "mode": row.mode,
        "stages": sorted(post.stages) if post is not None else [],
        "sources": None if row.sources is None else list(row.sources),
        "on_failure": row.on_failure,
        "everywhere": row.everywhere,
        "routes": [each.name for each in config.routes if row.name in each.guards],
        "surfaces": [name for name, each in config.surfaces.items() if row.name in each.guards],
        "teams": list(row.teams),
        "keys": [each.name for each in config.server.keys if row.name in each.guards],
    }


def _told(tally: Tallied) -> dict[str, Json]:
    n = tally.right + tally.false_alarms
    return {
        "asked": tally.asked,
        "hits": tally.hits,
        "failures": tally.failures,
        "mean_s": tally.total_s / tally.asked if tally.asked else None,
        "kinds": dict(sorted(tally.kinds.items())),
        "reviewed": n,
        "false_alarms": tally.false_alarms,
        "false_alarm_rate": tally.false_alarms / n if n else None,
    }


def _hit(record: Seen, view: View, reviews: dict[tuple[str, str], str]) -> dict[str, Json]:
    return {
        "request_id": record.request_id,
        "at": written(record.at),
        "guard": view.name,
        "type": view.type,
        "stage": view.stage,
        "action": view.action,
        "found": dict(view.found),
        "route": record.decision.route if record.decision is not None else None,
        "model": record.outcome.model,
        "review": reviews.get((record.request_id, view.name)),
    }


async def _review(call: Call) -> Given:
    said = convert(call.fields, Reviewed)
    journal, store = call.built.journal, call.built.quality.store
    if journal is None or store is None:
        raise NotFound("no journal is kept here, so that a review has nothing to be about")
    record = await journal.get(said.request_id)
    if record is None or not call.actor.sees(record.organisation):
        raise NotFound(f"there is no request {said.request_id[:64]!r}")
    if said.guard not in {view.name for view in _hits(msgspec.convert(record, Seen, from_attributes=True))}:
        raise InvalidRequest(f"guard: {said.guard!r} found nothing in this request", param="guard")
    if call.has_office:
        await noted(call, f"request/{record.request_id}", {"guard": said.guard, "verdict": said.verdict})
    await _keep(call, store, record, said)
    body: dict[str, Json] = {"object": "guard.review", **msgspec.to_builtins(said)}
    return Given(body=body, status=201)


async def _keep(call: Call, store: FeedbackStore, record: Record, said: Reviewed) -> None:
    await store.put(
        Feedback(
            id=feedback_id(record.request_id, f"guard:{said.guard}", f"operator:{call.actor.id}"),
            request_id=record.request_id,
            at=datetime.now(UTC),
            kind="guard",
            value=said.verdict,
            source=f"guard:{said.guard}",
            asked_at=record.at,
            principal=record.principal,
            speaker=call.actor.id,
            organisation=record.organisation,
            project=record.project,
            customer=record.customer,
            route=record.decision.route if record.decision is not None else None,
            model=record.outcome.model,
        )
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/guards",
        serve=_list,
        summary="Configured guards, what they found in a time, and how often that was a false alarm",
        query=QUERY,
    ),
    Endpoint(
        method="POST",
        path="/guards/review",
        serve=_review,
        summary="Say whether what a guard found in a request was right",
        takes=Reviewed,
    ),
)
