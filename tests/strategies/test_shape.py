"""Schemas that somebody else wrote, and the shape of answers."""

import pytest

from turnout.strategies.accept.schema import Fault, SchemaUnusable, schema_faults
from turnout.strategies.accept.shape import Miss, has_shape, miss
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    OutputFormat,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
)

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "on": {"type": "array", "items": {"type": "string"}}},
    "required": ["x"],
}
TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}},
}


def doubling(depth):
    """A schema of a few hundred bytes that stands for 2^depth checks."""
    step = {f"t{i}": {"anyOf": [{"$ref": f"#/$defs/t{i - 1}"}] * 2} for i in range(1, depth + 1)}
    return {"$defs": {"t0": {"type": "string"}, **step}, "$ref": f"#/$defs/t{depth}"}


def test_faults_name_the_place_and_what_is_wrong_there():
    assert schema_faults({"x": 1, "on": ["a"]}, POINT) == ()
    assert schema_faults({"on": ["a", 2]}, POINT) == (
        Fault("$", '"x" is a required property'),
        Fault("$.on[1]", '2 is not of type "string"'),
    )


def test_a_recursive_schema_is_checked_and_one_that_goes_in_circles_too():
    assert schema_faults({"left": {"right": {"value": 1}}}, TREE) == ()
    assert schema_faults({"left": {"right": {"value": "a"}}}, TREE)[0].path == "$.left.right.value"
    assert schema_faults({"a": 1}, {"$ref": "#"}) == ()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:9/schema"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/$defs/absent"},
        {"type": "string", "pattern": "(a{1000}){1000}"},
        {"type": "string", "pattern": "(?=look)"},
        {"$dynamicRef": "#x"},
        doubling(40),
    ],
)
def test_what_cannot_be_checked_safely_is_neither_valid_nor_invalid(schema):
    with pytest.raises(SchemaUnusable):
        schema_faults(1, schema)


def test_a_pattern_that_is_slow_elsewhere_takes_a_moment():
    assert schema_faults("a" * 50_000 + "b", {"pattern": "^(a+)+$"}) != ()


def asked(**fields):
    return ChatRequest(model="m", messages=(), **fields)


def answered(*parts, finish="stop"):
    return ChatResponse(id="a", model="m", choices=(Choice(parts=parts, finish=finish),))


def call(arguments, name="point"):
    return ToolCall(id="c", name=name, arguments=arguments)


SCHEMA = asked(output_format=OutputFormat(kind="json_schema", name="p", schema=POINT))
OBJECT = asked(output_format=OutputFormat(kind="json_object"))
FORCED = asked(tools=(Tool(name="point", schema=POINT),), tool_choice=ToolChoice("named", ("point",)))


@pytest.mark.parametrize(
    ("request_", "answer", "reason"),
    [
        (SCHEMA, answered(Text('{"x": 1}')), None),
        (SCHEMA, answered(Text('```json\n{"x": 1}\n```')), "not_json"),
        (SCHEMA, answered(Text('{"x": "1"}')), "schema_violated"),
        (SCHEMA, answered(Text('{"x": '), finish="length"), "cut_off"),
        (SCHEMA, answered(Refusal("no")), None),
        (SCHEMA, answered(call("{}"), finish="tool_calls"), None),
        (OBJECT, answered(Text("[1]")), "not_an_object"),
        (OBJECT, answered(Text("{}")), None),
        (FORCED, answered(call('{"x": 1}')), None),
        (FORCED, answered(call('{"x": null}')), "arguments_violate_schema"),
        (FORCED, answered(call("{x}")), "arguments_not_json"),
        (FORCED, answered(call("{}", "other")), "unknown_tool"),
        (FORCED, answered(Text("sure")), "no_call"),
    ],
)
def test_an_answer_is_read_as_the_clients_parser_will(request_, answer, reason):
    assert has_shape(request_)
    found = miss(request_, answer)
    assert (found and found.reason) == reason


def test_what_a_model_is_told_names_the_place():
    assert miss(SCHEMA, answered(Text('{"x": "1"}'))) == Miss(
        "schema_violated", '$.x: "1" is not of type "integer"'
    )
    assert not has_shape(asked(tools=(Tool(name="point"),), tool_choice=ToolChoice("auto")))
