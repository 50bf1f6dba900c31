"""`embed.*`: what the user wants, as a vector. Floor 2.

1. One sense serves every encoder; its name is `embed.` and the encoder's. A process loads an encoder once.
2. Vectors are kept by a hash of encoder and text, so a turn that is decided twice is embedded once.
3. A slow encoder's sense says `off_loop`: `read` then runs in a thread, after `recall` found nothing.
4. Vectors of two encoders cannot be compared. Whoever declares a chain (minilm → static → hash) has something
   fitted for each, and takes the first that is present (`learn.encoders.vectors.first_embedding`).
"""

from collections.abc import Callable
from functools import cache
from typing import Final, cast

from msgspec import Struct, field

from turnout.learn.base import Encoder
from turnout.learn.encoders.vectors import PREFIX, Cache, embedded, key_of, packed, pooled
from turnout.registry import load
from turnout.signals.base import AbsentError, canonical_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.signal import Embedding, Signals


@cache
def encoder_of(kind: str) -> Encoder:
    """Return the encoder with this name in `turnout.encoders`, loaded. Raises `ConfigError`."""
    make = cast("Callable[[], Encoder]", load("turnout.encoders", kind))  # what the group holds
    return make()


class EmbedSense(Struct, frozen=True, kw_only=True, eq=False):
    """The intent's vector. Default when absent: the next encoder of the reader's chain, then abstain."""

    kind: str
    """Name of the encoder."""
    off_loop: bool = False
    """Whether it takes too long for the thread that serves."""
    needs: frozenset[str] = frozenset({"canonical"})
    cache: Cache = field(default_factory=Cache)

    @property
    def name(self) -> str:
        """Name of the signal."""
        return PREFIX + self.kind

    def prepare(self) -> None:
        """Load the encoder, so that no request waits for it. Raises `ConfigError`."""
        encoder_of(self.kind)

    def recall(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Embedding | None:
        """Return the vector if it is known already."""
        return self.cache.get(key_of(self.kind, canonical_of(request, so_far).windows))

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Embedding:
        """Return the vector; all zero where the user said nothing."""
        windows = canonical_of(request, so_far).windows
        key = key_of(self.kind, windows)
        known = self.cache.get(key)
        if known is None:
            encoder = encoder_of(self.kind)
            known = Embedding(value=encoder.id, vector=packed(embedded(encoder, windows)))
            self.cache.put(key, known)
        return known


class RemoteEmbedSense(Struct, frozen=True, kw_only=True, eq=False):
    """The intent's vector from an embedding model that is called over the network, like any other model."""

    model: str
    """`provider/model`, one of the configured deployments."""
    dimensions: int | None = None
    deadline_s: float = 0.25
    """How long a decision waits for it."""
    name: str = PREFIX + "remote"
    needs: frozenset[str] = frozenset({"canonical"})
    cache: Cache = field(default_factory=Cache)

    @property
    def id(self) -> str:
        """What vectors of this model are called."""
        return f"remote/{self.model}/{self.dimensions or 'full'}"

    def recall(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Embedding | None:
        """Return the vector if it is known already."""
        return self.cache.get(key_of(self.id, canonical_of(request, so_far).windows))

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Embedding:
        """Return the vector if it is known; nothing can be asked where nobody waits. Raises `AbsentError`."""
        known = self.recall(request, ask, so_far)
        if known is None:
            raise AbsentError("not_asked")
        return known

    def question(self, request: ChatRequest, ask: Ask, so_far: Signals) -> EmbedRequest:
        """Return the call to make. Raises `AbsentError` where there are no words."""
        windows = canonical_of(request, so_far).windows
        if not windows:
            raise AbsentError("no_intent")
        return EmbedRequest(model=self.model, input=windows, dimensions=self.dimensions)

    def heard(
        self, request: ChatRequest, so_far: Signals, response: EmbedResponse | ChatResponse
    ) -> Embedding:
        """Return the signal in an answer. Raises `AbsentError` for one that cannot be used."""
        if not isinstance(response, EmbedResponse):
            raise AbsentError("bad_answer")
        windows = canonical_of(request, so_far).windows
        lengths = {len(vector) for vector in response.vectors}
        if len(response.vectors) != len(windows) or len(lengths) != 1:
            raise AbsentError("bad_answer")
        vector = pooled(response.vectors)
        if vector is None:
            raise AbsentError("bad_answer")
        found = Embedding(value=self.id, vector=packed(vector))
        self.cache.put(key_of(self.id, windows), found)
        return found


EMBED_BLEND: Final = EmbedSense(kind="blend")
EMBED_HASH: Final = EmbedSense(kind="hash")
EMBED_STATIC: Final = EmbedSense(kind="static")
EMBED_MINILM: Final = EmbedSense(kind="minilm", off_loop=True)
