"""The description of the data plane in OpenAPI 3.1, from one table and the types. Floor 6.

The table (`endpoints.py`) has the first of several addresses of each endpoint; the others are aliases of the
same object (docs/design/WIRE.md section 1). What is let through to providers is described as configured. The
admin API has a description of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final

import msgspec

from turnout.server import described as d
from turnout.server import described_beside as b
from turnout.server.endpoints import NOTHING_PASSES, OPERATIONS, Operation, Passing, Wire
from turnout.server.http import JSON_TYPE, respond
from turnout.server.paths import Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.json import Json

_REFS: Final = "#/components/schemas/{name}"
_ERRORS: Final[Mapping[Wire, type]] = {
    "openai": d.OpenAIError,
    "anthropic": d.AnthropicError,
    "gemini": d.GeminiError,
    "cohere": b.CohereError,
    "ollama": b.OllamaError,
    "turnout": d.OpenAIError,
}
_STATUSES: Final[Mapping[str, str]] = {
    "4XX": "The request, the key or a policy is the reason; headers and body name the class",
    "5XX": "The provider or the gateway is the reason; headers and body name the class",
}


def describe(passing: Passing = NOTHING_PASSES) -> bytes:
    """Write the description."""
    operations = (*OPERATIONS, *_passed(passing))
    types = {each for one in operations for each in (one.takes, one.gives) if each is not None}
    ordered = sorted(types | set(_ERRORS.values()), key=lambda each: (each.__name__, each.__module__))
    schemas, parts = msgspec.json.schema_components(ordered, schema_hook=_any, ref_template=_REFS)
    refs = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Json]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _operation(each, refs)
    told = {
        "openapi": "3.1.0",
        "info": {"title": "Turnout", "version": version("turnout")},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": parts,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A Turnout key; other headers that clients use for keys do as well.",
                }
            },
        },
    }
    return msgspec.json.encode(told)


def _passed(passing: Passing) -> Iterator[Operation]:
    for name in passing.vendors:
        for method in passing.methods:
            yield Operation(
                method=method.lower(),
                path=f"/{name}/{{path}}",
                summary=f"Anything that {name} has and is let through",
                wire="openai",
                bare=True,
            )


def _any(kind: type) -> dict[str, Any]:
    return {"description": "Any value."}


def _operation(each: Operation, refs: Mapping[type, Json]) -> Json:
    words = each.path.replace("{", "").replace("}", "").replace(":", "/").replace(".", "_").split("/")
    schema: Json = {"type": "object"} if each.gives is None else refs[each.gives]
    content: dict[str, Json] = {
        "*/*" if each.bare else "application/json": {} if each.bare else {"schema": schema}
    }
    if each.lines:
        content["application/x-ndjson"] = {"schema": {"description": "An object per line."}}
    if each.streams:
        content["text/event-stream"] = {"schema": {"description": "Events of the format of its path."}}
    bad: Json = {"application/json": {"schema": refs[_ERRORS[each.wire]]}}
    told: dict[str, Json] = {
        "operationId": "_".join([each.method, *filter(None, words)]),
        "summary": each.summary,
        "tags": [each.wire],
        "parameters": _parameters(each),
        "responses": {
            each.status: {"description": "Done", **({} if each.status == "101" else {"content": content})},
            **({each.empty: {"description": "Taken in"}} if each.empty else {}),
            **{status: {"description": what, "content": bad} for status, what in _STATUSES.items()},
        },
    }
    if each.takes is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[each.takes]}},
        }
    if each.form:
        files: dict[str, Json] = {name: {"type": "string", "minLength": 1} for name in each.form}
        form: Json = {"type": "object", "properties": files, "required": list(each.form)}
        told["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    if each.open:
        told["security"] = []
    return told


def _parameters(each: Operation) -> list[Json]:
    named = [word for word in ("id", "item", "model", "path") if f"{{{word}}}" in each.path]
    text: Json = {"type": "string", "minLength": 1}
    found: list[Json] = [{"name": n, "in": "path", "required": True, "schema": text} for n in named]
    for name in each.query:
        kind: Json = (
            {"type": "integer", "minimum": 1} if name in ("limit", "pageSize") else {"type": "string"}
        )
        found.append({"name": name, "in": "query", "schema": kind})
    return found


class Described:
    """Serves the description to whoever has a key."""

    __slots__ = ("_known", "_passing", "_steps")

    def __init__(self, steps: Steps, passing: Callable[[], Passing]) -> None:
        self._steps = steps
        self._passing = passing
        self._known: tuple[Passing, bytes] | None = None

    def mount(self, paths: Paths[Visit]) -> None:
        """Say which path it serves."""
        paths.add_root("/openapi.json", self.tell, ("GET",))

    async def tell(self, visit: Visit) -> None:
        """Answer with the description, written when first asked for, and when what it says has changed."""
        self._steps.enter(visit, "models")
        passing = self._passing()
        if self._known is None or self._known[0] != passing:
            self._known = passing, describe(passing)
        await respond(visit.send, 200, [JSON_TYPE, *self._steps.ids(visit.request_id)], self._known[1])
