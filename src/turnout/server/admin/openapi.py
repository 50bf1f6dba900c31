"""The description of the admin API in OpenAPI 3.1, from the table of paths and the types. Floor 6."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from turnout.server.admin.call import Endpoint
from turnout.server.admin.permits import BASE, PERMITS, Permit
from turnout.types.json import Json
from turnout.types.principal import RoleName

_REFS: Final = "#/components/schemas/{name}"
_MEANT: Final[Mapping[str, str]] = {
    "limit": "Rows of a page.",
    "after": "`next` of the page before.",
    "organisation": "Only of this organisation; one that is not yours answers 404.",
    "since": "ISO 8601; at or after. For sums a whole hour.",
    "until": "ISO 8601; before. For sums a whole hour.",
    "by": "Comma list of at most three dimensions: those by which it can be narrowed, too.",
    "per": "hour or day, in UTC.",
    "format": "csv, or jsonl (exports), or json.",
    "month": "As 2026-01, in UTC.",
    "reason": "Why; it is put on record.",
    "to": "Id of the version to compare with; default: what is in force.",
    "days": "Look ahead so many days; 14 where it is not given.",
    "error": "Class of failure, or `any`.",
}
_TABLES: Final = ("text/csv", "application/jsonl")
"""Forms in which rows are handed out beside JSON."""
_STATUSES: Final[Mapping[str, str]] = {
    "400": "The call cannot be understood; `details.param` names the field",
    "401": "No valid key",
    "403": "The key may not do this; on record",
    "404": "Not there, or of another organisation",
    "409": "In conflict with what is there",
    "412": "Changed since the version of `If-Match`",
    "429": "Too many failed authentications",
    "503": "The store cannot be reached; nothing was done",
}


_SCHEMES: Final[Mapping[str, Json]] = {
    "key": {"type": "http", "scheme": "bearer", "description": "A Turnout key, or a personal token."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-turnout-session",
        "description": "Of a browser that signed in; writes carry `x-turnout-csrf` from `/auth/me`. "
        "Without TLS its name has no `__Host-`.",
    },
}


class ErrorDetails(Struct):
    """What is known of a failure beside its message."""

    param: str | None = None
    """Path of the field that is at fault."""
    code: str | None = None
    retry_after_s: float | None = None
    problems: tuple[str, ...] = ()
    """Of a configuration, one line each."""


class ErrorBody(Struct):
    """A failure."""

    message: str
    details: ErrorDetails
    class_: str = msgspec.field(name="class")
    """Closed word, the same as in headers and logs."""


class Error(Struct):
    """Every failure of this API."""

    error: ErrorBody


def description(endpoints: Sequence[Endpoint], version: str) -> bytes:
    """Write the description."""
    permits = {(permit.method, permit.path): permit for permit in PERMITS}
    types = {each for one in endpoints for each in (one.takes, one.gives) if each is not None} | {Error}
    ordered = sorted(types, key=lambda each: each.__name__)
    schemas, parts = msgspec.json.schema_components(ordered, schema_hook=_any, ref_template=_REFS)
    refs = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Json]] = {}
    for each in endpoints:
        permit = permits[each.method, each.path]  # type: ignore[index]  # checked when the server starts
        paths.setdefault(BASE + each.path, {})[each.method.lower()] = _operation(each, permit, refs)
    told = {
        "openapi": "3.1.0",
        "info": {"title": "Turnout admin API", "version": version},
        "security": [{"key": []}, {"session": []}],
        "paths": paths,
        "components": {"schemas": parts, "securitySchemes": _SCHEMES},
    }
    return msgspec.json.encode(told)


def _any(kind: type) -> dict[str, Any]:
    return {"description": "Any value."}


def _operation(each: Endpoint, permit: Permit, refs: Mapping[type, Json]) -> Json:
    words = each.path.replace("{", "").replace("}", "").replace(".", "_").split("/")
    told: dict[str, Json] = {
        "operationId": "_".join([each.method.lower(), *words[1:]]),
        "summary": each.summary,
        "description": _who(permit),
        "tags": [each.path.split("/")[1]],
        "parameters": _parameters(each),
        "responses": _responses(each, refs),
    }
    if each.takes is not None:
        told["requestBody"] = {"content": {"application/json": {"schema": refs[each.takes]}}}
    elif each.takes_text:
        told["requestBody"] = {"content": {each.takes_text: {"schema": {"type": "string"}}}}
    return told


def _who(permit: Permit) -> str:
    names: list[RoleName] = list(permit.roles)
    reach = ", ".join(f"{name} ({permit.roles[name]})" for name in names)
    return f"Roles: {reach}." + (" Only for keys of no organisation." if permit.whole else "")


def _parameters(each: Endpoint) -> list[Json]:
    found: list[Json] = (
        [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
        if "{id}" in each.path
        else []
    )
    for name in each.query:
        kind: Json = {"type": "integer", "minimum": 1} if name == "limit" else {"type": "string"}
        meaning = _MEANT.get(name, f"Only with this {name}.")
        found.append({"name": name, "in": "query", "schema": kind, "description": meaning})
    if each.method in ("PATCH", "DELETE") and "{id}" in each.path:
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "schema": {"type": "string"},
                "description": "The ETag that was seen.",
            }
        )
    if each.method == "POST":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 256},
                "description": "The same call again is answered once.",
            }
        )
    return found


def _responses(each: Endpoint, refs: Mapping[type, Json]) -> Json:
    schema: Json = {"type": "object"} if each.gives is None else refs[each.gives]
    if each.many:
        schema = {
            "type": "object",
            "required": ["object", "data", "has_more", "next"],
            "properties": {
                "object": {"const": "list"},
                "data": {"type": "array", "items": schema},
                "has_more": {"type": "boolean"},
                "next": {"type": ["string", "null"]},
            },
        }
    content: dict[str, Json] = {"application/json": {"schema": schema}}
    if each.gives_text:
        content = {each.gives_text: {"schema": {"type": "string"}}}
    elif each.path.startswith("/exports/") or "format" in each.query:
        content |= {kind: {"schema": {"type": "string"}} for kind in _TABLES}
    ok: Json = {"description": "Done", "content": content}
    bad: Json = {"application/json": {"schema": refs[Error]}}
    return {
        "2XX": ok,
        **{status: {"description": what, "content": bad} for status, what in _STATUSES.items()},
    }
