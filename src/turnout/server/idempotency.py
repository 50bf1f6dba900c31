"""The same request twice is answered once (docs/design/WIRE.md 2.10). Floor 6.

Theory of operation.
1. A request with an `Idempotency-Key` claims its key before it is served. Whoever finds the key claimed gets
   the kept answer, waits for the one under way, or, having sent another body, is told so.
2. Only answers are kept. A request that failed, or whose client left, lets go of its key: nothing was
   answered, so the same request may be made again.
3. An answer too large to keep leaves a note instead: a second call must not be made in secret.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from turnout.errors import Conflict
from turnout.server.answer import Whole
from turnout.stores.base import Store

TTL_S = 24 * 3600.0
CLAIM_S = 3600.0
"""Longer than any request is served; a process that died while serving one holds its key no longer."""
MOST_BYTES = 4 * 1024 * 1024
"""Of one kept answer."""

_encode = msgspec.msgpack.Encoder().encode


class _Kept(msgspec.Struct, array_like=True):
    """What a key stands for: the digest of the body it came with, and the answer once there is one."""

    digest: bytes
    whole: Whole | None = None
    too_large: bool = False


_decode = msgspec.msgpack.Decoder(_Kept).decode


class Replays:
    """Answers kept by idempotency key."""

    __slots__ = ("_store", "_under_way")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._under_way: dict[str, asyncio.Event] = {}
        """Keys this process is serving right now."""

    async def once(
        self, key: str, scope: tuple[str, ...], body: bytes, serve: Callable[[], Awaitable[Whole]]
    ) -> Whole:
        """Serve a request, or return what it was answered before.

        Args:
            key: As the client sent it.
            scope: Who asks, and of which endpoint: keys of different scopes never meet.
            body: The request as it came.
            serve: Makes the answer.

        Raises:
            Conflict: The key came with another body, or its answer could not be kept.
        """
        name = "idempotency:" + hashlib.sha256(_encode((*scope, key))).hexdigest()
        digest = hashlib.sha256(body).digest()
        while (found := await self._store.claim(name, _encode(_Kept(digest)), ttl_s=CLAIM_S)) is not None:
            kept = _decode(found)
            if kept.digest != digest:
                raise Conflict("this idempotency key came with another body before", param="idempotency-key")
            if kept.too_large:
                raise Conflict("the answer to this key was too large to keep", param="idempotency-key")
            if kept.whole is not None:
                return kept.whole
            await self._wait(name)
        return await self._serve(name, digest, serve)

    async def _serve(self, name: str, digest: bytes, serve: Callable[[], Awaitable[Whole]]) -> Whole:
        done = self._under_way[name] = asyncio.Event()
        try:
            whole = await serve()
            fits = len(whole.body) <= MOST_BYTES
            kept = _Kept(digest, whole if fits else None, too_large=not fits)
            await self._store.put(name, _encode(kept), ttl_s=TTL_S)
        except BaseException:
            await self._store.forget(name)
            raise
        finally:
            del self._under_way[name]
            done.set()
        return whole

    async def _wait(self, name: str) -> None:
        under_way = self._under_way.get(name)
        if under_way is None:  # another process serves it
            raise Conflict(
                "a request with this idempotency key is being served",
                param="idempotency-key",
                retry_after_s=1,
            )
        await under_way.wait()
