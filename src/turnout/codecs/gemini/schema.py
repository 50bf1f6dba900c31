"""Gemini's own schema language and JSON Schema, each written as the other. Floor 2.

Gemini understands JSON Schema in `parametersJsonSchema` and `responseJsonSchema`; the older `parameters` and
`responseSchema` hold an OpenAPI 3.0 subset with upper-case types and `nullable` (API reference, Schema).
"""

from collections.abc import Mapping

from turnout.types.json import Json, JsonObject

_COPIED = (
    "title",
    "description",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
)
"""Keywords with one meaning on both sides."""

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
"""64-bit integers: Gemini accepts and sends them as strings."""

_STRING_FORMATS = frozenset({"enum", "date-time"})
_NUMBER_FORMATS = frozenset({"int32", "int64", "float", "double"})
_SILENT = frozenset({"$schema", "$id", "$defs", "definitions", "$ref", "examples", "$comment"})
"""Keywords that go without loss: names of things already inlined, and notes."""

_MAX_NODES = 5_000
"""Size to which inlining may blow a schema up; what lies behind is relaxed to any object."""


def to_json_schema(schema: JsonObject) -> JsonObject:
    """Write a Gemini schema as JSON Schema."""
    out: dict[str, Json] = {}
    for name in _COPIED:
        if name in schema:
            value = schema[name]
            out[name] = (
                int(value) if name in _COUNTS and isinstance(value, str) and value.isdigit() else value
            )
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "TYPE_UNSPECIFIED":
        out["type"] = kind.lower()
    if isinstance(schema.get("format"), str) and schema["format"] != "enum":
        out["format"] = schema["format"]
    for name in ("enum", "required"):
        if name in schema:
            out[name] = schema[name]
    if "example" in schema:
        out["examples"] = [schema["example"]]
    _descend(schema, out)
    return _nullable(out) if schema.get("nullable") is True else out


def _descend(schema: JsonObject, out: dict[str, Json]) -> None:
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        out["properties"] = {name: _child(value) for name, value in properties.items()}
    for name in ("items", "additionalProperties"):
        if name in schema:
            out[name] = _child(schema[name])
    for name, target in (("anyOf", "anyOf"), ("any_of", "anyOf"), ("prefixItems", "prefixItems")):
        branches = schema.get(name)
        if isinstance(branches, list):
            out[target] = [_child(branch) for branch in branches]
    for name, value in schema.items():
        if name.startswith("$"):
            out[name] = {k: _child(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _child(value: Json) -> Json:
    return to_json_schema(value) if isinstance(value, Mapping) else value


def _nullable(schema: dict[str, Json]) -> dict[str, Json]:
    kind = schema.get("type")
    if isinstance(kind, str):
        values = schema.get("enum")
        widened = {"enum": [*values, None]} if isinstance(values, list) and None not in values else {}
        return {**schema, "type": [kind, "null"], **widened}
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        return {**schema, "anyOf": [*branches, {"type": "null"}]}
    return schema


def from_json_schema(schema: JsonObject) -> tuple[JsonObject, frozenset[str]]:
    """Write a JSON Schema in Gemini's language. Returns it with the keywords that had to be relaxed."""
    definitions: dict[str, Json] = {}
    for name in ("$defs", "definitions"):
        found = schema.get(name)
        if isinstance(found, Mapping):
            definitions |= {f"#/{name}/{key}": value for key, value in found.items()}
    writer = _Writer(definitions)
    return writer.write(schema, ()), frozenset(writer.relaxed)


class _Writer:
    """One translation: the definitions it may inline and what it had to give up."""

    def __init__(self, definitions: Mapping[str, Json]) -> None:
        self._definitions = definitions
        self._n_nodes = 0
        self.relaxed: set[str] = set()

    def write(self, schema: JsonObject, inside: tuple[str, ...]) -> dict[str, Json]:
        """Write one schema; `inside` names the definitions it stands in."""
        self._n_nodes += 1
        schema, inside = self._resolved(schema, inside)
        out: dict[str, Json] = {name: schema[name] for name in _COPIED if name in schema}
        self._type(schema, out)
        self._values(schema, out)
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            out["properties"] = {k: self._below(v, inside) for k, v in properties.items()}
        if "required" in schema:
            out["required"] = schema["required"]
        if "items" in schema:
            out["items"] = self._below(schema["items"], inside)
        self._branches(schema, out, inside)
        known = {*_COPIED, *_SILENT, *out, "type", "enum", "const", "format", "oneOf", "anyOf", "allOf"}
        self.relaxed |= schema.keys() - known
        return out

    def _resolved(self, schema: JsonObject, inside: tuple[str, ...]) -> tuple[JsonObject, tuple[str, ...]]:
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return schema, inside
        target = self._definitions.get(ref)
        if not isinstance(target, Mapping) or ref in inside or self._n_nodes > _MAX_NODES:
            self.relaxed.add("$ref")
            return {"type": "object"}, inside
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return self._resolved({**target, **beside}, (*inside, ref))

    def _below(self, value: Json, inside: tuple[str, ...]) -> Json:
        return self.write(value, inside) if isinstance(value, Mapping) else {}

    def _type(self, schema: JsonObject, out: dict[str, Json]) -> None:
        kind = schema.get("type")
        if isinstance(kind, str):
            out["type"] = kind.upper()
        elif isinstance(kind, list):
            kinds = [each for each in kind if isinstance(each, str) and each != "null"]
            if "null" in kind:
                out["nullable"] = True
            if len(kinds) == 1:
                out["type"] = kinds[0].upper()
            elif kinds:
                out["anyOf"] = [{"type": each.upper()} for each in kinds]
        word = schema.get("format")
        allowed = _STRING_FORMATS if out.get("type") == "STRING" else _NUMBER_FORMATS
        if isinstance(word, str) and word in allowed:
            out["format"] = word
        elif word is not None:
            self.relaxed.add("format")

    def _values(self, schema: JsonObject, out: dict[str, Json]) -> None:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return
        if None in values:
            out["nullable"] = True
        words = [value for value in values if isinstance(value, str)]
        if len(words) == len([value for value in values if value is not None]):
            out["enum"] = words
            out.setdefault("type", "STRING")
        else:
            self.relaxed.add("const" if "const" in schema else "enum")

    def _branches(self, schema: JsonObject, out: dict[str, Json], inside: tuple[str, ...]) -> None:
        for name in ("anyOf", "oneOf"):
            branches = schema.get(name)
            if not isinstance(branches, list):
                continue
            real = [each for each in branches if isinstance(each, Mapping) and each.get("type") != "null"]
            if len(real) < len(branches):
                out["nullable"] = True
            written = [self.write(each, inside) for each in real]
            if len(written) == 1:
                out.update({k: v for k, v in written[0].items() if k not in out})
            elif written:
                out["anyOf"] = written
        parts = schema.get("allOf")
        if isinstance(parts, list):
            for each in parts:
                merged = self._below(each, inside)
                assert isinstance(merged, dict)
                out.update({k: v for k, v in merged.items() if k not in out})
            if len(parts) > 1:
                self.relaxed.add("allOf")
