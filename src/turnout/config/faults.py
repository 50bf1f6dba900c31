"""Turns msgspec's complaint about a configuration into one line: path, fault, what to do. Floor 5.

msgspec names places inside a mapping only as `[...]`. Which key it was is found by reading the tree again
with one key of the mapping at a time: the one that alone gives the same complaint is the one.
"""

import difflib
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from turnout.config.shape import Config
from turnout.types.json import Json

Step = str | int
Convert = Callable[[Json], Config]

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_ENUM = re.compile(r"Invalid enum value .*")
_AT = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<at>\d+)\]|(?P<some>\[\.\.\.\])")


def explained(tree: Json, complaint: str, convert: Convert) -> str:
    """Return the line for a complaint of `convert` about `tree`."""
    place = _AT.search(complaint)
    steps = _resolved(tree, place["path"] if place else "", complaint, convert)
    fault = _AT.sub("", complaint)
    unknown, missing = _UNKNOWN.search(fault), _MISSING.search(fault)
    if unknown:
        return f"{written([*steps, unknown['name']])}: unknown key{_near(steps, unknown['name'])}"
    if missing:
        return f"{written([*steps, missing['name']])}: is missing"
    if _ENUM.fullmatch(fault):
        words = ", ".join(map(str, _words(steps)))
        return f"{written(steps)}: expected one of {words}"
    said = fault[0].lower() + fault[1:].replace("`", "")
    if not steps:
        return said
    # A number out of its range is shown; of anything else only what it is, for it may be a secret.
    value = _at(tree, steps)
    shown = isinstance(value, int | float) and ("<" in said or ">" in said)
    return f"{written(steps)} is {value}; {said}" if shown else f"{written(steps)}: {said}"


def written(steps: Sequence[Step]) -> str:
    """Write a path as people write it: `routes[0].strategy`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _resolved(tree: Json, path: str, complaint: str, convert: Convert) -> list[Step]:
    """Return the steps of a path with the keys that msgspec left out."""
    steps: list[Step] = []
    for found in _STEP.finditer(path):
        if found["some"]:
            tree, key = _culprit(tree, steps, complaint, convert)
            steps.append(key)
        else:
            steps.append(found["name"] or int(found["at"]))
    return steps


def _culprit(tree: Json, steps: Sequence[Step], complaint: str, convert: Convert) -> tuple[Json, Step]:
    mapping = _at(tree, steps)
    for key, value in mapping.items() if isinstance(mapping, Mapping) else ():
        smaller = _with(tree, steps, {key: value})
        try:
            convert(smaller)
        except msgspec.ValidationError as error:
            if str(error) == complaint:
                return smaller, str(key)
    return tree, "…"


def _at(tree: Json, steps: Sequence[Step]) -> Json:
    for step in steps:
        if isinstance(tree, Mapping):
            tree = tree.get(str(step))
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def _with(tree: Json, steps: Sequence[Step], value: Json) -> Json:
    """Return the tree with another value at a place."""
    if not steps:
        return value
    first, rest = steps[0], steps[1:]
    if isinstance(tree, Mapping):
        return {**tree, str(first): _with(tree.get(str(first)), rest, value)}
    assert isinstance(tree, list)
    return [_with(item, rest, value) if at == first else item for at, item in enumerate(tree)]


def _near(steps: Sequence[Step], name: str) -> str:
    known = [field for kind in _kinds(steps) if _is_struct(kind) for field in kind.__struct_fields__]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def _words(steps: Sequence[Step]) -> Iterator[Any]:
    for kind in _kinds(steps):
        for option in get_args(kind):
            yield from get_args(option) or (option,)


def _kinds(steps: Sequence[Step]) -> list[Any]:
    """Return the types that may stand at a place."""
    kinds: list[Any] = [Config]
    for step in steps:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return kinds


def _inside(kind: Any, step: Step) -> Iterator[Any]:
    if _is_struct(kind):
        yield from _options(get_type_hints(kind, include_extras=True).get(str(step)))
    elif get_origin(kind) is dict:
        yield from _options(get_args(kind)[1])
    elif get_origin(kind) in {tuple, frozenset}:
        yield from _options(get_args(kind)[0])


def _options(hint: Any) -> Iterator[Any]:
    """Yield the types of a union; an annotated type without its annotation."""
    if get_origin(hint) is Annotated:
        yield from _options(get_args(hint)[0])
    elif get_origin(hint) in {Union, types.UnionType}:
        for option in get_args(hint):
            yield from _options(option)
    elif hint is not None:
        yield hint


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
