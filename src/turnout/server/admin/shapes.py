"""What the kinds of documents look like to users of the API: made from the tables of `govern`. Floor 6.

What may be written is listed there by kind (`MAKES`, `CHANGES`); the types here follow, so that the
description of the API cannot promise a field that is refused.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, defstruct

from turnout.govern.records import HIDDEN, TYPES
from turnout.govern.rules import CHANGES, MAKES
from turnout.types.account import Kind
from turnout.types.json import Json

_OPTIONAL_ID: Final[frozenset[Kind]] = frozenset(
    ("organisation", "project", "team", "customer", "budget", "quota")
)
_OPTIONAL: Final = frozenset(("organisation", "role", "expires"))
"""Fields of what is made that have a default there, though the type has none."""


def _name(kind: Kind) -> str:
    return kind.capitalize()


def _fields(kind: Kind) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(TYPES[kind])}


def view_of(kind: Kind) -> type[Struct]:
    """Return what a document of a kind is answered as."""
    known = _fields(kind)
    fields: list[tuple[str, type, object]] = [("object", str, NODEFAULT), ("version", int, NODEFAULT)]
    fields += [(name, each.type, UNSET) for name, each in known.items() if name not in HIDDEN]
    if "organisation" not in known:
        fields.append(("organisation", str | None, None))  # type: ignore[arg-type]  # a union is a form
    if kind in ("key", "token"):
        fields.append(("revoked", bool, False))
    return defstruct(_name(kind), fields, kw_only=True)


def new_of(kind: Kind) -> type[Struct]:
    """Return what a document of a kind is made from."""
    known, names = _fields(kind), MAKES[kind]
    fields: list[tuple[str, type, object]] = []
    for name in sorted(names):
        each = known.get(name)
        if each is None:  # the owner of a limit
            fields.append((name, str, UNSET))
            continue
        optional = not each.required or name in (*_OPTIONAL, *(("id",) if kind in _OPTIONAL_ID else ()))
        fields.append((name, each.type, UNSET if optional else NODEFAULT))
    return defstruct(f"New{_name(kind)}", fields, kw_only=True, forbid_unknown_fields=True)


def change_of(kind: Kind) -> type[Struct]:
    """Return what may be changed of a document of a kind."""
    known = _fields(kind)
    fields = [(name, known[name].type, UNSET) for name in sorted(CHANGES[kind])]
    return defstruct(f"Change{_name(kind)}", fields, kw_only=True, forbid_unknown_fields=True)


class Shown(Struct, kw_only=True):
    """A key that was just made: its text is in this answer and nowhere else."""

    key: str | None
    """None where the call is a repetition of one that was answered."""
    document: dict[str, Json] = {}
    object: str = "key.shown"


class Rotate(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a key is replaced."""

    overlap_s: float = 86_400.0
    """For how long the old one still works."""
