"""`POST /admin/benchmarks`: own scores by API, in force with the next configuration version. Floor 6.

Theory of operation.

1. The body is a file of scores, read by the one validator of such files: every faulty row is told, and then
   none is taken.
2. What was taken in before stays, row by row, unless the body holds the same model and benchmark again. The
   whole is written beside the file and moved in place, so that a killed process leaves the old or the new.
3. Then the configuration is compiled again. If that fails, the file becomes what it was. Other workers see
   the file change and do the same.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from turnout.build import Built
from turnout.catalog.benchmarks import Score, read_scores
from turnout.errors import ConfigError, Forbidden, InvalidRequest, NotFound
from turnout.types.principal import Principal

TYPES = frozenset({"text/csv", "application/json", "application/jsonl", "application/x-ndjson"})
"""What a page in a browser cannot send here without asking first."""
LOCAL = frozenset({"127.0.0.1", "::1"})
_WHERE = "body"

_line = msgspec.json.Encoder().encode


def check_admin(principal: Principal, address: str) -> None:
    """Let a key of the installation's admin pass, and without keys whoever is on this machine.

    Scores are everybody's: an admin of one organisation does not change them. Raises `Forbidden`.
    """
    if principal.role in ("admin", "owner") and principal.organisation is None:
        return
    if principal.key_id is None and address in LOCAL:
        return
    if principal.key_id is None:
        raise Forbidden("without keys this can be done only from the machine itself")
    raise Forbidden("this key may not change what the gateway knows; give it role: admin")


def check_type(content_type: str) -> None:
    """Refuse what is not declared as a file of scores. Raises `InvalidRequest`."""
    if content_type.partition(";")[0].strip().lower() not in TYPES:
        raise InvalidRequest("content-type must be text/csv or application/jsonl", param="content-type")


class ScoresFile:
    """Where imported scores are kept, and what puts them in force."""

    __slots__ = ("_built", "_seen")

    def __init__(self, built: Built) -> None:
        self._built = built
        self._seen = self._stamp()

    def changed(self) -> bool:
        """Tell, once, that the file is not the one this process knows."""
        stamp = self._stamp()
        seen, self._seen = self._seen, stamp
        return stamp != seen

    def take(self, data: bytes) -> bytes:
        """Take in a file of scores and put them in force; return what was done as JSON.

        Raises:
            InvalidRequest: A row is faulty, or a route cannot work with the scores; nothing was changed.
            NotFound: No place to keep them is configured.
        """
        path = self._path()
        if path is None:
            raise NotFound(
                "importing scores is off at this gateway; its operator can set benchmarks.import_path"
            )
        try:
            rows = read_scores(data, _WHERE)
            before = path.read_bytes() if path.exists() else None
            text = _merged(before, rows, str(path))
            _replace(path, text)
            try:
                self._built.reload(self._built.config)
            except ConfigError:
                _replace(path, before) if before is not None else path.unlink()
                raise
        except ConfigError as error:
            told = "\n".join(error.problems)
            raise InvalidRequest(f"nothing was taken in:\n{told}", code="faulty_scores") from None
        finally:
            self._seen = self._stamp()
        done: Mapping[str, object] = {
            "object": "benchmarks.import",
            "n_scores": len(rows),
            "models": sorted({row.model for row in rows}),
            "benchmarks": sorted({row.benchmark for row in rows}),
            "config_version": self._built.engine.snapshot.version,
        }
        return msgspec.json.encode(done)

    def _path(self) -> Path | None:
        name = self._built.config.benchmarks.import_path
        return None if name is None else Path(name)

    def _stamp(self) -> tuple[int, int]:
        path = self._path()
        with suppress(OSError):
            if path is not None:
                stat = path.stat()
                return stat.st_mtime_ns, stat.st_size
        return 0, 0


def takes_scores(scores: ScoresFile | None) -> ScoresFile:
    """Return what takes in scores. Raises `NotFound` where nothing does."""
    if scores is None:
        raise NotFound("importing scores is off at this gateway")
    return scores


def _merged(before: bytes | None, rows: tuple[Score, ...], where: str) -> bytes:
    """Return the file with these rows in it, checked as a whole. Raises `ConfigError`."""
    kept = {_key(row): row for row in (read_scores(before, where) if before else ())}
    kept.update((_key(row), row) for row in rows)
    text = b"".join(_line(row) + b"\n" for row in kept.values())
    read_scores(text, where)
    return text


def _key(row: Score) -> tuple[str, str]:
    return row.model.strip().casefold(), row.benchmark


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
