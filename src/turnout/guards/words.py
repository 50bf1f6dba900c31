"""Words and phrases of your own: topics that are no business here, names that must not leave. Floor 2."""

import re
from functools import lru_cache
from typing import ClassVar

from msgspec import Struct

from turnout.guards.base import BOTH, Context, Finding, Stage, plain


class Words(Struct, frozen=True, kw_only=True, tag_field="type", tag="words"):
    """Finds whole words and phrases, whatever their case."""

    words: tuple[str, ...]
    kind: str = "word"
    """What a finding is called in Records."""

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.words or not all(each.strip() for each in self.words) or len(self.words) > 10_000:
            raise ValueError("words: expected 1 to 10,000 words or phrases, none of them empty")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", self.kind):
            raise ValueError("kind: expected lower-case letters, digits and _")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "words"

    @property
    def hold_back(self) -> int:
        """Characters of the longest phrase, with room for wider spaces."""
        return 2 * max(map(len, self.words)) + 8

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return where they stand."""
        shown = plain(text)
        found = _pattern(self.words).finditer(shown.text)
        return shown.back(Finding(match.start(), match.end(), self.kind) for match in found)


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    forms = "|".join(r"\s{1,4}".join(map(re.escape, each.split())) for each in longest_first)
    return re.compile(rf"(?<!\w)(?:{forms})(?!\w)", re.IGNORECASE)
