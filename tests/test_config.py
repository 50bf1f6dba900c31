"""The configuration file: what is read, what is refused, and that nothing secret is shown."""

import json

import pytest
import yaml

from turnout.config import Config, QuirksConfig, json_schema, load_config, parse_config, to_builtins
from turnout.errors import ConfigError
from turnout.registry import names
from turnout.types.secret import Secret

OS_SYSTEM = "tag:yaml.org,2002:python/object:os.system"
NOT_ALLOWED = 'special characters are not allowed in "<unicode string>", position 3'
CODECS = ", ".join(names("turnout.codecs"))
CANARY = "sk-canary-0123456789abcdef"


def problems(text, env=None):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, env=env or {}, where="f")
    return list(caught.value.problems)


def test_an_empty_file_is_all_defaults():
    assert parse_config("", env={}) == parse_config("{}", env={}) == Config()
    assert parse_config("# nothing\n---\n", env={}) == Config()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("servr: {}", "f: servr: unknown key; did you mean 'server'?"),
        ("server: {prot: 1}", "f: server.prot: unknown key; did you mean 'port'?"),
        (
            "providers: {mine: {base_ulr: x}}",
            "f: providers.mine.base_ulr: unknown key; did you mean 'base_url'?",
        ),
        (
            "providers: {a: {auth: none}, b: {quirks: {nope: 1}}}",
            "f: providers.b.quirks.nope: unknown key; known: " + ", ".join(QuirksConfig.__struct_fields__),
        ),
        (
            "routes: [{name: a, models: [x/y], retries: 1}]",
            "f: routes[0].retries: unknown key; did you mean 'max_retries'?",
        ),
        ("models: [{model: a/b, wieght: 1}]", "f: models[0].wieght: unknown key; did you mean 'weight'?"),
        ("routes: [{models: [a/b]}]", "f: routes[0].name: is missing"),
        ("server: {keys: [{name: a}]}", "f: server.keys[0].secret: is missing"),
        ("server: {port: 70000}", "f: server.port is 70000; expected int <= 65535"),
        ("server: {workers: 0}", "f: server.workers is 0; expected int >= 1"),
        ("server: {max_body_mib: 0}", "f: server.max_body_mib is 0; expected float > 0.0"),
        ("timeouts: {total_s: -1}", "f: timeouts.total_s is -1; expected float > 0.0"),
        ("timeouts: {total_s: .inf}", "f: timeouts.total_s is inf; expected float <= 1000000000.0"),
        ("max_retries: 6", "f: max_retries is 6; expected int <= 5"),
        ("server: {port: http}", "f: server.port: expected int, got str"),
        ("server: [1]", "f: server: expected object, got array"),
        ("just text", "f: expected object, got str"),
        ("version: 2", "f: version: expected one of 1"),
        ("log: {level: loud}", "f: log.level: expected one of debug, info, warning, error"),
        (
            "providers: {mine: {codec: soap}}",
            f"f: providers.mine: codec is no known wire format; expected one of {CODECS}",
        ),
        ("routes: [{name: '', models: [a/b]}]", "f: routes[0].name: expected str of length >= 1"),
        ("aliases: {a: 1}", "f: aliases.a: expected str, got int"),
        ("a: 1\na: 2", "f: line 2, column 1: the key 'a' stands twice"),
        ("server: {port: 1, port: 2}", "f: line 1, column 19: the key 'port' stands twice"),
        ("a: [1", "f: line 1, column 6: expected ',' or ']', but got '<stream end>'"),
        ("? [1, 2]\n: x", "f: line 1, column 3: found unhashable key"),
        (
            "a: !!python/object:os.system x",
            f"f: line 1, column 4: could not determine a constructor for the tag {OS_SYSTEM!r}",
        ),
        ("a: &a [*a]", "f: line 1, column 4: found unconstructable recursive node"),
        ("a: " + "[" * 5000, "f: is nested too deeply, or holds itself"),
        ("a: \x00", f"f: not valid YAML: unacceptable character #x0000: {NOT_ALLOWED}"),
    ],
)
def test_a_problem_is_one_line_with_its_path_and_a_hint(text, line):
    found = problems(text)
    assert found == [line]


