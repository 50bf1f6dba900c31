"""Requests of a route with what was said of them, read from the journal and the store beside it. Floor 6."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from turnout.stores.base import Journal, Query
from turnout.stores.feedback import FeedbackQuery, FeedbackStore
from turnout.types.feedback import Feedback
from turnout.types.record import Record

PAGE: Final = 500
MOST_WORDS: Final = 100_000
_OURS: Final = ("judge", "operator")
"""How the sources begin whose words need no quarantine."""


class Vote(Struct, frozen=True, kw_only=True):
    """One word on one answer, in the columns that `turnout fit learned --votes` reads."""

    prompt: str
    model: str
    up: float
    user: str
    chance: float


class _Message(Struct):
    role: str
    parts: tuple[msgspec.Raw, ...] = ()


class _Part(Struct):
    type: str
    text: str = ""


_MESSAGES: Final = msgspec.json.Decoder(tuple[_Message, ...])
_PART: Final = msgspec.json.Decoder(_Part)


async def records_of(journal: Journal, query: Query, most: int) -> list[Record]:
    """Return the latest requests that match, at most so many."""
    query = msgspec.structs.replace(query, limit=min(PAGE, most))
    found: list[Record] = []
    while True:
        page = await journal.query(query)
        found += page.records
        if not page.more or len(found) >= most:
            return found[:most]
        query = msgspec.structs.replace(query, after=page.entries[-1].cursor)


async def words_of(
    store: FeedbackStore, query: FeedbackQuery, now: datetime, quarantine_h: float
) -> list[Feedback]:
    """Return what was said and may count: words of clients and sessions only after their quarantine."""
    limit = now - timedelta(hours=quarantine_h)
    found: list[Feedback] = []
    query = msgspec.structs.replace(query, limit=PAGE)
    while len(found) < MOST_WORDS:
        told = await store.query(query)
        found += [each.feedback for each in told if each.feedback.at <= limit or is_ours(each.feedback)]
        if len(told) < PAGE:
            break
        query = msgspec.structs.replace(query, after=told[-1].place)
    return found


def is_ours(word: Feedback) -> bool:
    """Tell whether a word is an operator's or a judge's."""
    return word.kind.startswith("judge") or word.source.startswith("operator")


def votes_of(records: Sequence[Record], words: Iterable[Feedback]) -> Iterator[Vote]:
    """Yield what was said of answers whose question is stored; labels and comparisons say nothing here."""
    asked = {record.request_id: (record, question_of(record)) for record in records}
    for word in words:
        record, question = asked.get(word.request_id, (None, None))
        if record is None or question is None or word.score is None or word.model is None:
            continue
        if word.kind not in ("preference", "judge.pairwise"):
            yield Vote(
                prompt=question,
                model=word.model,
                up=word.score,
                user=word.source if is_ours(word) else f"key:{word.speaker or ''}",
                chance=word.chance,
            )


def question_of(record: Record) -> str | None:
    """Return the last question of a request, where its text is stored whole."""
    text = None if record.content is None else record.content.request
    if text is None:
        return None
    try:
        messages = _MESSAGES.decode(text)
        asked = next((each for each in reversed(messages) if each.role == "user"), None)
        parts = [] if asked is None else [_PART.decode(part) for part in asked.parts]
    except msgspec.DecodeError:
        return None
    return "\n".join(part.text for part in parts if part.type == "text") or None
