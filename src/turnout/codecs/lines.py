"""Streams of one JSON object per line. Floor 2."""

from turnout.errors import ProviderBadResponse

MAX_LINE = 8 * 1024 * 1024
"""SECURITY.md S-54, for a frame that is a line."""


class LineBuffer:
    """Cuts a stream into lines; any split of the bytes gives the same ones."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """Return the lines that the next bytes complete. Raises `ProviderBadResponse` past `MAX_LINE`."""
        pending = self._pending
        seen = len(pending)
        pending += data
        end = pending.rfind(b"\n", seen) + 1
        whole = bytes(pending[:end])
        del pending[:end]
        lines = whole.splitlines()
        if len(pending) > MAX_LINE or (len(whole) > MAX_LINE and max(map(len, lines)) > MAX_LINE):
            raise ProviderBadResponse(f"the provider sent a line larger than {MAX_LINE >> 20} MiB")
        return [line for line in lines if line.strip()]

    def rest(self) -> bytes:
        """Return the last line, if the stream ended without its line feed."""
        rest = bytes(self._pending).strip()
        self._pending.clear()
        return rest
