"""Numbers that several processes count together, and their text for Prometheus. Floor 6.

Theory of operation.
1. A *family* is a name with labels; a *series* is a family with a value for every label; its numbers are a
   run of 64-bit floats: one for a counter or a gauge, the buckets and their sum for a histogram. Counting is
   an addition in place: no lock, as one thread of one process writes a file, and no call into a library.
2. With a folder, a process keeps its numbers in a mapped file there (`ID.num`) and appends to another where
   each series begins (`ID.key`, one line of JSON, written before the series is counted for the first time).
   Whoever is scraped reads the files of all and adds them up. A number is eight aligned bytes, so a reader
   sees the one before or the one after; what two numbers say together may be one request apart.
3. The file is as long as it will ever be, and empty pages take no room. So memory is bounded: a family that
   has `most` series, or a full file, counts everything more in one series whose labels all are `other`.
4. When a process dies its supervisor renames `ID.num` to `ID.was`: what it counted stays, what it measured
   at an instant (gauges) is gone.
"""

import mmap
import os
import secrets
from collections.abc import Iterable, MutableSequence, Sequence
from operator import add
from pathlib import Path
from typing import Literal, cast

import msgspec
from msgspec import Struct

OTHER = "other"
FILE_BYTES = 2 << 20
"""262,144 numbers a process; a page that nothing was counted on takes no room."""
FOLDER = "TURNOUT_METRICS_FOLDER"
"""Environment variable that tells workers where they count."""

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
Numbers = MutableSequence[float]


