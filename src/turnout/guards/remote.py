"""Guards that live elsewhere: a service of your own, or a provider's moderation endpoint. Floor 2.

The contract of a service of your own: it is sent `POST` with an object of `schema` ("turnout.guard/1"),
`stage`, `source` and `text`, and answers 200 with `{"findings": [{"start", "end", "kind", "score"}]}`, places
in characters.
"""

import re
from typing import ClassVar

import msgspec
from msgspec import Struct

from turnout.guards.base import BOTH, NOTHING_FOUND, Context, Finding, Stage, apart
from turnout.types.http import HttpRequest

HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
MOST_FINDINGS = 10_000
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")


class _Answer(Struct, frozen=True):
    findings: tuple[Finding, ...] = ()


class _Moderated(Struct, frozen=True):
    flagged: bool
    categories: dict[str, bool] = {}
    category_scores: dict[str, float] = {}


class _Moderation(Struct, frozen=True):
    results: tuple[_Moderated, ...]


class Remote(Struct, frozen=True, kw_only=True, tag_field="type", tag="http"):
    """Asks a service of your own."""

    url: str
    timeout_s: float = 2.0

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Word for Records."""
        return "http"

    @property
    def hold_back(self) -> int:
        """Nothing leaves before it has answered."""
        return 0

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return nothing: it has to be asked."""
        return NOTHING_FOUND

    def request(self, text: str, context: Context) -> HttpRequest:
        """Return the call."""
        asked = {"schema": "turnout.guard/1", "stage": context.stage, "source": context.source, "text": text}
        return HttpRequest("POST", self.url, HEADERS, msgspec.json.encode(asked))

    def response(self, text: str, status: int, body: bytes) -> tuple[Finding, ...]:
        """Read the answer. Raises `ValueError` when it is not of the contract."""
        if status != 200:
            raise ValueError(f"the guard's service answered {status}")
        found = msgspec.json.decode(body, type=_Answer).findings
        if len(found) > MOST_FINDINGS or not all(_is_sound(each, len(text)) for each in found):
            raise ValueError("the guard's service named places or kinds that cannot be")
        return apart(found)


class Moderation(Struct, frozen=True, kw_only=True, tag_field="type", tag="moderation"):
    """Asks a provider's moderation endpoint, in OpenAI's format."""

    url: str = ""
    """Empty = that of the rule's `provider`."""
    model: str | None = None
    threshold: float | None = None
    """Least score of any category; None = as the provider flags."""
    timeout_s: float = 5.0

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Word for Records."""
        return "moderation"

    @property
    def hold_back(self) -> int:
        """Nothing leaves before it has answered."""
        return 0

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return nothing: it has to be asked."""
        return NOTHING_FOUND

    def request(self, text: str, context: Context) -> HttpRequest:
        """Return the call."""
        asked = {"input": text} if self.model is None else {"input": text, "model": self.model}
        return HttpRequest("POST", self.url, HEADERS, msgspec.json.encode(asked))

    def response(self, text: str, status: int, body: bytes) -> tuple[Finding, ...]:
        """Read the answer. Raises `ValueError` when it is not of the format."""
        if status != 200:
            raise ValueError(f"the moderation endpoint answered {status}")
        results = msgspec.json.decode(body, type=_Moderation).results
        if not results:
            raise ValueError("the moderation endpoint gave no result")
        worst = max((s for each in results for s in each.category_scores.values()), default=0.0)
        flagged = any(each.flagged for each in results) if self.threshold is None else worst >= self.threshold
        if not flagged:
            return NOTHING_FOUND
        return (Finding(0, len(text), "moderation", min(max(worst, 0.0), 1.0)),)


def _is_sound(found: Finding, length: int) -> bool:
    return 0 <= found.start < found.end <= length and bool(_KIND.fullmatch(found.kind))
