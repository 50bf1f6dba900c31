"""Input and output tokens of a request, estimated before it is sent. Floor 2.

Theory of operation.
1. The text is read once, at most `SAMPLE_CHARS` of it from the end: what a conversation brings last is what
   it holds most of. Tokens per character of the sample are applied to all characters.
2. Pictures, sounds and documents, and the frame of each message, count a fixed number.
3. Each candidate gets the estimate times its correction (`families.correction`). The signal's value is the
   largest of them, so that nothing is called fitting that is not.
"""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final

from msgspec import Struct

from turnout.signals.tokens.estimate import estimate
from turnout.signals.tokens.families import correction
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Part, Text, ToolCall, ToolResult
from turnout.types.moment import moment_in
from turnout.types.signal import Signal, Signals, Tokens

SAMPLE_CHARS: Final = 16_384
PIECE_CHARS: Final = 4_096
"""Of one part, from its beginning: the longest must not be all that is looked at."""
MESSAGE_TOKENS: Final = 4
MEDIA_TOKENS: Final = 800
"""Reckoned per picture, sound or document: a mid-size image."""
OUT_TOKENS: Final = 512
"""Declared default of `tokens.out_hat`."""
OUT_CONFIDENCE: Final = 0.5
"""Answers of one route differ by a factor of two or three among themselves; their mean is a guess at each."""
ESTIMATE_CONFIDENCE: Final = 0.9
"""One minus the mean error on held-out prompts."""

Count = Callable[[str], float]


class TokensInSense(Struct, frozen=True):
    """Input tokens. Declared default when absent: characters / 3.2 (`engine.route`)."""

    name: str = "tokens.in"
    needs: frozenset[str] = frozenset({"moment"})
    count: Count = estimate
    """Tokens of a text in the reference encoding."""
    confidence: float = ESTIMATE_CONFIDENCE

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Tokens:
        """Return the largest number over the candidates, and each candidate's own."""
        sample = "\n".join(_recent(request))
        facts = request.facts
        n_chars = max(facts.n_chars, len(sample))
        n_text = self.count(sample) * (n_chars / len(sample)) if sample else 0.0
        n_frame = MEDIA_TOKENS * facts.n_media + MESSAGE_TOKENS * len(request.messages)
        moment = moment_in(so_far)
        found = {
            each.id: ceil(n_text * correction(each)) + n_frame
            for each in (moment.candidates if moment else ())
        }
        reference = ceil(n_text) + n_frame
        largest = max(found.values(), default=reference)
        return Tokens(
            value=largest,
            largest=largest,
            confidence=self.confidence,
            reference=reference,
            per_deployment=found,
        )


class TokensOutSense(Struct, frozen=True):
    """Expected output tokens: the mean of what the candidates are known to write. Declared default: 512."""

    name: str = "tokens.out_hat"
    needs: frozenset[str] = frozenset({"moment"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the client's limit or what is expected, whichever is less; the default says little."""
        limit, moment = request.max_tokens, moment_in(so_far)
        known = moment.outputs if moment is not None else {}
        if known:
            mean = ceil(sum(known.values()) / len(known))
            return Signal(value=mean if limit is None else min(limit, mean), confidence=OUT_CONFIDENCE)
        return Signal(value=OUT_TOKENS if limit is None else min(limit, OUT_TOKENS), confidence=0.2)


def _recent(request: ChatRequest) -> Iterator[str]:
    """Yield pieces of text from the latest message backwards, `SAMPLE_CHARS` in all."""
    left = SAMPLE_CHARS
    for message in reversed(request.messages):
        for part in message.parts:
            for text in _texts(part):
                piece = text[: min(left, PIECE_CHARS)]
                left -= len(piece)
                yield piece
                if left <= 0:
                    return


def _texts(part: Part) -> Iterator[str]:
    match part:
        case Text(text=text):
            yield text
        case ToolCall(arguments=arguments):
            yield arguments
        case ToolResult(content=content):
            yield from (each.text for each in content if isinstance(each, Text))
        case _:
            return
