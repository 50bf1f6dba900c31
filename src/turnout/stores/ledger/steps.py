"""What happens to a ledger, step by step, as its log holds it. Floor 3, pure.

    length, u32 | CRC-32 of the step, u32 | step, MessagePack        (little endian)

A step says everything that its effect depends on, time included: whoever applies the same steps in the same
order has the same ledger (`state.py`).
"""

from struct import Struct as Packed
from typing import Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import Struct

Written: TypeAlias = tuple[str, int, int, bool, float]
"""Account, cell, amount, whether it is only held, and when the cell counts no more."""
MOST_BYTES: Final = 16 << 20
"""Of one step; a length beyond it was never written."""
_HEAD: Final = Packed("<II")


class Begun(Struct, frozen=True, array_like=True, tag=0):
    """The first step of each file of a log."""

    lineage: str
    """Of the ledger it belongs to."""
    number: int


class Opened(Struct, frozen=True, array_like=True, tag=1):
    """A reservation was granted."""

    id: str
    ends: float
    """Of its lease, in Unix seconds."""
    written: tuple[Written, ...]


class Settled(Struct, frozen=True, array_like=True, tag=2):
    """What a reservation set aside was replaced by what was used."""

    id: str
    amounts: tuple[int, ...]


class Swept(Struct, frozen=True, array_like=True, tag=3):
    """The leases of reservations ended; they are known for a while yet."""

    ids: tuple[str, ...]
    ends: float


class Forgotten(Struct, frozen=True, array_like=True, tag=4):
    """Swept reservations are known no more."""

    ids: tuple[str, ...]


class Reset(Struct, frozen=True, array_like=True, tag=5):
    """What was used of accounts was forgotten, reservations under way aside."""

    accounts: tuple[str, ...]


class Ended(Struct, frozen=True, array_like=True, tag=6):
    """The last step of a file: the next file goes on."""


Step: TypeAlias = Begun | Opened | Settled | Swept | Forgotten | Reset | Ended
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Step).decode
WRITTEN: Final = msgspec.msgpack.Decoder(tuple[Written, ...])


class DamagedError(Exception):
    """What is neither a step nor the beginning of one that was cut off."""

    def __init__(self, at: int) -> None:
        super().__init__(f"damaged at byte {at}")
        self.at = at


class Read(Struct, frozen=True):
    """What a stretch of a log holds."""

    steps: tuple[Step, ...]
    end: int
    """Where the last whole step ends; what follows was cut off while it was written."""


def frame(step: Step) -> bytes:
    """Return a step as it is written."""
    payload = _ENCODE(step)
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def read(data: bytes, begin: int) -> Read:
    """Read whole steps.

    Args:
        data: All there is, from a step's beginning on.
        begin: Where that lies in the file.

    Raises:
        DamagedError: It was changed after it was written.
    """
    steps: list[Step] = []
    at, size = 0, len(data)
    while size - at >= _HEAD.size:
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if length == 0 or length > MOST_BYTES:
            if data.count(0, at) == size - at:  # a power cut: the file is longer than what reached the disk
                break
            raise DamagedError(begin + at)
        if end > size:
            break
        payload = data[at + _HEAD.size : end]
        if crc32(payload) != checksum:
            raise DamagedError(begin + at)
        try:
            steps.append(_DECODE(payload))
        except msgspec.MsgspecError:
            raise DamagedError(begin + at) from None
        at = end
    return Read(tuple(steps), begin + at)
