"""Our own defects in the log: where, never with what (S-64). Floor 6."""

import logging
import traceback
from pathlib import Path

log = logging.getLogger("turnout.server")
_MOST_PLACES = 12
"""Innermost frames that are told."""


class WireLog:
    """The logger of connections, as uvicorn uses one: what a client sends is no event, and text stays out."""

    level = logging.CRITICAL

    def log(self, level: int, message: str, *args: object) -> None:
        """Log what happens on a connection."""
        log.log(level, message, *args)

    def warning(self, message: str, *args: object) -> None:
        """Note what a client did wrong; anybody can do it as often as they like."""
        log.debug(message, *args)

    def error(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log a defect by its class and place."""
        if exc_info is None:
            log.error(message.strip(), *args)
        else:
            log.error("%s: %s at %s", message.strip(), type(exc_info).__name__, places(exc_info))


def note_defect(request_id: str, error: BaseException) -> None:
    """Log a defect by its class and the places it came through.

    Not by its message: that may quote what was being worked on, which is a prompt as often as not.
    """
    log.error("defect while serving %s: %s at %s", request_id, type(error).__name__, places(error))


def places(error: BaseException) -> str:
    """Return the innermost places of an error's trace, as `file:line function`, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
