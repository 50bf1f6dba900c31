"""Answers in Valkey, shared by replicas. Floor 3.

Theory of operation.

1. An answer is one value that the server lets go when its time has passed. How much is kept is the server's
   to bound: give it `maxmemory` and `maxmemory-policy allkeys-lru`, or a server of its own.
2. Whoever can write to the server could plant answers. So each value begins with an HMAC over its key and the
   rest, made with a secret that the server never sees; a wrong tag is a miss, and counted (S-75).
3. Clearing and counting walk over the keys, in steps: they are for operators.
"""

import hmac
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Final

import msgspec

from turnout.stores.cache.base import ALL, Held, Kept, Selector, read, written
from turnout.stores.valkey.client import TIMEOUT_S, Client, Reply

TAG_BYTES: Final = 32
STEP: Final = 500


class ValkeyCache:
    """A `CacheStore` in Valkey.

    Args:
        url: Where it is; see `Client`.
        secret: Key of the tags; the same at every replica.
        prefix: Of every key: installations that share a server have different ones.
        timeout_s: Of one call.

    Attributes:
        n_forged: Values whose tag was wrong.
    """

    is_near = False

    def __init__(
        self, url: str, secret: bytes, *, prefix: str = "turnout:", timeout_s: float = TIMEOUT_S
    ) -> None:
        self._client = Client(url, timeout_s=timeout_s)
        self._secret = secret
        self._prefix = (prefix + "c:").encode()
        self.n_forged = 0

    async def get(self, key: bytes, now: float) -> Kept | None:
        """Return an answer; see `CacheStore.get`."""
        found = self._opened(key, await self._client.call("GET", self._prefix + key))
        return None if found is None or found.expires <= now else found

    async def put(self, kept: Kept, now: float) -> None:
        """Keep an answer; see `CacheStore.put`."""
        body = written(kept)
        left_ms = max(1, round((kept.expires - now) * 1000))
        await self._client.call(
            "SET", self._prefix + kept.key, self._tag(kept.key, body) + body, "PX", left_ms
        )

    async def clear(self, which: Selector) -> int:
        """Let go of answers; see `CacheStore.clear`."""
        gone = 0
        async for keys in self._keys():
            names = keys if which == ALL else [each.key async for each in self._of(keys) if which.takes(each)]
            if names:
                found = await self._client.call("UNLINK", *(self._prefix + name for name in names))
                gone += found if isinstance(found, int) else 0
        return gone

    async def held(self, which: Selector, now: float) -> Held:
        """Count answers; see `CacheStore.held`."""
        sizes: list[int] = []
        async for keys in self._keys():
            sizes += [
                each.n_bytes async for each in self._of(keys) if each.expires > now and which.takes(each)
            ]
        return Held(len(sizes), sum(sizes))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _keys(self) -> AsyncIterator[list[bytes]]:
        cursor = b"0"
        seen: set[bytes] = set()
        pattern = self._prefix.replace(b"[", b"\\[") + b"*"
        while True:
            found = await self._client.call("SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
            assert isinstance(found, list)
            head, names = found
            assert isinstance(head, bytes)
            assert isinstance(names, list)
            cursor = head
            fresh = {name[len(self._prefix) :] for name in names if isinstance(name, bytes)} - seen
            seen |= fresh  # a walk may meet a key twice
            if fresh:
                yield list(fresh)
            if cursor == b"0":
                return

    async def _of(self, keys: list[bytes]) -> AsyncIterator[Kept]:
        found = await self._client.call("MGET", *(self._prefix + key for key in keys))
        assert isinstance(found, list)
        for key, value in zip(keys, found, strict=True):
            kept = self._opened(key, value)
            if kept is not None:
                yield kept

    def _opened(self, key: bytes, value: Reply) -> Kept | None:
        if not isinstance(value, bytes):
            return None
        tag, body = value[:TAG_BYTES], value[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(key, body)):
            self.n_forged += 1
            return None
        try:
            return read(body)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return None  # of another version

    def _tag(self, key: bytes, body: bytes) -> bytes:
        return hmac.digest(self._secret, key + body, sha256)
