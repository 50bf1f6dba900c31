"""`/v1/background`: jobs handed in, looked at, cancelled and collected. Floor 6.

WIRE.md 3.7. A job belongs to the key that handed it in; to any other it does not exist.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.strict import convert, parse
from turnout.errors import InvalidRequest, NotFound
from turnout.server.deferred import Asked, Deferred
from turnout.server.http import RawHeaders
from turnout.server.inbound import KEY_CARRIERS, TRANSPORT, understood
from turnout.server.visit import number_in
from turnout.stores.queue import Booking, Job, Sent, Served
from turnout.types.json import Json
from turnout.types.principal import Principal
from turnout.types.usage import usd

MOST_LISTED = 100
_NOT_KEPT = KEY_CARRIERS | TRANSPORT | {b"idempotency-key", b"x-turnout-hop"}
"""Headers of the job's own request: the key is never stored, and the rest says nothing of the job."""
_JSON = (b"content-type", b"application/json")


class Came(Struct, frozen=True):
    """The request that brought a job."""

    path: str
    headers: Sequence[tuple[bytes, bytes]]
    owner: str
    key: str | None
    """Idempotency key of its headers, for jobs that hold none."""


class _Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deadline: Annotated[float, Meta(gt=0)] | Annotated[datetime, Meta(tz=True)] | None = None
    """Seconds from now, or an instant with a zone."""
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class _Envelope(_Wish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(pattern="^/", max_length=512)]
    body: dict[str, object]


class _Raw(Struct, frozen=True):
    body: msgspec.Raw


def asked(raw: bytes, came: Came) -> Asked:
    """Read `{path, body, deadline, idempotency_key}`. Raises `InvalidRequest` with the path of the misfit."""
    envelope = convert(parse(raw), _Envelope)
    return _asked(envelope.path, bytes(msgspec.json.decode(raw, type=_Raw).body), envelope, came)


def wished(raw: bytes, came: Came) -> Asked:
    """Read a request whose own `turnout.background` asks for a job. Raises `InvalidRequest`."""
    ours = parse(raw)["turnout"]
    assert isinstance(ours, Mapping)
    return _asked(came.path, raw, convert(ours["background"], _Wish, "turnout.background"), came)


def as_job(body: bytes, came: Came, *, says_how: bool) -> Asked:
    """Return a request of another endpoint as a job.

    Args:
        body: What the endpoint takes.
        came: The request that brought it.
        says_how: Whether its `turnout.background` does. Raises `InvalidRequest` for what cannot be read.
    """
    return wished(body, came) if says_how else _asked(came.path, body, _Wish(), came)


def _asked(path: str, body: bytes, wish: _Wish, came: Came) -> Asked:
    kept = tuple((name, value) for name, value in came.headers if name not in _NOT_KEPT and understood(name))
    return Asked(
        sent=Sent(path, (_JSON, *kept), body),
        owner=came.owner,
        deadline=wish.deadline,
        key=wish.idempotency_key or came.key,
    )


def enabled(deferred: Deferred | None) -> Deferred:
    """Return the queue. Raises `NotFound`, saying what to configure."""
    if deferred is None:
        raise NotFound("background jobs are off at this gateway; its operator can set background.path")
    return deferred


async def listing(deferred: Deferred, principal: Principal, query: bytes) -> bytes:
    """Return a page of the caller's jobs, newest first."""
    given = parse_qs(query.decode("latin-1"))
    after = given.get("after", [None])[0]
    limit = number_in(given.get("limit", ["20"])[0], 1, MOST_LISTED)
    if limit is None:
        raise InvalidRequest(f"limit: expected 1–{MOST_LISTED}", param="limit")
    found = await deferred.jobs(principal.key_id or "", limit + 1, after)
    page: dict[str, object] = {
        "object": "list",
        "data": [view(job, principal) for job in found[:limit]],
        "has_more": len(found) > limit,
    }
    return msgspec.json.encode(page)


async def shown(deferred: Deferred, job_id: str, principal: Principal) -> bytes:
    """Return a job, and its answer when there is one."""
    job = await deferred.get(job_id, principal.key_id or "")
    served = await deferred.answer(job)
    tree: dict[str, object] = dict(view(job, principal))
    if served is not None:
        tree["response"] = {
            "status": served.status,
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in served.headers},
            "body": msgspec.Raw(served.body),
        }
    return msgspec.json.encode(tree)


async def collected(deferred: Deferred, job_id: str, principal: Principal) -> tuple[int, RawHeaders, bytes]:
    """Return the answer as the endpoint would have given it: status, headers, body."""
    job = await deferred.get(job_id, principal.key_id or "")
    served: Served | None = await deferred.answer(job)
    if served is None:
        raise NotFound(f"the job is {job.state}: it has no answer", param="id")
    return served.status, list(served.headers), served.body


def view(job: Job, principal: Principal) -> dict[str, Json]:
    """Return a job as its owner may see it; deployments have names only for operators."""
    return {
        "id": job.id,
        "object": "background.job",
        "state": job.state,
        "path": job.path,
        "request_id": job.request_id,
        "created_at": _written(job.created_at),
        "deadline_at": _written(job.deadline_at),
        "started_at": _written(job.started_at),
        "ended_at": _written(job.ended_at),
        "collected_at": _written(job.collected_at),
        "runs": job.n_runs,
        "status": job.status,
        "error": job.error,
        "plan": plan_view(job.booking, named=principal.key_id is None),
    }


def plan_view(booking: Booking, *, named: bool) -> dict[str, Json]:
    """Return what was planned for a job."""
    found: dict[str, Json] = {
        "start_at": _written(booking.start_at),
        "latest_at": _written(booking.latest_at),
        "slot": booking.slot,
        "model": booking.model,
        "expected_cost_usd": None if booking.price_nusd is None else usd(booking.price_nusd),
        "cost_now_usd": None if booking.plain_nusd is None else usd(booking.plain_nusd),
        "price_factor": booking.price_factor,
        "p_done": booking.p_done,
        "promoted": booking.promoted,
    }
    return {**found, "deployment": booking.deployment} if named else found


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
