"""What upstreams send, well and badly, with the one outcome every transport must give. Floor 6.

Data only: `check_transport` plays each script once read as a whole and once in chunks; the differential
tests play it on two transports and compare.
"""

import gzip
import zlib

from msgspec import Struct

from turnout.errors import (
    ProviderBadResponse,
    ProviderUnreachable,
    StreamInterrupted,
    TimeoutIdle,
    TimeoutTotal,
    TimeoutTtft,
    TurnoutError,
)
from turnout.testing.misbehaving import End, Script
from turnout.types.http import Timeouts

BODY_LIMIT = 1 << 20
"""Body limit the scripts assume; transports under test are made with it."""
PATIENT = Timeouts(connect_s=2.0, first_byte_s=2.0, idle_s=2.0, total_s=5.0)
_TTFT = Timeouts(connect_s=2.0, first_byte_s=0.1, idle_s=2.0, total_s=5.0)
_IDLE = Timeouts(connect_s=2.0, first_byte_s=2.0, idle_s=0.1, total_s=5.0)
_TOTAL = Timeouts(connect_s=2.0, first_byte_s=2.0, idle_s=2.0, total_s=0.15)

_TEXT = b"The quick brown fox. " * 40
_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"transfer-encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(b"\0" * (8 << 20), 9)


class Scripted(Struct, frozen=True, kw_only=True):
    """One way an upstream can answer, and what a transport must make of it."""

    name: str
    steps: Script
    status: int = 200
    body: bytes = b""
    error: type[TurnoutError] | None = None
    """The class raised, by `send` or while reading; then `status` and `body` are not looked at."""
    method: str = "POST"
    timeouts: Timeouts = PATIENT


