"""Finds the last user intent of a conversation and normalises it (ROUTING.md 2.1). Floor 2."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from turnout.signals.base import words_of
from turnout.signals.canonical.repeated import blocks, without
from turnout.signals.canonical.strip import strip
from turnout.signals.canonical.wrappers import EDITION
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.moment import moment_in
from turnout.types.signal import Canonical, Signals

MAX_CHARS: Final = 16_384
"""Of an intent: the first and the last half. What is longer is pasted material; time must have a bound."""
MAX_RAW_CHARS: Final = 4 * MAX_CHARS
"""Of a message before its wrappers are off: harnesses wrap more than users write."""
SHORT_CHARS: Final = 20
"""Below, an intent ("yes, go on") means what the one before it said."""
JOINED_CHARS: Final = 2048
"""Of a short intent with the one before it: about 512 tokens."""
MAX_LOOK_BACK: Final = 64
"""Messages looked at for an intent; an agent's loop may hold hundreds without one."""
WINDOW_WORDS: Final = 128
N_EDGE_WINDOWS: Final = 8

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f\U000e0100-\U000e01ef]+"
)
"""Soft hyphen, joiners, marks of direction, variation selectors, tag characters: they hide or split words.
Lone surrogates: no text can be made of them."""
_ODD_BLANKS: Final = re.compile(r"[^\S\n ]+")
_BLANKS: Final = re.compile(r" {2,}")
_LINES: Final = re.compile(r" ?\n(?: ?\n ?){2,}")


class CanonicalSense(Struct, frozen=True):
    """The user's last intent. Declared default when absent: the raw last user message, 4,096 characters."""

    name: str = "canonical"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Canonical:
        """Return the intent with its windows; an empty one where no user ever said anything."""
        moment = moment_in(so_far)
        raw = _raw_intents(request.messages)
        repeated = moment.repeated if moment is not None else frozenset()
        intents = [_tidied(without(text, repeated)) for text in raw]
        intent = intents[0] if intents else ""
        if 0 < len(intent) < SHORT_CHARS and len(intents) > 1:
            intent = f"{intents[1][: JOINED_CHARS - len(intent) - 1]}\n{intent}"
        windows = _windows(intent)
        return Canonical(
            value={"n_chars": len(intent), "n_windows": len(windows), "edition": EDITION},
            intent=intent,
            windows=windows,
            words=words_of(intent),
            blocks=blocks(raw[0]) if raw else (),
        )


def normalise(text: str) -> str:
    """Return the text in NFKC without invisible characters, with single blanks and at most one empty line."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
        text = _ODD_BLANKS.sub(" ", text)
    elif _has_odd_blank(text):
        text = _ODD_BLANKS.sub(" ", text)
    # Looked for before they are replaced: a search for a fixed string costs a tenth of a pattern's.
    if "  " in text:
        text = _BLANKS.sub(" ", text)
    if "\n" in text and ("\n\n" in text or "\n \n" in text):
        text = _LINES.sub("\n\n", text)
    return text.strip()


def _has_odd_blank(text: str) -> bool:
    return "\t" in text or "\r" in text or "\f" in text or "\v" in text or "\x1f" in text


def _raw_intents(messages: Sequence[Message]) -> list[str]:
    """Return the last intent, wrappers off; before it, if it is short, the one before."""
    found: list[str] = []
    for message in reversed(messages[-MAX_LOOK_BACK:]):
        if message.role != "user":
            continue
        intent = _unwrapped(message)
        if intent:
            found.append(intent)
            if len(intent) >= SHORT_CHARS or len(found) == 2:
                break
    return found


def _unwrapped(message: Message) -> str:
    texts = [part.text for part in message.parts if type(part) is Text]
    if len(texts) > 1:
        texts = [strip(_ends(text, MAX_RAW_CHARS)) for text in texts[-MAX_LOOK_BACK:]]
        return "\n".join(text for text in texts if text).strip()
    return strip(_ends(texts[0], MAX_RAW_CHARS)).strip() if texts else ""


def _tidied(raw: str) -> str:
    return _ends(normalise(_ends(raw, MAX_CHARS)), MAX_CHARS)


def _ends(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}\n{text[1 - (limit - limit // 2) :]}"


def _windows(text: str) -> tuple[str, ...]:
    words = text.split()
    if len(words) <= WINDOW_WORDS:
        return (text,) if words else ()
    starts: Sequence[int] = range(0, len(words), WINDOW_WORDS)
    if len(starts) > 2 * N_EDGE_WINDOWS:
        starts = (*starts[:N_EDGE_WINDOWS], *starts[-N_EDGE_WINDOWS:])
    return tuple(" ".join(words[at : at + WINDOW_WORDS]) for at in starts)
