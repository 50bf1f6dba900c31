"""One line of the log: a typed list of what may be said (S-64). Floor 6."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import astuple


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one line can hold. There is no field for a header, a body or a credential."""

    at: float
    """Unix seconds."""
    level: str
    logger: str
    message: str
    request_id: str | None = None
    trace_id: str | None = None
    places: str | None = None
    """Where an error came through: `file:line function`, never its message."""
    method: str | None = None
    path: str | None = None
    status: int | None = None
    duration_s: float | None = None
    bytes_out: int | None = None
    key_id: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    error: str | None = None
    attempts: int | None = None
    fallbacks: int | None = None
    cache: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    ttft_s: float | None = None
    overhead_s: float | None = None

    def line(self) -> "Line":
        """Return itself."""
        return self

    def json(self) -> bytes:
        """Return itself as JSON."""
        body = _ENCODER.encode(self)
        return b'{"time":"%b"%b' % (stamp(self.at), body[body.index(b",") :])  # in place of `at`, the first


class Told(Protocol):
    """What is a line of the log, or becomes one when it is written."""

    def line(self) -> Line:
        """Return the line; called once, beside the path."""
        ...

    def json(self) -> bytes:
        """Return the line as JSON, without its end."""
        ...


_N_FIRST = 4
"""Fields that every line has: `at`, `level`, `logger`, `message`."""
_REST = Line.__struct_fields__[_N_FIRST:]
_ENCODER = msgspec.json.Encoder()
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {10: "\\n", 13: "\\r", 9: "\\t"}


def fields_of(line: Line) -> dict[str, str | int | float]:
    """Return what a line holds beside its message."""
    rest = zip(_REST, astuple(line)[_N_FIRST:], strict=True)
    return {name: value for name, value in rest if value is not None}


def as_json(told: Told) -> bytes:
    """Return a line of JSON, without its end."""
    return told.json()


def stamp(at: float) -> bytes:
    """Return an instant as people and machines read it, in milliseconds."""
    second, ms = divmod(int(at * 1000), 1000)
    return b"%b.%03dZ" % (_second(second), ms)


@lru_cache(maxsize=4)
def _second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def as_text(told: Told) -> bytes:
    """Return a line for people, without its end; control characters are escaped."""
    line = told.line()
    rest = "".join(f" {name}={value}" for name, value in fields_of(line).items())
    text = f"{line.level.upper()} {line.logger}: {line.message}{rest}"
    if not text.isprintable():
        text = text.translate(_CONTROLS)
    return text.encode("utf-8", "backslashreplace")
