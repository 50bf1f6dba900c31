"""The admin API of one gateway: finds the endpoint, asks who may, and answers. Floor 6.

Theory of operation.

1. A path is matched once, segment by segment, to an endpoint and the row of the table that says who may use
   it. Authorisation looks at that row and never at the path again (S-06). Every endpoint has a row and every
   row an endpoint, or nothing is opened (S-05).
2. Refused is, in this order: who shows no valid key (401), whose role is not in the row, and whose key is of
   one organisation where the row concerns all (403). Each is put on record. Whether an object is out of
   reach is decided where it was loaded, and looks as if it were not there (404).
3. Who shows no key may have a session (`login.signed`). While no key exists anywhere and nobody can sign in,
   whoever calls from the machine itself is its owner.
4. A body is JSON by its content type, which a browser sends to another origin only after asking; nothing
   here answers such a question.
"""

import gzip
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final, NoReturn

import msgspec

from turnout.build import Built
from turnout.errors import (
    ConfigError,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    TurnoutError,
    Unauthenticated,
)
from turnout.govern.office import Office
from turnout.govern.rules import Actor, actor_of
from turnout.server.admin import (
    alerts,
    audit,
    caching,
    configuring,
    credentials,
    deciding,
    documents,
    erasing,
    evaluations,
    guarding,
    hearing,
    money,
    people,
    prices,
    requests,
    served,
    standing,
    usages,
)
from turnout.server.admin.call import Call, Endpoint, Given, failure_body, read_query, read_version
from turnout.server.admin.openapi import description
from turnout.server.admin.overlay import Overlay
from turnout.server.admin.permits import BASE, PERMITS, Permit
from turnout.server.answer import Whole
from turnout.server.http import JSON_TYPE, RawHeaders, respond
from turnout.server.idempotency import Replays
from turnout.server.login.signed import Sessions, local_owner
from turnout.server.visit import Visit
from turnout.stores.memory import MemoryStore

Enter = Callable[[Visit, str], None]
"""Checks who asks, for what and from where. Raises `TurnoutError`."""
Read = Callable[[Visit], Awaitable[bytes]]
_ID: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
_STATUS: Final = b":status"
_WORTH_PACKING: Final = 4096
"""Bytes of an answer from which on it is packed: rows of usage shrink to a fiftieth, in a millisecond."""
_PACKED: Final = 5
_STRANGER: Final = "stranger"


class Row(msgspec.Struct, frozen=True):
    """An endpoint with who may use it."""

    endpoint: Endpoint
    permit: Permit


def rows_of(endpoints: Sequence[Endpoint]) -> tuple[Row, ...]:
    """Put endpoints and the table together. Raises `ConfigError` when one has what the other lacks (S-05)."""
    permits = {(permit.method, permit.path): permit for permit in PERMITS}
    served_ = {(each.method, each.path): each for each in endpoints}
    problems = [f"admin: {m} {p} has no permission" for m, p in served_.keys() - permits.keys()]
    problems += [f"admin: nothing serves {m} {p}" for m, p in permits.keys() - served_.keys()]
    if problems or len(permits) != len(PERMITS) or len(served_) != len(endpoints):
        raise ConfigError(tuple(sorted(problems)) or ("admin: a path is served twice",))
    return tuple(Row(served_[key], permit) for key, permit in permits.items())


def all_endpoints(overlay: Overlay, set_ready: Callable[[bool], None]) -> tuple[Endpoint, ...]:
    """Return every endpoint of the API but its own description."""
    return (
        *documents.ENDPOINTS,
        *people.ENDPOINTS,
        *credentials.ENDPOINTS,
        *prices.ENDPOINTS,
        *served.ENDPOINTS,
        *caching.ENDPOINTS,
        *guarding.ENDPOINTS,
        *served.drains(set_ready),
        *configuring.endpoints(overlay),
        *requests.ENDPOINTS,
        *deciding.endpoints(overlay),
        *hearing.ENDPOINTS,
        *evaluations.ENDPOINTS,
        *money.ENDPOINTS,
        *usages.ENDPOINTS,
        *erasing.ENDPOINTS,
        *standing.ENDPOINTS,
        *alerts.ENDPOINTS,
        *audit.ENDPOINTS,
    )


