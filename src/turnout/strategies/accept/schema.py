"""Does a value satisfy a JSON Schema that somebody else wrote? Floor 2.

Theory of operation. The schema is a caller's and the value a model's: neither may cost more than a moment.

1. The check is made by `jsonschema-rs` (extra `schema`): its patterns run in linear time and its recursion is
   bounded. A reference beyond the schema itself is never followed: not to the network, not to a file.
2. References let a short schema stand for an exponential tree. So where there are any, the work is reckoned
   first, branch by branch and remembering what was reckoned, and a check beyond `MOST_WORK` is not made.
3. What cannot be checked is `SchemaUnusable`, which is neither valid nor invalid: whoever asked decides.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NoReturn

import msgspec

from turnout.types.json import Json, JsonObject

MOST_WORK: Final = 2_000_000
"""Sub-schemas applied to one value: about 25 ms."""
MOST_FAULTS: Final = 3
MOST_DETAIL: Final = 300
"""Characters of one fault: the library quotes what it looked at."""
_PATTERN_BYTES: Final = 1 << 20
_HERE: Final = ("allOf", "anyOf", "oneOf")
_ALONE: Final = ("if", "then", "else", "not")
_REST: Final = ("additionalProperties", "unevaluatedProperties")
_ITEMS: Final = ("items", "unevaluatedItems", "contains")


class SchemaUnusable(ValueError):  # noqa: N818  a finding, like the classes of errors
    """A schema that is malformed, refers beyond itself, or would take too long."""


class Fault(msgspec.Struct, frozen=True):
    """One place where a value departs from its schema."""

    path: str
    """`$`, `$.items[2].name`."""
    what: str


def schema_faults(value: Json, schema: JsonObject) -> tuple[Fault, ...]:
    """Return where a value departs from a JSON Schema, the first few. Needs the extra `schema`.

    Raises:
        SchemaUnusable: Nothing can be said.
        ImportError: The extra is not installed: a check that cannot be made must not pass.
    """
    import jsonschema_rs as js  # noqa: PLC0415  an extra

    limits = js.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
    plain = msgspec.to_builtins(schema)
    try:
        validator = js.Draft202012Validator(plain, retriever=_refuse, pattern_options=limits)
    except (js.ValidationError, ValueError) as error:
        raise SchemaUnusable(str(getattr(error, "message", error))[:MOST_DETAIL]) from None
    if b'Ref"' in msgspec.json.encode(plain) or b'"$ref"' in msgspec.json.encode(plain):
        try:
            _Work(plain).of(plain, value)
        except RecursionError:
            raise SchemaUnusable("nested too deeply") from None
    if validator.is_valid(value):
        return ()
    found = islice(validator.iter_errors(value), MOST_FAULTS)
    return tuple(Fault(_path(error.instance_path), error.message[:MOST_DETAIL]) for error in found)


def can_check() -> bool:
    """Tell whether the extra `schema` is installed."""
    try:
        import jsonschema_rs  # noqa: F401, PLC0415  an extra
    except ImportError:
        return False
    return True


def schema_fault(value: Json, schema: JsonObject) -> str | None:
    """Return the path at which a value departs from a JSON Schema, or None. Raises as `schema_faults`."""
    faults = schema_faults(value, schema)
    return faults[0].path if faults else None


def _refuse(uri: str) -> NoReturn:
    raise ValueError("a schema may only refer to itself")


def _path(steps: Iterable[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


class _Work:
    """Reckons how many sub-schemas a check may apply. Upper bound: every branch is looked at to its end."""

    __slots__ = ("_known", "_root")

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def of(self, schema: Json, value: Json) -> int:
        """Return the work of one schema at one value. Raises `SchemaUnusable` beyond the limit."""
        if not isinstance(schema, Mapping):
            return 1
        key = (id(schema), id(value))
        known = self._known.get(key)
        if known is not None:
            return known
        self._known[key] = 0  # a reference that comes back to the same value is cut by the library too
        n = 1
        for sub, at in self._under(schema, value):
            n += self.of(sub, at)
            if n > MOST_WORK:
                raise SchemaUnusable("checking it may take too long")
        self._known[key] = n
        return n

    def _under(self, schema: JsonObject, value: Json) -> Iterator[tuple[Json, Json]]:
        if (
            "$dynamicRef" in schema
            or "$recursiveRef" in schema
            or ("$id" in schema and schema is not self._root)
        ):
            raise SchemaUnusable("only plain references within the schema are followed")
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield self._resolve(ref), value
        for name in _HERE:
            yield from ((sub, value) for sub in _list(schema.get(name)))
        for name in _ALONE:
            if name in schema:
                yield schema[name], value
        yield from ((sub, value) for sub in _object(schema.get("dependentSchemas")).values())
        if isinstance(value, Mapping):
            yield from _members(schema, value)
        elif isinstance(value, list | tuple):
            yield from zip(_list(schema.get("prefixItems")), value, strict=False)
            yield from ((schema[name], item) for name in _ITEMS if name in schema for item in value)

    def _resolve(self, ref: str) -> Json:
        if ref != "#" and not ref.startswith("#/"):
            raise SchemaUnusable("only references by path within the schema are followed")
        found: Json = self._root
        for step in ref.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping):
                found = found.get(name)
            elif isinstance(found, list | tuple) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise SchemaUnusable("a reference leads nowhere")
        return found


def _members(schema: JsonObject, value: JsonObject) -> Iterator[tuple[Json, Json]]:
    named = _object(schema.get("properties"))
    yield from ((sub, value[name]) for name, sub in named.items() if name in value)
    for sub in _object(schema.get("patternProperties")).values():
        yield from ((sub, item) for item in value.values())
    for name in _REST:
        if name in schema:
            yield from ((schema[name], item) for key, item in value.items() if key not in named)
    if "propertyNames" in schema:
        yield from ((schema["propertyNames"], key) for key in value)


def _list(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list | tuple) else ()


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}
