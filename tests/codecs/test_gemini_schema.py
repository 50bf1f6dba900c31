"""Gemini's schema language and JSON Schema."""

import pytest

from turnout.codecs.gemini.schema import from_json_schema, to_json_schema


@pytest.mark.parametrize(
    ("own", "standard"),
    [
        ({"type": "STRING", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "INTEGER", "nullable": True}, {"type": ["integer", "null"]}),
        (
            {"type": "STRING", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "1"},
            {"type": "array", "items": {"type": "number"}, "minItems": 1},
        ),
        (
            {
                "type": "OBJECT",
                "properties": {"type": {"type": "STRING"}},
                "required": ["type"],
                "propertyOrdering": ["type"],
            },
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
        ),
        (
            {"anyOf": [{"type": "STRING"}, {"type": "BOOLEAN"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "null"}]},
        ),
        (
            {"example": 3, "description": "d", "title": "t"},
            {"examples": [3], "description": "d", "title": "t"},
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "STRING"}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}},
        ),
        ({"type": "TYPE_UNSPECIFIED"}, {}),
    ],
)
def test_geminis_schemas_as_json_schema(own, standard):
    assert to_json_schema(own) == standard


@pytest.mark.parametrize(
    ("standard", "own", "relaxed"),
    [
        ({"type": "string"}, {"type": "STRING"}, set()),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, set()),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}, set()),
        ({"const": "a"}, {"enum": ["a"], "type": "STRING"}, set()),
        (
            {"enum": ["a", None], "type": ["string", "null"]},
            {"enum": ["a"], "type": "STRING", "nullable": True},
            set(),
        ),
        ({"type": "integer", "enum": [1, 2]}, {"type": "INTEGER"}, {"enum"}),
        ({"type": "string", "format": "email"}, {"type": "STRING"}, {"format"}),
        ({"type": "number", "format": "double"}, {"type": "NUMBER", "format": "double"}, set()),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}, set()),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            set(),
        ),
        ({"allOf": [{"type": "string", "minLength": 1}]}, {"type": "STRING", "minLength": 1}, set()),
        (
            {"type": "object", "additionalProperties": False, "not": {}},
            {"type": "OBJECT"},
            {"additionalProperties", "not"},
        ),
        (
            {
                "$defs": {
                    "A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}},
                    "B": {"type": "boolean"},
                },
                "$schema": "s",
                "$ref": "#/$defs/A",
                "description": "d",
            },
            {"type": "OBJECT", "properties": {"b": {"type": "BOOLEAN"}}, "description": "d"},
            set(),
        ),
        ({"$ref": "#/nowhere"}, {"type": "OBJECT"}, {"$ref"}),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 3, "uniqueItems": True},
            {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": 3},
            {"uniqueItems"},
        ),
    ],
)
def test_json_schema_as_geminis(standard, own, relaxed):
    assert from_json_schema(standard) == (own, frozenset(relaxed))


def test_a_recursive_schema_is_relaxed_to_any_object():
    tree = {"type": "object", "properties": {"child": {"$ref": "#/$defs/T"}}}
    written, relaxed = from_json_schema({"$defs": {"T": tree}, "$ref": "#/$defs/T"})
    assert relaxed == {"$ref"}
    assert written == {"type": "OBJECT", "properties": {"child": {"type": "OBJECT"}}}


def test_a_schema_that_doubles_with_every_definition_stays_small():
    both = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(60)}
    written, relaxed = from_json_schema({"$defs": both, "$ref": "#/$defs/D0"})
    assert relaxed == {"$ref"}
    assert len(str(written)) < 1_000_000


@pytest.mark.parametrize(
    "standard",
    [
        {"type": "string", "enum": ["a"]},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ],
)
def test_there_and_back_again(standard):
    assert to_json_schema(from_json_schema(standard)[0]) == standard
