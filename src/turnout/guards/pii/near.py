"""Words that are looked for near a place, however they are written. Floor 2."""

import re


class Words:
    """A pattern in small letters that stands for large ones too.

    Of text in ASCII a small copy is searched: the matcher skips what cannot begin a match, which it does not
    where it must compare letters of both sizes; that is several times faster, and finds the same.
    """

    __slots__ = ("_any", "_small")

    def __init__(self, pattern: str) -> None:
        self._small = re.compile(pattern)
        self._any = re.compile(pattern, re.IGNORECASE)

    def stand(self, text: str, start: int, end: int) -> bool:
        """Tell whether one of them stands in a part of a text; what is before it may be looked back at."""
        before = 1 if start else 0
        part = text[start - before : end]
        if part.isascii():
            return self._small.search(part.lower(), before) is not None
        return self._any.search(text, start, end) is not None
