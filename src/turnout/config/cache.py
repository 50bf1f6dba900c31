"""The section `cache`, and what a route says of it: answers that are given again. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.config.stores import VALKEY
from turnout.types.address import Address
from turnout.types.cache import Scope
from turnout.types.secret import Secret

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Mode = Literal["off", "exact", "semantic"]
"""`semantic` = exact, and a question that means the same is answered alike."""
MEMORY = Address("memory")


class RouteCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the answers of one route are cached."""

    mode: Mode = "exact"
    ttl_s: Seconds | None = None
    """None = `cache.ttl_s`."""
    tools: bool = False
    """Whether turns that carry tools are cached: whoever uses the answer may act on it again."""
    sampled: bool = False
    """Whether answers at a temperature above 0 are cached without being asked to."""
    replay: Literal["fast", "chunks"] | None = None
    """None = `cache.replay`."""


class SemanticCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two questions are one."""

    artifact: str | None = None
    """Written by `turnout calibrate cache`: its threshold and its encoder are used."""
    threshold: Annotated[float, Meta(gt=0, le=1)] | None = None
    """In place of an artifact's, never below it; without an artifact only with `shadow`."""
    encoder: Literal["static", "blend", "hash", "minilm", "remote"] | None = None
    """None = the artifact's."""
    shadow: bool = False
    """Look, and record what would be served, and serve nothing."""
    check_share: Share = 0.0
    """Share of what would be served that is asked of the model all the same, to compare."""
    agreement: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Two answers count as the same where they share so many of their words; none = nobody compares."""
    max_false_hits: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    """Share of false answers among those compared, above which a route serves no other question's answer."""
    scope: Scope = "key"
    max_entries: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    """Questions of one conversation around them; more than 10,000 needs the extra `usearch`."""
    max_total: Annotated[int, Meta(ge=1, le=100_000_000)] = 100_000
    deadline_s: Annotated[float, Meta(gt=0, le=10)] = 0.02
    """How long a request waits for a vector computed beside it."""


class CacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that are given again."""

    default: Mode = "off"
    """Of routes that say nothing, and of requests that name a model."""
    store: Address | None = None
    """`memory` = this process alone; `sqlite` = the file at `path`, shared by the workers of this machine;
    `valkey://host:port/db` = shared by replicas. None = `memory`."""
    path: str = ".turnout/cache.db"
    secret: Secret | None = None
    """Signs answers in a store that others can write to: needed with Valkey, the same at every replica."""
    scope: Scope = "project"
    """Who shares answers; a key in no project or organisation shares with nobody."""
    ttl_s: Seconds = 3600
    max_ttl_s: Seconds = 86_400
    """The longest time a request may name."""
    max_entries: Annotated[int, Meta(ge=1, le=100_000_000)] = 10_000
    max_mib: Annotated[float, Meta(gt=0, le=1024 * 1024)] = 64
    """Of all answers, in memory or in the file; Valkey is bounded by its own settings."""
    max_answer_kib: Annotated[float, Meta(gt=0, le=64 * 1024)] = 256
    """A larger answer is not kept."""
    replay: Literal["fast", "chunks"] = "fast"
    """How a stream is given out again: at once, or in the pieces in which it came."""
    wait_s: Annotated[float, Meta(gt=0, le=600)] = 60
    """How long a request waits for the answer to an equal one under way; then it goes on its own."""
    timeout_s: Annotated[float, Meta(gt=0, le=10)] = 0.05
    """Of a look-up in a file or in Valkey; then it is a miss."""
    semantic: SemanticCacheConfig = SemanticCacheConfig()

    def __post_init__(self) -> None:
        where = self.where
        if where.scheme not in (VALKEY if where.is_url else {"memory", "sqlite"}):
            shown = repr(where.scheme if where.is_url else "a word")
            raise ValueError(f"store is {shown}; expected memory, sqlite or valkey://…")
        if where.is_url and self.secret is None:
            raise ValueError("secret is missing; it signs what lies in a store that others can write to")

    @property
    def where(self) -> Address:
        """Where answers are kept."""
        return self.store or MEMORY
