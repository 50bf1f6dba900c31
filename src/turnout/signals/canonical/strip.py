"""Takes a harness's wrappers off a text, in time linear in its length. Floor 2.

Theory of operation.
1. Texts come from anyone: an opening tag without its end must not cost a scan to the end of the text per
   tag. Openings are found in one pass; the end of a tag is looked for from there on, and a tag name whose
   end was missed once is not looked for again.
2. A wrapper inside a wrapper goes with the outer one. An end before its opening is text.
3. What a `keep` tag encloses is the user's: where there is one, the rest is dropped. Tags inside it are
   looked at once more and no deeper, so that nesting costs no recursion.
"""

import re
from typing import Final

from turnout.signals.canonical.wrappers import MIN_RUN, words

_DROP: Final = frozenset(words("drop"))
_WHOLE: Final = frozenset(words("whole"))
_KEEP: Final = frozenset(words("keep")) | _WHOLE
_WHOLE_OPENINGS: Final = tuple(f"<{name}" for name in sorted(_WHOLE))
_OPEN: Final = re.compile(
    f"<({'|'.join(sorted(map(re.escape, _DROP | _KEEP), key=len, reverse=True))})(?=[\\s>])[^<>]{{0,512}}>"
)
_MESSAGES: Final = words("message")
_LINE: Final = re.compile("|".join(words("lines")))
_LISTING_SIGNS: Final = (("─", "──"), ("|", "|--"), ("`", "`--"), ("+", "+---"), ("w", "rw"))
"""What every listing holds, behind a character of it: one character is found sooner than a string."""


def strip(text: str) -> str:
    """Return what is left of a text when recognised wrappers are gone; "" when nothing is the user's."""
    if text.startswith(_MESSAGES):
        return ""
    if "<" in text:
        text = _untag(text)
    if any(mark in text and sign in text for mark, sign in _LISTING_SIGNS):
        text = _unlist(text)
    return text


def _untag(text: str, *, inner: bool = False) -> str:
    outside: list[str] = []
    users: list[str] = []
    unclosed: set[str] = set()
    sure = False
    at = 0
    for opening in _OPEN.finditer(text):
        name, start = opening[1], opening.start()
        if start < at or name in unclosed or (inner and name in _KEEP):
            continue
        closing = f"</{name}>"
        end = text.find(closing, opening.end())
        if end < 0:
            unclosed.add(name)
            continue
        outside.append(text[at:start])
        at = end + len(closing)
        if name in _KEEP:
            users.append(_untag(text[opening.end() : end], inner=True))
            sure |= name not in _WHOLE
            if name in _WHOLE:
                outside.append(text[start:at])
    if at == 0:
        return text
    outside.append(text[at:])
    if any(map(str.strip, users)) and (sure or not _is_said_outside(outside)):
        return "\n".join(users)
    return "".join(outside)


def _is_said_outside(outside: list[str]) -> bool:
    """Tell whether anything but the tags themselves stands outside of them."""
    return any(piece.strip() and not piece.startswith(_WHOLE_OPENINGS) for piece in outside)


def _unlist(text: str) -> str:
    kept: list[str] = []
    run: list[str] = []
    for line in text.split("\n"):
        if _LINE.fullmatch(line[:200]):
            run.append(line)
            continue
        if len(run) < MIN_RUN:
            kept += run
        run = []
        kept.append(line)
    if len(run) < MIN_RUN:
        kept += run
    return "\n".join(kept)
