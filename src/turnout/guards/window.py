"""A text that grows, handed out so late that nothing found in it leaves in two halves. Floor 2.

Theory of operation.

1. What is held back is at least `width` characters, the longest finding of the guards that look at it, and
   at most `STEP` more: it is looked at again only when that much has come.
2. A finding that crosses the line is held back from its start, as it may go on growing, up to `MOST`
   characters.
3. `KEPT` characters that were handed out are looked at again with what follows: some findings need a word
   that stands before them. What was handed out is never changed.
"""

from collections.abc import Callable, Iterable
from typing import Final

from turnout.guards.base import Finding

STEP: Final = 32
KEPT: Final = 48
MOST: Final = 16_384

Find = Callable[[str], Iterable[Finding]]
Act = Callable[[Finding, str], str | None]
"""Told about a finding and its text; returns what stands there instead, or None to leave it."""


class Window:
    """Hands out a growing text."""

    __slots__ = ("_act", "_before", "_due", "_find", "_held", "_width")

    def __init__(self, width: int, find: Find, act: Act) -> None:
        self._width = width
        self._find = find
        self._act = act
        self._before = ""
        self._held = ""
        self._due = width + STEP

    def feed(self, text: str, *, last: bool = False) -> str:
        """Take more text; return what can be handed out: all that is left when it was the last."""
        self._held += text
        if not last and len(self._held) < self._due:
            return ""
        if not self._held:
            return ""
        look, n_before = self._before + self._held, len(self._before)
        found = [each for each in self._find(look) if each.end > n_before]
        cut = len(look) if last else self._line(found, look, n_before)
        out = self._edited(look, n_before, cut, found)
        self._before, self._held = look[max(0, cut - KEPT) : cut], look[cut:]
        self._due = len(self._held) + STEP if len(self._held) > self._width else self._width + STEP
        return out

    def _line(self, found: Iterable[Finding], look: str, n_before: int) -> int:
        cut = max(n_before, len(look) - self._width)
        for each in found:
            if each.start < cut < each.end or (each.start < cut and each.end == len(look)):
                cut = max(n_before, each.start)
                break
        return len(look) if len(look) - cut > MOST else cut

    def _edited(self, look: str, start: int, cut: int, found: Iterable[Finding]) -> str:
        parts: list[str] = []
        for each in found:
            if each.start >= cut:
                break
            begin, end = max(start, each.start), min(each.end, cut)
            instead = self._act(each, look[begin:end])
            if instead is not None:
                parts += (look[start:begin], instead)
                start = end
        parts.append(look[start:cut])
        return "".join(parts)
