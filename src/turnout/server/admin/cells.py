"""Tables as CSV and JSON lines, safe to open in a spreadsheet (S-37). Floor 6."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from turnout.types.json import Json

_FORMULA: Final = frozenset("=+-@\t\r\n")
"""Beginnings by which a spreadsheet takes a cell for a formula."""
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")


def cell(value: Json) -> str:
    """Write one cell: text that a spreadsheet would run gets an apostrophe in front."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            runs = value[:1] in _FORMULA and value and not _NUMBER.fullmatch(value)
            return f"'{value}" if runs else value
        case _:
            return msgspec.json.encode(value).decode()


def csv_rows(rows: Iterable[Sequence[Json]]) -> bytes:
    """Write rows as CSV (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def json_lines(rows: Iterable[Json]) -> bytes:
    """Write one JSON value a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
