"""Questions that were answered, by their vectors: the nearest of one part, within bounds. Floor 2.

Theory of operation.

1. Questions lie in parts that never mix: one tenant, one conversation around the question, one route. A part
   is found by its digest, so what is not asked of a part cannot be found in it.
2. Vectors are unit rows in one array; a search is one product. Beyond `EXACT` rows a part searches by a graph
   (`usearch`, an extra); without it no part grows that large.
3. Where there is no room, the question of least value goes: what its answers saved, halved with every
   half-life since it was last of use, per byte. The part used longest ago goes where there are too many.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

if TYPE_CHECKING:
    from usearch.index import Index

Row = NDArray[np.float32]
EXACT: Final = 10_000
"""Rows that are compared one by one: some 0.6 ms at 256 dimensions."""
HALF_LIFE_S: Final = 86_400.0
_FIRST: Final = 16


def has_graphs() -> bool:
    """Tell whether parts may grow beyond `EXACT`."""
    try:
        import usearch.index  # noqa: F401, PLC0415  an extra
    except ModuleNotFoundError:
        return False
    return True


class Question(Struct, frozen=True):
    """What was asked, and where its answer lies."""

    key: bytes
    """Of the answer."""
    text: str
    route: str
    owner: tuple[str, str, str]
    """Organisation, project, key."""
    expires: float
    cost_nusd: int
    n_bytes: int


class Match(Struct, frozen=True):
    """A question with its cosine to the one asked."""

    question: Question
    similarity: float


class _Part:
    """Questions of one part. Rows stay where they are; those of questions that went are zero."""

    __slots__ = ("by_key", "free", "graph", "hits", "questions", "rows", "used")

    def __init__(self, dimensions: int) -> None:
        self.rows: Row = np.zeros((_FIRST, dimensions), np.float32)
        self.questions: list[Question | None] = []
        self.hits: list[int] = []
        self.used: list[float] = []
        self.by_key: dict[bytes, int] = {}
        self.free: list[int] = []
        self.graph: Index | None = None

    def put(self, vector: Row, question: Question, now: float) -> None:
        at = self.by_key.get(question.key)
        if at is None:
            at = self.free.pop() if self.free else self._grown()
        elif self.graph is not None:
            self.graph.remove(at)
        self.rows[at] = vector
        self.questions[at], self.hits[at], self.used[at] = question, 0, now
        self.by_key[question.key] = at
        if self.graph is not None:
            self.graph.add(at, vector)
        elif len(self.by_key) > EXACT:
            self.graph = self._indexed()

    def _grown(self) -> int:
        at = len(self.questions)
        if at == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
        self.questions.append(None)
        self.hits.append(0)
        self.used.append(0.0)
        return at

    def _indexed(self) -> "Index":
        from usearch.index import Index  # noqa: PLC0415  an extra: only such large parts need it

        graph = Index(ndim=self.rows.shape[1], metric="ip", dtype="f32")
        for at in self.by_key.values():
            graph.add(at, self.rows[at])
        return graph

    def drop(self, at: int) -> None:
        question = self.questions[at]
        assert question is not None
        if self.graph is not None:
            self.graph.remove(at)
        self.rows[at] = 0.0
        self.questions[at] = None
        del self.by_key[question.key]
        self.free.append(at)

    def search(self, vector: Row, n: int) -> list[tuple[int, float]]:
        """Return the nearest rows with their cosines, nearest first."""
        if self.graph is not None:
            found = self.graph.search(vector, n)
            return [(int(at), 1.0 - float(far)) for at, far in zip(found.keys, found.distances, strict=True)]
        top = len(self.questions)
        cosines = self.rows[:top] @ vector
        n = min(n, top)
        best = np.argpartition(-cosines, n - 1)[:n] if n < top else np.arange(top)
        return sorted(((int(at), float(cosines[at])) for at in best), key=lambda each: -each[1])

    def least(self, now: float) -> int:
        """Return the row of the question of least value."""
        return min(self.by_key.values(), key=lambda at: self._value(at, now))

    def _value(self, at: int, now: float) -> float:
        question = self.questions[at]
        assert question is not None
        if question.expires <= now:
            return -math.inf
        saved = math.log1p(question.cost_nusd) + math.log1p(self.hits[at])
        return saved - (now - self.used[at]) / HALF_LIFE_S * math.log(2) - math.log(max(1, question.n_bytes))


class Nearest:
    """Every part.

    Args:
        max_per_part: Questions of one part; above `EXACT` it needs the extra `usearch`.
        max_parts: Parts.
        max_questions: Over all parts.
    """

    __slots__ = ("_max_parts", "_max_per_part", "_max_questions", "_n", "_parts")

    def __init__(
        self, *, max_per_part: int = EXACT, max_parts: int = 10_000, max_questions: int = 100_000
    ) -> None:
        self._max_per_part = max_per_part
        self._max_parts = max_parts
        self._max_questions = max_questions
        self._parts: dict[bytes, _Part] = {}
        """The one used longest ago first."""
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def search(self, part: bytes, vector: Row, now: float, n: int = 4) -> list[Match]:
        """Return the nearest questions of a part that have not expired, nearest first."""
        found = self._parts.pop(part, None)
        if found is None:
            return []
        self._parts[part] = found
        matches: list[Match] = []
        for at, similarity in found.search(vector, n):
            question = found.questions[at]
            if question is not None and question.expires > now and similarity > 0:
                matches.append(Match(question, min(1.0, similarity)))
        return matches

    def add(self, part: bytes, vector: Row, question: Question, now: float) -> None:
        """Take in a question that was answered."""
        found = self._parts.pop(part, None)
        if found is None:
            while self._parts and len(self._parts) >= self._max_parts:
                self._drop_part(next(iter(self._parts)))
            found = _Part(len(vector))
        self._parts[part] = found
        if question.key not in found.by_key:
            if len(found.by_key) >= self._max_per_part:
                self._drop(found, found.least(now))
            elif self._n >= self._max_questions:
                self._make_room(found, now)
            self._n += 1
        found.put(vector, question, now)

    def _make_room(self, but: _Part, now: float) -> None:
        """Let go of the part used longest ago; of a question where there is one part alone."""
        oldest = next(iter(self._parts))
        if self._parts[oldest] is but:
            self._drop(but, but.least(now))
        else:
            self._drop_part(oldest)

    def used(self, part: bytes, key: bytes, now: float) -> None:
        """Note that a question's answer was given again."""
        found = self._parts.get(part)
        at = None if found is None else found.by_key.get(key)
        if found is not None and at is not None:
            found.hits[at] += 1
            found.used[at] = now

    def forget(self, part: bytes, key: bytes) -> None:
        """Let go of a question whose answer is gone."""
        found = self._parts.get(part)
        at = None if found is None else found.by_key.get(key)
        if found is not None and at is not None:
            self._drop(found, at)

    def clear(self, takes: Callable[[Question], bool]) -> int:
        """Let go of questions; return of how many."""
        before = self._n
        for name, part in list(self._parts.items()):
            for at in list(part.by_key.values()):
                question = part.questions[at]
                if question is not None and takes(question):
                    self._drop(part, at)
            if not part.by_key:
                del self._parts[name]
        return before - self._n

    def _drop(self, part: _Part, at: int) -> None:
        part.drop(at)
        self._n -= 1

    def _drop_part(self, name: bytes) -> None:
        self._n -= len(self._parts.pop(name).by_key)
