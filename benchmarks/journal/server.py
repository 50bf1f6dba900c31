"""What a PostgreSQL on this machine spends on questions, and how it is set."""

from contextlib import suppress

import psycopg

from benchmarks.machine import cpu_ns

_PIDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'turnout'"
_SETTINGS = """SELECT name, current_setting(name) FROM pg_settings
    WHERE source IN ('configuration file', 'command line') AND category !~ 'File|Locale|Connection|Reporting'
    AND name !~ 'directory|_file|log|lc_|time' ORDER BY name"""


class Server:
    """A server that is looked at beside the questions; without a URL there is none."""

    def __init__(self, url: str | None) -> None:
        self._db = None if url is None else psycopg.connect(url, autocommit=True)

    def cpu_ns(self) -> dict[int, int]:
        """Return what each process that serves Turnout has used."""
        found: dict[int, int] = {}
        for (pid,) in [] if self._db is None else self._db.execute(_PIDS).fetchall():
            with suppress(OSError):  # it ended, or is on another machine
                found[pid] = cpu_ns(pid)
        return found

    def settings(self) -> dict[str, str]:
        """Return what differs from a new cluster."""
        return {} if self._db is None else dict(self._db.execute(_SETTINGS).fetchall())

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def spent_ms(before: dict[int, int], after: dict[int, int]) -> float:
    """Return what was used in between; by those that came, all they used."""
    return sum(used - before.get(pid, 0) for pid, used in after.items()) / 1e6
