"""Reads a configuration file, and says what is wrong with one. Floor 5.

Theory of operation.
1. YAML is read with duplicate keys refused; `${env:NAME}` and `${file:PATH}` are put in place in any
   string; the tree is converted to `Config` with unknown keys refused.
2. Every problem is one line: path, what is wrong, what to do (faults.py). It never quotes a string that stood
   in the file, which may be a secret.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from turnout.config.faults import explained
from turnout.config.shape import Config
from turnout.errors import ConfigError
from turnout.types.address import Address
from turnout.types.json import Json
from turnout.types.secret import Secret

if TYPE_CHECKING:
    import yaml

ARTIFACT = "artifact"
"""Key that names a file of something learned, wherever it stands."""
_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")


def load_config(path: str | Path, env: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file.

    Raises `ConfigError` with one line per problem: path inside the file, what is wrong, what to do.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            (f"{path}: no such file; `turnout check --example` prints one to start from",)
        ) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: is not UTF-8 text",)) from None
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from None
    return parse_config(text, env=os.environ if env is None else env, where=str(path), folder=path.parent)


def parse_config(
    text: str, *, env: Mapping[str, str], where: str = "config", folder: Path | None = None
) -> Config:
    """Read a configuration from YAML text.

    Args:
        text: The document.
        env: What `${env:NAME}` stands for.
        where: Name of the document in messages.
        folder: Where it lies: artifacts are named relative to it.

    Raises:
        ConfigError: One line per problem.
    """
    problems: list[str] = []
    try:
        tree = _interpolate(_yaml(text, where), env, "", problems)
    except RecursionError:
        raise ConfigError((f"{where}: is nested too deeply, or holds itself",)) from None
    if problems:
        raise ConfigError(tuple(f"{where}: {problem}" for problem in problems))
    tree = tree if tree is not None else {}
    if folder is not None:
        tree = _beside(tree, folder)
    try:
        return convert(tree)
    except msgspec.ValidationError as error:
        raise ConfigError((f"{where}: {explained(tree, str(error), convert)}",)) from None


def convert(tree: Json) -> Config:
    """Read a tree as a configuration. Raises `msgspec.ValidationError`."""
    return msgspec.convert(tree, Config, dec_hook=_secret, strict=True)


def to_builtins(config: Config) -> Json:
    """Write a configuration as plain data with every secret as `***`; equal ones are written alike."""
    tree: Json = msgspec.to_builtins(config, enc_hook=str, str_keys=True, order="deterministic")
    return tree


def json_schema() -> Json:
    """Return the JSON Schema of the configuration file."""
    return _as_read(msgspec.json.schema(Config, schema_hook=_schema))


def _schema(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password"}
    if kind is Address:
        return {"type": "string"}
    return {"description": "Any value."}  # `Json`; an empty schema would read as none


def _as_read(schema: Json) -> Json:
    """Return the schema with decimals as they are read: as numbers too, where msgspec writes text."""
    if isinstance(schema, Mapping):
        if schema.get("format") == "decimal":
            return {"type": ["number", "string"]}
        return {key: _as_read(value) for key, value in schema.items()}
    return [_as_read(item) for item in schema] if isinstance(schema, list | tuple) else schema


def _yaml(text: str, where: str) -> Json:
    import yaml  # noqa: PLC0415  only when a file is read

    if yaml.__with_libyaml__:  # ten times as fast; but what is wrong, Python's reader says more clearly
        with suppress(yaml.YAMLError, ValueError):
            return _read(text, yaml.CSafeLoader)
    try:
        return _read(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        # `{secret: ${env:KEY}}`: the braces of the reference end the mapping.
        said = mark is not None and "${" in text.split("\n")[mark.line]
        hint = '; write references in quotes: "${env:NAME}"' if said else ""
        raise ConfigError((f"{where}: {at}{error.problem or 'not valid YAML'}{hint}",)) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError((f"{where}: not valid YAML: {problem}",)) from None
    except ValueError as error:  # a date such as 2026-13-01
        raise ConfigError((f"{where}: not valid YAML: {error}",)) from None


def _read(text: str, base: "type[yaml.SafeLoader | yaml.CSafeLoader]") -> Json:
    """Return the tree of a document in which no key stands twice."""
    import yaml  # noqa: PLC0415  only when a file is read

    def mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # told by the constructor
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        loader.flatten_mapping(node)
        made: dict[Any, Any] = loader.construct_mapping(node, deep=True)
        return made

    strict: Any = type("Strict", (base,), {})  # constructors belong to a class
    strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    tree: Json = yaml.load(text, strict)  # noqa: S506  a SafeLoader
    return tree


def _beside(tree: Json, folder: Path) -> Json:
    """Return the tree with the files of artifacts as they are found from where the process runs."""
    if isinstance(tree, Mapping):
        return {
            key: str(folder / item)
            if key == ARTIFACT and isinstance(item, str) and item
            else _beside(item, folder)
            for key, item in tree.items()
        }
    return [_beside(item, folder) for item in tree] if isinstance(tree, list) else tree


def _interpolate(tree: Json, env: Mapping[str, str], path: str, problems: list[str]) -> Json:
    if isinstance(tree, Mapping):
        return {
            key: _interpolate(item, env, f"{path}.{key}".lstrip("."), problems) for key, item in tree.items()
        }
    if isinstance(tree, list):
        return [_interpolate(item, env, f"{path}[{at}]", problems) for at, item in enumerate(tree)]
    if not isinstance(tree, str) or "${" not in tree:
        return tree
    if "${" in _REFERENCE.sub("", tree):
        problems.append(f"{path}: '${{' begins a reference; expected ${{env:NAME}} or ${{file:PATH}}")
        return tree
    return _REFERENCE.sub(lambda found: _resolve(found[1], found[2], env, path, problems), tree)


def _resolve(kind: str, name: str, env: Mapping[str, str], path: str, problems: list[str]) -> str:
    if kind == "env":
        value = env.get(name)
        if value is None:
            problems.append(f"{path}: the environment variable {name} is not set")
        return value or ""
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        problems.append(f"{path}: the file {name} cannot be read: {reason}")
        return ""


def _secret(kind: type, value: object) -> object:
    if kind is object:
        return value  # `Json`: left to whoever it configures
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Address and isinstance(value, str):
        return Address(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec adds where it stands
