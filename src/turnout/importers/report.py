"""What became of each key of an imported file. Floor 5."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from turnout.errors import ConfigError
from turnout.types.json import Json, JsonObject

Fate = Literal["mapped", "approximated", "ignored", "refused"]
"""`approximated` = nearly the same, the note says how; `ignored` = answers do not depend on it; `refused` =
they do, and it could not be carried over."""


class Note(Struct, frozen=True):
    """One key and what became of it."""

    path: str
    fate: Fate
    say: str = ""


class Imported(Struct, frozen=True):
    """A configuration in Turnout's form, with the report."""

    config: JsonObject
    notes: tuple[Note, ...]

    @property
    def refused(self) -> bool:
        """Whether anything that answers depend on was left behind."""
        return any(note.fate == "refused" for note in self.notes)


_GRAVITY: Final = ("mapped", "ignored", "approximated", "refused")


def settled(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return one note per key, in the order of the first: the gravest of those that were made."""
    found: dict[str, Note] = {}
    for note in notes:
        known = found.setdefault(note.path, note)
        if _GRAVITY.index(note.fate) > _GRAVITY.index(known.fate):
            found[note.path] = note
    return tuple(found.values())


class Reader:
    """One mapping of the file, read key by key; what nobody took is told at the end."""

    __slots__ = ("_left", "_notes", "_path", "_values")

    def __init__(self, value: Json, path: str, notes: list[Note]) -> None:
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError((f"{path}: expected a mapping" if path else "expected a mapping",))
        self._values: JsonObject = value or {}
        self._left = set(self._values)
        self._path = path
        self._notes = notes

    def take(self, key: str, fate: Fate = "mapped", say: str = "") -> Json:
        """Return the value of a key and note what becomes of it; None when it is not there."""
        value = self._values.get(key)
        if key in self._left:
            self._left.discard(key)
            if value is not None:
                self.note(key, fate, say)
        return value

    def peek(self, key: str) -> Json:
        """Return the value of a key and note nothing."""
        return self._values.get(key)

    def text(self, key: str, fate: Fate = "mapped", say: str = "") -> str | None:
        """Return a string, or None; YAML reads some as numbers or days. Raises `ConfigError` otherwise."""
        value = self.take(key, fate, say)
        if isinstance(value, bool | Mapping | list):
            raise ConfigError((f"{self.at(key)}: expected a string",))
        return None if value is None else str(value)

    def number(self, key: str, fate: Fate = "mapped", say: str = "") -> float | None:
        """Return a number, also one written as a string, or None. Raises `ConfigError` for anything else."""
        value = self.take(key, fate, say)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ConfigError((f"{self.at(key)}: expected a number",))
        try:
            number = float(value)
        except ValueError:
            raise ConfigError((f"{self.at(key)}: expected a number",)) from None
        return int(number) if number.is_integer() else number

    def inner(self, key: str) -> "Reader":
        """Return the mapping under a key; an empty one when it is not there."""
        self._left.discard(key)
        return Reader(self._values.get(key), self.at(key), self._notes)

    def rows(self, key: str) -> Iterator["Reader"]:
        """Return the mappings of the list under a key."""
        self._left.discard(key)
        rows = self._values.get(key) or []
        if not isinstance(rows, list):
            raise ConfigError((f"{self.at(key)}: expected a list",))
        for at, row in enumerate(rows):
            yield Reader(row, f"{self.at(key)}[{at}]", self._notes)

    def table(self, fates: Mapping[str, tuple[Fate, str]]) -> None:
        """Note keys whose fate does not depend on their value."""
        for key, (fate, say) in fates.items():
            self.take(key, fate, say)

    def left(self) -> tuple[str, ...]:
        """Return the keys nobody took yet."""
        return tuple(sorted(self._left))

    def rest(self) -> None:
        """Note every key that nobody took."""
        for key in sorted(self._left):
            self.note(key, "ignored", "this importer does not know the key; look at it by hand")
        self._left.clear()

    def note(self, key: str, fate: Fate, say: str = "") -> None:
        """Note what becomes of a key."""
        self._notes.append(Note(self.at(key), fate, say))

    def at(self, key: str) -> str:
        """Return the path of a key in the file."""
        return f"{self._path}.{key}".lstrip(".")

    @property
    def path(self) -> str:
        """Where this mapping stands in the file."""
        return self._path

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None
