"""Long texts cut to a size: head, tail, and the lines between them that tell of errors. Floor 2."""

from collections.abc import Iterator
from typing import Final

from turnout.compress.base import Count

LEAST_CHARS: Final = 160
"""Of a text that is cut: less would be marks around nothing."""
_HEAD, _ERRORS = 0.45, 0.2
"""Shares of what stays; the rest is the tail, where tools write how it ended."""
_MOST_LINE: Final = 240
_MOST_LINES: Final = 40
_MARK_CHARS: Final = 60
_MOST_SEARCHED: Final = 262_144
"""Characters before the tail in which telling lines are looked for."""
_TELLING: Final = (
    *("error", "exception", "traceback", "fatal", "panic", "failed", "failure"),
    *("denied", "not found", "abort", "assert"),
)


def trimmed(text: str, n_tokens: float, count: Count, size: float | None = None) -> str:
    """Return a text of about so many tokens; the same one where it has no more.

    Args:
        text: What a tool answered, or anything else that may lose its middle.
        n_tokens: The most it may have.
        count: Counts tokens.
        size: Its tokens, where they are known.
    """
    size = count(text) if size is None else size
    if size <= n_tokens or len(text) <= LEAST_CHARS:
        return text
    n_chars = max(LEAST_CHARS, int(len(text) * n_tokens / size) - 2 * _MARK_CHARS)
    for _ in range(4):  # what stays may have more tokens a character than what went
        cut = cut_to(text, n_chars)
        found = count(cut)
        if found <= n_tokens or n_chars <= LEAST_CHARS:
            break
        n_chars = max(LEAST_CHARS, int(n_chars * 0.95 * n_tokens / found))
    return cut if len(cut) < len(text) else text


def cut_to(text: str, n_chars: int) -> str:
    """Return head, telling lines and tail, of about so many characters, each gap marked with its size."""
    if len(text) <= n_chars:
        return text
    head = _line_end(text, int(n_chars * _HEAD))
    tail = _line_begin(text, len(text) - int(n_chars * (1 - _HEAD - _ERRORS)))
    lines = _telling(text, head, tail, int(n_chars * _ERRORS))
    if not lines:  # their share goes to the tail
        tail = _line_begin(text, len(text) - int(n_chars * (1 - _HEAD)))
    out = [text[:head]]
    at = head
    for begin, end in lines:
        out += (_gap(begin - at), text[begin:end])
        at = end
    return "".join([*out, _gap(tail - at), text[tail:]])


def _gap(n: int) -> str:
    return f"\n[… {n:,} characters left out …]\n" if n > 1 else "\n" * n


def _line_end(text: str, at: int) -> int:
    """Return the end of the last whole line before a place, where that is not too far back."""
    found = text.rfind("\n", at * 3 // 4, at)
    return at if found < 0 else found


def _line_begin(text: str, at: int) -> int:
    found = text.find("\n", at, at + (len(text) - at) // 4)
    return at if found < 0 else found + 1


def _telling(text: str, begin: int, end: int, n_chars: int) -> list[tuple[int, int]]:
    """Return the places of lines that tell of errors, as many of the last ones as there is room for."""
    begin = max(begin, end - _MOST_SEARCHED)
    lower = text[begin:end].lower()
    if len(lower) != end - begin:  # a letter that is two in lower case: places would be others
        lower = text[begin:end]
    hits = {at for word in _TELLING for at in _last(lower, word)}
    kept: list[tuple[int, int]] = []
    left, stop_before = n_chars, end
    for hit in sorted(hits, reverse=True):
        at = begin + hit
        if at >= stop_before:
            continue
        start, stop = _line(text, at, begin, stop_before)
        left -= stop - start
        if left < 0 or len(kept) >= _MOST_LINES:
            break
        kept.append((start, stop))
        stop_before = start
    return kept[::-1]


def _last(text: str, word: str) -> Iterator[int]:
    """Yield where a word stands, the last places first."""
    at = len(text)
    for _ in range(_MOST_LINES):
        at = text.rfind(word, 0, at)
        if at < 0:
            return
        yield at


def _line(text: str, at: int, begin: int, end: int) -> tuple[int, int]:
    """Return the line around a place, cut to a bounded length."""
    low, high = max(begin, at - _MOST_LINE), min(end, at + _MOST_LINE)
    start, stop = text.rfind("\n", low, at), text.find("\n", at, high)
    return (max(begin, at - _MOST_LINE // 2) if start < 0 else start + 1), high if stop < 0 else stop
