"""Where a store is, without its password. Floor 0."""

import re
from typing import Final, NoReturn

_PASSWORD: Final = re.compile(r"(?<=:)[^:@/]*(?=@)|(?<=password=)[^&]*")


class Address:
    """A word such as `sqlite`, or a URL; `repr`, `str`, formatting and JSON leave its password out (S-60).

    Only what connects calls `reveal`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def scheme(self) -> str:
        """The word, or what stands before `://`."""
        return self._text.partition("://")[0]

    @property
    def is_url(self) -> bool:
        """Whether it names a server."""
        return "://" in self._text

    def reveal(self) -> str:
        """Return all of it, for the one place that connects."""
        return self._text

    def __str__(self) -> str:
        return _PASSWORD.sub("***", self._text)

    __repr__ = __str__

    def __format__(self, _spec: str) -> str:
        return str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Address may hold a password, and cannot be pickled")

    def __copy__(self) -> "Address":
        return self

    def __deepcopy__(self, _memo: object) -> "Address":
        return self
