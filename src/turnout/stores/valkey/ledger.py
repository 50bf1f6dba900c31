"""A ledger in Valkey, shared by replicas. Floor 3.

Each call is one script (`scripts.py`), so it is one step and one round trip.
"""

from collections.abc import Callable, Sequence
from typing import Final

from turnout.stores.ledger.base import Fixed, Granted, Refused, Skewed, Sliding, Span, Take, wait_for
from turnout.stores.valkey.client import TIMEOUT_S, Client, Reply, Value
from turnout.stores.valkey.scripts import RESERVE, RESET, SETTLE, SWEEP, USED

BILLION: Final = 1_000_000_000


class ValkeyLedger:
    """A `Ledger` in Valkey.

    Args:
        url: Where it is; see `Client`.
        prefix: Of every key: installations that share a server have different ones.
        timeout_s: Of one call.
        now: Unix seconds, for tests; None = the server's own time.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "turnout:",
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._client = Client(url, timeout_s=timeout_s)
        self._now = now
        tag = f"{{{prefix}ledger}}:"
        self._accounts = tag + "a:"
        self._reservations = tag + "r:"
        self._leases = tag + "leases"

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        keys = [self._reservations + reservation, self._leases]
        values: list[Value] = [self._time(), reservation, repr(lease_s)]
        for take in takes:
            keys.append(self._accounts + take.account)
            values += [*_span(take.span), take.amount, "" if take.limit is None else take.limit]
        found = await self._client.run(RESERVE, keys, values)
        assert isinstance(found, bytes)
        kind, *rest = found.split()
        if kind == b"granted":
            return Granted(_numbers(rest))
        if kind == b"skewed":
            return Skewed(float(rest[0]))
        index, cells = int(rest[0]), rest[4:]
        (used,) = _numbers(rest[1:3])
        held = [(int(n), int(amount)) for n, amount in zip(cells[::2], cells[1::2], strict=True)]
        return Refused(index, used, wait_for(takes[index], held, float(rest[3])))

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        keys = (self._reservations + reservation, self._leases)
        return await self._client.run(SETTLE, keys, (reservation, *amounts)) == 1

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        values: list[Value] = [self._time()]
        for take in takes:
            values += _span(take.span)[:2]
        keys = [self._accounts + take.account for take in takes]
        return _numbers(_texts(await self._client.run(USED, keys, values)))

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended, at most 1,000 at a time; return their ids."""
        found = await self._client.run(SWEEP, (self._leases,), (self._time(), self._reservations))
        return tuple(text.decode() for text in _texts(found))

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        keys = [self._leases, *(self._accounts + account for account in accounts)]
        await self._client.run(RESET, keys, (self._reservations,))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _time(self) -> str:
        return "" if self._now is None else repr(self._now())


def _span(span: Span) -> list[Value]:
    """Return a span's letter, where it begins or how long it is, and when it ends."""
    match span:
        case Fixed(begins=begins, ends=ends):
            return ["f", repr(begins), repr(ends)]
        case Sliding(seconds=seconds):
            return ["s", repr(seconds), ""]
        case _:
            return ["h", "0", ""]


def _texts(reply: Reply) -> list[bytes]:
    assert isinstance(reply, list)
    return [text for text in reply if isinstance(text, bytes)]


def _numbers(texts: Sequence[bytes]) -> tuple[int, ...]:
    """Put numbers together from billions and the rest."""
    return tuple(int(high) * BILLION + int(low) for high, low in zip(texts[::2], texts[1::2], strict=True))
