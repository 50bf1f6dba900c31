"""Undoing content encodings of hostile upstreams, in bounded steps. Floor 3.

Theory of operation.
1. One `feed` yields about `STEP` bytes; `more` says that further ones can be had by `feed(b"")`. A bomb
   is therefore seen after one step, never after it filled the memory.
2. Above `FREE` decoded bytes the ratio decoded/compressed must stay at or below `RATIO` (SECURITY.md 7).
3. One layer only: `gzip, gzip` and unknown encodings are refused.
4. `finished` tells whether the compressed stream reached its own end; a body that ends before is cut.
"""

import zlib
from typing import TYPE_CHECKING, Protocol

from turnout.errors import ProviderBadResponse

if TYPE_CHECKING:
    import zstandard

STEP = 1 << 20
"""Decoded bytes per step."""
FREE = 1 << 20
"""Decoded bytes below which the ratio is not looked at: small texts of repeated words compress a lot."""
RATIO = 200

_ZSTD_WINDOW = 8 << 20
"""Largest back-reference window accepted: what RFC 8878 asks every decoder to support."""
_ZSTD_SLICE = 256
"""Compressed bytes per call: at 4 bytes for a block of 128 KiB no slice yields more than 8 MiB."""


class Decompressor(Protocol):
    """One content encoding being undone."""

    more: bool
    """Whether `feed(b"")` may yield further bytes."""

    @property
    def finished(self) -> bool:
        """Whether the compressed stream reached its own end."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take more compressed bytes and return about `STEP` decoded ones. Raises `ProviderBadResponse`."""
        ...


def decompressor(encoding: str) -> Decompressor | None:
    """Return the decoder for a `content-encoding` value; None when there is nothing to undo.

    Raises `ProviderBadResponse` for an encoding that was not asked for and cannot be undone.
    """
    word = encoding.strip().lower()
    if word in {"", "identity"}:
        return None
    if word in {"gzip", "x-gzip"}:
        return _Zlib(zlib.MAX_WBITS | 16)
    if word == "deflate":
        return _Zlib(0)
    if word == "zstd":
        return _zstd()
    raise ProviderBadResponse(f"content-encoding {word[:40]!r} cannot be decoded")


def decode_all(decoder: Decompressor, data: bytes, limit: int) -> bytes:
    """Undo a whole body. Raises `ProviderBadResponse` when it is damaged, cut, or longer than `limit`."""
    out = [decoder.feed(data)]
    size = len(out[0])
    while decoder.more and size <= limit:
        out.append(decoder.feed(b""))
        size += len(out[-1])
    if size > limit:
        raise ProviderBadResponse(f"body is longer than {limit} bytes after decoding")
    require_end(decoder)
    return b"".join(out)


def require_end(decoder: Decompressor) -> None:
    """Raise `ProviderBadResponse` unless the compressed stream reached its own end."""
    if not decoder.finished:
        raise ProviderBadResponse("compressed body is cut short")


class _Ratio:
    """Bytes in against bytes out."""

    __slots__ = ("_n_in", "_n_out")

    def __init__(self) -> None:
        self._n_in = 0
        self._n_out = 0

    def count(self, n_in: int, n_out: int) -> None:
        self._n_in += n_in
        self._n_out += n_out
        if self._n_out > FREE and self._n_out > RATIO * self._n_in:
            raise ProviderBadResponse(f"compressed body expands more than {RATIO}-fold; refused")


class _Zlib:
    """gzip (several members too) and deflate (with and without the zlib wrapper, as servers send both)."""

    __slots__ = ("_ratio", "_rest", "_state", "_wbits", "more")

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._state = zlib.decompressobj(wbits) if wbits else None
        self._ratio = _Ratio()
        self._rest = b""
        self.more = False

    @property
    def finished(self) -> bool:
        return self._state is not None and self._state.eof and not self._rest

    def feed(self, data: bytes) -> bytes:
        given = self._rest + data if self._rest else data
        state = self._state or self._sniff(given)
        if state.eof and given:  # a further gzip member
            state = self._state = zlib.decompressobj(self._wbits)
        try:
            out = state.decompress(given, STEP)
        except zlib.error as error:
            raise ProviderBadResponse(f"compressed body is damaged ({error})") from error
        self._rest = state.unconsumed_tail or state.unused_data
        self.more = bool(self._rest) or len(out) == STEP  # zlib may hold output back at the limit
        self._ratio.count(len(given) - len(self._rest), len(out))
        return out

    def _sniff(self, given: bytes) -> "zlib._Decompress":
        # RFC 1950: low nibble 8 = deflate, and the first two bytes are a multiple of 31.
        wrapped = given[:1] and given[0] & 15 == 8 and int.from_bytes(given[:2], "big") % 31 == 0
        self._wbits = zlib.MAX_WBITS if wrapped or len(given) < 2 else -zlib.MAX_WBITS
        self._state = zlib.decompressobj(self._wbits)
        return self._state


def _zstd() -> Decompressor:
    try:
        import zstandard  # noqa: PLC0415 - optional; never offered, only understood
    except ImportError:
        raise ProviderBadResponse("content-encoding 'zstd' needs the zstandard package") from None
    return _Zstd(zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW), zstandard.ZstdError)


class _Zstd:
    """zstd. The library has no output limit, so input goes in slices whose output is bounded instead."""

    __slots__ = ("_error", "_make", "_ratio", "_rest", "_state", "more")

    def __init__(self, make: "zstandard.ZstdDecompressor", error: type[Exception]) -> None:
        self._make = make
        self._error = error
        self._state = make.decompressobj()
        self._ratio = _Ratio()
        self._rest = b""
        self.more = False

    @property
    def finished(self) -> bool:
        return self._state.eof and not self._rest

    def feed(self, data: bytes) -> bytes:
        given = self._rest + data if self._rest else data
        out = []
        n_in = n_out = 0
        while n_in < len(given) and n_out < STEP:
            if self._state.eof:  # a further frame
                self._state = self._make.decompressobj()
            piece = given[n_in : n_in + _ZSTD_SLICE]
            try:
                out.append(self._state.decompress(piece))
            except self._error as error:
                raise ProviderBadResponse(f"compressed body is damaged ({error})") from error
            used = len(piece) - len(self._state.unused_data)
            n_in += used
            n_out += len(out[-1])
            self._ratio.count(used, len(out[-1]))
        self._rest = given[n_in:]
        self.more = bool(self._rest)
        return b"".join(out)
