"""JSON as a type. Floor 0."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
    """Any JSON value. Codecs look into it with `match` or `isinstance`, never with casts."""
else:
    # msgspec has no recursive aliases; `object` is what it decodes to plain values.
    Json = object

JsonObject: TypeAlias = Mapping[str, Json]
