"""Feedback in PostgreSQL, beside the journal that replicas share. Floor 3."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from turnout.stores.columns import microseconds
from turnout.stores.feedback.base import (
    EVER,
    FeedbackQuery,
    Place,
    QualityDay,
    Told,
    asked_of,
    decode,
    encode,
    values_of,
)
from turnout.stores.postgres.connect import TIMEOUT_S, Pool
from turnout.stores.private.base import Whose
from turnout.types.feedback import Feedback

_PUT: Final = """INSERT INTO feedback (id, request_id, at_us, asked_us, kind, score, chance, route,
    organisation, project, customer, has_text, body)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET at_us = excluded.at_us, score = excluded.score, chance = excluded.chance,
    has_text = excluded.has_text, body = excluded.body
    RETURNING (xmax = 0)"""  # xmax is 0 in a row that was not there before
_QUALITY: Final = """SELECT asked_us / 86400000000, count(*), sum(1 / chance), sum(1 / (chance * chance)),
    sum(score / chance), sum(score * score / chance) FROM feedback
    WHERE route = %s AND kind IN ('judge', 'judge.pairwise')
    AND score IS NOT NULL AND asked_us >= %s AND asked_us < %s AND (%s::text IS NULL OR organisation = %s)
    GROUP BY 1 ORDER BY 1"""
_EXPIRE: Final = """DELETE FROM feedback WHERE organisation IS NOT DISTINCT FROM %s
    AND project IS NOT DISTINCT FROM %s AND asked_us < %s RETURNING 1"""
_TEXTS: Final = """SELECT seq, body FROM feedback WHERE organisation IS NOT DISTINCT FROM %s
    AND project IS NOT DISTINCT FROM %s AND asked_us < %s AND has_text FOR UPDATE"""
_STRIP: Final = "UPDATE feedback SET body = %s, has_text = FALSE WHERE seq = %s"
_ERASE: Final = """DELETE FROM feedback
    WHERE customer = %s AND (%s::text IS NULL OR organisation = %s) RETURNING 1"""
_TESTS: Final = {
    "since": "at_us >= %s",
    "until": "at_us < %s",
    "request_id": "request_id = %s",
    "route": "route = %s",
    "kind": "kind = %s",
    "organisation": "organisation = %s",
}


class PostgresFeedback:
    """A `FeedbackStore` in PostgreSQL. The database must have been brought to its form (`migrate`)."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._pool = Pool(url, timeout_s=timeout_s, max_connections=2)

    async def put(self, feedback: Feedback) -> bool:
        """Keep one word; see `FeedbackStore.put`."""
        ((is_new,),) = await self._pool.fetch(_PUT, values_of(feedback))
        return bool(is_new)

    async def query(self, query: FeedbackQuery) -> tuple[Told, ...]:
        """Return what matches, newest first."""
        asked = asked_of(query)
        where, values = [_TESTS[name] for name in asked], list[object](asked.values())
        if query.after is not None:
            where.append("(at_us, seq) < (%s, %s)")
            values += [query.after.at_us, query.after.seq]
        text = f"SELECT at_us, seq, body FROM feedback WHERE {' AND '.join(where) or 'TRUE'}"  # noqa: S608  constants
        text += " ORDER BY at_us DESC, seq DESC LIMIT %s"
        found = await self._pool.fetch(text, (*values, query.limit))
        return tuple(Told(Place(at_us, seq), decode(bytes(body))) for at_us, seq, body in found)

    async def quality(
        self, route: str, since: datetime | None, until: datetime | None, organisation: str | None
    ) -> tuple[QualityDay, ...]:
        """Return what judges said; see `FeedbackStore.quality`."""
        first, last = (
            ever if at is None else microseconds(at) for at, ever in zip((since, until), EVER, strict=True)
        )
        found = await self._pool.fetch(_QUALITY, (route, first, last, organisation, organisation))
        return tuple(
            QualityDay(day=day, n=n, weight=weight, weight_squared=squared, total=total, squares=squares)
            for day, n, weight, squared, total, squares in found
        )

    async def expire(self, whose: Whose, before: datetime) -> int:
        """Delete what is about old requests."""
        return len(await self._pool.fetch(_EXPIRE, _old(whose, before)))

    async def strip(self, whose: Whose, before: datetime) -> int:
        """Remove the text of old ones."""
        async with self._pool.connection() as db, db.transaction():
            found = await (await db.execute(_TEXTS.encode(), _old(whose, before))).fetchall()
            for seq, body in found:
                await db.execute(_STRIP, (encode(replace(decode(bytes(body)), text=None)), seq))
        return len(found)

    async def erase(self, customer: str, organisation: str | None) -> int:
        """Delete all about a customer's requests."""
        return len(await self._pool.fetch(_ERASE, (customer, organisation, organisation)))

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


def _old(whose: Whose, before: datetime) -> tuple[object, ...]:
    return whose.organisation, whose.project, microseconds(before)
