"""Loads journals and times what dashboard and admin API ask of them.

python -m benchmarks.journal load --sqlite /tmp/journal.db
python -m benchmarks.journal load --postgres postgres://turnout@127.0.0.1:5490/turnout
python -m benchmarks.journal ask --sqlite /tmp/journal.db
python -m benchmarks.journal insert            # what the batch writer costs, per Record
"""

import argparse
from pathlib import Path

from benchmarks.journal import ask, insert, load


def main() -> None:
    parser = argparse.ArgumentParser(description="Ten million Records.")
    parser.add_argument("what", choices=("load", "ask", "insert"))
    parser.add_argument("--sqlite", type=Path)
    parser.add_argument("--postgres")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    if given.what == "insert":
        insert.report(given.postgres)
    elif given.what == "load":
        if given.sqlite:
            print(f"SQLite: {load.sqlite(given.sqlite):.0f} s")
        if given.postgres:
            print(f"PostgreSQL: {load.postgres(given.postgres):.0f} s")
    else:
        ask.report(given.sqlite, given.postgres, given.rounds)


main()
