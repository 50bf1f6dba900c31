"""Our own defects in the log: where, never with what (S-64). Floor 6."""

import logging
import traceback
from pathlib import Path

log = logging.getLogger("turnout.server")
_MOST_PLACES = 12
"""Innermost frames that are told."""


def note_defect(request_id: str, error: BaseException) -> None:
    """Log a defect by its class and the places it came through.

    Not by its message: that may quote what was being worked on, which is a prompt as often as not.
    """
    log.error("defect while serving %s: %s at %s", request_id, type(error).__name__, places(error))


def places(error: BaseException) -> str:
    """Return the innermost places of an error's trace, as `file:line function`, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
