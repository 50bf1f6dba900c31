"""The log of a ledger: files of steps that the workers of one machine append to in turn. Floor 3.

Theory of operation.

1. Beside `ledger.db` lies the folder `ledger.db-log` with numbered files and the file `lock`. Whoever holds
   the lock (flock) is the only one that writes; the kernel drops it when its holder dies, however it dies.
2. A step counts as soon as it is in the file: `append` is one write(2), and the kernel has the bytes when it
   returns. A killed process loses nothing. Power can: what the disk had not, at most some seconds; or nothing
   where each step waits for the disk (`durable`).
3. Whoever takes the lock first reads what others appended since (`follow`), so that all of them have applied
   the same steps before one decides the next. What is cut off at the end is of a writer that died in the
   middle, before anybody was answered: it is removed.
4. A file that is full gets a last step, `Ended`, after the next one has been begun; so there is always one
   that goes on. Older files are removed once the durable copy reaches beyond them (`kept.py`), the latest few
   aside, for workers that lag behind.
5. Anything else that is not a step was changed by somebody, or by a broken disk: the ledger is refused.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger.steps import Begun, DamagedError, Ended, Step, frame, read

FULL_BYTES: Final = 4 << 20
"""Of a file: some 10,000 requests."""
SPARED: Final = 3
"""Files that are left although the durable copy reaches beyond them."""
BUSY_S: Final = 1.0
"""How long another worker may hold the lock; it needs some tens of microseconds."""
PAUSE_S: Final = 0.0002
CHUNK: Final = 1 << 20
LINEAGE: Final = 16
"""Characters of a lineage."""
log = logging.getLogger("turnout.ledger")


class GapError(Exception):
    """The next file is not there any more: the worker lagged behind too far."""


def folder_of(path: Path) -> Path:
    """Return where the log of a ledger's file lies."""
    return path.with_name(path.name + "-log")


def numbers(folder: Path) -> list[int]:
    """Return the numbers of the files that are there, in order."""
    try:
        return sorted(int(each.name) for each in folder.iterdir() if each.name.isdigit())
    except FileNotFoundError:
        return []


