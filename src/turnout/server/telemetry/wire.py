"""Protobuf's wire format, as far as spans and log lines need it. Floor 6.

Theory of operation.
1. A message is the bytes of its fields, one after the other, in any order: so fields that are the same in
   many messages are encoded once and kept, and a message is a join of what is kept and what is new (ADR 139).
2. A field is a key (number and wire type) and a value. A value of a varying length, a message too, has its
   length before it. The empty value of a field is not written.
3. An attribute is a `KeyValue` with an `AnyValue` in it; which field of which message it stands in is the one
   byte before it, so that one attribute serves all of them.
Source: protobuf.dev/programming-guides/encoding, opentelemetry-proto 1.x (common.proto), seen 2026-11-22.
"""

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct

Some = str | bool | int | float | tuple[str, ...]
Value = Some | None
_U64 = (1 << 64) - 1
DOUBLE = Struct("<d")
_FIXED64 = Struct("<Q")


@lru_cache(maxsize=16_384)
def varint(number: int) -> bytes:
    """Return a number, seven bits a byte, the lowest first; a negative one as 64 bits of two's complement."""
    number &= _U64
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def sized(key: bytes, body: bytes) -> bytes:
    """Return a field of varying length: bytes, text or a message."""
    return b"%b%b%b" % (key, varint(len(body)), body)


def text(key: bytes, value: str) -> bytes:
    """Return a field of text."""
    return sized(key, value.encode("utf-8", "replace"))


def fixed64(key: bytes, number: int) -> bytes:
    """Return a field of eight bytes."""
    return key + _FIXED64.pack(number)


def attributes(key: bytes, values: Mapping[str, Value]) -> bytes:
    """Return attributes as fields of one key; those without a value are left out."""
    return b"".join(
        [key + pair(name, value) for name, value in values.items() if value is not None and value != ""]
    )


def pair(name: str, value: Some) -> bytes:
    """Return an attribute, with its length before it."""
    if isinstance(value, float):
        return before_double(name) + DOUBLE.pack(value)
    if isinstance(value, str):
        body = text(b"\x0a", value)
    elif isinstance(value, bool):
        body = b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        body = b"\x18" + varint(value)
    else:
        body = sized(b"\x2a", b"".join([sized(b"\x0a", text(b"\x0a", each)) for each in value]))
    return _before(name, len(body)) + body


known = lru_cache(maxsize=8192, typed=True)(pair)
"""The same, kept: for names and closed sets of words."""


def before_double(name: str) -> bytes:
    """Return all of an attribute that stands before its value, which is a number by `DOUBLE`."""
    return _before(name, 9) + b"\x21"


@lru_cache(maxsize=2048)
def _before(name: str, n_bytes: int) -> bytes:
    """Return all of an attribute that stands before its value, which has so many bytes."""
    inside = text(b"\x0a", name) + b"\x12" + varint(n_bytes)
    return varint(len(inside) + n_bytes) + inside
