"""Server-sent events, read sans-IO. Floor 2.

Theory of operation. Reading has two halves, so that a pass-through pays only for the first.

1. `FrameBuffer` cuts a byte stream after blank lines: `take` returns the whole frames that have
   arrived, verbatim, and keeps the rest. Nothing is scanned twice, so a frame that arrives byte by
   byte costs linear time.
2. `frames` parses whole frames. It is a pure function of the bytes; blank lines between frames mean
   nothing, so any split of the stream gives the same frames.
3. Lines end with LF or CRLF (a lone CR is data). A comment-only frame comes out with empty `data`:
   decoders skip it, a pass-through relays its `raw` bytes.
4. Most reads are one whole frame that begins as the one before: `SseSplitter.feed` sees that in place, and
   gives what the general way would.
5. A frame larger than 8 MiB is hostile (SECURITY.md S-54) and raises `ProviderBadResponse`.
"""

import re

from msgspec import Struct

from turnout.errors import ProviderBadResponse

MAX_FRAME = 8 * 1024 * 1024
"""SECURITY.md S-54."""

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"\n\r?\n")
_NEWLINES = b"\r\n"
_CR, _LF = 0x0D, 0x0A
_CRLF_BLANK = b"\r\n\r\n"
"""Ends the frames of Google's hosts."""


class Frame(Struct, frozen=True, gc=False):
    """One event of a stream."""

    event: str
    """Name of the `event:` line; "" when there was none."""
    data: bytes
    """The `data:` lines, joined by LF; b"" for a frame of comments only."""
    raw: bytes
    """The bytes as they came, with the blank line that ends them."""


class FrameBuffer:
    """Cuts a stream of bytes into whole frames, without looking into them."""

    __slots__ = ("_pending", "_started")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False

    def take(self, data: bytes) -> bytes:
        """Return all whole frames that have arrived and were not returned yet; b"" when there is none."""
        pending = self._pending
        if not pending:
            end = _end_of_frames(data, 0)
            if end != len(data):
                pending += data[end:]
                data = data[:end]
        else:
            seen = len(pending)
            pending += data
            # A blank line may straddle the border: "\n" or "\n\r" before it.
            end = _end_of_frames(pending, max(0, seen - 2))
            data = bytes(pending[:end])
            del pending[:end]
        if len(pending) > MAX_FRAME or (len(data) > MAX_FRAME and _longest(data) > MAX_FRAME):
            raise ProviderBadResponse(f"the provider sent a stream frame larger than {MAX_FRAME >> 20} MiB")
        if data and not self._started:
            self._started = True
            return data.removeprefix(_BOM)
        return data

    @property
    def is_between(self) -> bool:
        """Whether a frame has passed and nothing of the next one has arrived."""
        return self._started and not self._pending

    def rest(self) -> bytes:
        """Return what came after the last blank line: a last frame whose end is missing, or b""."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest if self._started else rest.removeprefix(_BOM)


class SseSplitter:
    """Push parser: bytes in, frames out; any split of the bytes gives the same frames."""

    __slots__ = ("_blank", "_buffer", "_head", "_is_between", "event")

    def __init__(self) -> None:
        self._buffer = FrameBuffer()
        self._is_between = False
        self._head = b"data: "
        """How the last frame that came alone began, up to its data."""
        self._blank = b"\n\n"
        """How it ended."""
        self.event = ""
        """Its event name."""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that the next bytes complete. Raises `ProviderBadResponse` past `MAX_FRAME`."""
        alone = self.alone(data)
        if alone is not None:
            return [Frame(self.event, alone, data)]
        whole = self._buffer.take(data)
        found = frames(whole) if whole else []
        self._is_between = self._buffer.is_between
        if len(found) == 1:
            self._learn(found[0])
        return found

    def alone(self, data: bytes) -> bytes | None:
        """Return the data of a frame if these bytes are one, whole, that begins and ends as the one before.

        None means that they are to be fed; `feed` would have given a frame of this data and of `event`.
        """
        head, blank = self._head, self._blank
        if not (self._is_between and data.startswith(head) and data.endswith(blank)):
            return None
        start, end = len(head), len(data) - len(blank)
        line_ends = data.find(_LF, start) == end + (len(blank) == len(_CRLF_BLANK))
        if not line_ends or not start < end < MAX_FRAME - len(blank) or data[end - 1] == _CR:
            return None
        return data[start:end]

    def _learn(self, frame: Frame) -> None:
        blank = _CRLF_BLANK if frame.raw.endswith(_CRLF_BLANK) else b"\n\n"
        line_end = blank[: len(blank) // 2]
        head = b"event: " + frame.event.encode() + line_end + b"data: " if frame.event else b"data: "
        if frame.raw.startswith(head):
            self._head, self._blank, self.event = head, blank, frame.event

    def end(self) -> list[Frame]:
        """Return the last frame, if the stream ended without its blank line."""
        return frames(self._buffer.rest())


def frames(whole: bytes) -> list[Frame]:
    """Parse whole frames, as `FrameBuffer.take` returns them. Frames without any line are left out."""
    if whole.find(_CR) < 0:
        return [_frame(block, b"\n\n") for block in whole.split(b"\n\n") if block and block != b"\n"]
    found: list[Frame] = []
    start = 0
    for blank in _BLANK.finditer(whole):
        block = whole[start : blank.start()]
        if block.strip(_NEWLINES):
            found.append(_frame(block, whole[blank.start() : blank.end()]))
        start = blank.end()
    if whole[start:].strip(_NEWLINES):
        found.append(_frame(whole[start:], b"\n\n"))
    return found


def _frame(block: bytes, blank: bytes) -> Frame:
    if block[0] in _NEWLINES:
        block = block.lstrip(_NEWLINES)
    raw = block + blank
    if block[:6] == b"data: " and block.find(_LF) < 0:
        return Frame("", block[6:].rstrip(b"\r"), raw)
    if block[:7] == b"event: ":
        head, _, tail = block.partition(b"\n")
        if tail[:6] == b"data: " and tail.find(_LF) < 0:
            return Frame(head[7:].rstrip(b"\r").decode("utf-8", "replace"), tail[6:].rstrip(b"\r"), raw)
    return _any_frame(block, raw)


def _any_frame(block: bytes, raw: bytes) -> Frame:
    event = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.rstrip(b"\r").partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(event, b"\n".join(data), raw)


def _end_of_frames(data: bytes | bytearray, start: int) -> int:
    """Return the index after the last blank line at or after `start`; 0 = there is none."""
    lf = data.rfind(b"\n\n", start)
    end = lf + 2 if lf >= 0 else 0
    if data.find(_CR, start) >= 0:
        crlf = data.rfind(b"\n\r\n", start)
        end = max(end, crlf + 3) if crlf >= 0 else end
    return end


def _longest(data: bytes) -> int:
    return max(len(block) for block in _BLANK.split(data))