class Log:
    """The log, open at one place. Every call but `take` and `leave` is made under the lock.

    Args:
        folder: Made if it is not there, readable by this user only.
        durable: Whether every step waits for the disk.

    Raises:
        OSError: The folder cannot be used.
    """

    __slots__ = ("_begins", "_durable", "_fd", "_folder", "_lock", "at", "number")

    def __init__(self, folder: Path, *, durable: bool) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._durable = durable
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._fd = -1
        self._begins = 0
        self.number = 0
        self.at = 0
        """Where the next step begins."""

    def take(self, patience_s: float = BUSY_S) -> None:
        """Take the lock. Raises `StoreUnavailable` where another holds it for too long."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(patience_s)

    def _wait(self, patience_s: float) -> None:
        give_up_at = time.monotonic() + patience_s
        while True:
            time.sleep(PAUSE_S)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise StoreUnavailable("the ledger refuses: another process holds it") from None
            else:
                return

    def leave(self) -> None:
        """Leave the lock."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def begin(self, number: int, lineage: str) -> None:
        """Go to a new file. Raises `OSError`."""
        self._go(self._made(number, lineage), number)

    def go_to(self, number: int) -> None:
        """Go to a file that is there. Raises `GapError` where it was removed, `OSError`."""
        name = self._folder / f"{number:010d}"
        try:
            fd = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise GapError(f"{name} was removed") from None
        self._go(fd, number)

    def go_on(self) -> None:
        """Go to the next file. Raises `GapError` where it was removed, `OSError`."""
        self.go_to(self.number + 1)

    def _go(self, fd: int, number: int) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self.number, self.at = fd, number, 0
        self._begins = len(frame(Begun("0" * LINEAGE, number)))

    def _made(self, number: int, lineage: str) -> int:
        name = self._folder / f"{number:010d}"
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            begun = frame(Begun(lineage, number))
            size = os.lseek(fd, 0, os.SEEK_END)
            if size < len(begun) or (size == len(begun) and not any(os.pread(fd, size, 0))):
                os.ftruncate(fd, 0)  # a power cut: its beginning never reached the disk
                _whole(fd, begun, 0)
                if self._durable:
                    _sync_folder(self._folder)
        except OSError:
            os.close(fd)
            raise
        return fd

    @property
    def is_new(self) -> bool:
        """Whether the file holds nothing but its beginning."""
        return self.at <= self._begins

    @property
    def is_there(self) -> bool:
        """Whether the lock is still the one that others find."""
        try:
            return os.path.samestat(os.stat(self._folder / "lock"), os.fstat(self._lock))  # noqa: PTH116
        except FileNotFoundError:
            return False

    @property
    def is_behind(self) -> bool:
        """Whether the file has grown since."""
        return os.lseek(self._fd, 0, os.SEEK_END) != self.at

    def follow(self) -> Iterator[Step]:
        """Yield what was appended since, to the end of this file; remove what is cut off there.

        Raises:
            DamagedError: There is something else.
            OSError: It cannot be read.
        """
        size = os.lseek(self._fd, 0, os.SEEK_END)
        while self.at < size:
            data = os.pread(self._fd, min(CHUNK, size - self.at), self.at)
            found = read(data, self.at)
            if found.end == self.at and len(data) < size - self.at:  # a step longer than a chunk
                data = os.pread(self._fd, size - self.at, self.at)
                found = read(data, self.at)
            if found.end == self.at:
                log.warning("%d bytes of a step cut off in %s", size - self.at, self._folder)
                os.ftruncate(self._fd, self.at)
                return
            self.at = found.end
            yield from found.steps

    def append(self, step: Step) -> None:
        """Write a step. Raises `OSError`; then nothing was written."""
        data = frame(step)
        _whole(self._fd, data, self.at)
        if self._durable:
            try:
                os.fdatasync(self._fd)
            except OSError:
                os.ftruncate(self._fd, self.at)
                raise
        self.at += len(data)

    def turn(self, lineage: str) -> None:
        """End this file and go on in the next. Raises `OSError`; then this one goes on."""
        fd = self._made(self.number + 1, lineage)
        try:
            self.append(Ended())
        except OSError:
            os.close(fd)
            raise
        self._go(fd, self.number + 1)
        self.at = os.lseek(fd, 0, os.SEEK_END)

    @property
    def later(self) -> bool:
        """Whether a later file holds more than its beginning: this one's end never reached the disk."""
        later = self._folder / f"{self.number + 1:010d}"
        return later.exists() and len(read(later.read_bytes(), 0).steps) > 1

    def syncing(self) -> Callable[[], None]:
        """Return what waits until the disk has what was written; it may be called in a thread, once."""
        fd = os.dup(self._fd)

        def sync() -> None:
            try:
                os.fdatasync(fd)
            except OSError as failure:
                log.warning("the ledger's log is not on the disk: %s", failure)
            finally:
                os.close(fd)

        return sync

    def remove_below(self, number: int) -> None:
        """Remove files that are not needed any more. Needs no lock."""
        for each in numbers(self._folder):
            if each < number:
                (self._folder / f"{each:010d}").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files. May be called twice."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1


def _whole(fd: int, data: bytes, at: int) -> None:
    """Append bytes, all of them or none. Raises `OSError`."""
    try:
        n = os.write(fd, data)
    except OSError:
        os.ftruncate(fd, at)
        raise
    if n != len(data):
        os.ftruncate(fd, at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replayed(folder: Path, lineage: str, through: int) -> Iterator[tuple[int, Step]]:
    """Yield the steps of every file beyond a number, each with the file's, as far as they are whole.

    Raises:
        ConfigError: A file is damaged, belongs to another ledger, or one in between is missing.
        GapError: The first one is missing: it was removed in the meantime, or another copy was put back.
    """
    expected = through + 1
    for number in numbers(folder):
        if number <= through:
            continue
        if number != expected:
            raise GapError(f"ledger: {folder} goes on at {number}, and the copy reaches to {expected - 1}")
        expected += 1
        path = folder / f"{number:010d}"
        try:
            found = read(path.read_bytes(), 0)
        except FileNotFoundError:
            raise GapError(f"{path} was removed") from None
        except DamagedError as damage:
            raise ConfigError((f"ledger: {path} is damaged at byte {damage.at}",)) from damage
        for step in found.steps:
            if isinstance(step, Begun) and step.lineage != lineage:
                raise ConfigError((f"ledger: {folder} belongs to another ledger",))
            yield number, step
