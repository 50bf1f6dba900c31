"""Which facts of a Record are searched and summed, and how they are read out of it. Floor 3."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from msgspec import Struct

from turnout.types.record import Decision, Outcome, Record
from turnout.types.usage import Usage

if TYPE_CHECKING:
    from turnout.stores.base import Query

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64 = 2**63 - 1
"""The largest integer that msgpack's and SQLite's signed columns both hold."""
_ANY_ERROR = "any"
_HITS = frozenset(("hit", "semantic-hit"))
_WORD = re.compile(r"[^\W_]+")
MOST_WORDS = 8
"""Of one search."""


class Columns(Struct, frozen=True, kw_only=True):
    """What of a Record can be searched and summed without reading the rest of it."""

    request_id: str
    at_us: int
    model: str | None
    """The model that answered; of a failure, the one tried last."""
    provider: str | None
    route: str | None
    strategy: str | None
    error: str | None
    cost_nusd: int | None
    n_input: int | None
    n_output: int | None
    ttft_s: float | None
    total_s: float
    project: str | None
    principal: str | None
    n_attempts: int
    n_fallbacks: int
    organisation: str | None = None
    team: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    surface: str | None = None
    n_cached: int | None = None
    """Input tokens that the provider read from its cache."""
    cached: bool = False
    """Whether the answer came from a cache of ours."""
    guarded: bool = False
    """Whether a guard found something."""
    strong_nusd: int | None = None
    """What the dearest candidate would have cost; None = not known, or the request was not served."""
    has_text: bool = False

    def match(self, query: "Query") -> bool:
        """Tell whether the facts are those asked for; order, place and limit are the journal's part."""
        return (
            (query.since is None or self.at_us >= microseconds(query.since))
            and (query.until is None or self.at_us < microseconds(query.until))
            and query.request_id in {None, self.request_id}
            and query.model in {None, self.model}
            and query.provider in {None, self.provider}
            and query.route in {None, self.route}
            and query.organisation in {None, self.organisation}
            and query.project in {None, self.project}
            and query.team in {None, self.team}
            and query.customer in {None, self.customer}
            and query.principal in {None, self.principal}
            and (query.tag is None or query.tag in self.tags)
            and (query.error in {None, self.error} or (query.error == _ANY_ERROR and self.error is not None))
        )


Name: TypeAlias = str | None
Who: TypeAlias = tuple[Name, Name, Name, Name, Name, tuple[str, ...], Name, Name, Name]
"""Whoever asked and whatever answered: what sums and usage are by. In the order of `DIMENSIONS`."""


def who(of: Columns) -> Who:
    """Return whoever asked and whatever answered."""
    return (
        *(of.organisation, of.project, of.team, of.principal, of.customer),
        *(of.tags, of.route, of.model, of.provider),
    )


class _Price(Struct):
    """The part of a predicted cost that is summed."""

    mean: int | None = None


class _Seat(Struct):
    """The part of a candidate that is summed."""

    model: str
    cost_nusd: _Price | None = None


class _Choice(Struct):
    """The part of a Decision that is searched."""

    route: str
    strategy: str
    candidates: tuple[_Seat, ...] = ()


class _Guard(Struct):
    """The part of a guard's word that is counted."""

    found: dict[str, int] = {}


class _Try(Struct):
    """The part of an Attempt that is searched."""

    model: str
    provider: str


class _End(Struct):
    """The part of an Outcome that is searched."""

    error: str | None = None
    model: str | None = None
    provider: str | None = None
    usage: Usage | None = None
    cost_nusd: int | None = None
    ttft_s: float | None = None
    total_s: float = 0.0
    n_attempts: int = 0
    n_fallbacks: int = 0
    cache: str | None = None


class _Text(Struct):
    """Text that is stored: it is only asked whether there is any."""


class _Brief(Struct):
    """A Record, read only as far as its columns need: a third of the time of reading it whole."""

    request_id: str
    at: datetime
    outcome: _End
    principal: str | None = None
    project: str | None = None
    organisation: str | None = None
    team: str | None = None
    customer: str | None = None
    tags: tuple[str, ...] = ()
    decision: _Choice | None = None
    attempts: tuple[_Try, ...] = ()
    surface: str | None = None
    guards: tuple[_Guard, ...] = ()
    content: _Text | None = None


