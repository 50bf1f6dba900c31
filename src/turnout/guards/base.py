"""The contract of a guard: text in, findings with spans out; who applies it, when and how. Floor 2.

Theory of operation.

1. A guard is a frozen Struct that is its own configuration. `check` is pure: the same text and context give
   the same findings, in order and without overlap. It decides nothing.
2. What happens to a finding is the `Mode` of the `Post` the guard stands at: the same guard may block on one
   route and only watch on another.
3. Posts are asked in the order in which the configuration lists them. The first that blocks ends the round;
   those behind it are recorded as `skipped`.
4. A guard that needs somebody else's answer stays pure: it writes the question (`Asking`: to a model,
   `Calling`: to an address) and reads the answer. The layer sends it.
5. `hold_back` is the longest finding in characters. A stream is handed out that much later, so that no
   finding leaves in two halves; text longer than `PIECE` is checked in pieces that overlap by as much.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final, Literal, Protocol, runtime_checkable

from msgspec import Struct

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.http import HttpRequest
from turnout.types.json import JsonObject

Stage = Literal["in", "out"]
Mode = Literal["block", "redact", "flag", "monitor"]
Source = Literal["system", "user", "assistant", "tool", "document", "answer"]
"""Who wrote a text. `tool` and `document` are what an attacker without a key can write (SECURITY.md, A2)."""
Action = Literal["pass", "block", "redact", "flag", "monitor", "skipped", "failed_open", "failed_closed"]

BOTH: Final[frozenset[Stage]] = frozenset(("in", "out"))
PIECE: Final = 16_384
"""Characters checked at once: at 250 µs per KB another request waits at most 4 ms for its turn."""


class Finding(Struct, frozen=True):
    """A place in a text that a guard found."""

    start: int
    end: int
    kind: str
    """A closed word of the guard: lower case, digits and `_`."""
    score: float = 1.0
    """How sure it is, 0 to 1."""


NOTHING_FOUND: Final[tuple[Finding, ...]] = ()


class Context(Struct, frozen=True):
    """What a guard knows about a text beside the text."""

    stage: Stage = "in"
    source: Source = "user"
    schema: JsonObject | None = None
    """The shape the answer was asked to have."""
    system: str = ""
    """The system prompt, for guards that look for it in answers."""
    documents: tuple[str, ...] = ()
    """Texts of the documents and tool results of the request, for guards `OfAnswer`."""


USER: Final = Context()
ANSWER: Final = Context("out", "answer")


@runtime_checkable
class Guard(Protocol):
    """Finds places in texts. A frozen Struct: its fields are its configuration."""

    stages: ClassVar[frozenset[Stage]]
    """Where it can stand."""
    whole: ClassVar[bool]
    """Whether it needs the complete answer: then a stream is held back to its end."""

    @property
    def name(self) -> str:
        """Word for Records: what kind of guard this is."""
        ...

    @property
    def hold_back(self) -> int:
        """Characters of its longest finding."""
        ...

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return what is found, by start, without overlap. Time is linear in the length of the text."""
        ...


@runtime_checkable
class Asking(Protocol):
    """A guard whose verdict is a model's."""

    model: str
    """`provider/model`, or the id of a deployment."""

    def ask(self, text: str, context: Context) -> ChatRequest:
        """Return the question, with the text as quoted data (S-36)."""
        ...

    def verdict(self, text: str, answer: ChatResponse) -> tuple[Finding, ...]:
        """Read the answer. Raises `ValueError` when it has not the form that was asked for."""
        ...


@runtime_checkable
class Calling(Protocol):
    """A guard whose verdict comes from an address."""

    url: str
    timeout_s: float

    def request(self, text: str, context: Context) -> HttpRequest:
        """Return the call, without credentials."""
        ...

    def response(self, text: str, status: int, body: bytes) -> tuple[Finding, ...]:
        """Read the answer. Raises `ValueError` when it has not the documented form."""
        ...


@runtime_checkable
class OfAnswer(Protocol):
    """A guard of what a choice says as a whole: not of its reasoning, its calls or its refusal."""

    of_answer: ClassVar[bool]

    def applies(self, context: Context) -> bool:
        """Tell whether there is anything to hold the answer against."""
        ...


@runtime_checkable
class Formed(Protocol):
    """A guard of the form of an answer: the layer checks it as it does that of any answer."""

    def form(self, context: Context) -> JsonObject | None:
        """Return the JSON Schema; None = any."""
        ...


@runtime_checkable
class Needing(Protocol):
    """A guard that needs something installed."""

    def missing(self) -> str | None:
        """Return what has to be installed first; None = nothing."""
        ...

    def prepare(self) -> None:
        """Load it before anybody waits for it. Raises `ValueError`."""
        ...


