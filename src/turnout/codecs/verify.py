"""What a comparison of our decoders with recorded traffic is made of. Floor 2.

Every wire format offers, in its own `verify` module, three functions (`Verifier`): `speaks` tells whether
a recorded call is in that format, `check` decodes it with our codec and compares the result with the raw
bytes, `compare` gives the same as lines of text. The raw side is always read with plain JSON look-ups,
never with the decoder under test.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

Aspect = Literal[
    "decode", "request", "usage", "finish", "text", "reasoning", "tool_calls", "vectors", "error", "shape"
]
"""`decode`: an exception where there should be none, or none where there should be one. `shape`: members of
an answer that the gateway itself makes."""

_SHOWN = 160
"""Characters of a value shown in a mismatch."""
_DEFECTS = (
    *(TurnoutError, ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
"""What a decoder may wrongly raise on an answer that was a good one."""


class Exchange(Struct, frozen=True, kw_only=True):
    """One recorded call and its answer, bytes as they went over the wire."""

    provider: str
    method: str
    url: str
    request_body: bytes
    status: int
    response_headers: Mapping[str, str] = {}
    """Lower-case names."""
    response_body: bytes

    @property
    def answer(self) -> HttpResponse:
        """The answer as a codec takes it."""
        return HttpResponse(self.status, self.response_headers, self.response_body)


class Mismatch(Struct, frozen=True):
    """One place where the decoded form and the raw record differ."""

    aspect: Aspect
    field: str
    expected: str
    """From the raw record, as compact JSON, cut."""
    got: str
    """From our codec, likewise."""

    def __str__(self) -> str:
        return f"{self.aspect} {self.field}: expected {self.expected}, got {self.got}"


class Checked(Struct, frozen=True, kw_only=True):
    """What was compared in one exchange, and where it differed."""

    compared: Mapping[Aspect, int]
    """Aspect -> number of comparisons made; an aspect the record lacks is not counted."""
    mismatches: tuple[Mismatch, ...] = ()


class Verifier(Protocol):
    """The `verify` module of one wire format."""

    def speaks(self, method: str, url: str, request_body: JsonObject) -> bool:
        """Tell whether a call is in this format."""
        ...

    def check(self, record: Exchange) -> Checked:
        """Decode the exchange both ways and compare it with the raw record. Never raises."""
        ...

    def compare(self, record: Exchange) -> list[str]:
        """Return the mismatches of `check` as lines; empty = equal."""
        ...


class Comparison:
    """Collects the comparisons of one exchange."""

    def __init__(self) -> None:
        self._compared: dict[Aspect, int] = {}
        self._mismatches: list[Mismatch] = []

    def equal(self, aspect: Aspect, field: str, expected: Json, got: Json) -> None:
        """Compare two JSON values; every place where they differ becomes one mismatch."""
        self._compared[aspect] = self._compared.get(aspect, 0) + 1
        self._mismatches += [
            Mismatch(aspect, path, short(was), short(now))
            for path, was, now in differences(expected, got, field)
        ]

    def one_of(self, aspect: Aspect, field: str, allowed: Collection[str], got: str) -> None:
        """Compare a word with those that may stand there."""
        self.equal(aspect, field, got if got in allowed else " or ".join(sorted(allowed)), got)

    def fail(self, aspect: Aspect, field: str, expected: str, got: str) -> None:
        """Note a difference that is not one of JSON values."""
        self._compared[aspect] = self._compared.get(aspect, 0) + 1
        self._mismatches.append(Mismatch(aspect, field, expected[:_SHOWN], got[:_SHOWN]))

    def done(self) -> Checked:
        """Return what was collected."""
        return Checked(compared=self._compared, mismatches=tuple(self._mismatches))


def checking(compare: Callable[[Comparison, Exchange], None]) -> Callable[[Exchange], Checked]:
    """Make the `check` of a format from what compares one exchange: what that raises is a mismatch."""

    def check(record: Exchange) -> Checked:
        found = Comparison()
        try:
            compare(found, record)
        except _DEFECTS as error:
            found.fail("decode", "exception", "none", f"{type(error).__name__}: {error}")
        return found.done()

    return check


class Absent:
    """Stands for a member that is not there, in `differences`."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = Absent()


def differences(
    expected: Json | Absent, got: Json | Absent, path: str
) -> Iterator[tuple[str, Json | Absent, Json | Absent]]:
    """Yield the deepest places in which two JSON trees differ; numbers by value, mappings without order.

    Arrays must be lists on both sides, as `msgspec.json.decode` makes them.
    """
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key in {**expected, **got}:
            yield from differences(expected.get(key, ABSENT), got.get(key, ABSENT), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for i, (was, now) in enumerate(zip(expected, got, strict=True)):
            yield from differences(was, now, f"{path}[{i}]")
    elif isinstance(expected, bool) != isinstance(got, bool) or expected != got:
        yield path, expected, got


def short(value: Json | Absent) -> str:
    """Write a JSON value in one short line."""
    text = repr(value) if isinstance(value, Absent) else msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def lines(checked: Checked) -> list[str]:
    """Return one line per mismatch: what `compare` answers."""
    return [str(mismatch) for mismatch in checked.mismatches]
