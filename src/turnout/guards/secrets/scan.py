"""Finds credentials. Floor 2.

Theory of operation.

1. `str.find` looks for the fixed strings of all rows; only where one stands is a regular expression tried,
   from there. A text without them costs a few microseconds a kilobyte.
2. What stands around a credential must not go on with its own characters: a key is a whole word.
3. Documentation is full of keys that are none. What says so itself (`EXAMPLE`, one character again and
   again, a name in braces) is left alone.
"""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from msgspec import Struct

from turnout.guards.base import BOTH, Context, Finding, Stage, plain
from turnout.guards.secrets.patterns import ROWS, Row

LONGEST: Final = 512
"""Longest credential but for keys in PEM and signed tokens: those are held back while they grow."""
FURTHEST: Final = 8_200
"""Characters after an anchor that a form may take: a key of 8,192 bits in PEM fits."""
_SHAM: Final = re.compile(
    r"EXAMPLE|example|xxxx|XXXX|\*{3}|\.{3}|<|your[_-]|YOUR[_-]|12345678|abcdefgh|(.)\1{9}|placeholder|changeme"
)
_KNOWN: Final = frozenset(("private_key", "pgp_private_key"))
"""Kinds whose very form says what they are: nothing in them makes them a sham."""
_SHAM_PASSWORDS: Final = frozenset(
    ("password", "pass", "passwd", "pwd", "secret", "postgres", "user", "root", "test")
)

_FORMS: Final = tuple(
    (row, re.compile(rf"(?<![A-Za-z0-9_-])(?:{row.form})(?![A-Za-z0-9_]|-[A-Za-z0-9])", re.ASCII))
    for row in ROWS
)


class Secrets(Struct, frozen=True, kw_only=True, tag_field="type", tag="secrets"):
    """Finds credentials by prefix and structure."""

    ignore: frozenset[str] = frozenset()
    """Kinds that are let through, such as `stripe_test_key`."""

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Word for Records."""
        return "secrets"

    @property
    def hold_back(self) -> int:
        """Characters of all but the longest credentials."""
        return LONGEST

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the credentials found."""
        shown = plain(text)
        return shown.back(_found(shown.text, self.ignore))


def _found(text: str, ignore: frozenset[str]) -> Iterator[Finding]:
    for row, form in _FORMS:
        if row.kind not in ignore:
            for anchor in row.anchors:
                if anchor in text:
                    yield from _at(text, row, form, anchor)


def _at(text: str, row: Row, form: re.Pattern[str], anchor: str) -> Iterator[Finding]:
    at = text.find(anchor)
    while at >= 0:
        following = at + len(anchor)
        match = _match(text, row, form, at)
        if match is not None and (row.kind in _KNOWN or not _is_sham(row.kind, match[0])):
            yield Finding(match.start(), match.end(), row.kind)
            following = max(following, match.end())
        at = text.find(anchor, following)


def _match(text: str, row: Row, form: re.Pattern[str], at: int) -> re.Match[str] | None:
    for start in range(max(0, at - row.lead), at + 1):
        match = form.match(text, start, at + FURTHEST)
        if match is not None and match.end() > at:
            return match
    return None


def _is_sham(kind: str, value: str) -> bool:
    if kind == "url_password":
        password = value.partition("://")[2].partition("@")[0].partition(":")[2]
        return password.lower() in _SHAM_PASSWORDS or _SHAM.search(value) is not None
    return _SHAM.search(value) is not None