class Post(Struct, frozen=True, kw_only=True):
    """A guard at its place: when it is asked and what follows from what it finds."""

    name: str
    """Its own, from the configuration."""
    guard: Guard
    mode: Mode = "block"
    stages: frozenset[Stage] = BOTH
    sources: frozenset[Source] | None = None
    """None = every source."""
    on_failure: Literal["closed", "open"] = "closed"
    """Whether a request passes when the guard cannot be asked."""
    deployment: str = ""
    """Of an `Asking` guard: who is asked."""

    def hears(self, context: Context) -> bool:
        """Tell whether the guard is asked about such a text."""
        return context.stage in self.stages and (self.sources is None or context.source in self.sources)


class Posting(Struct, frozen=True, kw_only=True):
    """Which posts apply to whom, by name; all in the configured order."""

    posts: tuple[Post, ...] = ()
    everywhere: frozenset[str] = frozenset()
    routes: Mapping[str, frozenset[str]] = {}
    surfaces: Mapping[str, frozenset[str]] = {}
    teams: Mapping[str, frozenset[str]] = {}
    keys: Mapping[str, frozenset[str]] = {}
    diverted: Mapping[str, str] = {}
    """Surface -> route of its flagged requests."""
    block_as: Literal["error", "refusal"] = "error"
    max_chars: int = 4_000_000

    @property
    def is_empty(self) -> bool:
        """Whether nobody is ever checked, a client's wish aside."""
        return not self.posts

    def of(self, route: str, ask: Ask, wished: frozenset[str] = frozenset()) -> tuple[Post, ...]:
        """Return the posts of a request. A caller may add posts, never leave one out."""
        nobody: frozenset[str] = frozenset()
        principal = ask.principal
        names = self.everywhere | self.routes.get(route, nobody) | wished
        names |= self.surfaces.get(ask.surface or "", nobody)
        names |= self.teams.get(principal.team or "", nobody) | self.keys.get(principal.key_id or "", nobody)
        return tuple(post for post in self.posts if post.name in names) if names else ()


NO_POSTS: Final = Posting()


def apart(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by start without overlap: the earlier wins, then the longer, then the surer."""
    kept: list[Finding] = []
    end = -1
    for each in sorted(found, key=_rank):
        if each.start >= end:
            kept.append(each)
            end = each.end
    return tuple(kept)


def _rank(found: Finding) -> tuple[int, int, float]:
    return found.start, -found.end, -found.score


def pieces(text: str, overlap: int) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces with where each begins; neighbours share `overlap` characters."""
    if len(text) <= PIECE + overlap:
        yield 0, text
        return
    for start in range(0, len(text), PIECE):
        yield start, text[start : start + PIECE + overlap]
        if start + PIECE + overlap >= len(text):
            return


def moved(found: Iterable[Finding], by: int) -> list[Finding]:
    """Return findings of a piece as findings of the text it was cut from."""
    return [Finding(each.start + by, each.end + by, each.kind, each.score) for each in found]


class Plain(Struct, frozen=True):
    """A text as guards read it, and the way back to the places of the original."""

    text: str
    dropped: tuple[int, ...] = ()
    """For each character left out, the place in `text` before which it stood; ascending."""

    def back(self, found: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return findings as places of the original, by start and without overlap."""
        if not self.dropped:
            return apart(found)
        return apart(
            Finding(self._place(each.start), self._place(each.end - 1) + 1, each.kind, each.score)
            for each in found
        )

    def _place(self, at: int) -> int:
        return at + bisect_right(self.dropped, at)


_HIDDEN: Final = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
"""Written and not seen: soft hyphen, joiners, marks of direction, a byte order mark in mid-text."""
_DROPPED: Final = frozenset(_HIDDEN + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))))
_DROP: Final = re.compile(f"[{''.join(sorted(_DROPPED))}]")
_ALIKE: Final[Mapping[int, str]] = {
    **{0xFF01 + at: chr(0x21 + at) for at in range(94)},  # fullwidth forms
    **{zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966, 0x9E6) for digit in range(10)},
    **dict.fromkeys((0xA0, 0x2007, 0x2009, 0x200A, 0x202F, 0x3000, *range(0x2000, 0x2007)), " "),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE63), "-"),
    **{0xE0000 + code: chr(code) for code in range(0x20, 0x7F)},  # tags: an alphabet that is never shown
}
"""Characters read as another of the same width: digits of other scripts, spaces, dashes, hidden letters."""
_CHANGED: Final = frozenset(map(chr, _ALIKE))


def plain(text: str) -> Plain:
    """Return the text without what is not seen, with look-alikes of digits, spaces and dashes made plain.

    Nothing else is folded: letters of other scripts stay what they are.
    """
    if text.isascii():
        return Plain(text)
    if _is_western(text):
        return Plain(text)
    chars = set(text)
    if _DROPPED.isdisjoint(chars):
        return Plain(text if _CHANGED.isdisjoint(chars) else text.translate(_ALIKE))
    dropped = tuple(match.start() - n for n, match in enumerate(_DROP.finditer(text)))
    return Plain(_DROP.sub("", text).translate(_ALIKE), dropped)


def _is_western(text: str) -> bool:
    """Tell whether a text is in Latin-1, with nothing in it that is read as something else: a cheap look."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return "\u00a0" not in text and "\u00ad" not in text
