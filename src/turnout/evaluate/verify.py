"""Recorded provider traffic against our wire formats: what is spoken, what differs and where. Floor 6.

Every format compares in its own `verify` module, whose raw side never uses the decoder under test; here the
results are counted per provider and format.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic import verify as anthropic
from turnout.codecs.bedrock import verify as bedrock
from turnout.codecs.bedrock.wire import WIRE as FRAMED_WIRE
from turnout.codecs.cohere import verify as cohere
from turnout.codecs.eventstream import EventStreamParser
from turnout.codecs.gemini import verify as gemini
from turnout.codecs.invoked import unwrapped
from turnout.codecs.ollama import verify as ollama
from turnout.codecs.openai_chat import verify as openai_chat
from turnout.codecs.openai_responses import verify as openai_responses
from turnout.codecs.prompt import verify as prompt
from turnout.codecs.verify import Checked, Exchange, Mismatch, Verifier
from turnout.errors import TurnoutError
from turnout.evaluate.surfaces import SURFACES
from turnout.evaluate.unspoken import BINARY, UNKNOWN, reason_for
from turnout.transport.recording import Recorded
from turnout.types.json import JsonObject

_DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a comparison that meets a record it has never seen the like of may raise: shown, not hidden."""
_ENVELOPED = "/invoke-with-response-stream"
_FRAMED = ("/converse-stream", _ENVELOPED, "/audio/speech")
"""Ends of the addresses whose answers are binary frames, or sound, by nature."""
_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Finding(Struct, frozen=True, kw_only=True):
    """One difference between a record and what we read in it."""

    file: str
    id: str
    provider: str
    format: str
    aspect: str
    field: str
    expected: str
    """From the raw record, cut."""
    got: str


class Row(Struct, frozen=True, kw_only=True):
    """Everything one provider sent in one format."""

    provider: str
    format: str | None
    """None = in no format that is spoken here yet."""
    records: int
    equal: int = 0
    different: int = 0
    compared: Mapping[str, int] = {}
    """Aspect (`usage`, `text`, `tool_calls`, …) -> comparisons made."""


class Report(Struct, frozen=True, kw_only=True):
    """The result of a verification."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    unspoken: Mapping[str, int] = {}
    """Reason -> records in no format that is spoken here, most first."""

    @property
    def records(self) -> int:
        """Records read."""
        return sum(row.records for row in self.rows)

    @property
    def checked(self) -> int:
        """Records in a format that is spoken here."""
        return sum(row.records for row in self.rows if row.format is not None)

    @property
    def equal(self) -> int:
        """Checked records without any difference."""
        return sum(row.equal for row in self.rows)


class Verification:
    """Collects results, record by record."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str | None], _Count] = {}
        self._findings: list[Finding] = []
        self._unspoken: Counter[str] = Counter()

    def add(self, file: str, record: Recorded) -> None:
        """Compare one record. Never raises."""
        name = spoken_as(record)
        count = self._counts.setdefault((record.provider, name), _Count())
        count.records += 1
        if name is None:
            self._unspoken[_why(record)] += 1
            return
        checked = check(name, record)
        for aspect, n in checked.compared.items():
            count.compared[aspect] = count.compared.get(aspect, 0) + n
        if not checked.mismatches:
            count.equal += 1
            return
        count.different += 1
        self._findings += [_finding(file, record, name, each) for each in checked.mismatches]

    def report(self) -> Report:
        """Return what was found so far, by provider and format; what is not spoken comes last."""
        keys = sorted(self._counts, key=lambda key: (key[0], key[1] is None, key[1] or ""))
        return Report(
            rows=tuple(self._counts[key].row(*key) for key in keys),
            findings=tuple(self._findings),
            unspoken=dict(self._unspoken.most_common()),
        )


def spoken_as(record: Recorded) -> str | None:
    """Return the format a record is in; None when none of ours."""
    if record.response_body_encoding is not None and not record.url.endswith(_FRAMED):
        return None  # a binary envelope around the format, or media
    body = _object(record.sent)
    return next(
        (name for name, each in VERIFIERS.items() if each.speaks(record.method, record.url, body)), None
    )


def _why(record: Recorded) -> str:
    reason = reason_for(record.provider, record.method, urlsplit(record.url).path)
    return BINARY if reason == UNKNOWN and record.response_body_encoding is not None else reason


def check(name: str, record: Recorded) -> Checked:
    """Compare one record in a format. Never raises."""
    try:
        return VERIFIERS[name].check(_exchange(record, name))
    except _DEFECTS as error:
        defect = Mismatch("decode", "exception", "none", f"{type(error).__name__}: {error}")
        return Checked(compared={"decode": 1}, mismatches=(defect,))


def _by_name(modules: Iterable[ModuleType]) -> dict[str, Verifier]:
    # A module with these functions is a Verifier; its package bears the name of the format.
    return {module.__name__.split(".")[-2]: cast("Verifier", module) for module in modules}


VERIFIERS: Mapping[str, Verifier] = {
    **_by_name((anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses, prompt)),
    **SURFACES,
}
"""Format -> what compares in it; a record goes to the first that speaks it."""


class _Count:
    """Mutable while records are added."""

    __slots__ = ("compared", "different", "equal", "records")

    def __init__(self) -> None:
        self.records = self.equal = self.different = 0
        self.compared: dict[str, int] = {}

    def row(self, provider: str, name: str | None) -> Row:
        return Row(
            provider=provider,
            format=name,
            records=self.records,
            equal=self.equal,
            different=self.different,
            compared=dict(sorted(self.compared.items())),
        )


def _finding(file: str, record: Recorded, name: str, mismatch: Mismatch) -> Finding:
    return Finding(
        file=file,
        id=record.id,
        provider=record.provider,
        format=name,
        aspect=mismatch.aspect,
        field=mismatch.field,
        expected=mismatch.expected,
        got=mismatch.got,
    )


def _exchange(record: Recorded, name: str) -> Exchange:
    return Exchange(
        provider=record.provider,
        method=record.method,
        url=record.url,
        request_body=record.sent,
        status=record.status,
        response_headers=record.response_headers,
        response_body=record.received if name == FRAMED_WIRE else _received(record),
    )


def _received(record: Recorded) -> bytes:
    """Return an answer without the frames that a cloud put around the events of another format."""
    if record.response_body_encoding is None or not record.url.endswith(_ENVELOPED):
        return record.received
    try:
        return b"".join(map(unwrapped, EventStreamParser().feed(record.received)))
    except TurnoutError:
        return record.received  # the comparison tells that it cannot be read


def _object(body: bytes) -> JsonObject:
    """Return a request body as an object; one that is none (multipart, empty) as an empty one."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
