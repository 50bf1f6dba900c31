"""Intents from labelled utterances: read, checked, fitted, measured. Floor 6.

Theory of operation.

1. Rows have `text`, `intent` and perhaps `split`. What says `train`, or nothing, is fitted; everything else
   is held out and only measured. Rows of the intent `none` (or `oos`) are utterances of none.
2. An utterance goes through the canonicaliser and the windows of a live request, so what is fitted is what
   will be served.
3. Faults are refused together, each with its file and row: nothing is dropped in silence.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct

from turnout import __version__
from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.learn.artifact import CardData, CardEncoder
from turnout.learn.base import Encoder, Floats
from turnout.learn.encoders.vectors import embedded
from turnout.learn.intent import NONE, Card, CardHead, Head, IntentModel, Method, Report
from turnout.learn.intent_fit import MIN_UTTERANCES, NONE_RECALL, Examples, fit_head, method_for, report
from turnout.signals.base import canonical_of
from turnout.signals.canonical import CANONICAL
from turnout.signals.canonical.wrappers import EDITION
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.json import Json

TRAIN: Final = "train"
OUTSIDE: Final = frozenset({NONE, "oos", "out_of_scope"})
"""Names under which tables hold utterances of none."""
FORMATS: Final = (".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".yaml", ".yml")
ReadYaml: TypeAlias = Callable[[bytes, str], Json]
"""Content and path -> tree. YAML is read on the floors that may import its library."""
MAX_TOLD: Final = 20
"""Problems listed; of more, the number."""
_ASK: Final = Ask(request_id="req_00000000000000000000000000")


class Utterance(Struct, frozen=True):
    """What somebody said, and what they wanted."""

    text: str
    intent: str
    """`none` for one of no intent."""
    split: str
    where: str
    """File and row."""


class Utterances(Struct, frozen=True):
    """A checked table."""

    rows: tuple[Utterance, ...]
    labels: tuple[str, ...]
    """Intents of the training rows, sorted."""
    data: tuple[CardData, ...]
    n_repeated: int = 0
    """Rows left out because an earlier one says the same."""
    dropped: tuple[str, ...] = ()
    """Rows left out because they contradict another, and why."""

    @property
    def train(self) -> tuple[Utterance, ...]:
        """Rows that are fitted."""
        return tuple(row for row in self.rows if row.split == TRAIN)

    @property
    def held_out(self) -> tuple[Utterance, ...]:
        """Rows that are only measured."""
        return tuple(row for row in self.rows if row.split != TRAIN)


class Settings(Struct, frozen=True, kw_only=True):
    """How intents are fitted."""

    encoders: tuple[str, ...] = ("hash",)
    """Names in `turnout.encoders`, best first; each gets a head."""
    method: Method | None = None
    """None = a linear layer where every intent has enough utterances, else the nearest."""
    k: int = 5
    margin: float = 0.0
    none_recall: float = NONE_RECALL
    """Share of utterances of none to turn away, where that costs few others."""


def read_utterances(paths: Sequence[Path], *, yaml: ReadYaml | None = None, drop: bool = False) -> Utterances:
    """Return the utterances of files and of folders of files.

    Args:
        paths: CSV, JSON, JSON lines or Parquet with columns; YAML with a map.
        yaml: Reads YAML; None = there is none of it.
        drop: Leave out rows that contradict each other, both of them, instead of refusing.

    Raises:
        ConfigError: One line per fault, with file and row.
    """
    files = [file for path in paths for file in _files(path)]
    rows: list[Utterance] = []
    problems: list[str] = []
    data: list[CardData] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ConfigError((f"{file}: cannot be read: {error.strerror}",)) from None
        found = [*_rows(file, _cells(file, content, yaml), problems)]
        data.append(CardData(name=file.name, sha256=hashlib.sha256(content).hexdigest(), rows=len(found)))
        rows += found
    rows, again = _once(rows)
    at_odds = contradictions(rows)
    if drop:
        rows = [row for row in rows if row.where not in at_odds]
    else:
        problems += at_odds.values()
    counts = Counter(row.intent for row in rows if row.split == TRAIN and row.intent != NONE)
    if not problems:
        problems += _too_few(counts, rows)
    if problems:
        more = [f"… and {len(problems) - MAX_TOLD} more"] if len(problems) > MAX_TOLD else []
        raise ConfigError((*problems[:MAX_TOLD], *more))
    return Utterances(tuple(rows), tuple(sorted(counts)), tuple(data), again, tuple(at_odds.values()))


def fit_intents(found: Utterances, settings: Settings, now: datetime) -> IntentModel:
    """Return the artifact for utterances. Raises `ConfigError` for an encoder that is not at hand."""
    encoders = {name: encoder_of(name) for name in settings.encoders}
    train, held_out = found.train, found.held_out
    counts = Counter(row.intent for row in train)
    utterances = tuple(counts[label] for label in found.labels)
    method = settings.method or method_for(utterances)
    heads: list[Head] = []
    cards: list[CardHead] = []
    for name, encoder in encoders.items():
        examples = _examples(train, found.labels, encoder)
        head, fitted = fit_head(examples, method, settings.k, settings.margin, settings.none_recall)
        heads.append(head)
        cards.append(
            CardHead(
                encoder=CardEncoder(name=name, id=encoder.id, dimensions=encoder.dimensions),
                method=method,
                k=settings.k,
                fitted=fitted,
                held_out=measure(head, held_out, found.labels, encoder, settings.margin),
            )
        )
    card = Card(
        created=now,
        turnout_version=__version__,
        canonicaliser=str(EDITION),
        labels=found.labels,
        utterances=utterances,
        negatives=counts[NONE],
        margin=settings.margin,
        heads=tuple(cards),
        data=found.data,
    )
    return IntentModel(card, tuple(heads))


def measure(
    head: Head, rows: Sequence[Utterance], labels: Sequence[str], encoder: Encoder, margin: float
) -> Report | None:
    """Measure a head on utterances it was not fitted with; None where there are none it could know."""
    known = [row for row in rows if row.intent == NONE or row.intent in labels]
    if not known:
        return None
    asked = _examples(known, labels, encoder)
    return report(head, head.scores(asked.vectors), asked.labels, margin)


def encoder_of(name: str) -> Encoder:
    """Return the encoder with this name. Raises `ConfigError`."""
    from turnout.signals.embed import encoder_of as loaded  # noqa: PLC0415  one per process, shared with serving

    return loaded(name)


def embed_all(texts: Sequence[str], encoder: Encoder) -> Floats:
    """Return the vector of each text, as a live request with this text alone would have it."""
    windows = [_windows(text) for text in texts]
    single = [at for at, each in enumerate(windows) if len(each) == 1]
    found = np.zeros((len(texts), encoder.dimensions))
    if single:
        found[single] = encoder.embed_all([windows[at][0] for at in single])
    for at, each in enumerate(windows):
        if len(each) > 1:
            found[at] = embedded(encoder, each)
    return found.astype(np.float32).astype(np.float64)


def _examples(rows: Sequence[Utterance], labels: Sequence[str], encoder: Encoder) -> Examples:
    columns = {label: at for at, label in enumerate(labels)} | {NONE: -1}
    vectors = embed_all([row.text for row in rows], encoder)
    return Examples(vectors, np.array([columns[row.intent] for row in rows], np.int64), len(labels))


def _windows(text: str) -> tuple[str, ...]:
    request = ChatRequest(model="", messages=(Message("user", (Text(text),)),))
    return canonical_of(request, {CANONICAL.name: CANONICAL.read(request, _ASK, {})}).windows


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in FORMATS)
    if not found:
        raise ConfigError((f"{path}: no file in it ends in {', '.join(FORMATS)}",))
    yield from found


def _cells(path: Path, content: bytes, yaml: ReadYaml | None) -> Iterator[Mapping[str, Json]]:
    if yaml is None or path.suffix.lower() not in (".yaml", ".yml"):
        return read_cells(path, content)
    return _listed(path, yaml(content, str(path)))


def _rows(path: Path, cells: Iterator[Mapping[str, Json]], problems: list[str]) -> Iterator[Utterance]:
    for n, row in enumerate(cells, start=1):
        where = f"{path}: row {n}"
        missing = [name for name in ("text", "intent") if name not in row]
        if missing:
            have = ", ".join(map(str, row))
            raise ConfigError((f"{where}: no column {missing[0]!r}; it has {have}",))
        text, intent, split = row["text"], row["intent"], row.get("split")
        fault = _fault(text, intent)
        if fault:
            problems.append(f"{where}: {fault}")
            continue
        name = str(intent).strip()
        yield Utterance(str(text), NONE if name.lower() in OUTSIDE else name, str(split or TRAIN), where)


def _fault(text: Json, intent: Json) -> str | None:
    """Return what is wrong with a row, if anything."""
    for name, cell in (("text", text), ("intent", intent)):
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return f"{name} is missing"
        if not isinstance(cell, str):
            return f"{name} is {cell!r}; expected words"
        if not cell.strip():
            return f"{name} is empty"
    return None


def _listed(path: Path, tree: Json) -> Iterator[Mapping[str, Json]]:
    """Yield the rows of a map from intent to its utterances."""
    if not isinstance(tree, Mapping):
        raise ConfigError((f"{path}: expected a map from intent to a list of utterances",))
    for intent, texts in tree.items():
        if not isinstance(texts, list):
            raise ConfigError((f"{path}: {intent}: expected a list of utterances",))
        if not texts:
            raise ConfigError((f"{path}: {intent}: has no utterance",))
        for text in texts:
            yield {"text": text, "intent": intent}


def contradictions(rows: Sequence[Utterance]) -> Mapping[str, str]:
    """Return texts under two intents, and training texts that are measured too.

    Place of the row -> what is wrong. The row that came first is named as well.
    """
    first: dict[str, Utterance] = {}
    found: dict[str, str] = {}
    for row in rows:
        other = first.setdefault(_key(row), row)
        if other.intent != row.intent:
            told = f"under {row.intent!r}, but {other.where} has the same words under {other.intent!r}"
        elif (other.split == TRAIN) != (row.split == TRAIN):
            told = f"in split {row.split!r}, but {other.where} has the same words in {other.split!r}"
        else:
            continue
        found.setdefault(other.where, f"{other.where}: see {row.where}")
        found[row.where] = f"{row.where}: {told}"
    return found


def _once(rows: Sequence[Utterance]) -> tuple[list[Utterance], int]:
    """Return the rows without repetitions, and how many there were."""
    kept: dict[tuple[str, str, str], Utterance] = {}
    for row in rows:
        kept.setdefault((_key(row), row.intent, row.split), row)
    return [*kept.values()], len(rows) - len(kept)


def _key(row: Utterance) -> str:
    return " ".join(row.text.casefold().split())


def _too_few(counts: Mapping[str, int], rows: Sequence[Utterance]) -> Iterator[str]:
    if len(counts) < 2:
        named = ", ".join(counts) or "none"
        yield f"intents: {len(counts)} in the training rows ({named}); expected at least 2"
        return
    for intent, n in sorted(counts.items()):
        if n < MIN_UTTERANCES:
            yield f"intents: {intent!r} has {n} utterances; expected at least {MIN_UTTERANCES}"
    for row in rows:
        if row.intent != NONE and row.intent not in counts:
            yield f"{row.where}: {row.intent!r} has no training row"
