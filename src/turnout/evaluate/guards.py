"""How well a guard tells texts apart: false alarms, misses, time. Floor 6."""

import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import cells_of
from turnout.guards.base import Context, Guard

NO: frozenset[str] = frozenset(("", "0", "0.0", "false", "no", "none", "benign", "clean", "negative"))
"""Labels of texts in which nothing is to be found; every other is one in which something is."""


class Counted(Struct, frozen=True):
    """What a guard said of labelled texts."""

    n: int
    hits: int
    misses: int
    false_alarms: int
    clean: int
    auroc: float | None
    """Of the surest finding's score; None where one of the classes is empty."""
    us_per_kb: float
    kinds: Mapping[str, int]

    @property
    def recall(self) -> float | None:
        """Share of labelled texts in which something was found."""
        wanted = self.hits + self.misses
        return self.hits / wanted if wanted else None

    @property
    def false_alarm_rate(self) -> float | None:
        """Share of clean texts in which something was found."""
        return self.false_alarms / self.clean if self.clean else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, by text."""
        total = 2 * self.hits + self.misses + self.false_alarms
        return 2 * self.hits / total if total else None


def read_labelled(path: Path, text: str, label: str) -> list[tuple[str, bool]]:
    """Read texts with their labels from CSV, JSON lines or Parquet. Raises `ConfigError`."""
    rows: list[tuple[str, bool]] = []
    for at, row in enumerate(cells_of(path)):
        for column in (text, label):
            if column not in row:
                raise ConfigError(
                    (f"{path}: row {at + 1} has no column {column!r}; it has {', '.join(row)}",)
                )
        rows.append((str(row[text] or ""), str(row[label]).strip().lower() not in NO))
    if not rows:
        raise ConfigError((f"{path}: holds no rows",))
    return rows


def count(guard: Guard, rows: list[tuple[str, bool]], context: Context) -> Counted:
    """Ask a guard about labelled texts."""
    tally = {"hits": 0, "misses": 0, "false_alarms": 0, "clean": 0}
    kinds: dict[str, int] = {}
    scored: list[tuple[float, bool]] = []
    n_chars, began_s = 0, time.perf_counter()
    for text, is_bad in rows:
        found = guard.check(text, context)
        n_chars += len(text)
        for each in found:
            kinds[each.kind] = kinds.get(each.kind, 0) + 1
        scored.append((max((each.score for each in found), default=0.0), is_bad))
        tally["clean"] += not is_bad
        if found or is_bad:
            tally["hits" if found and is_bad else "misses" if is_bad else "false_alarms"] += 1
    took_s = time.perf_counter() - began_s
    return Counted(
        n=len(rows),
        auroc=auroc(scored),
        us_per_kb=took_s * 1e6 / max(n_chars / 1024, 1e-9),
        kinds=dict(sorted(kinds.items())),
        **tally,
    )


def auroc(scored: list[tuple[float, bool]]) -> float | None:
    """Return the probability that a bad text scores above a clean one, ties counted half."""
    n_bad = sum(is_bad for _, is_bad in scored)
    n_clean = len(scored) - n_bad
    if not n_bad or not n_clean:
        return None
    at, total, ordered = 0, 0.0, sorted(scored)
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        total += (at + 1 + end) / 2 * sum(is_bad for _, is_bad in ordered[at:end])
        at = end
    return (total - n_bad * (n_bad + 1) / 2) / (n_bad * n_clean)
