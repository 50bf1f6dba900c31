"""Frames of `application/vnd.amazon.eventstream`, read and written sans-IO. Floor 2.

Theory of operation.

1. A frame is a 12-byte prelude (total length, length of the headers, CRC32 of these eight bytes), the
   headers, the payload, and a CRC32 of all before it; big-endian throughout.
2. The prelude's CRC is checked as soon as its twelve bytes are there, before any length in it is believed;
   the frame's CRC before a byte of the frame is used. A wrong one is `ProviderBadResponse`: after it no
   border between frames can be trusted, so every later call fails alike.
3. Nothing is kept beyond the frame that is still incomplete, and a frame larger than `MAX_FRAME` is refused
   by its prelude.
4. Any split of the bytes gives the same frames.

Source: "Event stream encoding" of the Amazon Transcribe and S3 developer guides, seen 2026-11.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from zlib import crc32

from msgspec import Struct

from turnout.errors import ProviderBadResponse, TurnoutError

MAX_FRAME = 16 * 1024 * 1024
MAX_HEADERS = 128 * 1024
_PRELUDE = 12
_SHORT = 256
"""Bytes of headers that may be kept."""
_OVERHEAD = 16
"""Prelude and the CRC at the end."""
_FIXED: Mapping[int, tuple[str, int]] = {
    2: (">b", 1), 3: (">h", 2), 4: (">i", 4), 5: (">q", 8), 8: (">q", 8),
}  # fmt: skip
"""Header types of a fixed size -> how they are read."""
_SIZED = {6, 7}
_UUID = 9


class EventFrame(Struct, frozen=True, gc=False):
    """One message of a stream."""

    headers: Mapping[str, str]
    """Values that are no texts are written as such: numbers in decimal, bytes in hexadecimal."""
    payload: bytes

    @property
    def is_event(self) -> bool:
        """Whether it is an event and not a failure."""
        return self.headers.get(":message-type", "event") == "event"

    @property
    def name(self) -> str:
        """Kind of the event, of the exception, or of the error."""
        headers = self.headers
        return (
            headers.get(":event-type") or headers.get(":exception-type") or headers.get(":error-code") or ""
        )


class EventStreamParser:
    """Push parser: bytes in, frames out."""

    __slots__ = ("_broken", "_pending")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._broken: TurnoutError | None = None

    @property
    def is_between_frames(self) -> bool:
        """Whether every byte so far belonged to a whole frame."""
        return not self._pending

    def feed(self, data: bytes) -> list[EventFrame]:
        """Return the frames that the next bytes complete.

        Frames in front of a damaged one are returned; the call after raises. Raises `ProviderBadResponse`.
        """
        if self._broken is not None:
            raise self._broken
        pending = self._pending
        given: bytes | bytearray = data
        if pending:
            pending += data
            given = pending
        found: list[EventFrame] = []
        start, n_bytes = 0, len(given)
        try:
            while n_bytes - start >= _PRELUDE:
                total = _total(given, start)
                if n_bytes - start < total:
                    break
                found.append(_frame(bytes(given[start : start + total])))
                start += total
        except ProviderBadResponse as error:
            self._broken = error
            pending.clear()
            if not found:
                raise
            return found
        if given is pending:
            del pending[:start]
        elif start < n_bytes:
            pending += data[start:]
        return found


def write_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write one message whose headers are texts."""
    block = b"".join(
        struct.pack(">B", len(name.encode()))
        + name.encode()
        + struct.pack(">BH", 7, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(block) + len(payload) + _OVERHEAD, len(block))
    frame = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return frame + struct.pack(">I", crc32(frame))


def write_event(name: str, payload: bytes) -> bytes:
    """Write one event that carries JSON."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return write_frame(headers, payload)


def write_exception(name: str, payload: bytes) -> bytes:
    """Write one exception that carries JSON."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return write_frame(headers, payload)


def _total(data: bytes | bytearray, start: int) -> int:
    total, n_headers, checksum = struct.unpack_from(">III", data, start)
    if crc32(data[start : start + 8]) != checksum:
        raise ProviderBadResponse("the provider's event stream has a prelude with a wrong checksum")
    if total > MAX_FRAME or n_headers > MAX_HEADERS or total < n_headers + _OVERHEAD:
        raise ProviderBadResponse(f"the provider's event stream has a frame of {total:,} bytes")
    return int(total)


def _frame(frame: bytes) -> EventFrame:
    (checksum,) = struct.unpack_from(">I", frame, len(frame) - 4)
    if crc32(frame[:-4]) != checksum:
        raise ProviderBadResponse("the provider's event stream has a frame with a wrong checksum")
    (n_headers,) = struct.unpack_from(">I", frame, 4)
    end = _PRELUDE + n_headers
    try:
        headers = (_known_headers if n_headers <= _SHORT else _headers)(frame[_PRELUDE:end])
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise ProviderBadResponse("the provider's event stream has a frame with broken headers") from error
    return EventFrame(headers, frame[end:-4])


@lru_cache(maxsize=64)  # frames of one kind have the same: it names the kind, and nothing of what is said
def _known_headers(block: bytes) -> Mapping[str, str]:
    return _headers(block)


def _headers(block: bytes) -> Mapping[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(block):
        n_name = block[at]
        name = block[at + 1 : at + 1 + n_name].decode()
        at += 1 + n_name
        found[name], at = _value(block, block[at], at + 1)
        if at > len(block):
            raise IndexError
    return found


def _value(block: bytes, kind: int, at: int) -> tuple[str, int]:
    if kind in {0, 1}:
        return ("true", "false")[kind], at
    if kind in _FIXED:
        code, size = _FIXED[kind]
        return str(struct.unpack_from(code, block, at)[0]), at + size
    if kind in _SIZED:
        (size,) = struct.unpack_from(">H", block, at)
        raw = block[at + 2 : at + 2 + size]
        return (raw.decode() if kind == 7 else raw.hex()), at + 2 + size
    if kind == _UUID:
        return block[at : at + 16].hex(), at + 16
    raise IndexError
