"""A ledger in files of one machine, shared by its workers. Floor 3.

Theory of operation.

1. Each worker has all accounts in memory (`state.py`). What is decided is a step, appended to a log that all
   of them follow (`log.py`): under its lock a worker first applies what others appended, decides, appends
   with one write, applies, and lets go. That takes some ten microseconds on the event loop's own thread.
2. A step that is in the log has happened, whether or not its writer lived to tell. So a killed process loses
   nothing, and what it set aside ends with its lease.
3. When a file of the log is full, the worker that filled it hands the accounts that changed to a thread,
   which brings the durable copy forward (`kept.py`); so does a worker that closes. To open a ledger is to
   read the copy and apply the log's files after it.
4. A worker that finds the next file gone lagged behind far too long: it reads the copy anew. So does one
   whose following broke off, for want of a file descriptor say: it might stand behind the end of a file.
5. The log goes to the disk with every sweep, in a thread: that is what a power cut may lose, unless each step
   waits for the disk. A worker whose folder was removed under it refuses from then on: others would count in
   a new one.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger import kept
from turnout.stores.ledger.base import KEPT_S, Granted, Refused, Skewed, Take
from turnout.stores.ledger.clock import SteadyClock, settled_by
from turnout.stores.ledger.log import FULL_BYTES, SPARED, GapError, Log, folder_of, numbers
from turnout.stores.ledger.steps import Begun, DamagedError, Ended, Reset, Settled, Step, Swept

OPEN_BUSY_S: Final = 10.0
"""How long a worker that starts waits for others that start."""
ATTEMPTS: Final = 3
CLOSED: Final = "the ledger is closed"
PUT_BACK: Final = "if that is a backup that was put back, remove the folder"
log = logging.getLogger("turnout.ledger")


class FileLedger:
    """A `Ledger` in files.

    Args:
        path: The durable copy; its folder is made, readable by this user only. The log lies beside it.
        durable: Whether every step waits for the disk, so that it survives a power cut.
        now: Unix seconds; None = the machine's, as far as it is to be trusted.
        full_bytes: Of a file of the log.

    Raises:
        ConfigError: The files cannot be opened, are damaged, or were written by a newer Turnout.
    """

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = False,
        now: Callable[[], float] | None = None,
        full_bytes: int = FULL_BYTES,
    ) -> None:
        self.path = path
        self._full_bytes = self._full_at = full_bytes
        self._writer: threading.Thread | None = None
        self._syncer: threading.Thread | None = None
        self._synced = (0, 0)
        self._refusal = ""
        """Why nothing is counted any more; "" = it is."""
        self._is_lost = False
        """Following broke off, so that state and place in the log may not fit together."""
        self._folder = folder_of(path)
        self._kept = kept.Kept(path)
        try:
            self._log = Log(self._folder, durable=durable)
        except OSError as failure:
            self._kept.close()
            raise ConfigError((f"ledger: cannot open {self._folder}: {failure}",)) from failure
        self._now = now or SteadyClock(self._folder / "clock")
        self._is_settled = settled_by(self._now)
        try:
            self._open()
        except (OSError, DamagedError, GapError, StoreUnavailable) as failure:
            self._let_go()
            raise ConfigError((f"ledger: {self._folder} cannot be used: {failure}",)) from failure
        except ConfigError:
            self._let_go()
            raise

    def _open(self) -> None:
        """Read the copy, while others go on, and then under the lock the log's files after it."""
        for attempt in range(ATTEMPTS):
            loaded = self._kept.load()
            self._log.take(OPEN_BUSY_S)
            try:
                self._catch_up(loaded)
            except GapError:  # the copy may have moved on meanwhile
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return
            finally:
                self._log.leave()

    def _catch_up(self, loaded: kept.Loaded) -> None:
        """Apply the log's files after the copy."""
        self._state, self._lineage = loaded.state, loaded.lineage
        first = loaded.through + 1
        there = [number for number in numbers(self._folder) if number >= first]
        if there and there[0] != first:
            raise GapError(
                f"it goes on at file {there[0]}, and {self.path} reaches to {loaded.through}; {PUT_BACK}"
            )
        if there:
            self._log.go_to(first)  # not made anew: another may have removed it just now
        else:
            self._log.begin(first, self._lineage)
        self._state.mark = first
        self._follow()
        while self._log.later:
            log.warning("steps at the end of a file of %s never reached the disk", self._folder)
            self._go_on()
            self._follow()

    def _follow(self) -> None:
        """Apply what was appended since."""
        state = self._state
        while True:
            step: Step | None = None
            for step in self._log.follow():
                if isinstance(step, Begun) and step.lineage != self._lineage:
                    raise GapError(f"it belongs to another ledger than {self.path}; {PUT_BACK}")
                state.apply(step)
            if not isinstance(step, Ended):
                return
            self._go_on()

    def _go_on(self) -> None:
        self._log.go_on()
        self._state.mark = self._log.number
        self._full_at = self._full_bytes

    def _enter(self) -> None:
        """Take the lock and catch up. Raises `StoreUnavailable`."""
        found = self._log
        if self._refusal:
            raise StoreUnavailable(self._refusal)
        found.take()
        try:
            if self._is_lost or found.is_behind:
                self._regain()
        except (OSError, DamagedError, GapError, sqlite3.Error, ConfigError) as failure:
            found.leave()
            raise StoreUnavailable(f"the ledger refuses: {failure}") from failure

    def _regain(self) -> None:
        """Follow what others appended; where that broke off before, or cannot be, from the copy on."""
        must_begin, self._is_lost = self._is_lost, True
        if not must_begin:
            try:
                self._follow()
            except GapError:
                must_begin = True
        if must_begin:
            self._catch_up(self._kept.load())
        self._is_lost = False

    def _put(self, step: Step) -> None:
        """Append a step. Raises `StoreUnavailable`; then nothing happened."""
        try:
            self._log.append(step)
        except OSError as failure:
            raise StoreUnavailable(f"the ledger refuses: {failure}") from failure

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        self._enter()
        try:
            now = self._now()
            found = self._state.weigh(reservation, takes, lease_s, now)
            if not isinstance(found, tuple):
                return found
            granted, step = found
            if step is not None:
                self._put(step)
                self._state.begin(step)
                self._state.tidy(now, self._is_settled)
                if self._log.at > self._full_at:
                    self._turn()
            return granted
        finally:
            self._log.leave()

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        self._enter()
        try:
            found = self._state.open.get(reservation)
            if found is None:
                return False
            if len(amounts) != len(found.written):
                raise ValueError(f"{len(amounts)} amounts for {len(found.written)} takes")
            self._put(Settled(reservation, tuple(amounts)))
            return self._state.settle(reservation, amounts)
        finally:
            self._log.leave()

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        self._enter()
        try:
            return self._state.used(takes, self._now())
        finally:
            self._log.leave()

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended; return their ids. Sends the log to the disk."""
        swept: tuple[str, ...] = ()
        self._enter()
        try:
            for step in self._state.ended(self._now()):
                self._put(step)
                self._state.apply(step)
                if isinstance(step, Swept):
                    swept = step.ids
        finally:
            self._log.leave()
        if not self._log.is_there:
            self._refusal = f"{self._folder} was removed while it was used: the gateway must be restarted"
            log.error("%s", self._refusal)
        self._sync()
        return swept

    def _sync(self) -> None:
        """Have the log reach the disk, where it has grown."""
        grown = (self._log.number, self._log.at)
        if grown != self._synced and (self._syncer is None or not self._syncer.is_alive()):
            self._synced = grown
            self._syncer = _beside(self._log.syncing(), daemon=True)

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        self._enter()
        try:
            step = Reset(tuple(accounts))
            self._put(step)
            self._state.apply(step)
        finally:
            self._log.leave()

    def _turn(self) -> None:
        """Go on in a new file of the log, and have the durable copy brought forward."""
        if self._writer is not None and self._writer.is_alive():
            self._full_at = self._log.at + self._full_bytes // 4
            return
        try:
            reach = self._kept.through()
            self._log.turn(self._lineage)
        except (OSError, sqlite3.Error) as failure:
            self._full_at = self._log.at + self._full_bytes // 4
            log.warning("the ledger's log cannot go on in a new file (%s): this one grows", failure)
            return
        changed = kept.changed_since(self._state, reach)
        through = self._log.number - 1
        self._state.mark, self._full_at = self._log.number, self._full_bytes
        self._writer = _beside(partial(self._write, changed, through), daemon=False)

    def _write(self, changed: kept.Changed, through: int) -> None:
        try:
            forget = self._now() - KEPT_S if self._is_settled() else 0.0
            kept.write(self.path, changed, through, forget)
        except sqlite3.Error as failure:
            log.warning("%s cannot be brought forward (%s): the log keeps everything", self.path, failure)
        else:
            self._log.remove_below(through + 1 - SPARED)

    async def close(self) -> None:
        """Bring the durable copy forward, and let go of the files."""
        if self._refusal == CLOSED:
            return
        self._join()
        try:
            self._enter()
        except StoreUnavailable as failure:
            log.warning(
                "%s is not brought forward (%s): the log keeps everything", self.path, failure.message
            )
        else:
            if not self._log.is_new:
                self._turn()
            self._log.leave()
        self._let_go()

    def _let_go(self) -> None:
        self._refusal = CLOSED
        self._join()
        self._log.close()
        self._kept.close()

    def _join(self) -> None:
        for thread in (self._writer, self._syncer):
            if thread is not None:
                thread.join()


def _beside(work: Callable[[], None], *, daemon: bool) -> threading.Thread | None:
    """Work in a thread; at once where there is none left: what was decided stays decided."""
    thread = threading.Thread(target=work, daemon=daemon)
    try:
        thread.start()
    except RuntimeError:
        work()
        return None
    return thread
