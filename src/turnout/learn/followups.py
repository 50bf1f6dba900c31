"""Signs of displeasure in what a user asks next: the same again, in other words, or a correction. Floor 2.

Theory of operation.

1. A conversation is known by keyed digests, chained over what was asked: of all before the last question, and
   with it. The same digests again are the same conversation, whoever sends the history along. No text is
   kept, and the key lives and dies with the process.
2. The last question leaves a sketch: the smallest keyed hashes of its runs of four characters. The share of
   common ones estimates how alike two questions are (Broder's resemblance).
3. The same conversation asked again is a regeneration. A question like the one it replaces, or like the one
   it follows, is a rephrasing. One that follows an answer and begins as corrections do is a correction.
4. Two callers behind one key may ask the same first question: without a session, an end user or an answer in
   the history, nothing is concluded.
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from turnout.types.chat import Message, Text
from turnout.types.feedback import Feedback, Implicit

CAPACITY: Final = 20_000
"""Requests remembered; each takes about a kilobyte."""
AGAIN_S: Final = 600.0
"""Within which asking the same again means the answer did not do."""
FOLLOW_S: Final = 3600.0
ALIKE: Final = 0.5
"""Least resemblance of a rephrased question; questions of one template reach about 0.4."""
SKETCH: Final = 48
"""Hashes of a sketch: the resemblance is right to about 0.07."""
MOST_CHARS: Final = 600
"""Of a question that are sketched, half of them from its end."""
_GRAM: Final = 4
_LEAST: Final = 12
"""Characters of a question that can be told from another: 'yes' resembles nothing."""
_HEAD: Final = 160
_SPACE: Final = re.compile(r"\s+")
# How corrections begin, by the languages that `language` tells apart most often. Only beginnings: "that is
# wrong" in the middle of a text is more often about something else.
_CORRECTION: Final = re.compile(
    r"^\W{0,3}(?:"
    # English
    r"no\b[,.!;: -]+(?:no\b[,.! ]*)?(?:that|this|it|you|i|the answer|wrong|not)\b"
    r"|(?:that|this|it|your answer)(?:'s|’s| is| was) (?:still |just |completely |also )?"
    r"(?:wrong|incorrect|not (?:right|correct|true|what|it))"
    r"|wrong\b[,.!]|incorrect\b|you (?:misunderstood|are wrong|made a mistake|got (?:it|that|this) wrong)"
    r"|(?:that|this) (?:isn't|isn’t|wasn't|wasn’t) (?:right|correct|what)|not what i (?:asked|meant|wanted)"
    r"|i (?:asked for|meant)\b"
    # German
    r"|nein\b[,.! ]+(?:das|du|sie|ich|es|falsch|nicht)\b|(?:das|die antwort) ist (?:leider )?"
    r"(?:falsch|nicht (?:richtig|korrekt|was))|das stimmt (?:so )?nicht|falsch\b[,.!]|ich meinte\b"
    r"|du hast (?:mich )?(?:falsch|nicht) verstanden"
    # French
    r"|non\b[,.! ]+(?:ce|c['’]|tu|vous|je|pas)|c['’]est (?:faux|incorrect|pas (?:ça|correct|ce que))"
    r"|ce n['’]est pas (?:ça|correct|exact|ce que)|je voulais dire\b"
    # Spanish, Portuguese, Italian
    r"|no\b[,.! ]+(?:eso|esto|no es|quería|me refería)|eso (?:no es|está mal)|está mal\b|me refería a\b"
    r"|não\b[,.! ]+(?:isso|está|eu|não)|isso (?:não está|está errado|não é)|está errado\b|eu quis dizer\b"
    r"|no\b[,.! ]+(?:è|non è|intendevo|sbagliato)|(?:è|questo è) sbagliato|non è (?:corretto|giusto|quello)"
    # Dutch, Polish, Turkish
    r"|nee\b[,.! ]+(?:dat|dit|je|ik)|dat is (?:fout|niet (?:juist|correct|wat))|dat klopt niet"
    r"|nie\b[,.! ]+(?:to|chodziło)|to (?:jest )?(?:źle|błąd|nieprawda|nie jest to)"
    r"|hayır\b[,.! ]|(?:bu )?yanlış\b"
    # Russian, Ukrainian
    r"|нет\b[,.! ]+(?:это|не|ты|вы|я)|это (?:не ?верно|неправильно|не то)|неправильно\b|ні\b[,.! ]+(?:це|не)"
    # Chinese, Japanese, Korean
    r"|不对|不對|错了|錯了|这不是|這不是|不是这|我的意思是|違います|違う|間違|そうじゃな"
    r"|아니[요,]|틀렸|그게 아니"
    # Arabic, Hindi
    r"|لا[,، ]+(?:هذا|ليس)|هذا (?:خطأ|غير صحيح)|नहीं[, ]+(?:यह|ये)|यह गलत|ये गलत"
    r")",
    re.IGNORECASE,
)


class Sign(Struct, frozen=True):
    """What a request says of the answer to the one before it."""

    kind: Implicit
    about: Feedback
    """What was remembered of that one."""


class Glance(Struct, frozen=True):
    """A request as it is remembered."""

    before: bytes
    """Digest of all before the last question."""
    whole: bytes
    sketch: tuple[int, ...]
    sign: Sign | None = None


class _Turn(Struct, frozen=True):
    sketch: tuple[int, ...]
    about: Feedback
    at: float


class Followups:
    """The latest requests, without their text."""

    __slots__ = ("_before", "_capacity", "_key", "_seed", "_whole")

    def __init__(self, key: bytes, capacity: int = CAPACITY) -> None:
        """Begin.

        Args:
            key: Secret of the digests, 16 to 64 bytes.
            capacity: Requests remembered.
        """
        self._key = key
        self._seed = int.from_bytes(blake2b(b"sketch", digest_size=4, key=key).digest())
        self._capacity = capacity
        self._whole: OrderedDict[bytes, _Turn] = OrderedDict()
        self._before: OrderedDict[bytes, _Turn] = OrderedDict()

    def look(self, who: tuple[str, str], messages: Sequence[Message], now: float) -> Glance | None:
        """Return what a request is known by, and what it says of the one before it.

        Args:
            who: Id of the key, and the session or end user; "" = neither is known.
            messages: The conversation, its last question at the end.
            now: Clock reading in seconds.

        Returns None where nothing can be concluded from it, now or later.
        """
        asked = [at for at, message in enumerate(messages) if message.role == "user"]
        if not asked or asked[-1] != len(messages) - 1:
            return None  # a tool's result, or an answer to be continued
        if not who[1] and not any(message.role == "assistant" for message in messages):
            return None
        last, previous = asked[-1], asked[-2] if len(asked) > 1 else None
        digests = self._chain(who, messages)
        question = words(messages[last])
        sketch = self._sketch(question)
        glance = Glance(digests[last], digests[last + 1], sketch)
        followed = None if previous is None or last - previous < 2 else digests[previous + 1]
        sign = self._sign(glance, followed, question, now)
        return glance if sign is None else Glance(glance.before, glance.whole, sketch, sign)

    def keep(self, glance: Glance, about: Feedback, now: float) -> None:
        """Remember a request that was answered."""
        turn = _Turn(glance.sketch, about, now)
        for key, kept in ((glance.whole, self._whole), (glance.before, self._before)):
            kept[key] = turn
            kept.move_to_end(key)
            if len(kept) > self._capacity:
                kept.popitem(last=False)

    def _sign(self, glance: Glance, followed: bytes | None, question: str, now: float) -> Sign | None:
        same = self._whole.get(glance.whole)
        if same is not None and now - same.at <= AGAIN_S:
            return Sign("implicit.regenerate", same.about)
        beside = self._before.get(glance.before)
        if beside is not None and now - beside.at <= AGAIN_S and alike(glance.sketch, beside.sketch) >= ALIKE:
            return Sign("implicit.rephrase", beside.about)
        answered = None if followed is None else self._whole.get(followed)
        if answered is None or now - answered.at > FOLLOW_S:
            return None
        if alike(glance.sketch, answered.sketch) >= ALIKE and now - answered.at <= AGAIN_S:
            return Sign("implicit.rephrase", answered.about)
        return Sign("implicit.correction", answered.about) if corrects(question) else None

    def _chain(self, who: tuple[str, str], messages: Sequence[Message]) -> list[bytes]:
        """Return the digest of nothing, and after each message."""
        link = blake2b(
            "\x00".join(who).encode("utf-8", "surrogatepass"), digest_size=16, key=self._key
        ).digest()
        found = [link]
        for message in messages:
            text = f"{message.role}\x00{words(message)}".encode("utf-8", "surrogatepass")
            # An answer may come back trimmed, or not at all: only what was asked tells conversations apart.
            if message.role in ("user", "system", "developer"):
                link = blake2b(link + text, digest_size=16, key=self._key).digest()
            found.append(link)
        return found

    def _sketch(self, question: str) -> tuple[int, ...]:
        text = _SPACE.sub(" ", question.strip().casefold())
        if len(text) > MOST_CHARS:
            text = text[: MOST_CHARS // 2] + text[-MOST_CHARS // 2 :]
        if len(text) < _LEAST:
            return ()
        data = text.encode("utf-32-le", "surrogatepass")
        grams = {data[at : at + 4 * _GRAM] for at in range(0, len(data) - 4 * _GRAM + 1, 4)}
        return tuple(sorted(zlib.crc32(gram, self._seed) for gram in grams)[:SKETCH])


def words(message: Message) -> str:
    """Return the text of a message."""
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))


def alike(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the estimated resemblance of two texts from their sketches, 0-1."""
    if not one or not other:
        return 0.0
    smallest = sorted({*one, *other})[: max(len(one), len(other))]
    return len(set(one) & set(other) & set(smallest)) / len(smallest)


def corrects(question: str) -> bool:
    """Tell whether a text begins as corrections do."""
    return _CORRECTION.match(question.strip()[:_HEAD]) is not None