class Family(Struct, frozen=True, kw_only=True):
    """One metric, as it is documented."""

    name: str
    """Without the `_total` of counters."""
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without the last, which is infinity."""
    merge: Literal["sum", "max"] = "sum"
    """How the processes' gauges become one number."""
    most: int = 1000
    """Series a process may have; everything more is counted as `other`."""
    otel: str = ""
    """Name for OpenTelemetry; "" = made from `name`."""
    unit: str = ""
    """UCUM, for OpenTelemetry; a unit of seconds is part of `name`."""
    otel_labels: tuple[str, ...] = ()
    """Attributes for OpenTelemetry, in the order of `labels`; () = `turnout.` and the label."""

    @property
    def width(self) -> int:
        """Numbers of one series."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


class Series(Struct, frozen=True):
    """What one series counted."""

    values: Labels
    numbers: tuple[float, ...]
    """Of a histogram: what fell into each bucket alone, and the sum."""


class _Key(Struct, frozen=True, array_like=True):
    family: str
    values: Labels
    at: int


_KEYS = msgspec.json.Decoder(_Key)


class _Seen:
    """The series of a process, as far as they were read: a file of keys only grows."""

    __slots__ = ("_keys", "_n_bytes")

    def __init__(self) -> None:
        self._keys: list[_Key] = []
        self._n_bytes = 0

    def keys(self, path: Path) -> list[_Key]:
        """Return all of them, after reading those that are new."""
        with path.open("rb") as file:
            file.seek(self._n_bytes)
            lines = file.read().split(b"\n")[:-1]  # the last is empty, or not written to its end yet
        self._n_bytes += sum(map(len, lines)) + len(lines)
        self._keys += map(_KEYS.decode, lines)
        return self._keys


_FLOAT_BYTES = 8


class Tally:
    """The numbers of this process.

    Attributes:
        numbers: All of them; `numbers[at] += 1` counts in the series that `at` returned.
        n_other: Series that found no room.
    """

    __slots__ = (
        "_at",
        "_end",
        "_families",
        "_folder",
        "_keys",
        "_most",
        "_n",
        "_name",
        "_seen",
        "n_other",
        "numbers",
    )

    def __init__(
        self, families: Sequence[Family], folder: Path | None = None, *, n_bytes: int = FILE_BYTES
    ) -> None:
        self._families = {each.name: each for each in families}
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._at: dict[tuple[str, Labels], int] = {}
        self._n: dict[str, int] = {}
        self._keys: int | None = None
        self._seen: dict[Path, _Seen] = {}
        self.n_other = 0
        view = memoryview(bytearray(n_bytes)) if folder is None else self._map(folder, n_bytes)
        self.numbers = cast("Numbers", view.cast("d"))  # its stub knows integers only
        # Room that is kept for `other` of every family, so that a full file still counts everything.
        self._end = 0
        self._most = len(self.numbers) - sum(each.width for each in families)

    def _map(self, folder: Path, n_bytes: int) -> memoryview:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._keys = os.open(folder / f"{self._name}.key", flags, 0o600)
        file = os.open(folder / f"{self._name}.num", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(file, n_bytes)
            return memoryview(mmap.mmap(file, n_bytes))
        finally:
            os.close(file)

    def at(self, family: str, *values: str) -> int:
        """Return where the numbers of a series begin; the series is there from now on."""
        found = self._at.get((family, values))
        return self._add(family, values) if found is None else found

    def set(self, family: str, *values: str, to: float) -> None:
        """Write a gauge, or a counter that is kept elsewhere."""
        self.numbers[self.at(family, *values)] = to

    def _add(self, name: str, values: Labels) -> int:
        family = self._families[name]
        n = self._n.get(name, 0)
        if n >= family.most or self._end + family.width > self._most:
            values = (OTHER,) * len(family.labels)
            self.n_other += 1
            if (found := self._at.get((name, values))) is not None:
                return found
            self._most += family.width  # its reserve
        at, self._end = self._end, self._end + family.width
        self._n[name] = n + 1
        if self._keys is not None:
            os.write(self._keys, msgspec.json.encode(_Key(name, values, at)) + b"\n")
        self._at[name, values] = at
        return at

    def own(self) -> dict[str, list[Series]]:
        """Return what this process counted, by family."""
        found: dict[str, list[Series]] = {name: [] for name in self._families}
        for (name, values), at in self._at.items():
            numbers = tuple(self.numbers[at : at + self._families[name].width])
            found[name].append(Series(values, numbers))
        return found

    def all(self) -> dict[str, list[Series]]:
        """Return what all processes counted, by family."""
        if self._folder is None:
            return self.own()
        sums: dict[tuple[str, Labels], list[float]] = {}
        for path in sorted(self._folder.glob("*.key")):
            keys = self._seen.setdefault(path, _Seen()).keys(path)
            numbers, lives = self._numbers(path, keys)
            for key in keys if numbers else ():
                family = self._families.get(key.family)
                if family is None or (family.kind == "gauge" and not lives):
                    continue
                _add_up(sums, family, key, numbers)
        found: dict[str, list[Series]] = {name: [] for name in self._families}
        for (name, values), total in sums.items():
            found[name].append(Series(values, tuple(total)))
        return found

    def _numbers(self, path: Path, keys: Sequence[_Key]) -> tuple[Sequence[float], bool]:
        """Return the numbers of a process, as far as it counts, and whether it lives."""
        widest = max(each.width for each in self._families.values())
        n_bytes = (
            (keys[-1].at + widest) * _FLOAT_BYTES if keys else 0
        )  # series stand in the order of their keys
        for suffix in (".num", ".was"):
            try:
                with path.with_suffix(suffix).open("rb") as file:
                    found = memoryview(file.read(n_bytes)).cast("d")
            except FileNotFoundError:
                continue  # renamed at this instant, or not there yet
            return cast("Sequence[float]", found), suffix == ".num"  # its stub knows integers only
        return (), False

    def text(self) -> bytes:
        """Return what all processes counted in Prometheus' text format 0.0.4."""
        lines: list[str] = []
        for name, series in self.all().items():
            family = self._families[name]
            shown = f"{name}_total" if family.kind == "counter" else name
            lines.append(f"# HELP {shown} {family.about.replace(chr(92), chr(92) * 2)}")
            lines.append(f"# TYPE {shown} {family.kind}")
            for each in series:
                lines += _lines(family, shown, each)
        return ("\n".join(lines) + "\n").encode()


def forget(folder: Path, pid: int) -> None:
    """Note that a process is dead: what it counted stays, its gauges are gone."""
    for path in folder.glob(f"{pid}-*.num"):
        path.rename(path.with_suffix(".was"))


def _add_up(
    sums: dict[tuple[str, Labels], list[float]], family: Family, key: _Key, numbers: Sequence[float]
) -> None:
    mine = numbers[key.at : key.at + family.width]
    total = sums.get((key.family, key.values))
    if total is None:
        sums[key.family, key.values] = list(mine)
    elif family.merge == "max":
        total[0] = max(total[0], mine[0])
    else:
        total[:] = map(add, total, mine)


def _lines(family: Family, name: str, series: Series) -> Iterable[str]:
    labels = _inside(family, series.values)
    braces = f"{{{labels}}}" if labels else ""
    if family.kind != "histogram":
        yield f"{name}{braces} {series.numbers[0]!r}"
        return
    so_far = 0.0
    begin = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
    bounds = [*map(repr, map(float, family.buckets)), "+Inf"]
    for bound, number in zip(bounds, series.numbers, strict=False):
        so_far += number
        yield f'{begin}le="{bound}"}} {so_far!r}'
    yield f"{name}_count{braces} {so_far!r}"
    yield f"{name}_sum{braces} {series.numbers[-1]!r}"


_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _inside(family: Family, values: Labels) -> str:
    pairs = sorted(zip(family.labels, values, strict=True))
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs])
