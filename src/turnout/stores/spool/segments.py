"""The files of a spool: growing one, reading them back, taking over those of the dead. Floor 3.

Theory of operation.
1. A *worker* is one open `Spool`: it has a random name, a lock file `NAME.lock` that it holds with flock
   for as long as it lives, and segments `NAME.00000001.seg`, `….00000002.seg`, that only it appends to.
2. `append` is one write(2) to the newest segment. The kernel has the bytes when it returns, so the death
   of the process by any signal loses nothing; only a power cut can, which `sync` is for.
3. A segment is read from `done` to `size`, both known in memory, so the reader never sees half a frame.
   `settle` moves `done` forward once the rows are committed. A segment that is sealed (full, or old) and
   settled to its end is removed; nothing else ever removes one.
4. A write that fails or is cut short (disk full) is undone, and the frame is *held* in memory, up to a
   limit, until `retry_held` finds room. Beyond the limit it is dropped and counted: the one way to lose.
5. The kernel drops a flock when its holder dies, however it dies. So a lock that can be taken belongs to
   a dead worker, and whoever takes it owns that worker's segments: it inserts every whole frame, commits,
   and only then removes the files. A second death in between repeats the insert, which is idempotent.
6. A lock file is removed only while locked, and a lock counts only if the path still names the locked
   file; else two adopters could each hold "the" lock of one worker.
"""

import fcntl
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from turnout.stores.base import Stored
from turnout.stores.spool.frame import frame, scan

SEGMENT_BYTES = 4 << 20
"""Sealed beyond this. Also about what one transaction of the writer holds: 1,500 Records, 30 ms."""
SEAL_AFTER_S = 60.0
"""A settled segment older than this is removed even if small, so that no text outlives its row for long."""
HELD_BYTES = 64 << 20
"""Room in memory for what the disk refuses: at 1,000 requests per second and 2 KB each, half a minute."""

log = logging.getLogger("turnout.journal")


class Segment:
    """One file of this worker's spool."""

    __slots__ = ("born", "done", "fd", "path", "sealed", "size", "synced")

    def __init__(self, path: Path, fd: int, born: float) -> None:
        self.path = path
        self.fd = fd
        """For appending; closed when the next segment is begun: a stuck database may leave thousands."""
        self.born = born
        self.size = 0
        self.done = 0
        self.synced = 0
        self.sealed = False

    def seal(self) -> None:
        """End it: nothing is appended any more."""
        self.sealed = True
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Chunk(Struct, frozen=True):
    """Frames read back from one segment."""

    segment: Segment
    end: int
    payloads: tuple[bytes, ...]
    damaged: int


class Adopted(Struct, frozen=True):
    """What was taken over from dead workers."""

    records: int = 0
    """Whole frames found; those already in the rows count too."""
    new: int = 0
    unreadable: int = 0
    damaged: int = 0


class Survey(Struct, frozen=True, kw_only=True):
    """What lies in a spool folder, looked at without touching it."""

    live: int = 0
    """Segments of running workers."""
    left: int = 0
    """Segments of dead workers."""
    payloads: tuple[bytes, ...] = ()
    damaged: int = 0