def test_references_are_put_in_place():
    env = {"KEY": CANARY, "PORT_NAME": "x"}
    config = parse_config(
        'providers: {a: {base_url: "http://${env:PORT_NAME}.test", secret: "${env:KEY}"}}', env=env
    )
    assert config.providers["a"].base_url == "http://x.test"
    assert config.providers["a"].secret == Secret(CANARY)


def test_a_file_reference_is_read_and_stripped(tmp_path):
    (tmp_path / "key").write_text(CANARY + "\n")
    config = parse_config(f'providers: {{a: {{secret: "${{file:{tmp_path}/key}}"}}}}', env={})
    assert config.providers["a"].secret == Secret(CANARY)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("${env:NOPE}", "f: providers.a.secret: the environment variable NOPE is not set"),
        (
            "${file:/nowhere}",
            "f: providers.a.secret: the file /nowhere cannot be read: No such file or directory",
        ),
        ("${NOPE}", "f: providers.a.secret: '${' begins a reference; expected ${env:NAME} or ${file:PATH}"),
        (
            "x${env:OPEN",
            "f: providers.a.secret: '${' begins a reference; expected ${env:NAME} or ${file:PATH}",
        ),
        ("${cmd:ls}", "f: providers.a.secret: '${' begins a reference; expected ${env:NAME} or ${file:PATH}"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(value, line):
    assert problems(f'providers: {{a: {{secret: "{value}"}}}}') == [line]


def test_a_secret_of_another_kind_is_told_with_its_place():
    assert problems("providers: {a: {secret: [x]}}") == ["f: providers.a.secret: expected str, got list"]


def test_a_reference_that_ends_a_mapping_too_early_is_told_to_stand_in_quotes():
    (line,) = problems("providers:\n  a: {secret: ${env:A}}")
    assert line.startswith("f: line 2, column ")
    assert line.endswith('; write references in quotes: "${env:NAME}"')


def test_all_missing_variables_are_told_at_once():
    text = 'providers: {a: {secret: "${env:A}"}, b: {secret: "${env:B}"}}'
    assert [line.split(": ")[1] for line in problems(text)] == ["providers.a.secret", "providers.b.secret"]


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{a: {{secret: {CANARY}, nope: 1}}}}",
        f"providers: {{a: {{codec: {CANARY}}}}}",
        f"server: {{port: {CANARY}}}",
        f"server: {CANARY}",
        f"log: {{level: {CANARY}}}",
        f"providers: [{CANARY}]",
        f"providers: {{a: {{secret: '{CANARY}${{x'}}}}",
        "providers: {a: {secret: 998877665544332211}}",
        f"providers: {{a: {{secret: [{CANARY}]}}}}",
    ],
)
def test_no_problem_quotes_what_may_be_a_secret(text):
    told = "\n".join(problems(text))
    assert CANARY not in told
    assert "998877" not in told


