"""Leaks of the system prompt: tokens planted in it, and long stretches of its own words. Floor 2."""

import re
from typing import ClassVar

from msgspec import Struct

from turnout.guards.base import Context, Finding, Stage, apart

MOST: int = 65_536
"""Characters of a system prompt that are looked for."""
_WORD = re.compile(r"\w+")


class Canary(Struct, frozen=True, kw_only=True, tag_field="type", tag="canary"):
    """Finds what only the system prompt holds, in an answer."""

    tokens: tuple[str, ...] = ()
    """Strings that you planted in system prompts."""
    n_words: int = 12
    """So many words in the order of the system prompt are a leak; 0 = only tokens are looked for."""

    stages: ClassVar[frozenset[Stage]] = frozenset(("out",))
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if any(len(token) < 8 for token in self.tokens):
            raise ValueError("tokens: expected at least 8 characters each, or they are found by chance")
        if self.n_words and not 5 <= self.n_words <= 50:
            raise ValueError(f"n_words is {self.n_words}; expected 0, or 5 to 50")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "canary"

    @property
    def hold_back(self) -> int:
        """Characters of the longest token, or of as many words as make a leak."""
        return max([self.n_words * 16, *map(len, self.tokens)])

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the leaks."""
        found = [
            Finding(match.start(), match.end(), "canary_token")
            for token in self.tokens
            for match in re.finditer(re.escape(token), text)
        ]
        if self.n_words and context.system:
            found += _copied(text, context.system[:MOST], self.n_words)
        return apart(found)


def _copied(text: str, system: str, n: int) -> list[Finding]:
    words = _WORD.findall(system.lower())
    known = {hash(tuple(words[at : at + n])) for at in range(len(words) - n + 1)}
    places = list(_WORD.finditer(text))
    said = [match[0].lower() for match in places]
    found: list[Finding] = []
    for at in range(len(said) - n + 1):
        if hash(tuple(said[at : at + n])) in known:
            start, end = places[at].start(), places[at + n - 1].end()
            if found and start <= found[-1].end:
                found[-1] = Finding(found[-1].start, end, "system_prompt")
            else:
                found.append(Finding(start, end, "system_prompt"))
    return found