_BRIEF = msgspec.msgpack.Decoder(_Brief)


def read_brief(payload: bytes) -> _Brief:
    """Read what is sure of a payload. Raises msgspec.DecodeError."""
    return _BRIEF.decode(payload)


def read_columns(payload: bytes) -> Columns:
    """Read only the searchable facts of a payload. Raises msgspec.DecodeError."""
    return columns_of(_BRIEF.decode(payload))


def columns_of(record: Record | _Brief) -> Columns:
    """Take the searchable facts out of a Record."""
    end, decision = record.outcome, record.decision
    last = record.attempts[-1] if record.attempts else None
    usage, cost_nusd = end.usage, end.cost_nusd
    n_input = n_output = n_cached = None
    if usage is not None:
        n_input, n_output, n_cached = usage.n_input, usage.n_output, usage.cache_read
        if not (-INT64 <= n_input <= INT64 and -INT64 <= n_output <= INT64):
            n_input, n_output = _int64(n_input), _int64(n_output)
    return Columns(
        request_id=record.request_id,
        at_us=microseconds(record.at),
        model=end.model or (last.model if last else None),
        provider=end.provider or (last.provider if last else None),
        route=decision.route if decision else None,
        strategy=decision.strategy if decision else None,
        error=end.error,
        cost_nusd=None if cost_nusd is None else _int64(cost_nusd),
        n_input=n_input,
        n_output=n_output,
        ttft_s=end.ttft_s,
        total_s=end.total_s,
        project=record.project,
        principal=record.principal,
        n_attempts=end.n_attempts,
        n_fallbacks=end.n_fallbacks,
        organisation=record.organisation,
        team=record.team,
        customer=record.customer,
        tags=record.tags,
        surface=record.surface,
        n_cached=None if n_cached is None else _int64(n_cached),
        cached=end.cache in _HITS,
        guarded=bool(record.guards) and any(guard.found for guard in record.guards),
        strong_nusd=_int64(_strong(end, decision)),
        has_text=record.content is not None,
    )


SINGLE = (
    *("model", "provider", "route", "customer", "principal", "organisation", "project", "team"),
    *("error", "surface"),
)
"""Columns whose words a request is found by, of which it has one value each; beside these its tags."""


def words_of(of: Columns) -> list[str]:
    """Return the words by which a request is found, beside its id."""
    named = (
        *(of.model, of.provider, of.route, of.customer, of.principal, of.organisation, of.project, of.team),
        *(of.error, of.surface, *of.tags),
    )
    return list(_words(named))


@lru_cache(maxsize=1024)
def _words(named: tuple[str | None, ...]) -> tuple[str, ...]:
    """Return the words of names: those of one request are those of thousands."""
    return tuple(split(" ".join(name for name in named if name)))


def split(text: str) -> list[str]:
    """Return the words of a text: runs of letters and digits, each once, without case."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def _strong(end: Outcome | _End, decision: Decision | _Choice | None) -> int | None:
    """Return what the dearest candidate would have cost, by what was expected of it and of the one taken.

    An answer from a cache cost nothing, and would have cost what was expected of the dearest.
    """
    if end.error is not None or end.cost_nusd is None or decision is None:
        return None
    seats = decision.candidates
    expected = {s.model: c.mean for s in seats if (c := s.cost_nusd) is not None and c.mean is not None}
    if not expected:
        return None
    dearest = max(expected.values())
    if end.cache in _HITS:
        return dearest
    own = expected.get(end.model or "")
    return None if not own else max(end.cost_nusd, end.cost_nusd * dearest // own)


def microseconds(at: datetime) -> int:
    """Return an instant as whole microseconds since 1970; without a zone it is taken as UTC."""
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _int64(value: int | None) -> int | None:
    # Sums of an upstream's numbers may exceed what a database column holds.
    if value is None or -INT64 <= value <= INT64:
        return value
    return INT64 if value > 0 else -INT64
