"""Layout that says nothing, and lists of like objects as tables. Floor 2.

JSON is never read into values and written again: only white space between its tokens goes, or its own words
are put in another order. Numbers, escapes and repeated keys stay as they were written.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

_BLANK_LINES: Final = re.compile(r"\n{4,}")
_OPENS: Final = re.compile(r"^[{\[]$|^[{\[](?=[\s\"{\[])", re.MULTILINE)
_MOST_PIECES: Final = 32
"""JSON texts looked for inside one text."""
_MOST_DEPTH: Final = 6
"""Levels of JSON at which lists are looked for."""
_LEAST_ROWS: Final = 3
_RAW_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_DICT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROWS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ENCODE: Final = msgspec.json.Encoder().encode


def tidied(text: str) -> str:
    """Return a tool result without layout: JSON in one line, no blank ends or stacks of blank lines."""
    start = text[:64].lstrip()
    if start[:1] in ("{", "["):
        found = minified(text)
        if found is not None:
            return found if len(found) < len(text) else text
    if "\n" not in text:
        return text
    out = _with_inner(text)
    if " \n" in out or "\t\n" in out or out.endswith((" ", "\t")):
        out = _trimmed_ends(out)
    if "\n\n\n\n" in out:
        out = _BLANK_LINES.sub("\n\n\n", out)
    return out if len(out) < len(text) else text


def minified(text: str) -> str | None:
    """Return JSON without white space between its tokens; None where the text is not JSON."""
    try:
        return bytes(msgspec.json.format(text.encode(), indent=-1)).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _trimmed_ends(text: str) -> str:
    # A pattern for blanks before an end of line is quadratic in a long run of blanks.
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")])


def _with_inner(text: str) -> str:
    """Minify JSON that stands in a text from the beginning of one line to the end of another."""
    out: list[str] = []
    at = 0
    for _ in range(_MOST_PIECES):
        found = _OPENS.search(text, at)
        if found is None:
            break
        begin = found.start()
        close = "\n}" if text[begin] == "{" else "\n]"
        end = text.find(close, begin)
        if end < 0:
            break
        piece = minified(text[begin : end + 2])
        out += (text[at:begin], piece if piece is not None else text[begin : end + 2])
        at = end + 2
    return "".join([*out, text[at:]]) if out else text


def tabled(text: str) -> str:
    """Return JSON with its lists of objects of the same keys as `{"columns": […], "rows": [[…]]}`."""
    start = text[:64].lstrip()
    if start[:1] not in ("{", "["):
        return text
    plain = minified(text)
    if plain is None or '},{"' not in plain:
        return text
    try:
        found = _tables(plain.encode(), 0).decode()
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return text
    return found if len(found) < len(text) else text


def _tables(raw: bytes, depth: int) -> bytes:
    if depth >= _MOST_DEPTH or b'},{"' not in raw:
        return raw
    if raw[:1] == b"[":
        table = _table(raw, depth)
        if table is not None:
            return table
        items = [_tables(bytes(item), depth + 1) for item in _RAW_LIST.decode(raw)]
        return b"[" + b",".join(items) + b"]"
    if raw[:1] == b"{":
        return _object(raw, depth)
    return raw


def _object(raw: bytes, depth: int) -> bytes:
    members = _RAW_DICT.decode(raw)
    if _length(members) != len(raw):
        return raw
    pairs = [_ENCODE(key) + b":" + _tables(bytes(value), depth + 1) for key, value in members.items()]
    return b"{" + b",".join(pairs) + b"}"


def _length(members: Mapping[str, msgspec.Raw]) -> int:
    """Return how long an object must be that has these members and no key twice or spelled with escapes."""
    lengths = sum(len(_ENCODE(key)) + len(bytes(value)) + 2 for key, value in members.items())
    return lengths + (1 if members else 2)


def _table(raw: bytes, depth: int) -> bytes | None:
    try:
        rows = _ROWS.decode(raw)
    except msgspec.ValidationError:
        return None
    if len(rows) < _LEAST_ROWS or not rows[0]:
        return None
    names = tuple(rows[0])
    if any(tuple(row) != names for row in rows) or sum(map(_length, rows)) + len(rows) + 1 != len(raw):
        return None
    head = b",".join(_ENCODE(name) for name in names)
    body = b",".join(b"[" + b",".join(_cells(row.values(), depth)) + b"]" for row in rows)
    found = b'{"columns":[' + head + b'],"rows":[' + body + b"]}"
    return found if len(found) < len(raw) else None


def _cells(values: Iterable[msgspec.Raw], depth: int) -> list[bytes]:
    return [_tables(bytes(value), depth + 2) for value in values]
