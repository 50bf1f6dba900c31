"""The demo's processes: started, watched, killed and, whatever happens, ended. Floor 7.

Every program of the demo says on stderr where it listens; stderr goes to a file in the demo's folder, which
is read for the address and, if the program fails, for the reason.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.error import HTTPError, URLError

import msgspec

_ADDRESS: Final = re.compile(rb"http://127\.0\.0\.1:\d+")
_POLL_S: Final = 0.01
_START_S: Final = 30.0
_STOP_S: Final = 5.0
_WEB: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment must not stand between programs on one machine."""


class StageError(Exception):
    """A program of the demo did not start, or ended; the message says which and what it said."""


class Program:
    """One process of the demo."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        """Start `python ARGUMENTS`."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = list(arguments)
        self._process = self._start()

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def address(self) -> str:
        """Wait until the program says where it listens. Raises `StageError` when it ends or says nothing."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            found = _ADDRESS.search(self.log.read_bytes())
            if found is not None:
                return found[0].decode()
            if self.status is not None:
                raise StageError(f"{self.name} ended with status {self.status}: {self.last_words()}")
            time.sleep(_POLL_S)
        raise StageError(f"{self.name} did not start within {_START_S:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last line it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def kill(self) -> None:
        """End it the hard way: SIGKILL, no goodbye."""
        self._process.kill()
        self._process.wait()

    def restart(self, arguments: Sequence[str]) -> None:
        """Start it again, with other arguments."""
        self._arguments = list(arguments)
        self._process = self._start()

    def stop(self) -> None:
        """Ask it to end."""
        if self.status is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, and insist on it."""
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603  our own programs
                [sys.executable, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the demo, which then ends them in order
            )


class Stage:
    """All processes; a context manager that leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: dict[str, Program] = {}

    def __enter__(self) -> "Stage":
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The gateway, which was started last, goes first: it writes out its journal.
        for program in reversed(self.programs.values()):
            program.stop()
        for program in reversed(self.programs.values()):
            program.wait()

    def start(self, name: str, *arguments: str) -> Program:
        """Start a program under a name."""
        program = self.programs[name] = Program(name, arguments, self.folder)
        return program


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def get(url: str) -> bytes:
    """Return the body of a 200 answer. Raises `StageError`."""
    return _ask(urllib.request.Request(url))  # noqa: S310  an address of our own


def post(url: str, body: Mapping[str, object]) -> bytes:
    """Send JSON, return the body of a 200 answer. Raises `StageError`."""
    headers = {"content-type": "application/json"}
    return _ask(urllib.request.Request(url, msgspec.json.encode(body), headers))  # noqa: S310


def wait_for(url: str, program: Program) -> None:
    """Wait until an address answers 200. Raises `StageError` when the program ends first."""
    until = time.monotonic() + _START_S
    while True:
        try:
            get(url)
        except StageError as error:
            if program.status is not None or time.monotonic() > until:
                raise StageError(f"{program.name}: {program.last_words()} ({error})") from None
            time.sleep(_POLL_S)
        else:
            return


def _ask(request: urllib.request.Request) -> bytes:
    try:
        with _WEB.open(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except HTTPError as error:
        raise StageError(f"{request.full_url} answered {error.code}: {error.read()[:200]!r}") from None
    except (URLError, OSError) as error:
        raise StageError(f"{request.full_url}: {error}") from None
