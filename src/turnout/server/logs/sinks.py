"""Sinks that write to this machine: standard streams and files that are rotated. Floor 6.

Theory of operation.
1. Each sink has a bounded queue and a thread: a pipe that nobody reads, or a disk that hangs, stops that
   thread and nothing else. What finds the queue full is dropped and counted.
2. The thread rests until something comes, waits `BATCH_S` for company, and writes all of it in one go. It
   also makes lines of what was put: on the path nothing is built and nothing encoded.
3. A file is shared by the workers of a machine: it is opened for appending, and each batch is one write of
   whole lines. Before a batch the writer looks whether the path still names its file; whoever finds it too
   large puts it aside under a lock (`path.lock`), after looking again.
4. A file that cannot be written (full, gone) loses its batch, which is counted; the next one is tried again.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from turnout.server.logs.line import Told

BATCH_S = 0.25
"""Each batch wakes a thread that takes the interpreter from whoever serves: so, few of them (ADR 127)."""
CLOSE_S = 2.0
FLUSH_S = 1.0


class Out(Protocol):
    """Where bytes go."""

    def write(self, data: bytes) -> None:
        """Write whole lines. May block. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Threaded:
    """A sink with a queue and a thread of its own.

    Attributes:
        sent: Lines that were written.
        full: Lines that found no room.
        failed: Lines that could not be written.
    """

    def __init__(self, out: Out, write: Callable[[Told], bytes], most: int) -> None:
        self._out = out
        self._write = write
        self._most = most
        self._queue: deque[Told] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        """Nobody is waited for."""
        self._writes = False
        self.sent = self.full = self.failed = 0
        self._thread = threading.Thread(target=self._run, name="turnout-log", daemon=True)
        self._thread.start()

    def put(self, line: Told) -> None:
        """Take a line."""
        if len(self._queue) >= self._most:
            self.full += 1
            return
        self._queue.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Wait until what was put is written, for a short while; for before and after serving."""
        until = time.monotonic() + FLUSH_S
        self._hurry.set()
        self._wake.set()
        while (self._queue or self._writes) and time.monotonic() < until:
            time.sleep(0.001)

    def close(self) -> None:
        """Write what waits, for a short while."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._out.close()

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._queue):
            self._wake.wait()
            self._hurry.wait(BATCH_S)
            self._wake.clear()
            self._writes = True
            lines = [self._queue.popleft() for _ in range(len(self._queue))]
            if lines:
                self._batch(lines)
            self._writes = False
            if not self._closing.is_set():
                self._hurry.clear()

    def _batch(self, lines: list[Told]) -> None:
        try:
            self._out.write(b"".join([self._write(each) + b"\n" for each in lines]))
        except OSError:
            self.failed += len(lines)
        else:
            self.sent += len(lines)


class Stream:
    """A standard stream."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        """Write all of it."""
        write_all(self._fd, data)

    def close(self) -> None:
        """Leave it open: it is the process's."""


def write_all(fd: int, data: bytes) -> None:
    """Write all of it; a pipe takes it in pieces."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class RotatedFile:
    """A file that is put aside when it has grown."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        """Open it. Raises `OSError`."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()

    def write(self, data: bytes) -> None:
        """Append, after putting the file aside where it would grow too large."""
        if not self._is_mine():
            self._again()
        if os.fstat(self._fd).st_size + len(data) > self._max_bytes:
            self._rotate(len(data))
        write_all(self._fd, data)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _again(self) -> None:
        fd = self._open()
        os.close(self._fd)
        self._fd = fd

    def _is_mine(self) -> bool:
        try:
            there, mine = self._path.stat(), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def _rotate(self, n_more: int) -> None:
        lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._again()  # another process may have been here
            size = os.fstat(self._fd).st_size
            if size and size + n_more > self._max_bytes:
                self._put_aside()
                self._again()
        finally:
            os.close(lock)

    def _put_aside(self) -> None:
        for n in range(self._keep - 1, 0, -1):
            aside = self._aside(n)
            if aside.exists():
                aside.replace(self._aside(n + 1))
        if self._keep:
            self._path.replace(self._aside(1))
        else:
            self._path.unlink(missing_ok=True)

    def _aside(self, n: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{n}")