def test_what_is_printed_hides_every_secret():
    text = f"""
server: {{keys: [{{name: k, secret: {CANARY}}}]}}
providers: {{a: {{secret: {CANARY}}}}}
models: [{{model: a/b, secret: {CANARY}}}]
journal: {{hash_key: {CANARY}}}
"""
    config = parse_config(text, env={})
    tree = to_builtins(config)
    assert CANARY not in json.dumps(tree) + repr(config) + str(config)
    assert json.dumps(tree).count('"***"') == 4


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "latin").write_bytes(b"a: \xff")
    for path, end in (
        (tmp_path / "none.yaml", "no such file; `turnout check --example` prints one to start from"),
        (tmp_path / "latin", "is not UTF-8 text"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert caught.value.problems == (f"{path}: {end}",)


FULL = """
version: 1
server:
  host: 0.0.0.0
  port: 0
  keys: [{name: k, secret: "***", allow: [a, "b/*"], default_route: r}]
  tls: {cert: c, key: k}
  allowed_hosts: [h]
providers:
  a: {vendor: openai, secret: "***", headers: {x: y}, quirks: {unsupported: [n, seed, user, stop]}}
  b: {base_url: "http://h/v1", auth: none, codec: gemini, parameters: {p: q}}
models:
  - a/one
  - {model: b/two, id: x, price: {input: 0.1, output: 0.2}, tags: [z, y, x, w], capabilities: [tools, system]}
routes:
  - {name: r, models: [a/one, x], strategy: {type: weighted}, filter: [{type: capable}]}
aliases: {q: turnout/r}
default_route: r
surfaces: {chat: {q_floor: 0.5, allow: [a]}}
journal: {enabled: false, hash_key: "***"}
egress: {allow_cidrs: [10.0.0.0/8]}
"""


def test_what_is_written_reads_back_equal():
    config = parse_config(FULL, env={})
    again = parse_config(yaml.safe_dump(to_builtins(config)), env={})
    assert again == config
    assert to_builtins(again) == to_builtins(config)


def test_the_same_configuration_is_written_alike_whatever_the_hashes():
    import subprocess
    import sys

    code = (
        "import sys, json; from turnout.config import parse_config, to_builtins; "
        "print(json.dumps(to_builtins(parse_config(sys.stdin.read(), env={}))))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=FULL,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


# The JSON Schema

TYPES = {
    "object": dict,
    "array": (list, tuple),
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KEYWORDS = {
    *(
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
    ),
    *("enum", "const", "anyOf", "allOf", "$ref", "$defs", "title", "description", "default", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "uniqueItems"),
    "discriminator",
    "pattern",
    "propertyNames",
}


def nodes(schema):
    """Yield every schema inside a schema."""
    yield schema
    for key in ("properties", "$defs"):
        for child in schema.get(key, {}).values():
            yield from nodes(child)
    for key in ("anyOf", "allOf", "prefixItems"):
        for child in schema.get(key, ()):
            yield from nodes(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key])


def accepts(schema, value, root):
    """A validator of the keywords the schema uses."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(accepts(option, value, root) for option in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if isinstance(kind, list):
        return any(accepts({**schema, "type": each}, value, root) for each in kind)
    if kind is not None and (
        not isinstance(value, TYPES[kind]) or (kind != "boolean" and isinstance(value, bool))
    ):
        return False
    if kind == "object":
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        if not all(accepts(schema.get("propertyNames", {}), key, root) for key in value):
            return False
        return set(schema.get("required", ())) <= set(value) and all(
            accepts(known[key], item, root)
            if key in known
            else more is True or (isinstance(more, dict) and accepts(more, item, root))
            for key, item in value.items()
        )
    if kind == "array":
        return all(accepts(schema.get("items", {}), item, root) for item in value)
    if kind in ("integer", "number"):
        return (
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and schema.get("exclusiveMinimum", value - 1) < value
        )
    return True


def test_the_json_schema_is_well_formed():
    schema = json.loads(json.dumps(json_schema()))
    for node in nodes(schema):
        assert set(node) <= KEYWORDS
        kinds = node.get("type", "null")
        assert {kinds} if isinstance(kinds, str) else {*kinds} <= set(TYPES)
        if "$ref" in node:
            assert node["$ref"].rpartition("/")[2] in schema["$defs"]


def test_the_json_schema_accepts_what_the_reader_accepts():
    root = json_schema()
    for text in ("{}", FULL, "models: []", "timeouts: {total_s: 5}"):
        assert accepts(root, yaml.safe_load(text), root)
    for text in (
        "servr: {}",
        "server: {port: 70000}",
        "server: {port: http}",
        "routes: [{models: []}]",
        "timeouts: {total_s: 0}",
        "log: {level: loud}",
    ):
        assert not accepts(root, yaml.safe_load(text), root)
        assert problems(text)