class Admin:
    """The admin API.

    Args:
        built: What is administered.
        office: The desk's; None while there is none.
        overlay: What lies over the configuration's file.
        keyless: Whether no key exists that could be shown.
    """

    def __init__(
        self,
        built: Built,
        office: Callable[[], Office | None],
        overlay: Overlay,
        keyless: Callable[[], bool],
        set_ready: Callable[[bool], None],
    ) -> None:
        self._built = built
        self._office = office
        self._overlay = overlay
        self._keyless = keyless
        self._replays = Replays(MemoryStore())
        self.sessions: Sessions | None = None
        """Who is behind a cookie."""
        endpoints = all_endpoints(overlay, set_ready)
        about = Endpoint(method="GET", path="/openapi.json", serve=self._describe, summary="This description")
        self._endpoints = (*endpoints, about)
        self.rows: Final = rows_of(self._endpoints)

    async def visit(self, visit: Visit, enter: Enter, read: Read) -> None:
        """Serve a visit under `/admin/v1/`."""
        try:
            await self._serve(visit, enter, read)
        except ConfigError as error:
            failure = InvalidRequest("; ".join(error.problems)[:2000], code="invalid_config")
            await self._fail(visit, failure)
        except TurnoutError as error:
            await self._fail(visit, error)

    async def _serve(self, visit: Visit, enter: Enter, read: Read) -> None:
        method, path = visit.scope["method"], visit.scope["path"]
        methods = self._methods(path)
        if methods and method not in methods:
            allow = (b"allow", ", ".join(sorted(methods)).encode())
            await self._fail(visit, NotFound(f"no such endpoint: {method[:16]} {path[:200]}"), 405, [allow])
            return
        row, name = self._match(method, path)
        office = self._office()
        actor = await self._actor(visit, enter, office, row.permit)
        call = Call(office, self._built, actor, row.permit)
        call.id = name
        call.query = read_query(visit.scope["query_string"], row.endpoint.query)
        call.content_type = visit.inbound.content_type.partition(";")[0].strip().lower()
        call.seen = _if_match(visit)
        if visit.scope["method"] != "GET":
            call.body = await read(visit)
            if call.body and not row.endpoint.takes_text and call.content_type != "application/json":
                raise InvalidRequest("content-type must be application/json", param="content-type")
        await self._answer(visit, row.endpoint, call)
        if row.permit.method != "GET":
            with suppress(ConfigError):  # told by the overlay's own look
                await self._overlay.refresh()

    def _methods(self, path: str) -> frozenset[str]:
        """Return the methods that a path has."""
        return frozenset(row.permit.method for row in self.rows if _named(row.permit.path, path) is not None)

    def _match(self, method: str, path: str) -> tuple[Row, str]:
        """Return what is asked for, and the id in its path. Raises `NotFound`."""
        for row in self.rows:
            if row.permit.method == method:
                name = _named(row.permit.path, path)
                if name is not None:
                    return row, name
        raise NotFound(f"no such endpoint: {method[:16]} {path[:200]}")

    async def _actor(self, visit: Visit, enter: Enter, office: Office | None, permit: Permit) -> Actor:
        """Return who acts. Raises `Unauthenticated`, `RateLimited`, `Forbidden`; the desk keeps a record."""
        unknown = Actor(id=_STRANGER, role="none", address=visit.address)
        try:
            actor = await self._whoever(visit, enter)
        except (Unauthenticated, RateLimited) as error:
            with suppress(Forbidden):
                await _deny(office, unknown, permit.action, error.message)
            raise
        if actor is None:
            await _deny(office, unknown, permit.action, "without keys this is for the machine itself")
        if actor.role not in permit.roles:
            await _deny(office, actor, permit.action, f"the role {actor.role} may not do this")
        if permit.whole and actor.organisation is not None:
            await _deny(office, actor, permit.action, "this concerns the whole installation")
        return actor

    async def _whoever(self, visit: Visit, enter: Enter) -> Actor | None:
        """Return who acts, by session or key; None = without keys, from elsewhere than the machine."""
        if self.sessions is not None and self.sessions.has_cookie(visit):
            return await self.sessions.actor(visit)
        enter(visit, "admin")
        if visit.principal.key_id is not None:
            return actor_of(visit.principal, visit.address)
        if not self._keyless():
            raise Unauthenticated("no key: send a Turnout key as `Authorization: Bearer …`")
        return local_owner(visit)

    async def _answer(self, visit: Visit, endpoint: Endpoint, call: Call) -> None:
        key = visit.inbound.idempotency_key
        if key is None or visit.scope["method"] != "POST":
            given = await endpoint.serve(call)
            if given.pieces is None:
                await _send(visit, _whole(given))
            else:
                await _stream(visit, given)
            return
        secret: list[Whole] = []

        async def once() -> Whole:
            given = await endpoint.serve(call)
            whole = _whole(given)
            if not given.once or not isinstance(given.body, Mapping):
                return whole
            secret.append(whole)  # what is kept for repetitions holds no key (S-62)
            return _whole(msgspec.structs.replace(given, body={**given.body, "key": None}))

        scope = (call.actor.id, visit.scope["path"])
        kept = await self._replays.once(key, scope, call.body, once)
        await _send(visit, secret[0] if secret else kept)

    async def _describe(self, _: Call) -> Given:
        return Given(text=description(self._endpoints, version("turnout")))

    async def _fail(
        self, visit: Visit, error: TurnoutError, status: int | None = None, more: RawHeaders | None = None
    ) -> None:
        visit.error = error
        headers = [JSON_TYPE, *(more or ())]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        body = b"" if visit.scope["method"] == "HEAD" else failure_body(error)
        await respond(visit.send, status or error.row.status, [*headers, *_common(visit)], body)


