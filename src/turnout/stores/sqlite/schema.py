"""The tables of the journal's file, and the parts that came later. Floor 3."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from turnout.stores.sqlite import spend
from turnout.stores.sums import sqlite as sums
from turnout.stores.sums import usage_sqlite as usage
from turnout.stores.sums import values_sqlite, within_sqlite

SCHEMA_VERSION: Final = 1
OPENING: Final = (
    # Larger pages hold several Records each: 40 % less CPU per row and 20 % less disk than 4 KiB.
    "PRAGMA page_size = 16384",
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 1000",
)
SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)",
    """CREATE TABLE records (
        seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL,
        model TEXT, provider TEXT, route TEXT, strategy TEXT, error TEXT,
        cost_nusd INTEGER, n_input INTEGER, n_output INTEGER, ttft_s REAL, total_s REAL,
        project TEXT, principal TEXT, n_attempts INTEGER, n_fallbacks INTEGER, record BLOB NOT NULL)""",
    # Numbers are never used twice, even when every row was deleted: followers remember them.
    # AUTOINCREMENT promises the same at 2 µs per row.
    "CREATE TABLE last_seq (value INTEGER NOT NULL)",
    "INSERT INTO last_seq VALUES (0)",
    "CREATE INDEX records_at ON records (at_us)",
    "CREATE INDEX records_model ON records (model, at_us)",
    "CREATE INDEX records_provider ON records (provider, at_us)",
    "CREATE INDEX records_route ON records (route, at_us)",
    # Failures are few: one index in order of time serves every class of them.
    "CREATE INDEX records_error ON records (at_us, seq, error) WHERE error IS NOT NULL",
    "CREATE TABLE unreadable (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL UNIQUE)",
    "INSERT INTO turnout_schema (part, version) VALUES ('journal', 1)",
)
INDEXES: Final = (
    # With the cost, so that the dearest of a customer are found without reading its rows.
    """CREATE INDEX records_customer ON records (customer, at_us, cost_nusd) WHERE customer IS NOT NULL""",
    # Whole: retention asks for the rows of no project too.
    "CREATE INDEX records_project ON records (project, at_us)",
    "CREATE INDEX records_team ON records (team, at_us) WHERE team IS NOT NULL",
    # By the day, so that new rows go to one place of it; of a range the dearest of each day are looked at.
    """CREATE INDEX records_dearest ON records (at_us / 86400000000, cost_nusd)
        WHERE cost_nusd IS NOT NULL""",
    # Rows of before may hold text: nobody noted it.
    "CREATE INDEX records_text ON records (project, at_us) WHERE has_text IS NOT 0",
)
_OWNERS: Final = ("organisation", "team", "principal", "customer")
# What months of Records are asked: each index answers without the rows (docs/adr/124-months-of-records.md).
# Names are kept, so that an older Turnout finds the indexes that it names.
COVERING: Final = (
    # Failures are few: who had them stands beside them, and who has many of the others finds its own at once.
    "DROP INDEX records_error",
    """CREATE INDEX records_error ON records (at_us, seq, error, organisation, project, team, principal,
        customer, route, model, provider) WHERE error IS NOT NULL""",
    *(
        f"""CREATE INDEX records_failed_{name} ON records ({name}, at_us, error)
        WHERE error IS NOT NULL AND {name} IS NOT NULL"""
        for name in ("organisation", "principal", "customer")
    ),
    # By day, provider and model, on which the cost depends most: each part is left early by itself.
    "DROP INDEX records_dearest",
    """CREATE INDEX records_dearest ON records (at_us / 86400000000, provider, model, cost_nusd)
        WHERE cost_nusd IS NOT NULL""",
    # With the cost: the dearest of somebody are found without reading the rows.
    *(
        text
        for name, where in (
            *(("project", ""), ("route", "")),
            *(
                (each, f" WHERE {each} IS NOT NULL")
                for each in ("organisation", "team", "principal", "customer")
            ),
        )
        for text in (
            f"DROP INDEX records_{name}",
            f"CREATE INDEX records_{name} ON records ({name}, at_us, seq, cost_nusd){where}",
        )
    ),
)
# Parts that came later: columns with nothing in them and tables of their own, so that an older Turnout reads
# and writes the file as it did (docs/adr/060-sums-beside-records.md). Each part is added once.
LATER: Final[Mapping[str, tuple[str, ...]]] = {
    "journal.sums": (
        "ALTER TABLE records ADD COLUMN organisation TEXT",
        "ALTER TABLE records ADD COLUMN team TEXT",
        "ALTER TABLE records ADD COLUMN customer TEXT",
        "ALTER TABLE records ADD COLUMN tags TEXT",
        "CREATE INDEX records_organisation ON records (organisation, at_us) WHERE organisation IS NOT NULL",
        "CREATE INDEX records_principal ON records (principal, at_us) WHERE principal IS NOT NULL",
        *sums.SCHEMA,
        *sums.BACKFILL,
    ),
    "journal.usage": ("ALTER TABLE records ADD COLUMN has_text INTEGER", *INDEXES, *usage.SCHEMA),
    "journal.months": (*COVERING, *usage.WORDS_SCHEMA),
    "journal.spend": spend.SCHEMA,
    "journal.cubes": usage.LATER_SCHEMA,
    # How often somebody became nobody: whoever remembers names or their numbers forgets them then.
    "journal.erasures": (
        "CREATE TABLE records_erasures (n INTEGER NOT NULL)",
        "INSERT INTO records_erasures VALUES (0)",
    ),
    # Who asked each model, and which names hold which words (docs/adr/136-one-model-of-many.md).
    "journal.within": (*within_sqlite.SCHEMA, *values_sqlite.SCHEMA),
}
NOTE_PART: Final = "INSERT INTO turnout_schema (part, version) VALUES (?, 1)"
# Not OR IGNORE, which would also skip in silence a row that breaks any other constraint.
INSERT: Final = """INSERT INTO records (seq, request_id, at_us, model, provider, route, strategy, error,
    cost_nusd, n_input, n_output, ttft_s, total_s, project, principal, n_attempts, n_fallbacks, record,
    organisation, team, customer, tags, has_text)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (request_id) DO NOTHING"""
NUMBER: Final = "UPDATE last_seq SET value = value + ? RETURNING value"
NEW: Final = "SELECT seq FROM records WHERE seq >= ?"
WORDS: Final = usage.WORDS
REMOVE_WORDS: Final = f"INSERT INTO {WORDS} ({WORDS}, rowid, words) VALUES ('delete', ?, ?)"  # noqa: S608  constants


def version_of(db: sqlite3.Connection, part: str = "journal") -> int:
    """Return the schema version of a part in this file; 0 = there is none yet."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'turnout_schema'").fetchone():
        return 0
    row = db.execute("SELECT version FROM turnout_schema WHERE part = ?", (part,)).fetchone()
    return int(row[0]) if row else 0
