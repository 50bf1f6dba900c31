"""What a caller wants of the cache, what a route allows of it, and what came of it. Floor 0."""

from typing import Literal

from msgspec import Struct

from turnout.types.usage import NanoUsd

Scope = Literal["organisation", "project", "team", "key"]
"""Who shares answers with whom; never wider than one organisation."""
Status = Literal["hit", "semantic-hit", "miss", "refresh", "bypass"]
Veto = Literal["negation", "number", "date", "entity", "opposite", "code", "language", "word", "long"]
"""Why two alike questions are not the same one (`learn.alike`)."""


class CacheWish(Struct, frozen=True, kw_only=True):
    """What one request asks of the cache."""

    mode: Literal["default", "bypass", "refresh", "only"] = "default"
    """`bypass` neither reads nor keeps; `refresh` does not read; `only` asks no model."""
    ttl_s: float | None = None
    """How long its answer is kept; None = as the route says."""
    max_age_s: float | None = None
    """The oldest answer it takes."""
    keeps: bool = True
    """Whether its own answer may be kept."""
    asked: bool = False
    """Whether it asks to be cached, though its temperature is above 0."""
    key: str | None = None
    """Stands for the text of the conversation: what is asked under the same name is the same."""
    namespace: str = ""
    """Within the tenant's part."""


NO_WISH = CacheWish()


class CacheRule(Struct, frozen=True, kw_only=True):
    """How the answers of one route are cached."""

    policy: str
    """Digest of everything configured that an answer depends on."""
    semantic: bool = False
    """Whether a question that means the same is answered alike."""
    ttl_s: float = 3600.0
    max_ttl_s: float = 86_400.0
    """The longest time that a request may name."""
    scope: Scope = "project"
    semantic_scope: Scope = "key"
    tools: bool = False
    """Whether turns that carry tools are cached."""
    sampled: bool = False
    """Whether answers at a temperature above 0 are, without being asked."""
    replay: Literal["fast", "chunks"] = "fast"
    """How a stream is given out again: at once, or in the pieces in which it came."""


class NearView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The nearest question that was answered before."""

    key: str
    """First digits of the key of its answer."""
    similarity: float
    threshold: float
    veto: Veto | None = None
    """Why it is another question, though similar enough."""
    shadow: bool = False
    """It would have been served, and was not: the model answered, to compare."""
    right: bool | None = None
    """Whether both answers were the same; None = nobody compared."""


class CacheView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the cache did for one request."""

    status: Status
    key: str = ""
    """First 16 hexadecimal digits of the request's key."""
    age_s: float | None = None
    """Of the answer that was served."""
    saved_nusd: NanoUsd | None = None
    """What the answer had cost when it was made."""
    n_tokens_saved: int = 0
    shared: bool = False
    """It waited for the same request of somebody else."""
    why: str | None = None
    """Why nothing was looked for or kept: a closed word."""
    near: NearView | None = None

    @property
    def missed_near(self) -> bool:
        """Whether another question was near enough, and its answer was not given."""
        near = self.near
        return near is not None and self.status != "semantic-hit" and near.similarity >= near.threshold