class Spool:
    """One worker's append-only files. `append` may be called from any thread."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, sync_each: bool = False) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._sync_each = sync_each
        self._lock = threading.Lock()
        self._segments: deque[Segment] = deque()
        self._lock_fd = -1
        self._name = ""
        self._n_segments = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self.appended = 0
        self.dropped = 0
        self.error: str | None = None
        """Why the disk refused the last append; None = it did not."""

    def append(self, payload: bytes) -> None:
        """Keep a payload where the death of the process cannot reach it. Never raises OSError."""
        framed = frame(payload)
        with self._lock:
            self.appended += 1
            if not self._write(framed):
                self._hold(framed)

    def _write(self, framed: bytes) -> bool:
        segment = self._segments[-1] if self._segments else None
        n = 0
        try:
            if segment is None or segment.sealed or segment.size >= self._segment_bytes:
                segment = self._open_segment()
            n = os.write(segment.fd, framed)
            if n == len(framed):
                segment.size += n
                if self._sync_each:
                    os.fsync(segment.fd)
                    segment.synced = segment.size
                self.error = None
                return True
            self.error = "the disk is full"
        except OSError as failure:
            self.error = failure.strerror or str(failure)
            if segment is not None and n == len(framed):
                return True  # written, not synced: safe from everything but a power cut
        if segment is not None and n:
            self._undo(segment)
        return False

    def _undo(self, segment: Segment) -> None:
        try:
            os.ftruncate(segment.fd, segment.size)
        except OSError:
            segment.seal()  # nothing may follow the half frame; `size` still ends before it

    def _hold(self, framed: bytes) -> None:
        if self._held_bytes + len(framed) > HELD_BYTES:
            self.dropped += 1
            return
        self._held.append(framed)
        self._held_bytes += len(framed)

    def _open_segment(self) -> Segment:
        if self._lock_fd < 0:
            self.claim()
        path = self._folder / f"{self._name}.{self._n_segments + 1:08d}.seg"
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._n_segments += 1
        if self._segments:
            self._segments[-1].seal()
        segment = Segment(path, fd, time.monotonic())
        self._segments.append(segment)
        if self._sync_each:
            _sync(self._folder)
        return segment

    def claim(self) -> None:
        """Make the folder and take a name, so that trouble with either shows at start. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._lock_fd < 0:
            self._name = f"{os.getpid()}-{secrets.token_hex(6)}"
            self._n_segments = 0
            self._lock_fd = _take_lock(self._folder / f"{self._name}.lock")

    def read(self) -> Chunk | None:
        """Return the oldest frames that are not settled yet; None = all are."""
        with self._lock:
            segment = next((one for one in self._segments if one.done < one.size), None)
            if segment is None:
                return None
            start, end = segment.done, segment.size
        data = _read_range(segment.path, start, end)
        found = scan(data)
        return Chunk(segment, end, found.payloads, found.damaged + (len(data) < end - start))

    def settle(self, chunk: Chunk) -> None:
        """Mark frames as committed elsewhere."""
        with self._lock:
            chunk.segment.done = chunk.end

    def clear(self, *, older_than_s: float = SEAL_AFTER_S) -> None:
        """Remove segments that are settled to their end, and sealed or old enough to be."""
        now = time.monotonic()
        gone: list[Segment] = []
        with self._lock:
            while self._segments:
                first = self._segments[0]
                last = len(self._segments) == 1
                young = last and not first.sealed and now - first.born < older_than_s
                if first.done < first.size or young:
                    break
                gone.append(self._segments.popleft())
        for segment in gone:
            segment.seal()
            segment.path.unlink(missing_ok=True)

    def retry_held(self) -> None:
        """Try again to write what the disk refused."""
        with self._lock:
            while self._held and self._write(self._held[0]):
                self._held_bytes -= len(self._held.popleft())

    def sync(self) -> None:
        """Make what is not settled survive a power cut. Raises OSError."""
        with self._lock:
            behind = [(one, one.size) for one in self._segments if max(one.done, one.synced) < one.size]
        for segment, size in behind:
            _sync(segment.path)
            segment.synced = size
        if behind:
            _sync(self._folder)

    @property
    def waiting_bytes(self) -> int:
        """Bytes on disk that are not settled."""
        with self._lock:
            return sum(one.size - one.done for one in self._segments)

    @property
    def n_held(self) -> int:
        """Frames that are in memory only."""
        return len(self._held)

    def close(self) -> None:
        """Let go of the name. What is not settled stays on disk for the next worker to adopt.

        An append that comes later takes a new name and is adopted like the rest.
        """
        self.clear(older_than_s=0.0)
        with self._lock:
            segments, self._segments = self._segments, deque()
            lock_fd, self._lock_fd = self._lock_fd, -1
        for segment in segments:
            segment.seal()
        if lock_fd >= 0:
            if not segments:
                (self._folder / f"{self._name}.lock").unlink(missing_ok=True)
            os.close(lock_fd)


def adopt(folder: Path, insert: Callable[[list[bytes]], Stored]) -> Adopted:
    """Carry over what dead workers left behind. Raises StoreUnavailable when `insert` does."""
    total = Adopted()
    for name in sorted(_workers(folder)):
        lock_path = folder / f"{name}.lock"
        try:
            lock_fd = _take_lock(lock_path)
        except OSError as failure:
            log.warning("spool %s: cannot take over worker %s: %s", folder, name, failure.strerror)
            continue
        if lock_fd < 0:
            continue
        try:
            total = _adopt_worker(sorted(folder.glob(f"{name}.*.seg")), insert, total)
            lock_path.unlink(missing_ok=True)
        except OSError as failure:
            log.warning("spool %s: cannot read worker %s: %s", folder, name, failure.strerror)
        finally:
            os.close(lock_fd)
    if total.records or total.damaged:
        log.info("spool %s: took over %d records (%d new)", folder, total.records, total.new)
    if total.damaged:
        log.warning("spool %s: %d damaged places skipped", folder, total.damaged)
    return total


def _adopt_worker(
    segments: Iterable[Path], insert: Callable[[list[bytes]], Stored], total: Adopted
) -> Adopted:
    for path in segments:
        found = scan(path.read_bytes())
        stored = insert(list(found.payloads)) if found.payloads else Stored(0)
        path.unlink()
        total = Adopted(
            records=total.records + len(found.payloads),
            new=total.new + stored.new,
            unreadable=total.unreadable + stored.unreadable,
            damaged=total.damaged + found.damaged,
        )
    return total


def survey(folder: Path) -> Survey:
    """Look at every segment without taking any over. Raises OSError when the folder cannot be read."""
    live = left = damaged = 0
    payloads: list[bytes] = []
    for name in _workers(folder):
        lock_fd = _take_lock(folder / f"{name}.lock")
        segments = sorted(folder.glob(f"{name}.*.seg"))
        try:
            found = [scan(path.read_bytes()) for path in segments]
        except FileNotFoundError:
            continue  # the worker settled it while we looked
        finally:
            if lock_fd >= 0:
                os.close(lock_fd)
        payloads += [payload for one in found for payload in one.payloads]
        if lock_fd >= 0:
            left += len(segments)
            damaged += sum(one.damaged for one in found)
        else:
            live += len(segments)  # its last frame may be half written right now: no damage
    return Survey(live=live, left=left, payloads=tuple(payloads), damaged=damaged)


def _workers(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {path.name.partition(".")[0] for path in folder.iterdir() if path.suffix in {".seg", ".lock"}}


def _take_lock(path: Path) -> int:
    """Return a descriptor that holds the lock of `path`; -1 = another worker has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def _read_range(path: Path, start: int, end: int) -> bytes:
    """Read a stretch; what somebody cut off the file from outside is missing, and counts as damage."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)
    except FileNotFoundError:
        return b""


def _sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, to the disk. Linux and macOS sync through any descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
