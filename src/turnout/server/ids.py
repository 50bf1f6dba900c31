"""Request ids: sortable by time, unique across processes. Floor 6."""

import os
import secrets
import time
from contextvars import ContextVar
from random import Random

CURRENT: ContextVar[str | None] = ContextVar("turnout_request_id", default=None)
"""Id of the request that is being served, for lines of the log."""
_random = Random(os.urandom(16))  # noqa: S311  uniqueness, not secrecy


def new_request_id() -> str:
    """Return `req_` and 26 hexadecimal digits: 11 of milliseconds, 15 of chance (60 bits)."""
    return f"req_{time.time_ns() // 1_000_000:011x}{_random.getrandbits(60):015x}"


def new_boundary() -> bytes:
    """Return a boundary for a form that nobody can know, and so put into a part of it."""
    return b"turnout-" + secrets.token_hex(16).encode()


def reseed() -> None:
    """Take new chance: a forked worker must not repeat its parent's ids."""
    _random.seed(os.urandom(16))
