"""One call of the admin API: what an endpoint is given, and what it gives back. Floor 6."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from turnout.build import Built
from turnout.codecs.strict import parse
from turnout.errors import InvalidRequest, NotFound, TurnoutError
from turnout.govern.office import Office
from turnout.govern.rules import Actor
from turnout.server.admin.permits import Permit, Reach
from turnout.server.visit import number_in
from turnout.stores.base import Journal
from turnout.types.json import Json, JsonObject

JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8"
LINES: Final = "application/jsonl"
MOST_LISTED: Final = 1000
_MOST_QUERY: Final = 8192
"""Bytes."""


class Call:
    """A request that was let in."""

    __slots__ = (
        "_office",
        "actor",
        "body",
        "built",
        "content_type",
        "id",
        "permit",
        "query",
        "reach",
        "seen",
    )

    def __init__(self, office: Office | None, built: Built, actor: Actor, permit: Permit) -> None:
        self._office = office
        self.built = built
        self.actor = actor
        self.permit = permit
        self.reach: Reach = permit.roles[actor.role]
        self.id = ""
        """What stood for `{id}` in the path."""
        self.query: Mapping[str, str] = {}
        self.body = b""
        self.content_type = ""
        self.seen: int | None = None
        """Version named by `If-Match`."""

    @property
    def office(self) -> Office:
        """The desk's. Raises `NotFound` where there is none: what needs no desk is served without one."""
        if self._office is None:
            raise NotFound("there is no desk at this gateway; its operator can add the section `desk`")
        return self._office

    @property
    def has_office(self) -> bool:
        """Whether there is a desk."""
        return self._office is not None

    @property
    def fields(self) -> JsonObject:
        """The body as a JSON object. Raises `InvalidRequest`."""
        return parse(self.body)

    def text(self, name: str) -> str | None:
        """Return a parameter of the query; None = it is not given."""
        return self.query.get(name)

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query, from 1. Raises `InvalidRequest`."""
        text = self.query.get(name)
        if text is None:
            return default
        number = number_in(text, 1, most)
        if number is None:
            raise InvalidRequest(f"{name}: expected 1 to {most}", param=name)
        return number

    def instant(self, name: str) -> datetime | None:
        """Return an instant of the query; without a zone it is UTC. Raises `InvalidRequest`."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidRequest(
                f"{name}: expected ISO 8601, as 2026-01-31 or 2026-01-31T12:00:00Z", param=name
            ) from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def organisation(self) -> str | None:
        """Return the organisation asked about; None = all that the actor sees, which is all there are.

        Raises:
            NotFound: It is another one than the actor's.
        """
        named = self.query.get("organisation")
        if named is not None and not self.actor.sees(named):
            raise NotFound(f"there is no organisation {named[:64]!r}")
        return named or self.actor.organisation


class Given(Struct, frozen=True, kw_only=True):
    """What an endpoint answers."""

    body: Json = None
    """Written as JSON, unless `text` or `pieces` is given."""
    status: int = 200
    version: int | None = None
    """Of the document that is answered: its `ETag`."""
    once: bool = False
    """Holds a secret that is shown this once: a repetition of the call is not told it."""
    text: bytes | None = None
    pieces: AsyncIterator[bytes] | None = None
    """For what may be long."""
    content_type: str = JSON
    file: str = ""
    """Name under which a browser saves it."""


Serve = Callable[[Call], Awaitable[Given]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """How one row of the table is served, and what it takes and gives, for the description of the API."""

    method: str
    path: str
    serve: Serve
    summary: str
    takes: type | None = None
    """Type of the JSON body."""
    gives: type | None = None
    """Type of the answer; None = an object described in words."""
    many: bool = False
    """A page of them."""
    query: tuple[str, ...] = ()
    """Parameters it understands; any other is refused."""
    gives_text: str = ""
    """Media type of the answer, where it is not JSON."""
    takes_text: str = ""
    """Media type of the body, where it is not JSON."""


def read_query(raw: bytes, known: tuple[str, ...]) -> Mapping[str, str]:
    """Read a query string. Raises `InvalidRequest` for what is not known, empty or given twice."""
    if len(raw) > _MOST_QUERY:
        raise InvalidRequest(f"the query is longer than {_MOST_QUERY} bytes")
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=64):
        if name not in known:
            what = f"expected {', '.join(known)}" if known else "there are none"
            raise InvalidRequest(f"{name[:64]}: no such parameter; {what}", param=name[:64])
        if name in found or not value:
            raise InvalidRequest(f"{name}: give it once, with a value", param=name)
        found[name] = value
    return found


def read_version(value: str) -> int | None:
    """Read `If-Match`: a version as `ETag` wrote it; `*` = any. Raises `InvalidRequest`."""
    text = value.strip()
    if text == "*":
        return None
    text = text.removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidRequest('if-match: expected an ETag of this API, such as "3"', param="if-match")
    return int(text)


def journal_of(call: Call) -> Journal:
    """Return the journal. Raises `NotFound` where none is kept."""
    if call.built.journal is None:
        raise NotFound("no journal is kept here; set journal.enabled: true")
    return call.built.journal


def failure_body(error: TurnoutError) -> bytes:
    """Write a failure as this API does: class, message, and what is known beside."""
    known = {"param": error.param, "code": error.code, "retry_after_s": error.retry_after_s}
    details = {name: value for name, value in known.items() if value is not None}
    return msgspec.json.encode(
        {"error": {"class": error.row.word, "message": error.message, "details": details}}
    )


def page(rows: list[Json], limit: int, cursor: Callable[[int], str]) -> Given:
    """Return a page out of up to `limit + 1` rows; `cursor` names the place of a row."""
    more = len(rows) > limit
    tree: dict[str, Json] = {"object": "list", "data": rows[:limit], "has_more": more}
    tree["next"] = cursor(limit - 1) if more else None
    return Given(body=tree)
