"""Takes what the process logs, and hands it to every sink as a redacted line. Floor 6.

Theory of operation.
1. Messages of our own loggers are written so that they hold no text of a request; they pass the redactor all
   the same. Of anybody else's loggers only the template of a message is taken, up to its first line: what is
   put into it may be anything.
2. Of an error that is logged its class and the places it came through are told, never its message (S-64).
3. A line written while a request is served carries its id: the `Visit` leaves it in a context variable.
4. Sinks never block and never raise: they have queues, and count what they drop.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from turnout.server.defects import places
from turnout.server.ids import CURRENT
from turnout.server.logs.line import Line, Told
from turnout.server.logs.sinks import Threaded

OURS = "turnout"


class Sink(Protocol):
    """Takes lines without waiting."""

    def put(self, line: Told) -> None:
        """Take a line, or drop and count it."""
        ...


class Intake(logging.Handler):
    """The handler of the process's log."""

    def __init__(self, sinks: Sequence[Sink], redact: Callable[[str], str]) -> None:
        super().__init__()
        self._sinks = sinks
        self._redact = redact

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to every sink."""
        error = record.exc_info[1] if record.exc_info else None
        self.put(
            Line(
                at=record.created,
                level=record.levelname.lower(),
                logger=record.name,
                message=self._redact(_message(record)),
                request_id=CURRENT.get(),
                error=None if error is None else type(error).__name__,
                places=None if error is None else places(error),
            )
        )

    def flush(self) -> None:
        """Wait until the streams and files of this machine have what was put, for a short while."""
        for sink in self._sinks:
            if isinstance(sink, Threaded):
                sink.flush()

    def put(self, line: Told) -> None:
        """Hand a line to every sink."""
        for sink in self._sinks:
            sink.put(line)


def _message(record: logging.LogRecord) -> str:
    if record.name == OURS or record.name.startswith(f"{OURS}."):
        try:
            return record.getMessage()
        except (TypeError, ValueError):
            return str(record.msg)
    return str(record.msg).strip().partition("\n")[0] if isinstance(record.msg, str) else record.name


def installed(intake: Intake) -> Callable[[], None]:
    """Let the whole process log there; return what puts back the handlers that were there before."""
    root = logging.getLogger()
    before = list(root.handlers)
    for each in before:
        root.removeHandler(each)
    root.addHandler(intake)

    def put_back() -> None:
        root.removeHandler(intake)
        for each in before:
            root.addHandler(each)

    return put_back
