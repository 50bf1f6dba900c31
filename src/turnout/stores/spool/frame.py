"""One record in a spool file: mark, length, payload, checksum. Floor 3, pure.

    C1 54 52 31 | length, u32 | payload | CRC-32 of everything before, u32        (little endian)

The mark's first byte never occurs in UTF-8 and is unassigned in MessagePack, so no text that a client
sent can imitate the start of a frame. That lets a reader find the next good frame after a damaged one:
a torn write costs exactly the frame that was torn.
"""

from zlib import crc32

from msgspec import Struct

MARK = b"\xc1TR1"
HEAD = len(MARK) + 4
TAIL = 4


class Scan(Struct, frozen=True):
    """What a stretch of spool holds."""

    payloads: tuple[bytes, ...]
    damaged: int
    """Separate places that are not whole frames."""


def frame(payload: bytes) -> bytes:
    """Wrap a payload."""
    head = MARK + len(payload).to_bytes(4, "little")
    return b"".join((head, payload, crc32(payload, crc32(head)).to_bytes(TAIL, "little")))


def scan(data: bytes) -> Scan:
    """Read every whole frame, in order; count what lies between and after them."""
    payloads: list[bytes] = []
    damaged = at = 0
    while at < len(data):
        end = _end_of_frame(data, at)
        if end:
            payloads.append(data[at + HEAD : end - TAIL])
            at = end
            continue
        damaged += 1
        at = _next_frame(data, at + 1)
    return Scan(tuple(payloads), damaged)


def _next_frame(data: bytes, at: int) -> int:
    """Return where the next whole frame starts, or the end of the data."""
    at = data.find(MARK, at)
    while at >= 0:
        if _end_of_frame(data, at):
            return at
        at = data.find(MARK, at + 1)
    return len(data)


def _end_of_frame(data: bytes, at: int) -> int:
    """Return where the frame that starts here ends; 0 = no whole frame starts here."""
    if data[at : at + len(MARK)] != MARK:
        return 0
    body_end = at + HEAD + int.from_bytes(data[at + len(MARK) : at + HEAD], "little")
    end = body_end + TAIL
    if end > len(data):
        return 0
    stored = int.from_bytes(data[body_end:end], "little")
    return end if crc32(memoryview(data)[at:body_end]) == stored else 0
