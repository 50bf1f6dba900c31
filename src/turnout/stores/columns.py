"""Which facts of a Record are searched and summed, and how they are read out of it. Floor 3."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from turnout.types.record import Record
from turnout.types.usage import Usage

if TYPE_CHECKING:
    from turnout.stores.base import Query

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
INT64 = 2**63 - 1
"""The largest integer that msgpack's and SQLite's signed columns both hold."""
_ANY_ERROR = "any"


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
            and (query.error in {None, self.error} or (query.error == _ANY_ERROR and self.error is not None))
        )


class _Choice(Struct):
    """The part of a Decision that is searched."""

    route: str
    strategy: str


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
    return Columns(
        request_id=record.request_id,
        at_us=microseconds(record.at),
        model=end.model or (last.model if last else None),
        provider=end.provider or (last.provider if last else None),
        route=decision.route if decision else None,
        strategy=decision.strategy if decision else None,
        error=end.error,
        cost_nusd=_int64(end.cost_nusd),
        n_input=_int64(end.usage.n_input) if end.usage else None,
        n_output=_int64(end.usage.n_output) if end.usage else None,
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
    )


def microseconds(at: datetime) -> int:
    """Return an instant as whole microseconds since 1970; without a zone it is taken as UTC."""
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // _MICROSECOND


def _int64(value: int | None) -> int | None:
    # Sums of an upstream's numbers may exceed what a database column holds.
    return value if value is None else max(-INT64, min(value, INT64))
