"""Endpoints of reports that `turnout eval` and `turnout calibrate` wrote. Floor 6.

A report is read from one folder, by a name without any path in it; what a link leads out of the folder to is
not read.
"""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from turnout.errors import NotFound
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.types.json import Json

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_LISTED: Final = 500
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}")
_SUFFIX: Final = ".json"


def _folder(call: Call) -> Path | None:
    name = call.built.config.evaluate.reports
    return None if name is None else Path(name)


async def _list(call: Call) -> Given:
    folder = _folder(call)
    rows = [] if folder is None else await asyncio.to_thread(reports_in, folder)
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


def reports_in(folder: Path) -> list[Json]:
    """Return the reports of a folder, newest first."""
    found: list[tuple[float, Json]] = []
    try:
        paths = list(folder.glob(f"*{_SUFFIX}"))
    except OSError:
        return []
    for path in paths:
        if not _NAME.fullmatch(path.stem) or not _is_inside(path, folder):
            continue
        stat = path.stat()
        at = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        row: Json = {"object": "evaluation", "id": path.stem, "at": at, "bytes": stat.st_size}
        found.append((stat.st_mtime, row))
    found.sort(key=lambda each: each[0], reverse=True)
    return [row for _, row in found[:MOST_LISTED]]


async def _read(call: Call) -> Given:
    folder = _folder(call)
    report = None if folder is None else await asyncio.to_thread(read_report, folder, call.id)
    if report is None:
        raise NotFound(f"there is no report {call.id[:64]!r}")
    return Given(body={"object": "evaluation", "id": call.id, "report": report})


def read_report(folder: Path, name: str) -> Json:
    """Return one report; None where there is none, or it is no JSON object of a readable size."""
    path = folder / f"{name}{_SUFFIX}"
    if not _NAME.fullmatch(name) or not _is_inside(path, folder):
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        found: Json = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, dict) else None


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.is_file() and path.resolve().parent == folder.resolve()
    except OSError:
        return False


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/evaluations", serve=_list, summary="Reports of measurements"),
    Endpoint(method="GET", path="/evaluations/{id}", serve=_read, summary="One report"),
)
