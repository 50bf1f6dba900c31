"""The one strict JSON parser for client requests (SECURITY.md S-44). Floor 2.

Policy and codecs read the same tree: no second parse of the same bytes can disagree with the first.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec
from msgspec import inspect

from turnout.errors import InvalidRequest
from turnout.types.json import Json, JsonObject

T = TypeVar("T")
Container = dict[str, Json] | list[Json]
_CONTAINERS = (dict, list)

MAX_DEPTH = 64
MAX_KEYS = 100_000
"""WIRE.md 2.1, SECURITY.md section 7."""

_LONG = 8192
"""Bytes of a body whose objects and lists are walked at once: to count its brackets first would cost more."""
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*?)`)?$", re.DOTALL)
_HALF = re.compile(r"[\ud800-\udfff]")
_HALF_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
_STEP = re.compile(r"\.[^.\[]+|\[[^\]]*\]")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def parse(body: bytes) -> JsonObject:
    """Read a request body. Raises `InvalidRequest` for what two parsers could read differently."""
    try:
        tree = _decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not valid UTF-8 ({error.reason})") from error
    except RecursionError as error:
        raise InvalidRequest(f"the body is nested deeper than {MAX_DEPTH} levels") from error
    except msgspec.MsgspecError as error:
        _check_halves(body)
        raise InvalidRequest(f"the body is not valid JSON: {_reason(error, body)}") from error
    if not isinstance(tree, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {kind(tree)}")
    if len(body) > _LONG or len(body) - len(body.translate(None, b"{[")) > MAX_DEPTH:
        _check_depth(tree)
    if len(body) > MAX_KEYS:  # a key takes more than one byte
        _check_key_count(tree)
    # A compact body that our encoder writes back byte for byte holds every key once.
    compact = _encode(tree)
    if compact != body and compact != msgspec.json.format(body, indent=-1):
        _check_duplicates(body)
    return tree


def convert(value: Json, to: type[T], at: str = "") -> T:
    """Read a parsed value as a typed one. Raises `InvalidRequest` with the path of the first misfit.

    Args:
        value: Part of a tree that `parse` returned.
        to: A type msgspec can convert to.
        at: Path of `value` in the request.
    """
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise refusal(error, at, to) from error


def refusal(error: msgspec.ValidationError, at: str = "", to: object = None) -> InvalidRequest:
    """Turn a msgspec complaint into an `InvalidRequest` whose `param` is the path of the offending field.

    Args:
        error: The complaint.
        at: Path in the request of what was read.
        to: The type it was read as: a word that is none of several is told which those are.
    """
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    where = join(at, path)
    missing = _MISSING.fullmatch(what)
    if missing:
        where = join(where, "." + missing["name"])
        return InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
    words = _words(to, path) if what.startswith(("Invalid enum value", "Invalid value")) else ()
    expected = f"; expected {'one of ' if words[1:] else ''}{', '.join(words)}" if words else ""
    return InvalidRequest(
        f"{where or 'the body'}: {what[:1].lower()}{what[1:]}{expected}",
        param=where or None,
        code="invalid_type",
    )


@lru_cache(maxsize=256)
def _words(to: object, path: str) -> tuple[str, ...]:
    """Return the words that a type allows at a path of msgspec's."""
    kinds: list[inspect.Type] = [inspect.type_info(to)]
    for step in _STEP.findall(path):
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    allowed = [value for kind in kinds for each in _each(kind) for value in getattr(each, "values", ())]
    return tuple(dict.fromkeys(map(str, allowed)))


def _inside(kind: inspect.Type, step: str) -> Iterator[inspect.Type]:
    """Yield the types that may stand one step below."""
    for each in _each(kind):
        if isinstance(each, inspect.CollectionType) and step.startswith("["):
            yield each.item_type
        elif isinstance(each, inspect.StructType) and step.startswith("."):
            yield from (field.type for field in each.fields if f".{field.encode_name}" == step)
            if f".{each.tag_field}" == step and each.tag is not None:
                yield inspect.LiteralType((each.tag,))


