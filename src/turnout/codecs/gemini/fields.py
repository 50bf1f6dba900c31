"""Looks into a parsed client request, in camelCase or snake_case, and complains with a path. Floor 2.

Protobuf's JSON mapping accepts both spellings of a field name and one object where a list is expected;
both are in recorded traffic.
"""

import re
from collections.abc import Mapping

from turnout.codecs.strict import kind
from turnout.errors import InvalidRequest
from turnout.types.json import Json

_SNAKE = re.compile(r"_([a-z0-9])")


def refusal(at: str, what: str) -> InvalidRequest:
    """Say what is wrong with the field at a path."""
    return InvalidRequest(f"{at} {what}", param=at)


def members(value: Json, at: str) -> dict[str, Json]:
    """Return an object's members under their camelCase names, as a dict of the caller's own."""
    if not isinstance(value, dict):
        raise refusal(at, f"must be an object, not {kind(value)}")
    for name in value:
        if "_" in name:
            return _respelled(value, at)
    return dict(value)


def _respelled(value: Mapping[str, Json], at: str) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for name, member in value.items():
        camel = _SNAKE.sub(lambda found: found[1].upper(), name)
        if camel in out:
            raise refusal(f"{at}.{camel}" if at else camel, f"is given twice, also as {name}")
        out[camel] = member
    return out


def entries(value: Json, at: str) -> list[Json]:
    """Return a repeated field as a list."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise refusal(at, f"must be an array, not {kind(value)}")


def take_str(fields: dict[str, Json], name: str, at: str) -> str | None:
    """Take a string out of an object; None where it is missing or null."""
    value = fields.pop(name, None)
    if value is None or isinstance(value, str):
        return value
    raise refusal(f"{at}.{name}", f"must be a string, not {kind(value)}")


def take_bool(fields: dict[str, Json], name: str, at: str) -> bool | None:
    """Take a boolean out of an object; None where it is missing or null."""
    value = fields.pop(name, None)
    if value is None or isinstance(value, bool):
        return value
    raise refusal(f"{at}.{name}", f"must be true or false, not {kind(value)}")


def take_float(fields: dict[str, Json], name: str, at: str) -> float | None:
    """Take a number out of an object; None where it is missing or null."""
    value = fields.pop(name, None)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise refusal(f"{at}.{name}", f"must be a number, not {kind(value)}")


def take_int(fields: dict[str, Json], name: str, at: str) -> int | None:
    """Take a whole number out of an object (40.0 is one); None where it is missing or null."""
    value = take_float(fields, name, at)
    if value is None or isinstance(value, int):
        return value
    if not value.is_integer():
        raise refusal(f"{at}.{name}", f"must be a whole number, not {value}")
    return int(value)


def take_strings(fields: dict[str, Json], name: str, at: str) -> tuple[str, ...]:
    """Take a list of strings out of an object; () where it is missing or null."""
    value = fields.pop(name, None)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise refusal(f"{at}.{name}", f"must be an array of strings, not {kind(value)}")
    found = []
    for i, item in enumerate(value):
        if not isinstance(item, str):
            raise refusal(f"{at}.{name}[{i}]", f"must be a string, not {kind(item)}")
        found.append(item)
    return tuple(found)
