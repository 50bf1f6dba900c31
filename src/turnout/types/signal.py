"""One fact about a request. Floor 0."""

from collections.abc import Mapping

from msgspec import Struct

from turnout.types.json import Json


class Signal(Struct, frozen=True):
    """A value with a confidence. `error` set = absent: the strategy's declared default applies."""

    value: Json = None
    confidence: float = 1.0
    error: str | None = None


Signals = Mapping[str, Signal]
NO_SIGNALS: Signals = {}
