"""Browsers that are signed in. Floor 5.

Theory of operation.

1. A session is 256 random bits in a cookie. The desk keeps them as SHA-256, which suffices for what cannot
   be guessed, so that whoever reads the desk holds no session; all workers and replicas share it.
2. It ends `idle_s` after it was used last, and `absolute_s` after it began, whichever comes first (S-08).
   That it was used is written at most every `TOUCH_S`.
3. A cookie is made at sign-in and never before: none that was there already becomes a session (fixation).
4. The token that writes must carry follows from the cookie: a page of another site cannot read either.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Final

import msgspec

from turnout.config.admin import SessionConfig
from turnout.govern.office import Office, encode
from turnout.stores.desk.base import Document
from turnout.types.account import Session
from turnout.types.secret import Secret

TOUCH_S: Final = 60.0
_N_RANDOM: Final = 32
_N_TEXT: Final = 43
"""Characters of 32 bytes in base 64 without padding."""
_PAGE: Final = 500
_CSRF: Final = b"turnout csrf"
_read: Final = msgspec.json.Decoder(Session).decode


async def begin(
    office: Office, limits: SessionConfig, *, user: str | None, key: str | None, generation: int
) -> Secret:
    """Begin a session; return what its cookie holds."""
    cookie = urlsafe_b64encode(office.random(_N_RANDOM)).rstrip(b"=").decode()
    now = office.now()
    session = Session(
        user=user,
        key=key,
        generation=generation,
        created=now,
        seen=now,
        expires=now + timedelta(seconds=limits.absolute_s),
    )
    await office.desk.keep("session", _id(cookie), encode(session))
    return Secret(cookie)


async def find(office: Office, limits: SessionConfig, cookie: str) -> Session | None:
    """Return the session of a cookie; None = there is none, or it ended."""
    if len(cookie) != _N_TEXT or not cookie.isascii():
        return None
    document = await office.desk.get("session", _id(cookie))
    if document is None:
        return None
    session, now = _read(document.body), office.now()
    if has_ended(session, limits, now):
        await office.desk.forget("session", [document.id])
        return None
    if (now - session.seen).total_seconds() >= TOUCH_S:
        session = msgspec.structs.replace(session, seen=now)
        await office.desk.keep("session", document.id, encode(session))
    return session


async def end(office: Office, cookie: str) -> None:
    """End the session of a cookie."""
    await office.desk.forget("session", [_id(cookie)])


async def sweep(office: Office, limits: SessionConfig) -> int:
    """Remove the sessions that ended; return how many."""
    n_gone, after, now = 0, "", office.now()
    while rows := await office.desk.list("session", after=after, limit=_PAGE):
        gone = [row.id for row in rows if has_ended(_of(row), limits, now)]
        if gone:
            await office.desk.forget("session", gone)
            n_gone += len(gone)
        after = rows[-1].id
    return n_gone


def has_ended(session: Session, limits: SessionConfig, now: datetime) -> bool:
    """Tell whether a session was left alone for too long, or is too old."""
    return now >= session.expires or (now - session.seen).total_seconds() >= limits.idle_s


def csrf_token(cookie: str) -> str:
    """Return what writes with this cookie must carry in a header."""
    digest = hmac.digest(cookie.encode(), _CSRF, hashlib.sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _of(document: Document) -> Session:
    return _read(document.body)


def _id(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
