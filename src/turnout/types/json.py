"""JSON as a type. Floor 0."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
"""Any JSON value. Codecs look into it with `match` or `isinstance`, never with casts."""

JsonObject: TypeAlias = Mapping[str, Json]
