"""Takes in what somebody says of an answer: checked, tied to its request, kept once. Floor 6.

Theory of operation (SECURITY.md S-34).

1. Feedback is about a request of the speaker's own key: another's looks as if it were not there. It may come
   days later, by the request's id, the client's own id of it, or the session whose latest request is meant.
2. The same word of the same speaker again changes nothing; another value replaces it. So repeating is safe,
   and nobody counts twice.
3. Text of a comment or correction is kept only while the request's own text is, and not where a guard
   hid something of it: what may not be stored does not come back by this door.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from turnout.build import Built
from turnout.errors import InvalidRequest, NotFound
from turnout.layers.journal import session_digest
from turnout.learn.feedback import score_of
from turnout.stores.base import Journal, Query
from turnout.types.feedback import Feedback, Signal
from turnout.types.json import Json
from turnout.types.principal import ANONYMOUS, Principal
from turnout.types.record import Record

MOST_LOOKED: Final = 2_000
"""Latest requests of a key among which a client's own id or a session is looked for."""
_PAGE: Final = 500
_Id = Annotated[str, Meta(min_length=1, max_length=256)]


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A word on an answer. One of `request_id`, `client_request_id` and `session` names the request."""

    signal: Signal
    value: Json = None
    request_id: _Id | None = None
    client_request_id: _Id | None = None
    session: _Id | None = None
    """Its latest request is meant."""
    scale: tuple[float, float] | None = None
    """Worst and best of a `score`; 0 and 1 unless said."""
    other: _Id | None = None
    """Of a `preference`: the request whose answer it is compared with."""
    weight: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """How sure it is."""
    source: Annotated[str, Meta(max_length=64, pattern=r"^[\w.:-]*$")] = ""
    """Where in the product it was said."""
    comment: Annotated[str, Meta(max_length=16_384)] | None = None
    """The corrected or preferred answer, or why; kept only where the request's text is."""


class Heard(Struct, frozen=True, kw_only=True):
    """What was kept."""

    id: str
    request_id: str
    signal: str
    score: float | None
    is_new: bool
    """Whether it is the first such word of this speaker."""
    text_kept: bool
    object: Literal["feedback"] = "feedback"


class Speaker(Struct, frozen=True, kw_only=True):
    """Who says it."""

    name: str
    """`client` or `operator`."""
    key_id: str | None = None
    organisation: str | None = None
    sees_all: bool = False
    """Whether requests of other keys are theirs too: an operator's."""

    def may(self, record: Record) -> bool:
        """Tell whether a request is the speaker's to judge."""
        if self.sees_all:
            return self.organisation is None or self.organisation == record.organisation
        return record.principal == self.key_id


def client(principal: Principal) -> Speaker:
    """Return the speaker that a key is."""
    return Speaker(name="client", key_id=principal.key_id)


async def hear(built: Built, said: Said, speaker: Speaker, now: datetime | None = None) -> Heard:
    """Keep a word.

    Raises:
        InvalidRequest: The value is no such signal's, or the request too old.
        NotFound: There is no such request, or it is another key's.
        StoreUnavailable: The store refuses; nothing was kept.
    """
    journal, store = built.journal, built.quality.store
    if journal is None or store is None:
        raise NotFound("no journal is kept here, so that feedback has nothing to be about")
    now = now or datetime.now(UTC)
    try:
        score = score_of(said.signal, said.value, said.scale or (0.0, 1.0))
    except ValueError as error:
        raise InvalidRequest(str(error), param="value") from None
    record = await _record(built, journal, said, speaker, now)
    if said.other is not None:
        await _owned(journal, said.other, speaker)
    feedback = _feedback(record, said, speaker, (score, now))
    is_new = await store.put(feedback)
    return Heard(
        id=feedback.id,
        request_id=record.request_id,
        signal=said.signal,
        score=score,
        is_new=is_new,
        text_kept=feedback.text is not None,
    )


