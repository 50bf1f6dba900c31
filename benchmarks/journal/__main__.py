"""Loads journals and times what dashboard and admin API ask of them.

python -m benchmarks.journal load --sqlite /tmp/journal.db
python -m benchmarks.journal load --postgres postgres://turnout@127.0.0.1:5490/turnout
python -m benchmarks.journal ask --sqlite /tmp/journal.db
python -m benchmarks.journal pages --sqlite /tmp/journal.db     # what the dashboard's pages cost a gateway
python -m benchmarks.journal insert            # what the batch writer costs, per Record

`--out FILE` keeps the rows of `ask` and `pages` as JSON, with machine, date and versions.
"""

import argparse
import json
import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.journal import ask, insert, load, pages
from benchmarks.journal.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(description="Ten million Records.")
    parser.add_argument("what", choices=("load", "ask", "pages", "insert"))
    parser.add_argument("--sqlite", type=Path)
    parser.add_argument("--postgres")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.what == "insert":
        insert.report(given.postgres)
    elif given.what == "load":
        if given.sqlite:
            print(f"SQLite: {load.sqlite(given.sqlite):.0f} s")
        if given.postgres:
            print(f"PostgreSQL: {load.postgres(given.postgres):.0f} s")
    else:
        report = ask.report if given.what == "ask" else pages.report
        rows = report(given.sqlite, given.postgres, given.rounds)
        if given.out:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(
                json.dumps({**about(given.what, given.rounds, given.postgres), "rows": rows}, indent=1) + "\n"
            )


def about(what: str, rounds: int, postgres: str | None) -> dict[str, object]:
    """Return what a result says of itself."""
    server = Server(postgres)
    settings = server.settings()
    server.close()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {
        "command": f"python -m benchmarks.journal {what} --rounds {rounds}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": load.TOTAL,
        "machine": {"cpu": cpu, "system": platform.platform()},
        "load": os.getloadavg(),
        "settings": settings,
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
    }


main()
