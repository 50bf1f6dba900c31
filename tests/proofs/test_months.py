"""What a page costs does not grow with the journal: the same questions about one day, with more behind it.

Counted are steps of SQLite's machine, and plans are read: neither knows how busy the machine is.
"""

import re
import sqlite3
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from urllib.parse import urlencode

import pytest
from benchmarks.journal import load, pages
from benchmarks.journal.records import BEGINS

from tests.server.admin.kit import desked
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside

EVERY = 100
"""Steps between two counts."""
GROWN = 1.25
SLACK = 20_000
MOST = 12_000_000
"""Steps of one answer: some tenths of a second."""
ROUNDS = 3
TABLES = (
    *("records", "usage_minutes", "usage_hours", "usage_days", "sum_hours", "sum_days"),
    *("usage_within_hours", "usage_within_days", "usage_values"),
)
WALKED = re.compile(rf"SCAN ({'|'.join(TABLES)})$")
"""A whole table, without any index."""


class Watch:
    """Counts the steps and keeps the statements of every connection to one file."""

    def __init__(self, path, monkeypatch) -> None:
        self.path, self.steps, self.texts, self._lock = path, 0, set(), threading.Lock()
        self._connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", self.connect)

    def connect(self, path, *args, **more):
        db = self._connect(path, *args, **more)
        if str(path) == str(self.path):
            db.set_progress_handler(self._count, EVERY)
            db.set_trace_callback(self._note)
        return db

    def _count(self):
        with self._lock:
            self.steps += EVERY
        return 0

    def _note(self, text):
        if text.lstrip().upper().startswith(("SELECT", "WITH")):
            self.texts.add(text)

    def plans(self):
        """Return every statement with the lines of its plan."""
        db = self._connect(self.path)
        found = {text: [line[3] for line in db.execute("EXPLAIN QUERY PLAN " + text)] for text in self.texts}
        db.close()
        return found


def loaded(path, days, monkeypatch):
    """Load so many days, as the benchmark does."""
    monkeypatch.setattr(load, "DAYS", days)
    monkeypatch.setattr(load, "TOTAL", load.SLICE * load.A_DAY * days)
    load.sqlite(path)


@asynccontextmanager
async def gateway_over(path, folder):
    folder.mkdir()
    async with desked(folder) as house:
        journal = SpooledJournal(SqliteRows(path, durable=False), spool_beside(path))
        house.rig.built.journal = journal
        try:
            yield house
        finally:
            await journal.close()


async def asked_of(house, watch):
    """Ask everything that every page asks; return the steps of the dearest answer to each."""
    found = {}
    for name, range_, page, chosen in pages.cases():
        rng, span = Random(5), pages.RANGES[range_ or "24h"]
        for _ in range(ROUNDS):
            since, until = (at.isoformat()[:19] + "Z" for at in (pages.UNTIL - span[0], pages.UNTIL))
            asked = page({"since": since, "until": until, **chosen(rng)}, span[1], rng)
            for n, (path, params) in enumerate(asked):
                before = watch.steps
                reply = await house.call("owner", "GET", f"{path}?{urlencode(params)}")
                assert reply.status_code in (200, 404), (path, params, reply.text)
                place = (name, range_, n, re.sub(r"req_\w+", "ID", path))
                found[place] = max(found.get(place, 0), watch.steps - before)
    return found


async def test_a_page_costs_the_same_however_much_came_after(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "UNTIL", BEGINS + timedelta(days=1) - timedelta(hours=7, minutes=23))
    monkeypatch.setattr(pages, "ROUTES", ("assistant",))
    steps, plans = [], {}
    for days in (1, 2):
        path = tmp_path / f"{days}.db"
        loaded(path, days, monkeypatch)
        with pytest.MonkeyPatch.context() as patched:
            watch = Watch(path, patched)
            async with gateway_over(path, tmp_path / f"desk{days}") as house:
                steps.append(await asked_of(house, watch))
        plans |= watch.plans()
    grown = {
        place: (small, steps[1][place])
        for place, small in steps[0].items()
        if steps[1][place] > GROWN * small + SLACK
    }
    assert not grown
    assert not {place: n for place, n in steps[1].items() if n > MOST}
    assert not {text: lines for text, lines in plans.items() if any(map(WALKED.search, lines))}
    assert len(plans) > 100