def _each(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _each(kind.type)
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def join(at: str, path: str) -> str:
    """Append a msgspec path (`.a[0]`, `[...]`) to a prefix."""
    return f"{at}{path}" if at else path.removeprefix(".")


def _check_halves(body: bytes) -> None:
    """Refuse half of a surrogate pair by its name and place: to msgspec it is a body that ends too soon."""
    if not _HALF_ESCAPED.search(body):
        return
    try:
        half, where = _half(json.loads(body), "")
    except (ValueError, RecursionError):  # something else is wrong too
        return
    if half:
        what = f"\\u{ord(half):04x} is half of a surrogate pair, and no character by itself"
        raise InvalidRequest(f"{where or 'the body'}: {what}", param=where or None)


def _half(node: object, at: str) -> tuple[str, str]:
    """Return the first half of a pair and the path of its text, of a key that of its object."""
    below: Iterator[tuple[object, str]] = iter(())
    match node:
        case str():
            found = _HALF.search(node)
            return (found[0], at) if found else ("", "")
        case dict():
            half = _HALF.search("\n".join(node))
            if half:
                return half[0], at
            below = ((child, join(at, f".{key}")) for key, child in node.items())
        case list():
            below = ((child, f"{at}[{i}]") for i, child in enumerate(node))
    hits = (_half(child, where) for child, where in below)
    return next((hit for hit in hits if hit[0]), ("", ""))


def _reason(error: msgspec.MsgspecError, body: bytes) -> str:
    if not body.strip():
        return "it is empty"
    text = str(error).removeprefix("JSON is malformed: ").partition(" - at")[0]
    return f"{text[:1].lower()}{text[1:]}"


def kind(tree: object) -> str:
    """Name a JSON value's type, for messages."""
    match tree:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "an array"


def _containers(level: Sequence[Container]) -> list[Container]:
    below: list[Container] = []
    for node in level:
        for child in node.values() if isinstance(node, dict) else node:
            if isinstance(child, _CONTAINERS):
                below.append(child)  # noqa: PERF401  # an inner list for each node costs half as much again
    return below


def _check_depth(tree: dict[str, Json]) -> None:
    level: list[Container] = [tree]
    for _ in range(MAX_DEPTH):
        level = _containers(level)
        if not level:
            return
    raise InvalidRequest(f"the body is nested deeper than {MAX_DEPTH} levels")


def _check_key_count(tree: dict[str, Json]) -> None:
    n_keys = 0
    level: list[Container] = [tree]
    while level:
        n_keys += sum(len(node) for node in level if isinstance(node, dict))
        if n_keys > MAX_KEYS:
            raise InvalidRequest(f"the body has more than {MAX_KEYS:,} keys")
        level = _containers(level)


class _Repeated:
    """Stands for an object with a repeated key, while its path is looked for."""

    def __init__(self, key: str) -> None:
        self.key = key


def _check_duplicates(body: bytes) -> None:
    def pairs(found: list[tuple[str, Json]]) -> dict[str, Json]:
        members = dict(found)
        if len(members) != len(found):
            raise _DuplicateKey
        return members

    try:
        json.loads(body, object_pairs_hook=pairs)
    except _DuplicateKey:
        where = _path_of_duplicate(body)
        raise InvalidRequest(f"{where} is given twice", param=where, code="duplicate_key") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the body is not valid JSON") from error


class _DuplicateKey(Exception):  # noqa: N818  # never leaves this file
    pass


def _path_of_duplicate(body: bytes) -> str:
    """Return the path of the first repeated key. Slow: only on the way to an error."""

    def pairs(found: list[tuple[str, object]]) -> object:
        seen: set[str] = set()
        for key, _ in found:
            if key in seen:
                return _Repeated(key)
            seen.add(key)
        return dict(found)

    def search(node: object, at: str) -> str:
        match node:
            case _Repeated():
                return join(at, "." + node.key)
            case dict():
                hits = (search(child, join(at, f".{key}")) for key, child in node.items())
            case list():
                hits = (search(child, f"{at}[{i}]") for i, child in enumerate(node))
            case _:
                return ""
        return next((hit for hit in hits if hit), "")

    return search(json.loads(body, object_pairs_hook=pairs), "")
