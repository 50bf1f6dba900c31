"""The journal's rows in one SQLite file. Floor 3."""

from turnout.stores.sqlite.rows import Check, SqliteRows, spool_beside
from turnout.stores.sqlite.schema import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Check", "SqliteRows", "spool_beside"]
