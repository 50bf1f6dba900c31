"""Microsoft Presidio as a guard: names and places too, where a language model for them is installed. Floor 2.

Needs the extra `pii`. Presidio fetches a missing spaCy model by itself; here nothing is ever fetched: a model
is installed by the operator and named in `model`, and without one only Presidio's patterns are looked for.
"""

import re
from functools import cache
from typing import Any, ClassVar, Final

from msgspec import Struct

from turnout.guards.base import BOTH, Context, Finding, Stage, apart

LONGEST: Final = 160
_HALVES: Final = re.compile("[\ud800-\udfff]")
"""What is no character by itself; its tokeniser would fail."""
OURS: Final = {
    "credit_card": "card",
    "email_address": "email",
    "iban_code": "iban",
    "ip_address": "ip",
    "mac_address": "mac",
    "phone_number": "phone",
}
"""Words of Presidio for what the guard `pii` finds under another."""


class Presidio(Struct, frozen=True, kw_only=True, tag_field="type", tag="presidio"):
    """Finds personal data by Presidio's recognisers."""

    entities: tuple[str, ...] = ()
    """Presidio's own words, such as `PERSON`; empty = all it knows."""
    language: str = "en"
    model: str = ""
    """Name of an installed spaCy model, for names and places; empty = patterns only."""
    threshold: float = 0.5

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Word for Records."""
        return "presidio"

    @property
    def hold_back(self) -> int:
        """Characters of the longest entity."""
        return LONGEST

    def missing(self) -> str | None:
        """Return what has to be installed first."""
        try:
            import presidio_analyzer  # noqa: F401, PLC0415  an extra
            from spacy.util import is_package  # noqa: PLC0415
        except ImportError:
            return "the extra `pii`: pip install turnout[pii]"
        return f"the spaCy model {self.model!r}" if self.model and not is_package(self.model) else None

    def prepare(self) -> None:
        """Load it, which takes seconds. Raises `ValueError`."""
        try:
            _analyzer(self.language, self.model)
        except (ImportError, OSError) as error:
            raise ValueError(f"Presidio cannot be loaded: {error}") from error

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the entities found. Raises `ValueError` where Presidio cannot be asked."""
        if not text.strip():
            return ()
        entities = list(self.entities) or None
        try:
            found = _analyzer(self.language, self.model).analyze(
                _HALVES.sub("\ufffd", text),
                language=self.language,
                entities=entities,
                score_threshold=self.threshold,
            )
        except (ImportError, OSError) as error:
            raise ValueError(f"Presidio cannot be asked: {error}") from error
        return apart(_finding(each) for each in found)


def _finding(found: Any) -> Finding:
    kind = str(found.entity_type).lower()
    return Finding(
        int(found.start), int(found.end), OURS.get(kind, kind), min(max(float(found.score), 0.0), 1.0)
    )


@cache
def _analyzer(language: str, model: str) -> Any:
    import spacy  # noqa: PLC0415  an extra
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415

    engine = SpacyNlpEngine()
    # Given a pipeline it loads none, and so fetches none.
    engine.nlp = {language: spacy.load(model) if model else spacy.blank(language)}
    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])
