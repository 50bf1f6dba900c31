"""Where answers are kept, opened as configured, for as long as the process runs. Floor 5."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from turnout.config import Config
from turnout.config.cache import CacheConfig, SemanticCacheConfig
from turnout.config.stores import VALKEY
from turnout.engine.beside import Beside, Threads
from turnout.engine.engine import Engine
from turnout.engine.exchange import Clock
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.layers.cache import CacheLayer, Caches, Shelf
from turnout.stores.cache.base import Bounds, CacheStore
from turnout.stores.cache.memory import MemoryCache
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.embed import EmbedRequest, EmbedResponse

if TYPE_CHECKING:
    from turnout.layers.cache.semantic import Semantic
    from turnout.learn.cache_card import CacheCard
    from turnout.signals.base import Sense

KIB: Final = 1024


class Shelves:
    """What is kept over reloads of the configuration.

    Attributes:
        caches: Opened when the first configuration that caches comes into force; None until then.
    """

    __slots__ = ("_clock", "_engine", "_threads", "caches")

    def __init__(self, clock: Clock, threads: Threads, engine: Callable[[], Engine]) -> None:
        self._clock = clock
        self._threads = threads
        self._engine = engine
        self.caches: Caches | None = None

    def follow(self, config: Config, snapshot: Snapshot) -> CacheLayer:
        """Return the layer of a configuration. Raises `ConfigError`."""
        if snapshot.caches and self.caches is None:
            self.caches = self._opened(config.cache)
        caches = self.caches
        wanted = any(rule.semantic for rule in snapshot.caches.values())
        if caches is not None and wanted and caches.semantic is None:
            caches.semantic = self._semantic(config)
        return CacheLayer(snapshot, caches)

    async def close(self) -> None:
        """Let go of every resource."""
        if self.caches is not None:
            await self.caches.close()

    async def _serve(self, request: EmbedRequest | ChatRequest, ask: Ask) -> EmbedResponse | ChatResponse:
        """Serve a call that a look-up makes as any other."""
        async with self._engine().open(request, ask) as reply:
            return await (reply.vectors() if isinstance(request, EmbedRequest) else reply.response())

    def _opened(self, row: CacheConfig) -> Caches:
        secret = b"" if row.secret is None else row.secret.reveal().encode()
        return Caches(
            Shelf(open_cache(row), self._clock, time.time, timeout_s=row.timeout_s),
            # With it nobody who reads the store can find out what was asked by asking the digest.
            salt=hashlib.sha256(b"turnout cache " + secret).digest(),
            max_bytes=round(row.max_answer_kib * KIB),
            wait_s=row.wait_s,
        )

    def _semantic(self, config: Config) -> "Semantic":
        from turnout.layers.cache.semantic import Semantic, Settings  # noqa: PLC0415  numpy comes with it
        from turnout.learn.nearest import EXACT, Nearest, has_graphs  # noqa: PLC0415

        row = config.cache.semantic
        if row.max_entries > EXACT and not has_graphs():
            raise ConfigError(
                (f'cache.semantic.max_entries: above {EXACT:,} it needs pip install "turnout[usearch]"',)
            )
        card = None if row.artifact is None else read_card(row.artifact)
        sense = _sense(row, card, config)
        threshold = max(row.threshold or 0.0, 0.0 if card is None else card.threshold or 0.0)
        settings = Settings(
            threshold=threshold,
            # Nothing was shown, so nothing is served.
            shadow=row.shadow or card is None or card.threshold is None,
            check_share=row.check_share,
            max_false_hits=row.max_false_hits,
            agreement=row.agreement,
        )
        nearest = Nearest(max_per_part=row.max_entries, max_questions=row.max_total)
        return Semantic(sense, Beside(self._threads, self._serve, row.deadline_s), nearest, settings)


def open_cache(row: CacheConfig) -> CacheStore:
    """Open where answers are kept. Raises `ConfigError`."""
    where = row.where
    bounds = Bounds(max_entries=row.max_entries, max_bytes=round(row.max_mib * KIB * KIB))
    if where.scheme in VALKEY:
        try:
            from turnout.stores.valkey.cache import ValkeyCache  # noqa: PLC0415  an extra
        except ModuleNotFoundError as error:
            raise ConfigError((f'{where}: needs {error.name}: pip install "turnout[valkey]"',)) from None
        assert row.secret is not None
        return ValkeyCache(where.reveal(), row.secret.reveal().encode(), timeout_s=row.timeout_s)
    if where.scheme == "sqlite":
        from turnout.stores.cache.sqlite import SqliteCache  # noqa: PLC0415

        return SqliteCache(Path(row.path), bounds)
    return MemoryCache(bounds)


def read_card(path: str) -> "CacheCard":
    """Read an artifact of `turnout calibrate cache`. Raises `ConfigError`."""
    from turnout.learn.alike import EDITION  # noqa: PLC0415
    from turnout.learn.cache_card import read_card as read  # noqa: PLC0415  numpy comes with it

    where = "cache.semantic.artifact"
    try:
        card = read(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError((f"{where}: {path} cannot be read: {error.strerror}",)) from None
    except ValueError as error:
        raise ConfigError((f"{where}: {path}: {error}",)) from None
    if card.edition != EDITION:
        raise ConfigError((f"{where}: {path} was made with other rules; run turnout calibrate cache again",))
    return card


def _sense(row: SemanticCacheConfig, card: "CacheCard | None", config: Config) -> "Sense":
    """Return what computes vectors. Raises `ConfigError`."""
    from turnout.registry import load  # noqa: PLC0415
    from turnout.signals.embed import EmbedSense, RemoteEmbedSense, encoder_of  # noqa: PLC0415

    kind = row.encoder or ("static" if card is None else card.kind)
    if kind == "remote":
        remote = config.signals.remote
        assert remote is not None  # compile/caches.py has looked
        sense = RemoteEmbedSense(
            model=remote.model, dimensions=remote.dimensions, deadline_s=remote.deadline_s
        )
        found = sense.id
    else:
        sense = cast("EmbedSense", load("turnout.signals", f"embed.{kind}"))  # type: ignore[assignment]
        found = encoder_of(kind).id
    if card is not None and card.encoder != found:
        raise ConfigError(
            (f"cache.semantic.artifact: its vectors are of {card.encoder}; configured is {found}",)
        )
    return sense
