"""Lines that only ever grow, shared by the workers of a machine. Floor 3.

A line is one write of one small line to a file opened for appending, which POSIX keeps whole. Whoever reads
sees every worker's lines in the order of the file, its own among them, each once.
"""

import os
from pathlib import Path
from typing import Protocol

LONGEST = 4096
"""Bytes of a line: what one write surely keeps together."""


class Sightings(Protocol):
    """Keeps lines by name."""

    def append(self, name: str, line: bytes) -> None:
        """Keep a line, without its end."""
        ...

    def read(self, name: str) -> list[bytes]:
        """Return the lines that were not returned before, oldest first."""
        ...


def sightings_beside(path: str | None) -> Sightings:
    """Return what keeps lines in a folder beside a file, or one in memory where there is no file."""
    return MemorySightings() if path is None else FileSightings(Path(path).parent / "certificates")


class MemorySightings:
    """Lines that die with the process."""

    __slots__ = ("_lines", "_read")

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}
        self._read: dict[str, int] = {}

    def append(self, name: str, line: bytes) -> None:
        """Keep a line."""
        self._lines.setdefault(name, []).append(line)

    def read(self, name: str) -> list[bytes]:
        """Return the lines that were not returned before."""
        lines, begin = self._lines.get(name, []), self._read.get(name, 0)
        self._read[name] = len(lines)
        return lines[begin:]


class FileSightings:
    """Lines in one file a name. Both calls block for as long as one small write or read takes."""

    __slots__ = ("_folder", "_offsets")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[str, int] = {}

    def append(self, name: str, line: bytes) -> None:
        """Keep a line. Raises `OSError` when the disk refuses."""
        if len(line) >= LONGEST or b"\n" in line:
            raise ValueError(f"a line of {len(line)} bytes; expected less than {LONGEST}, on one line")
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line + b"\n")
        finally:
            os.close(handle)

    def read(self, name: str) -> list[bytes]:
        """Return the lines that were not returned before; a torn last one waits for its end."""
        begin = self._offsets.get(name, 0)
        try:
            with self._path(name).open("rb") as file:
                file.seek(begin)
                content = file.read()
        except FileNotFoundError:
            return []
        end = content.rfind(b"\n") + 1
        self._offsets[name] = begin + end
        return content[:end].splitlines()

    def _path(self, name: str) -> Path:
        if not name.replace("-", "").isalnum():
            raise ValueError(f"{name!r} is no name to keep lines by")
        return self._folder / f"{name}.jsonl"
