"""The time that a ledger goes by: a leap of the machine's clock moves it only once it has lasted. Floor 3.

Theory of operation.

1. Besides the wall clock, which anybody may set, a machine counts the seconds since it was started, which
   nobody can. Their difference changes by small steps where time is kept well. A step of more than
   `TOLERATED_S` is a *leap*: until it has lasted for `LASTED_S` this clock goes on as if it had not happened,
   so no rolling window is emptied and no month begun by it. One that comes back before then had no effect.
2. One that lasts is believed: perhaps the clock was wrong before. But for `KEPT_S` after that nothing may be
   forgotten for having run out (`is_settled`): so what a leap of less than that made old is there when the
   clock comes back.
3. The processes of a machine share what they know in a file, as long as it is not started anew. One that is
   started in the middle of a leap so goes by the time that the others go by. Where a machine does not tell
   one start from another, what stands there may be of the one before: then nothing is shared.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from turnout.stores.ledger.base import KEPT_S

TOLERATED_S: Final = 60.0
LASTED_S: Final = 3_600.0
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
log = logging.getLogger("turnout.ledger")


class _Known(Struct, frozen=True):
    """What processes tell each other."""

    boot: str
    """Of the machine, as it was started."""
    offset: float
    """Between the clocks, as it is believed to be."""
    since: float | None
    """When a leap was noticed that is not believed yet, in seconds since the machine was started."""
    believed: float | None
    """When one was believed."""


_READ: Final = msgspec.json.Decoder(_Known).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def settled_by(clock: Callable[[], float]) -> Callable[[], bool]:
    """Return what tells whether something may be forgotten because of what a clock says."""
    return (lambda: clock.is_settled) if isinstance(clock, SteadyClock) else lambda: True


def lived() -> float:
    """Return the seconds since the machine was started, those it slept included where it can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Unix seconds.

    Args:
        path: What the processes of a machine share; None = this one is alone.
        wall: The machine's clock, in Unix seconds.
        lived: Seconds that nobody can set.
    """

    __slots__ = ("_believed", "_boot", "_lived", "_offset", "_path", "_since", "_told", "_wall")

    def __init__(
        self,
        path: Path | None = None,
        wall: Callable[[], float] = time.time,
        lived: Callable[[], float] = lived,
    ) -> None:
        self._wall, self._lived = wall, lived
        self._boot = "" if path is None else _boot()
        self._path = path if self._boot else None
        self._offset = self._told = wall() - lived()
        self._since: float | None = None
        self._believed: float | None = None
        known = self._known()
        if known is None:
            self._tell()
        else:
            self._offset = self._told = known.offset
            self._since, self._believed = known.since, known.believed

    def __call__(self) -> float:
        """Return the time."""
        now, lived = self._wall(), self._lived()
        offset = now - lived
        if not -TOLERATED_S <= offset - self._offset <= TOLERATED_S:
            return self._leapt(offset, lived)
        self._offset = offset
        if self._since is not None:
            self._since = None
            self._tell()
            log.warning("the machine's clock is back")
        elif not -TOLERATED_S <= 2 * (offset - self._told) <= TOLERATED_S:
            self._tell()
        return now

    @property
    def is_settled(self) -> bool:
        """Whether what has run out by this clock truly has: no leap was believed lately."""
        return self._since is None and (self._believed is None or self._lived() - self._believed >= KEPT_S)

    def _leapt(self, offset: float, lived: float) -> float:
        if self._since is None:
            known = self._known()
            if known is not None and abs(offset - known.offset) <= TOLERATED_S:  # another believed it
                self._offset, self._believed = offset, known.believed
                return lived + offset
            self._since = lived if known is None or known.since is None else known.since
            self._tell()
            by = offset - self._offset
            log.warning("the machine's clock leapt by %+.0f s: the ledger follows if that lasts an hour", by)
        if lived - self._since >= LASTED_S:
            self._offset, self._since, self._believed = offset, None, lived
            self._tell()
            log.warning("the ledger goes by the machine's clock again")
        return lived + self._offset

    def _known(self) -> _Known | None:
        if self._path is None:
            return None
        try:
            known = _READ(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        return known if known.boot == self._boot else None

    def _tell(self) -> None:
        self._told = self._offset
        if self._path is None:
            return
        written = self._path.with_name(f"{self._path.name}-{os.getpid()}")
        try:
            written.write_bytes(_ENCODE(_Known(self._boot, self._offset, self._since, self._believed)))
            written.replace(self._path)
        except OSError as failure:
            log.warning(
                "%s cannot be written (%s): other processes notice a leap themselves", written, failure
            )


def _boot() -> str:
    """Return what tells this start of the machine from others; "" = nothing does."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