def sized(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a well-formed answer with its length."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _drip(data: bytes, pause_s: float) -> Script:
    return tuple(step for index in range(len(data)) for step in (data[index : index + 1], pause_s))


CLEAN = (
    Scripted(name="sized body", steps=(sized(b"hello"),), body=b"hello"),
    Scripted(name="empty body", steps=(sized(b""),)),
    Scripted(name="body until close", steps=(_OK + b"\r\n", b"hel", b"lo", End.CLOSE), body=b"hello"),
    Scripted(name="HTTP/1.0 until close", steps=(b"HTTP/1.0 200 OK\r\n\r\nhello", End.CLOSE), body=b"hello"),
    Scripted(
        name="chunks with extension and trailer",
        steps=(_CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 1\r\n\r\n",),
        body=b"hello!",
    ),
    Scripted(
        name="chunks in single bytes",
        steps=(_CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in _TEXT) + b"0\r\n\r\n",),
        body=_TEXT,
    ),
    Scripted(
        name="interim answers",
        steps=(
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + sized(b"hello"),
        ),
        body=b"hello",
    ),
    Scripted(name="HEAD", steps=(_OK + b"content-length: 5\r\n\r\n",), method="HEAD"),
    Scripted(name="204", steps=(b"HTTP/1.1 204 No Content\r\n\r\n",), status=204),
    Scripted(name="304", steps=(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",), status=304),
    Scripted(
        name="redirect is an answer",
        steps=(sized(b"", b"location: http://169.254.169.254/latest/meta-data/", status=b"302 Found"),),
        status=302,
    ),
    Scripted(
        name="error with a body",
        steps=(sized(b'{"error":"x"}', b"retry-after: 7", status=b"529 Overloaded"),),
        status=529,
        body=b'{"error":"x"}',
    ),
    Scripted(name="gzip", steps=(sized(gzip.compress(_TEXT), b"content-encoding: gzip"),), body=_TEXT),
    Scripted(
        name="gzip in two members",
        steps=(sized(gzip.compress(_TEXT) + gzip.compress(b"end"), b"content-encoding: gzip"),),
        body=_TEXT + b"end",
    ),
    Scripted(
        name="deflate with wrapper",
        steps=(sized(zlib.compress(_TEXT), b"content-encoding: deflate"),),
        body=_TEXT,
    ),
    Scripted(
        name="deflate without wrapper",
        steps=(sized(_raw_deflate(_TEXT), b"content-encoding: deflate"),),
        body=_TEXT,
    ),
    Scripted(name="identity", steps=(sized(b"hello", b"content-encoding: identity"),), body=b"hello"),
    Scripted(name="gzip of nothing", steps=(sized(b"", b"content-encoding: gzip"),)),
    Scripted(name="more bytes than promised", steps=(sized(b"hello") + b" world",), body=b"hello"),
    Scripted(
        name="a second answer behind the first", steps=(sized(b"hello") + sized(b"evil!"),), body=b"hello"
    ),
)

BROKEN = (
    Scripted(name="closed before an answer", steps=(End.CLOSE,), error=ProviderUnreachable),
    Scripted(name="reset before an answer", steps=(End.RESET,), error=ProviderUnreachable),
    Scripted(name="closed in the head", steps=(_OK + b"conte", End.CLOSE), error=ProviderUnreachable),
    Scripted(name="closed in the body", steps=(sized(b"hello")[:-2], End.CLOSE), error=StreamInterrupted),
    Scripted(
        name="reset in the body", steps=(sized(b"hello")[:-2], 0.02, End.RESET), error=StreamInterrupted
    ),
    Scripted(name="closed in a chunk", steps=(_CHUNKED + b"5\r\nhel", End.CLOSE), error=StreamInterrupted),
    Scripted(
        name="closed before the last chunk",
        steps=(_CHUNKED + b"5\r\nhello\r\n", End.CLOSE),
        error=StreamInterrupted,
    ),
    Scripted(name="not HTTP", steps=(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", End.CLOSE), error=ProviderBadResponse),
    Scripted(
        name="bare page",
        steps=(b"<html><body>502</body></html>\r\n\r\n", End.CLOSE),
        error=ProviderBadResponse,
    ),
    Scripted(name="status of letters", steps=(b"HTTP/1.1 abc OK\r\n\r\n",), error=ProviderBadResponse),
    Scripted(
        name="another protocol",
        steps=(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",),
        error=ProviderBadResponse,
    ),
    Scripted(name="chunk size of letters", steps=(_CHUNKED + b"zz\r\nhello\r\n",), error=ProviderBadResponse),
    Scripted(
        name="two lengths",
        steps=(_OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!", End.CLOSE),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="length and chunks",
        steps=(
            _OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            End.CLOSE,
        ),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="NUL in a header",
        steps=(_OK + b"x-a: b\0c\r\ncontent-length: 0\r\n\r\n",),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="head too long",
        steps=(_OK + b"x-long: " + b"a" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="head without end",
        steps=(_OK, *(b"x-%d: %b\r\n" % (n, b"a" * 10_000) for n in range(20)), End.HOLD),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="trailer without end",
        steps=(_CHUNKED + b"0\r\nx-long: ", *(b"a" * 10_000 for _ in range(20)), End.HOLD),
        error=ProviderBadResponse,
    ),
    Scripted(name="gzip bomb", steps=(sized(_BOMB, b"content-encoding: gzip"),), error=ProviderBadResponse),
    Scripted(
        name="gzip cut short",
        steps=(sized(gzip.compress(_TEXT)[:-9], b"content-encoding: gzip"),),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="gzip that is none",
        steps=(sized(b"hello", b"content-encoding: gzip"),),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="encoding nobody asked for",
        steps=(sized(b"hello", b"content-encoding: br"),),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="two layers of encoding",
        steps=(sized(gzip.compress(gzip.compress(_TEXT)), b"content-encoding: gzip, gzip"),),
        error=ProviderBadResponse,
    ),
)

SLOW = (
    Scripted(name="no answer", steps=(End.HOLD,), timeouts=_TTFT, error=TimeoutTtft),
    Scripted(name="head drips", steps=_drip(_OK + b"x: y\r\n" * 40, 0.01), timeouts=_TTFT, error=TimeoutTtft),
    Scripted(
        name="silent before the body",
        steps=(sized(b"hello")[:-5], End.HOLD),
        timeouts=_IDLE,
        error=TimeoutIdle,
    ),
    Scripted(
        name="silent stream",
        steps=(_CHUNKED + b"5\r\nhello\r\n", End.HOLD),
        timeouts=_IDLE,
        error=TimeoutIdle,
    ),
    Scripted(
        name="stream without end",
        steps=(_CHUNKED, *((b"1\r\nx\r\n", 0.02) * 40), End.HOLD),
        timeouts=_TOTAL,
        error=TimeoutTotal,
    ),
    Scripted(
        name="slow but within the idle limit",
        steps=(_CHUNKED, *((b"1\r\nx\r\n", 0.05) * 3), b"0\r\n\r\n"),
        timeouts=_IDLE,
        body=b"x" * 3,
    ),
)

WHOLE_ONLY = (
    Scripted(
        name="body over the limit, promised",
        steps=(_OK + b"content-length: 9000000\r\n\r\n", b"x" * (BODY_LIMIT + 100_000), End.HOLD),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="body over the limit, in chunks",
        steps=(_CHUNKED, *(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(20)), End.HOLD),
        error=ProviderBadResponse,
    ),
    Scripted(
        name="decoded body over the limit",
        steps=(sized(gzip.compress(bytes(range(256)) * 8192, 1), b"content-encoding: gzip"),),
        error=ProviderBadResponse,
    ),
)
"""Limits that hold for a body read as a whole; a stream may be longer."""
