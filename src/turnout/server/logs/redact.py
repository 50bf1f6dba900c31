"""Takes credentials out of what is to be logged. Floor 6.

The first defence is that nothing puts one in (S-64). This is the second: every configured secret by its
value, and whatever has the form of a credential.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from turnout.guards.base import USER
from turnout.guards.secrets.scan import LONGEST, Secrets
from turnout.types.address import Address
from turnout.types.secret import Secret

MASK = "***"
MOST = 2000
"""Characters of a message that are kept."""
_SHORTEST = 6
"""A shorter secret would be found in ordinary words."""
_OURS = re.compile(r"\b(?:tn|sk|pk|rk)[-_][A-Za-z0-9_-]{8,}|(?i:\b(bearer|basic) +)[A-Za-z0-9+/=._~-]{8,}")


class Redactor:
    """Masks credentials."""

    __slots__ = ("_known", "_shapes")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, values))) if values else None
        self._shapes = Secrets()

    def __call__(self, text: str) -> str:
        """Return a text without credentials, cut to what a line may hold."""
        text = text[: MOST + LONGEST]  # longer than what is kept, so that none is cut in two
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for found in reversed(self._shapes.check(text, USER)):
            text = text[: found.start] + MASK + text[found.end :]
        return _OURS.sub(_masked, text)[:MOST]


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]} {MASK}" if found[1] else MASK


def secrets_in(value: object) -> Iterator[str]:
    """Yield every secret that stands in a configuration."""
    left = [value]  # a list and no generators in each other: tens of thousands of values are looked at
    while left:
        value = left.pop()
        if value is None or isinstance(value, str | int | float):
            continue
        if isinstance(value, msgspec.Struct):
            left += [getattr(value, name) for name in value.__struct_fields__]
        elif isinstance(value, tuple | list | frozenset):
            left += value
        elif isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, Secret):
            yield value.reveal()
        elif isinstance(value, Address) and value.is_url and (password := urlsplit(value.reveal()).password):
            yield password
