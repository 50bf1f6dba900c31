"""The loss table: what became of every feature of every recorded request and answer, counted. Floor 6.

Feature names and counts only; nothing that was recorded stands in it.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.evaluate.translate.answers import Heard, answered, tell
from turnout.evaluate.translate.formats import FORMATS, asked
from turnout.evaluate.translate.pairs import Pair, translate
from turnout.transport.recording import Recorded

DEFECTS = ("silent", "lost")
"""Outcomes of a feature that are mistakes of ours."""
UNREADABLE = "(cannot be read)"
"""Stands for the feature where a translation raised what it must not."""
VALUES = "(values)"
"""Stands for the feature where the JSON misses values that no feature accounts for."""


class Cell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feature of the requests of one format, at an upstream of another."""

    origin: str
    other: str
    feature: str
    kept: int = 0
    reshaped: int = 0
    told: int = 0
    refused: int = 0
    silent: int = 0
    lost: int = 0
    back: int = 0
    """Of those that were not kept, the ones that got lost on the way back."""


class AnswerCell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feature of the answers of one format, at a client of another."""

    origin: str
    other: str
    feature: str
    streamed: bool = False
    kept: int = 0
    unsaid: int = 0
    lost: int = 0


class Defect(Struct, frozen=True, kw_only=True):
    """A place where something got lost that should not have been."""

    id: str
    origin: str
    other: str
    feature: str
    verdict: str


class Table(Struct, frozen=True, kw_only=True):
    """What was translated, and what became of it."""

    requests: Mapping[str, int]
    """Format -> recorded requests, each translated to every other format and back."""
    answers: Mapping[str, int]
    streams: Mapping[str, int]
    cells: tuple[Cell, ...]
    answer_cells: tuple[AnswerCell, ...]
    defects: tuple[Defect, ...] = ()

    @property
    def n_translations(self) -> int:
        """Requests taken to another format and back."""
        return sum(self.requests.values()) * (len(FORMATS) - 1)


class Translation:
    """Collects the table, record by record."""

    def __init__(self) -> None:
        self._requests: dict[str, int] = {}
        self._answers: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._cells: dict[tuple[str, str, str], dict[str, int]] = {}
        self._heard: dict[tuple[str, str, str, bool], dict[str, int]] = {}
        self._defects: list[Defect] = []

    def add(self, record: Recorded) -> None:
        """Translate one record's request and answer; one that is no chat, or was refused, counts nothing."""
        request = asked(record)
        if request is None:
            return
        name = request.format
        self._requests[name] = self._requests.get(name, 0) + 1
        for other in _others(name):
            try:
                self._request(record, translate(request, other))
            except TurnoutError:
                self._cell(record, (name, other, UNREADABLE), "lost")
        answer = answered(record, request)
        if answer is None:
            return
        count = self._answers if answer.events is None else self._streams
        count[name] = count.get(name, 0) + 1
        for other in _others(name):
            try:
                self._answer(record, tell(answer, other))
            except TurnoutError:
                key = (name, other, UNREADABLE, answer.events is not None)
                self._count_answer(record, key, "lost")

    def table(self) -> Table:
        """Return what was counted so far."""
        cells = (
            Cell(origin=origin, other=other, feature=feature, **counts)
            for (origin, other, feature), counts in sorted(self._cells.items(), key=lambda item: item[0])
        )
        heard = (
            AnswerCell(origin=origin, other=other, feature=feature, streamed=streamed, **counts)
            for (origin, other, feature, streamed), counts in sorted(
                self._heard.items(), key=lambda item: item[0]
            )
        )
        return Table(
            requests=_ordered(self._requests),
            answers=_ordered(self._answers),
            streams=_ordered(self._streams),
            cells=tuple(cells),
            answer_cells=tuple(heard),
            defects=tuple(self._defects),
        )

    def _request(self, record: Recorded, pair: Pair) -> None:
        for outcome in pair.outcomes:
            key = (pair.origin, pair.other, outcome.feature)
            self._cell(record, key, outcome.verdict)
            if outcome.back:
                self._cells[key]["back"] = self._cells[key].get("back", 0) + 1
        if pair.unexplained:
            self._cell(record, (pair.origin, pair.other, VALUES), "silent")

    def _cell(self, record: Recorded, key: tuple[str, str, str], verdict: str) -> None:
        counts = self._cells.setdefault(key, {})
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict in DEFECTS:
            self._defect(record, key, verdict)

    def _answer(self, record: Recorded, heard: Heard) -> None:
        for verdict, names in (("kept", heard.kept), ("unsaid", heard.unsaid), ("lost", heard.lost)):
            for name in names:
                key = (heard.origin, heard.other, name, heard.streamed)
                self._count_answer(record, key, verdict)

    def _count_answer(self, record: Recorded, key: tuple[str, str, str, bool], verdict: str) -> None:
        counts = self._heard.setdefault(key, {})
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict in DEFECTS:
            self._defect(record, key[:3], f"answer {verdict}")

    def _defect(self, record: Recorded, key: tuple[str, str, str], verdict: str) -> None:
        origin, other, feature = key
        self._defects.append(
            Defect(id=record.id, origin=origin, other=other, feature=feature, verdict=verdict)
        )


def of_records(records: Iterable[Recorded]) -> Table:
    """Translate all records."""
    translation = Translation()
    for record in records:
        translation.add(record)
    return translation.table()


def _others(name: str) -> Iterable[str]:
    return (other for other in FORMATS if other != name)


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in FORMATS if name in counts}
