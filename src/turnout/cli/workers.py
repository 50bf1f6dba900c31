"""Several worker processes on one listening socket. Floor 7.

Theory of operation. The parent binds, forks, and then only waits: it runs no event loop and no thread, so a
fork at any time is safe. A worker that dies is replaced, at most `MAX_RESTARTS` times a minute: a worker that
cannot start must not fill the log for ever. Signals to the parent go on to all workers. When it is told to
stop, the parent closes its own copy of the sockets, so that the port is free of listeners as soon as the
workers have closed theirs. A parent that dies takes with it the write end of the lifeline that workers read.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click

MAX_RESTARTS = 5
"""Deaths per worker and minute that are mended."""
_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_OURS = _STOP | {signal.SIGHUP}


class Supervisor:
    """Forks workers and keeps them running."""

    def __init__(self, n: int, work: Callable[[int], None], sockets: Sequence[socket.socket] = ()) -> None:
        """Prepare.

        Args:
            n: Workers to keep.
            work: What a worker does; takes the read end of its lifeline.
            sockets: What the workers listen on.
        """
        self._n = n
        self._work = work
        self._sockets = sockets
        self._pids: set[int] = set()
        self._stopping = False
        self._given_up = False
        self._deaths: list[float] = []
        self._lifeline, self._held = os.pipe()

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Run until stopped; return the exit status.

        Args:
            on_ready: Called once signals are heard: whoever reads what it tells may send one at once.
        """
        for sig in _OURS:
            signal.signal(sig, self._pass_on)
        if on_ready is not None:
            on_ready()
        for _ in range(self._n):
            self._fork()
        while self._pids:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            self._pids.discard(pid)
            self._forget_metrics(pid)
            if not self._stopping and not self._given_up:
                self._replace(pid, status)
        return 0 if self._stopping else 1

    def _fork(self) -> None:
        # A signal in between would run the parent's handler in a child that is not set up yet.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            return
        status = 1
        try:
            for sig in _STOP:
                signal.signal(sig, signal.SIG_DFL)
            # Until the worker can reload; it reads the file as it is when it starts.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            os.close(self._held)
            from turnout.server.ids import reseed

            reseed()
            self._work(self._lifeline)
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException as error:  # noqa: BLE001  the last frame of a process: told, then gone
            click.echo(f"turnout: worker failed: {type(error).__name__}: {error}", err=True)
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _replace(self, pid: int, status: int) -> None:
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if at > now - 60] + [now]
        click.echo(f"turnout: worker {pid} ended with {os.waitstatus_to_exitcode(status)}", err=True)
        if len(self._deaths) > MAX_RESTARTS * self._n:
            click.echo("turnout: workers keep failing; stopping", err=True)
            self._given_up = True
            for each in self._pids:
                self._kill(each, signal.SIGTERM)
            return
        self._fork()

    def _pass_on(self, sig: int, _frame: object) -> None:
        if sig in _STOP:
            self._stopping = True
            for sock in self._sockets:
                sock.close()
        for pid in tuple(self._pids):
            self._kill(pid, sig)

    def _kill(self, pid: int, sig: int) -> None:
        with suppress(ProcessLookupError):  # reaped a moment ago
            os.kill(pid, sig)

    def _forget_metrics(self, pid: int) -> None:
        from turnout.server.tally import FOLDER, forget

        if (folder := os.environ.get(FOLDER)) is not None:
            forget(Path(folder), pid)
