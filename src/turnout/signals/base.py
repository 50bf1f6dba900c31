"""How a fact about a request is computed. Floor 2.

Theory of operation.
1. A sense is pure: it reads the request, the ask, and the signals named in `needs`, which were computed
   before it. Clock readings and live numbers come in as one of those signals, the `moment`.
2. A signal's `value` goes into the Record. The words of the conversation never do: the signal that hands
   them to other senses (`Canonical`) keeps them in fields beside `value`.
3. A sense that raises leaves its signal absent with the reason; `AbsentError` says it in a closed word.
   Whoever reads an absent signal uses the default declared by the sense's class.
"""

from collections import Counter
from typing import Final, Protocol, runtime_checkable

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse, Text
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.moment import Moment, moment_in
from turnout.types.signal import Canonical, Signal, Signals

RAW_CHARS: Final = 4096
"""How much of the raw last user message stands in for an absent `canonical`."""
PUNCTUATION: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»„“”‚‘’…–—¿¡。，、！？：；（）「」『』"


class Sense(Protocol):
    """Computes one signal. Pure and fast; a raised exception makes the signal absent."""

    @property
    def name(self) -> str:
        """Name of the signal."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Names of the signals it reads."""
        ...

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the signal. `so_far` holds the signals computed before it."""
        ...


@runtime_checkable
class Slow(Protocol):
    """A sense that may take too long for the thread that serves: it is read beside the event loop."""

    @property
    def off_loop(self) -> bool:
        """Whether it does."""
        ...

    def recall(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal | None:
        """Return the signal where it is known already, at the price of a look-up."""
        ...


@runtime_checkable
class Asking(Protocol):
    """A sense that asks a model: the engine makes the call, as it makes those of clients."""

    @property
    def deadline_s(self) -> float:
        """How long a decision waits for the answer."""
        ...

    def recall(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal | None:
        """Return the signal where it is known already, at the price of a look-up."""
        ...

    def question(self, request: ChatRequest, ask: Ask, so_far: Signals) -> EmbedRequest | ChatRequest:
        """Return the call to make. Raises `AbsentError` where there is nothing to ask."""
        ...

    def heard(self, request: ChatRequest, so_far: Signals, response: EmbedResponse | ChatResponse) -> Signal:
        """Return the signal in the answer. Raises `AbsentError` for one that cannot be used."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A sense that has something to load before it is read."""

    def prepare(self) -> None:
        """Load it. Raises `ConfigError`."""
        ...


class AbsentError(Exception):
    """A signal has nothing to say; the message is the closed word kept in the Record."""


def moment_of(so_far: Signals) -> Moment:
    """Return the moment. Raises `AbsentError` where nobody gave one."""
    moment = moment_in(so_far)
    if moment is None:
        raise AbsentError("no_moment")
    return moment


def canonical_of(request: ChatRequest, so_far: Signals) -> Canonical:
    """Return the user's intent; without `canonical` its declared default, the last user text as it came."""
    found = so_far.get("canonical")
    if isinstance(found, Canonical):
        return found
    raw = last_user_text(request)[:RAW_CHARS]
    return Canonical(intent=raw, windows=(raw,) if raw else (), words=words_of(raw))


def words_of(text: str) -> dict[str, int]:
    """Count the words of a text, in lower case and without punctuation at their ends."""
    found: dict[str, int] = {}
    for raw, n in Counter(text.lower().split()).items():
        word = raw.strip(PUNCTUATION)
        if word:
            found[word] = found.get(word, 0) + n
    return found


def last_user_text(request: ChatRequest) -> str:
    """Return the text of the last user message that has any."""
    for message in reversed(request.messages):
        if message.role == "user":
            text = "\n".join(part.text for part in message.parts if isinstance(part, Text))
            if text:
                return text
    return ""
