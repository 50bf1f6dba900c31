"""Telling every process whose conversations are to be forgotten. Floor 5.

Theory of operation.

1. What a process keeps in memory can be let go of by that process alone. So whoever forgets a customer leaves
   a document at the desk with the ids of the keys, and each process asks for such documents with every look
   at the desk (`server.desk`).
2. What a process finds there when it starts is older than anything in its memory, and is passed over.
3. Documents are removed after `KEPT_S`. A process that could not reach the desk for that long may keep what
   it holds to the end of its time.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from turnout.stores.desk.base import Desk

KEPT_S: Final = 86_400.0
_MOST: Final = 1_000
Forgets: TypeAlias = Callable[[Sequence[str]], Awaitable[int]]
"""Lets go of what a process keeps in memory for keys; returns how much it was."""


class _Erasure(Struct, frozen=True):
    at: datetime
    keys: tuple[str, ...]


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(_Erasure).decode


async def announce(desk: Desk, keys: Sequence[str], now: datetime) -> None:
    """Have every process forget what it keeps in memory for keys. Raises `StoreUnavailable`."""
    if keys:
        name = f"erasure-{secrets.token_hex(12)}"
        await desk.keep("erasure", name, _ENCODE(_Erasure(now, tuple(keys))))


class Erasures:
    """Those that one process knows of."""

    def __init__(self) -> None:
        self._seen: frozenset[str] | None = None
        """None = the desk was not looked at yet."""

    async def follow(self, desk: Desk, now: datetime, forgets: Forgets) -> None:
        """Forget what was announced since the last look. Raises `StoreUnavailable`: ask again."""
        found = await _announced(desk)
        if self._seen is not None:
            for name in found.keys() - self._seen:
                await forgets(found[name].keys)
        self._seen = frozenset(found)
        old = [name for name, each in found.items() if now - each.at > timedelta(seconds=KEPT_S)]
        if old:
            await desk.forget("erasure", old)


async def _announced(desk: Desk) -> dict[str, _Erasure]:
    """Return all that stand at the desk, page by page: a day may have many."""
    found: dict[str, _Erasure] = {}
    after = ""
    while True:
        page = await desk.list("erasure", after=after, limit=_MOST)
        found.update({each.id: _DECODE(each.body) for each in page})
        if len(page) < _MOST:
            return found
        after = page[-1].id
