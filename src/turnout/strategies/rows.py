"""From rows of configuration to parts and strategies made ready. Floor 2.

Theory of operation.

1. A row is an object with `type`: the name of a class in the registry group that its place asks for. The
   other keys are the class's fields. A field typed by a protocol below holds a row itself.
2. Every problem is one line: the path of the key, what is wrong, what would be right.
3. A preset is expanded, wherever it stands, and what needs the pool is bound, before a request is served.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from turnout.errors import ConfigError
from turnout.plan import Accept, Reduce
from turnout.registry import did_you_mean, load
from turnout.strategies.base import (
    Bindable,
    Filter,
    Modifier,
    Order,
    Preset,
    Scorer,
    Setting,
    Shape,
    Strategy,
)
from turnout.types.json import Json

GROUPS: Final[Mapping[object, str]] = {
    Strategy: "turnout.strategies",
    Filter: "turnout.filters",
    Scorer: "turnout.scorers",
    Order: "turnout.orders",
    Shape: "turnout.shapes",
    Modifier: "turnout.modifiers",
    Accept: "turnout.acceptors",
    Reduce: "turnout.reducers",
}
"""Protocol of a field -> group in which its row's type is looked up."""
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")
_PART: Final = re.compile(r"^(score\[\d+\]|order|shape)\.")
_AT: Final = re.compile(r" - at `\$\.?([^`]*)`$")


def make(group: str, row: object, path: str, problems: list[str]) -> object | None:
    """Return what a row describes; None, and a line in `problems`, when it describes nothing."""
    try:
        return _made(group, row)
    except ConfigError as error:
        problems.extend(join(path, problem) for problem in error.problems)
        return None


def make_all(group: str, rows: Iterable[object], path: str, problems: list[str]) -> list[object]:
    """Return what each row describes; those that describe nothing are left out."""
    made = [make(group, row, f"{path}[{at}]", problems) for at, row in enumerate(rows)]
    return [item for item in made if item is not None]


def ready(row: Mapping[str, Json], path: str, setting: Setting, problems: list[str]) -> Strategy | None:
    """Return the strategy a row describes, expanded and bound to its pool; None when it cannot work."""
    made = make("turnout.strategies", row, path, problems)
    if made is None:
        return None
    try:
        return bound(expanded(made), setting)
    except ConfigError as error:
        told = map(_as_written, error.problems) if isinstance(made, Preset) else error.problems
        problems.extend(join(path, line) for line in told)
        return None


def _as_written(problem: str) -> str:
    """Leave out the place inside what a preset stands for: nothing its reader wrote."""
    bare = _PART.sub("", problem)
    return "quality" + bare.removeprefix("values") if bare.startswith("values:") else bare


def expanded(made: object) -> Strategy:
    """Return the strategy that a preset stands for, and any other strategy as it is."""
    try:
        strategy = made.expand() if isinstance(made, Preset) else made
    except ValueError as error:
        raise ConfigError((str(error),)) from None
    return strategy  # type: ignore[return-value]  # the registry's group holds strategies


def bound(strategy: Strategy, setting: Setting) -> Strategy:
    """Return the strategy made ready for its pool. Raises `ConfigError`."""
    return strategy.bind(setting) if isinstance(strategy, Bindable) else strategy


def written(part: object) -> Json:
    """Return the row that a part, or a value in one, would be read from; defaults are written out."""
    if isinstance(part, msgspec.Struct):
        cls, tag = type(part), part.__struct_config__.tag
        names = zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True)
        row = {shown: written(getattr(part, name)) for name, shown in names if name not in _filled(cls)}
        return {"type": str(tag), **row} if tag is not None else row
    if isinstance(part, Mapping):
        return {str(key): written(value) for key, value in part.items()}
    if isinstance(part, tuple | list | frozenset):
        return [written(value) for value in part]
    if part is None or isinstance(part, str | int | float | bool):
        return part
    raise TypeError(f"{type(part).__name__} is no part of a row")


def expand(row: Mapping[str, Json], path: str) -> Json:
    """Return the row of what a strategy's row stands for.

    Raises:
        ConfigError: The row describes nothing.
    """
    problems: list[str] = []
    made = make("turnout.strategies", row, path, problems)
    if made is None:
        raise ConfigError(tuple(problems))
    return written(expanded(made))


def join(path: str, problem: str) -> str:
    """Put a path before a problem that itself begins with a path, an index or a colon."""
    return path + problem if problem[:1] in "[:" else f"{path}.{problem}"


def _made(group: str, row: object) -> object:
    if not isinstance(row, Mapping):
        raise ConfigError((f": expected a row with type:, got {type(row).__name__}",))
    kind = row.get("type")
    if not isinstance(kind, str):
        raise ConfigError(("type: missing; name what this is",))
    try:
        cls = load(group, kind)
    except ConfigError as error:
        raise ConfigError(tuple(f"type: {problem}" for problem in error.problems)) from error
    fields = {key: value for key, value in row.items() if key != "type"}
    if not isinstance(cls, type):
        raise ConfigError((f"type: {kind!r} in {group} is not a class",))
    known = [name for name in getattr(cls, "__struct_encode_fields__", ()) if name not in _filled(cls)]
    unknown = [key for key in fields if key not in known]
    if unknown:
        raise ConfigError((f"{unknown[0]}: unknown key{did_you_mean(unknown[0], known)}",))
    try:
        return msgspec.convert(fields, cls, dec_hook=_nested)
    except msgspec.ValidationError as error:
        raise ConfigError((_explained(error),)) from error


def _filled(cls: type) -> frozenset[str]:
    """Return the fields that binding fills and nobody writes."""
    return getattr(cls, "FILLED", frozenset())


def _nested(kind: type, value: object) -> object:
    if kind is object:
        return value  # any JSON: a schema, say
    group = GROUPS.get(kind)
    if group is None:
        raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
    if isinstance(value, kind):
        return value
    try:
        made = _made(group, value)
        return expanded(made) if kind is Strategy else made
    except ConfigError as error:
        # msgspec adds the place of the row to a ValueError, and to nothing else.
        raise ValueError(error.problems[0]) from error


def _explained(error: msgspec.ValidationError) -> str:
    """Turn msgspec's sentence into ours: path first, then the fault. A nested row has told its own path."""
    message = str(error)
    place = _AT.search(message)
    path, fault = place[1] if place else "", _AT.sub("", message)
    unknown = _UNKNOWN.search(fault)
    if unknown:
        return f"{path}.{unknown[1]}: unknown key".lstrip(".")
    if isinstance(error.__cause__, ValueError):
        return join(path, fault) if path else fault
    fault = fault[:1].lower() + fault[1:]
    return f"{path}: {fault}" if path else f": {fault}"
