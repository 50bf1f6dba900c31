"""The audit log read back: whether it is whole, and checkpoints that prove it later. Floor 5.

Theory of operation.

1. Each organisation has a chain of entries, and so has the installation (`""`). An entry holds the hash of
   the one before, so an entry that was changed, left out or moved breaks the chain there (S-103).
2. Who can write the store could compute a whole chain anew, or cut its end. Against that there are
   checkpoints: the head of every chain, signed under the pepper, kept elsewhere. A chain that lacks a head
   it once had is broken at that entry.
3. The installation's chain names every organisation that ever was, so that removing one hides no chain.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from turnout.govern.pepper import Peppers
from turnout.stores.desk.base import NO_HASH, Desk, broken
from turnout.types.account import AuditEntry

PAGE: Final = 500
INSTALLATION: Final = ""
"""Name of the chain of what belongs to no organisation."""
_CONTEXT: Final = "turnout audit checkpoint\n"
"""Before what is signed: a digest under the pepper must never be one of a key."""
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


class Head(Struct, frozen=True):
    """The last entry of a chain."""

    seq: int
    hash: str


NO_HEAD: Final = Head(0, NO_HASH)
NO_HEADS: Final[Mapping[str, Head]] = {}


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The heads of all chains at an instant, signed."""

    at: datetime
    heads: Mapping[str, Head]
    pepper_id: str
    signature: str
    """HMAC-SHA-256 under the pepper, in hex."""


class Fault(Struct, frozen=True):
    """The first entry of a chain that is not as it was written."""

    chain: str
    seq: int
    why: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What a verification found."""

    heads: Mapping[str, Head]
    faults: tuple[Fault, ...]


async def chains(desk: Desk, known: Mapping[str, Head] = NO_HEADS) -> tuple[str, ...]:
    """Return the names of all chains.

    Args:
        desk: Where.
        known: Chains found before, with their heads: entries up to those are not read again.
    """
    found = {INSTALLATION, *known}
    async for entry in entries(desk, INSTALLATION, known.get(INSTALLATION, NO_HEAD).seq):
        kind, _, name = entry.act.object.partition("/")
        if kind == "organisation" and name:
            found.add(name)
    after = ""
    while rows := await desk.list("organisation", after=after, limit=PAGE):
        found.update(row.id for row in rows)
        after = rows[-1].id
    return tuple(sorted(found))


async def entries(desk: Desk, chain: str, after: int = 0) -> AsyncIterator[AuditEntry]:
    """Yield the entries of a chain, oldest first."""
    while page := await desk.audit(chain, after=after, limit=PAGE):
        for entry in page:
            yield entry
        after = page[-1].seq


async def verify(desk: Desk, peppers: Peppers, checkpoints: Sequence[Checkpoint] = ()) -> Verdict:
    """Read every chain and say where it is broken, if it is."""
    heads: dict[str, Head] = {}
    faults: list[Fault] = []
    wanted = _expected(peppers, checkpoints, faults)
    for chain in sorted({*await chains(desk), *wanted}):
        head, fault = await _verified(desk, chain, wanted.get(chain, {}))
        heads[chain] = head
        if fault is not None:
            faults.append(fault)
    return Verdict(heads=heads, faults=tuple(faults))


async def checkpoint(
    desk: Desk, peppers: Peppers, at: datetime, known: Mapping[str, Head] = NO_HEADS
) -> Checkpoint:
    """Return the heads of all chains, signed.

    Args:
        desk: Where.
        peppers: The newest signs.
        at: Now.
        known: Heads of an earlier one: only what came since is read.
    """
    heads: dict[str, Head] = {}
    for chain in await chains(desk, known):
        head = known.get(chain, NO_HEAD)
        async for entry in entries(desk, chain, head.seq):
            head = Head(entry.seq, entry.hash)
        heads[chain] = head
    pepper = peppers.newest
    return Checkpoint(
        at=at, heads=heads, pepper_id=pepper.id, signature=pepper.digest(_signed(at, heads)).hex()
    )


def read_checkpoints(data: bytes) -> tuple[Checkpoint, ...]:
    """Read checkpoints, one a line. Raises `msgspec.DecodeError`."""
    return tuple(msgspec.json.decode(line, type=Checkpoint) for line in data.splitlines() if line.strip())


def _expected(
    peppers: Peppers, checkpoints: Sequence[Checkpoint], faults: list[Fault]
) -> dict[str, dict[int, str]]:
    """Return which hash each chain has to have where, by checkpoints that are ours."""
    wanted: dict[str, dict[int, str]] = {}
    for each in checkpoints:
        pepper = peppers.of(each.pepper_id)
        signed = None if pepper is None else pepper.digest(_signed(each.at, each.heads)).hex()
        if signed is None or not hmac.compare_digest(signed, each.signature):
            why = f"the checkpoint of {each.at.isoformat()} is not signed with an accepted pepper"
            faults.append(Fault(INSTALLATION, 0, why))
            continue
        for chain, head in each.heads.items():
            if head.seq:
                wanted.setdefault(chain, {})[head.seq] = head.hash
    return wanted


async def _verified(desk: Desk, chain: str, wanted: Mapping[int, str]) -> tuple[Head, Fault | None]:
    seq, previous = 0, NO_HASH
    async for entry in entries(desk, chain):
        wrong = broken((entry,), previous, seq)
        if wrong is not None:
            return Head(seq, previous), Fault(chain, wrong, "was changed, left out or moved")
        seq, previous = entry.seq, entry.hash
        if wanted.get(seq, previous) != previous:
            return Head(seq, previous), Fault(chain, seq, "is not the one that a checkpoint saw")
    missing = [at for at in wanted if at > seq]
    if missing:
        return Head(seq, previous), Fault(chain, seq + 1, "is missing: a checkpoint saw the chain longer")
    return Head(seq, previous), None


def _signed(at: datetime, heads: Mapping[str, Head]) -> str:
    return _CONTEXT + hashlib.sha256(_ENCODE((at, heads))).hexdigest()