async def hear_own(built: Built, members: Mapping[str, object]) -> Heard:
    """Keep a word on a request of this process. Raises what `hear` does."""
    try:
        said = msgspec.convert(members, Said)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), param="feedback") from None
    return await hear(built, said, client(ANONYMOUS))


def _feedback(record: Record, said: Said, speaker: Speaker, about: tuple[float | None, datetime]) -> Feedback:
    score, now = about
    value: Json = said.value if said.other is None else {"winner": said.value, "other": said.other}
    told = f"{said.signal}:{said.value}" if said.signal == "label" else said.signal
    by = f"{speaker.name}:{speaker.key_id or ''}:{said.source}"
    return Feedback(
        id=feedback_id(record.request_id, told, by),
        request_id=record.request_id,
        at=now,
        kind=said.signal,
        value=value,
        score=score,
        weight=said.weight,
        source=f"{speaker.name}:{said.source}" if said.source else speaker.name,
        text=said.comment if _may_keep(record) else None,
        asked_at=record.at,
        principal=record.principal,
        speaker=speaker.key_id,
        organisation=record.organisation,
        project=record.project,
        customer=record.customer,
        route=None if record.decision is None else record.decision.route,
        model=record.outcome.model,
    )


def feedback_id(request_id: str, kind: str, by: str) -> str:
    """Return the id of one speaker's word of one kind on one request."""
    told = f"{request_id}\x00{kind}\x00{by}".encode("utf-8", "surrogatepass")
    return f"fb_{blake2b(told, digest_size=13).hexdigest()}"


def _may_keep(record: Record) -> bool:
    return record.content is not None and all(guard.action != "redact" for guard in record.guards)


async def _record(built: Built, journal: Journal, said: Said, speaker: Speaker, now: datetime) -> Record:
    named = (said.request_id, said.client_request_id, said.session)
    if sum(name is not None for name in named) != 1:
        raise InvalidRequest(
            "name the request by one of request_id, client_request_id and session", param="request_id"
        )
    settings = built.config.feedback
    record = (
        await _owned(journal, said.request_id, speaker)
        if said.request_id is not None
        else await _looked_for(built, journal, said, (speaker, now))
    )
    if not speaker.sees_all and now - record.at > timedelta(days=settings.max_age_days):
        raise InvalidRequest(
            f"the request is older than {settings.max_age_days} days, and takes no more feedback",
            param="request_id",
        )
    return record


async def _owned(journal: Journal, request_id: str, speaker: Speaker) -> Record:
    record = await journal.get(request_id)
    if record is None:
        await journal.flush()  # it may have been answered a moment ago
        record = await journal.get(request_id)
    if record is None or not speaker.may(record):
        raise NotFound(f"there is no request {request_id[:64]!r}", param="request_id")
    return record


async def _looked_for(built: Built, journal: Journal, said: Said, by: tuple[Speaker, datetime]) -> Record:
    """Return the latest request of a client's own id, or of a session."""
    speaker, now = by
    session = None
    if said.session is not None:
        key = built.config.journal.hash_key
        if key is None:
            raise InvalidRequest("sessions are not kept here: set journal.hash_key", param="session")
        session = session_digest(key.reveal().encode()[:64], said.session)
    await journal.flush()
    query = Query(
        since=now - timedelta(days=built.config.feedback.max_age_days), principal=speaker.key_id, limit=_PAGE
    )
    for _ in range(MOST_LOOKED // _PAGE):
        page = await journal.query(query)
        for record in page.records:
            is_it = (
                record.client_request_id == said.client_request_id
                if session is None
                else (record.session_hash == session)
            )
            if is_it and speaker.may(record):
                return record
        if not page.more:
            break
        query = replace(query, after=page.entries[-1].cursor)
    param = "session" if session is not None else "client_request_id"
    raise NotFound("none of the key's latest requests is meant by this", param=param)
