"""Makes a small value that a JSON Schema admits: what emulated models call tools with. Floor 6.

It reads the keywords that tool schemas are written with; a value for anything else is an honest guess.
"""

from collections.abc import Mapping

from turnout.types.json import Json, JsonObject

_MAX_DEPTH = 16
"""A schema that refers to itself ends here, with null."""
_PLAIN: Mapping[str, Json] = {"integer": 1, "number": 1.5, "boolean": True, "null": None}
_STRINGS: Mapping[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""By `format`."""


def example(schema: Json) -> Json:
    """Return a value that fits a schema: required members only, the first of what is enumerated."""
    return _value(schema, schema, 0)


def _value(schema: Json, root: Json, depth: int) -> Json:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        listed = schema.get(key)
        if isinstance(listed, list) and listed:
            first: Json = listed[0]
            return first
    ref = schema.get("$ref")
    if isinstance(ref, str):
        return _value(_resolve(ref, root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        listed = schema.get(key)
        if isinstance(listed, list) and listed:
            return _value(listed[0], root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: JsonObject, root: Json, depth: int) -> Json:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    word = str(kind).lower()  # one vendor writes OBJECT
    if word == "object":
        return _object(schema, root, depth)
    if word == "array":
        n = schema.get("minItems")
        return [_value(schema.get("items"), root, depth + 1)] * (n if isinstance(n, int) else 1)
    if word == "string":
        text = _STRINGS.get(str(schema.get("format")), "example")
        least, most = schema.get("minLength"), schema.get("maxLength")
        text = text.ljust(least, "x") if isinstance(least, int) else text
        return text[:most] if isinstance(most, int) else text
    if word in ("integer", "number") and isinstance(least := schema.get("minimum"), int | float):
        return least
    return _PLAIN.get(word)


def _object(schema: JsonObject, root: Json, depth: int) -> Json:
    members = schema.get("properties")
    required = schema.get("required")
    if not isinstance(members, Mapping):
        return {}
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return {name: _value(members.get(name), root, depth + 1) for name in names}


def _resolve(ref: str, root: Json) -> Json:
    found = root
    for step in ref.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found
