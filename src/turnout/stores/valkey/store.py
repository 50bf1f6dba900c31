"""Counters and kept values that replicas share, in Valkey. Floor 3.

Every call is one command or one script. The server lets keys go when their time has passed.
"""

from typing import Final

from turnout.stores.valkey.client import TIMEOUT_S, Client, Script

_INCR: Final = Script("""
local new = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return new
""")


class ValkeyStore:
    """A `Store` in Valkey.

    Args:
        url: Where it is; see `Client`.
        prefix: Of every key: installations that share a server have different ones.
        timeout_s: Of one call.
    """

    def __init__(self, url: str, *, prefix: str = "turnout:", timeout_s: float = TIMEOUT_S) -> None:
        self._client = Client(url, timeout_s=timeout_s)
        self._counters = prefix + "n:"
        self._values = prefix + "v:"

    async def incr(self, key: str, by: int, *, ttl_s: float) -> int:
        """Add to a counter; see `Store.incr`."""
        new = await self._client.run(_INCR, (self._counters + key,), (by, _ms(ttl_s)))
        assert isinstance(new, int)
        return new

    async def count(self, key: str) -> int:
        """Return a counter; see `Store.count`."""
        found = await self._client.call("GET", self._counters + key)
        return int(found) if isinstance(found, bytes) else 0

    async def claim(self, key: str, value: bytes, *, ttl_s: float) -> bytes | None:
        """Keep a value unless the key has one; see `Store.claim`."""
        found = await self._client.call("SET", self._values + key, value, "NX", "GET", "PX", _ms(ttl_s))
        return found if isinstance(found, bytes) else None

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value in place of any other; see `Store.put`."""
        await self._client.call("SET", self._values + key, value, "PX", _ms(ttl_s))

    async def forget(self, key: str) -> None:
        """Let go of a value; see `Store.forget`."""
        await self._client.call("DEL", self._values + key)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
