"""`multipart/form-data` as it arrives, piece by piece. Floor 6.

Theory of operation (RFC 7578, RFC 2046 section 5.1).

1. A push parser: any split of the bytes yields the same parts, and each byte is looked at a bounded number of
   times. What cannot be the beginning of a boundary is handed on at once, so that memory stays small.
2. Everything is bounded: the boundary, the head of a part, the number of parts. The size of a part is for
   whoever takes its data (S-17).
"""

import re
from typing import Final, Literal

from msgspec import Struct

from turnout.errors import InvalidRequest

MOST_BOUNDARY: Final = 70
"""RFC 2046 section 5.1.1."""
MOST_HEAD: Final = 8 * 1024
MOST_PARTS: Final = 64
_BOUNDARY = re.compile(r"""boundary=(?:"([^"\\]+)"|([^\s;"]+))""", re.IGNORECASE)
_PARAMETER = re.compile(r""";\s*([A-Za-z*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))""")


class Begin(Struct, frozen=True):
    """A part begins."""

    name: str
    filename: str | None
    """None = a plain field."""
    content_type: str = ""


class Data(Struct, frozen=True):
    """More of the part that began last."""

    data: bytes


class End(Struct, frozen=True):
    """The part is whole."""


Piece = Begin | Data | End


class Multipart:
    """Parser of one body."""

    __slots__ = ("_buffer", "_delimiter", "_n_parts", "_state")

    def __init__(self, content_type: str) -> None:
        """Begin. Raises `InvalidRequest` for a content type that is another one."""
        found = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/form-data") or found is None:
            raise InvalidRequest("content-type must be multipart/form-data", param="content-type")
        boundary = found[1] or found[2]
        if not boundary.isascii() or len(boundary) > MOST_BOUNDARY:
            raise InvalidRequest("the multipart boundary is too long, or not ASCII", param="content-type")
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = b"\r\n"  # so that the first boundary looks like every other
        self._state: Literal["data", "after", "head", "over"] = "after"
        self._n_parts = 0

    @property
    def is_over(self) -> bool:
        """Whether the closing boundary has come."""
        return self._state == "over"

    def feed(self, data: bytes) -> list[Piece]:
        """Take the next bytes, return what they complete. Raises `InvalidRequest`."""
        self._buffer += data
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def end(self) -> None:
        """Tell the parser that the body is over. Raises `InvalidRequest` when it was cut off."""
        if not self.is_over:
            raise InvalidRequest("the multipart body is cut off")

    def _step(self, pieces: list[Piece]) -> bool:
        """Go one step; False = more bytes are needed."""
        if self._state == "over":
            self._buffer = b""
            return False
        if self._state == "data":
            return self._data(pieces)
        if self._state == "after":
            return self._after()
        return self._head(pieces)

    def _data(self, pieces: list[Piece]) -> bool:
        buffer, delimiter = self._buffer, self._delimiter
        at = buffer.find(delimiter)
        if at < 0:
            safe = len(buffer) - len(delimiter) + 1
            if safe > 0:
                pieces.append(Data(buffer[:safe]))
                self._buffer = buffer[safe:]
            return False
        if at:
            pieces.append(Data(buffer[:at]))
        pieces.append(End())
        self._buffer = buffer[at:]
        self._state = "after"
        return True

    def _after(self) -> bool:
        """Read a boundary: at the beginning of the body, or behind a part."""
        buffer, n = self._buffer, len(self._delimiter)
        if len(buffer) < n + 2:
            if not self._delimiter.startswith(buffer[:n]):
                raise InvalidRequest("the multipart body does not begin with its boundary")
            return False
        if buffer[:n] != self._delimiter:
            raise InvalidRequest("the multipart body does not begin with its boundary")
        if buffer[n : n + 2] == b"--":
            self._state = "over"
            return True
        if buffer[n : n + 2] != b"\r\n":
            raise InvalidRequest("a multipart boundary is followed by something else")
        self._buffer = buffer[n + 2 :]
        self._state = "head"
        return True

    def _head(self, pieces: list[Piece]) -> bool:
        at = self._buffer.find(b"\r\n\r\n", 0, MOST_HEAD)
        if at < 0:
            if len(self._buffer) >= MOST_HEAD:
                raise InvalidRequest(f"the head of a multipart part exceeds {MOST_HEAD} bytes")
            return False
        self._n_parts += 1
        if self._n_parts > MOST_PARTS:
            raise InvalidRequest(f"the multipart body has more than {MOST_PARTS} parts")
        pieces.append(_begin(self._buffer[:at]))
        self._buffer = self._buffer[at + 4 :]
        self._state = "data"
        return True


def _begin(head: bytes) -> Begin:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the head of a multipart part is not UTF-8") from None
    name, filename, content_type = "", None, ""
    for line in text.split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-type":
            content_type = value.strip()
        elif field.strip().lower() == "content-disposition":
            for each in _PARAMETER.finditer(value):
                found = each[3] if each[2] is None else re.sub(r"\\(.)", r"\1", each[2])
                if each[1].lower() == "name":
                    name = found
                elif each[1].lower() == "filename":
                    filename = found
    if not name:
        raise InvalidRequest("a multipart part has no name")
    return Begin(name, filename, content_type)
