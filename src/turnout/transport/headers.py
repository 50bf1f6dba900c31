"""Header lines of an answer as a mapping that is built when first looked at. Floor 3."""

from collections.abc import Iterator, Mapping, Sequence

from turnout.types.http import Headers

_MAX_NAMES = 4096
_NAMES: dict[bytes, str] = {}
"""Spellings seen so far -> lower case text; upstreams use few, and a hostile one only empties it."""


class HeaderMap(Mapping[str, str]):
    """Lower-case names to values; values of repeated headers joined with ', '.

    Most answers are routed on their status alone, so decoding waits for the first look.
    """

    __slots__ = ("_map", "_raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._map: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return (self._map or self._build())[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._map or self._build())

    def __len__(self) -> int:
        return len(self._map or self._build())

    def __repr__(self) -> str:
        return f"HeaderMap({sorted(self)})"

    @property
    def raw(self) -> Headers:
        """The header lines as they came."""
        return self._raw

    def _build(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for line, value in self._raw:
            name = _NAMES.get(line) or _name(line)
            text = value.decode("latin-1").strip()
            out[name] = f"{out[name]}, {text}" if name in out else text
        self._map = out
        return out


def _name(line: bytes) -> str:
    if len(_NAMES) >= _MAX_NAMES:
        _NAMES.clear()
    name = _NAMES[line] = line.lower().decode("latin-1")
    return name