async def _deny(office: Office | None, actor: Actor, action: str, why: str) -> NoReturn:
    """Raise `Forbidden`, after it was put on record where there is a desk."""
    if office is None:
        raise Forbidden(why)
    await office.deny(actor, action, "", why)


def _named(pattern: str, path: str) -> str | None:
    """Return the id in a path; "" where its pattern has none, None where the two do not match."""
    wanted, segments = pattern.split("/"), path.removeprefix(BASE).split("/")
    if len(wanted) != len(segments):
        return None
    if not all(want in ("{id}", got) for want, got in zip(wanted, segments, strict=True)):
        return None
    name = segments[wanted.index("{id}")] if "{id}" in wanted else ""
    return name if "{id}" not in wanted or _ID.fullmatch(name) else None


def _if_match(visit: Visit) -> int | None:
    found = [value for name, value in visit.scope["headers"] if name == b"if-match"]
    return read_version(found[0].decode("latin-1")) if found else None


def _common(visit: Visit) -> RawHeaders:
    name = visit.request_id.encode()
    return [
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-turnout-request-id", name),
        (b"x-request-id", name),
    ]


def _headers(given: Given) -> RawHeaders:
    headers = [(b"content-type", given.content_type.encode())]
    if given.version is not None:
        headers.append((b"etag", b'"%d"' % given.version))
    if given.file:
        headers.append((b"content-disposition", b'attachment; filename="%s"' % given.file.encode()))
    return headers


def _whole(given: Given) -> Whole:
    """Return an answer ready to be kept and sent; its status goes with the headers."""
    body = given.text if given.text is not None else msgspec.json.encode(given.body)
    return Whole([(_STATUS, b"%d" % given.status), *_headers(given)], body)


async def _send(visit: Visit, whole: Whole) -> None:
    (_, status), *headers = whole.headers
    body = whole.body
    if visit.scope["method"] == "GET" and len(body) >= _WORTH_PACKING and _takes_gzip(visit):
        # No reading answer holds a secret, and no other site can ask with a session (SameSite): what its
        # length could tell, nobody learns.
        body = gzip.compress(body, _PACKED, mtime=0)
        headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
    await respond(visit.send, int(status), [*headers, *_common(visit)], body)


def _takes_gzip(visit: Visit) -> bool:
    return any(name == b"accept-encoding" and b"gzip" in value for name, value in visit.scope["headers"])


async def _stream(visit: Visit, given: Given) -> None:
    assert given.pieces is not None
    headers = [*_headers(given), *_common(visit)]
    await visit.send({"type": "http.response.start", "status": given.status, "headers": headers})
    async for piece in given.pieces:
        if piece:
            await visit.send({"type": "http.response.body", "body": piece, "more_body": True})
    await visit.send({"type": "http.response.body", "body": b""})
