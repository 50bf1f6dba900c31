"""Questions that mean the same: found by their vectors, and served only where nothing objects. Floor 4.

Theory of operation (SECURITY.md S-73).

1. A question is looked for among those of its part alone: the same tenant, route and configuration, and word
   for word the same request around the last user's text (`key.py`).
2. Of the nearest, the first counts that is near enough and that no rule objects to (`learn.alike`). Where
   none is, the nearest is told, with what kept it from being served.
3. In shadow nothing is served: the model answers, and both answers are compared where the configuration says
   when two count as the same. A share of what would be served can be treated likewise all the time.
4. Every comparison is a bet against "at most so many false hits" (`learn.monitor`). Once it is lost the route
   is in shadow until the process starts again, and says so.
5. Vectors are those of the signal `embed.*`: where a strategy reads the same one, it is computed once. One
   that comes too late, or not at all, is a miss.
"""

import logging
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from turnout.engine.beside import Beside
from turnout.engine.exchange import Exchange
from turnout.errors import StoreUnavailable
from turnout.layers.cache.key import head_of, key_of, question_of
from turnout.layers.cache.replay import text_of
from turnout.learn.alike import MAX_CHARS, veto
from turnout.learn.encoders.vectors import narrow
from turnout.learn.monitor import LossWatch
from turnout.learn.nearest import Match, Nearest, Question, Row
from turnout.signals.base import Sense
from turnout.stores.cache.base import Kept, Selector
from turnout.types.cache import NearView, Veto
from turnout.types.chat import ChatRequest
from turnout.types.moment import Moment
from turnout.types.signal import Embedding

if TYPE_CHECKING:
    from turnout.layers.cache import Caches, Terms

SHOWN: Final = 16
_WORD: Final = re.compile(r"\w+")
log = logging.getLogger("turnout.cache")


class Settings(Struct, frozen=True, kw_only=True):
    """What is served, and what is only watched."""

    threshold: float
    shadow: bool = False
    """Whether nothing is served."""
    check_share: float = 0.0
    """Share of what would be served that the model answers all the same, to compare."""
    max_false_hits: float = 0.01
    """Share of false answers among those compared that a route may have."""
    agreement: float | None = None
    """Two answers count as the same where they share so many of their words; None = nobody compares."""


class Near(Struct, eq=False):
    """A question, and the nearest that was answered before."""

    route: str
    part: bytes
    vector: Row
    text: str
    threshold: float
    found: Question | None = None
    similarity: float = 0.0
    veto: Veto | None = None
    shadow: bool = False
    right: bool | None = None

    @property
    def would_serve(self) -> bool:
        """Whether nothing but the shadow keeps the answer from being given."""
        return self.found is not None and self.veto is None and self.similarity >= self.threshold

    @property
    def serves(self) -> bool:
        """Whether its answer is given."""
        return self.would_serve and not self.shadow

    def view(self) -> NearView | None:
        """Return what the Record says; None where there was nothing near."""
        if self.found is None:
            return None
        return NearView(
            key=self.found.key.hex()[:SHOWN],
            similarity=round(self.similarity, 6),
            threshold=self.threshold,
            veto=self.veto,
            shadow=self.shadow and self.would_serve,
            right=self.right,
        )


class Semantic:
    """Finds questions that mean the same.

    Args:
        sense: Computes vectors.
        beside: Does so without holding up the loop.
        nearest: Where questions lie.
        settings: What is served.
    """

    __slots__ = ("_beside", "_nearest", "_sense", "_watches", "settings")

    def __init__(self, sense: Sense, beside: Beside, nearest: Nearest, settings: Settings) -> None:
        self._sense = sense
        self._beside = beside
        self._nearest = nearest
        self.settings = settings
        self._watches: dict[str, LossWatch] = {}
        """By route; bounded by the configured ones."""

    def __len__(self) -> int:
        return len(self._nearest)

    def is_off(self, route: str) -> bool:
        """Tell whether a route serves nothing any more, because too much of it was false."""
        watch = self._watches.get(route)
        return watch is not None and watch.alarms

    def watched(self) -> Mapping[str, tuple[int, int]]:
        """Return how many answers were compared on each route, and how many were false."""
        return {route: (watch.n, round(watch.total)) for route, watch in self._watches.items()}

    async def look(self, exchange: Exchange, terms: "Terms", caches: "Caches") -> Near | None:
        """Return the question with the nearest before it; None where it is none that could have one."""
        asked, request = question_of(exchange.request), exchange.request
        if asked is None or not isinstance(request, ChatRequest) or not 0 < len(asked[0]) <= MAX_CHARS:
            return None
        text, rest = asked
        vector = await self._vector(exchange, request)
        if vector is None:
            return None
        settings, route = self.settings, terms.pool.route.name
        head = head_of(exchange, terms.rule, terms.wish, express=False, semantic=True)
        near = Near(route, key_of(caches.salt, head, rest), vector, text, settings.threshold)
        matches = self._nearest.search(near.part, vector, caches.shelf.wall())
        _choose(near, matches)
        drawn = settings.check_share and _is_drawn(exchange.ask.request_id, settings.check_share)
        near.shadow = bool(settings.shadow or drawn or self.is_off(route))
        return near

    async def _vector(self, exchange: Exchange, request: ChatRequest) -> Row | None:
        sense = self._sense
        found = await self._beside.sense((sense,), request, exchange.ask, Moment(at=exchange.at))
        embedding = found.get(sense.name)
        if not isinstance(embedding, Embedding) or not any(embedding.vector):
            return None
        return narrow(embedding.vector)

    def used(self, near: Near, now: float) -> None:
        """Note that the nearest answer was given again."""
        if near.found is not None:
            self._nearest.used(near.part, near.found.key, now)

    def add(self, near: Near, kept: Kept, now: float) -> None:
        """Take in a question with the answer that was just kept."""
        owner = kept.owner
        question = Question(
            key=kept.key,
            text=near.text,
            route=kept.route,
            owner=(owner.organisation, owner.project, owner.key_id),
            expires=kept.expires,
            cost_nusd=kept.cost_nusd or 0,
            n_bytes=kept.n_bytes,
        )
        self._nearest.add(near.part, near.vector, question, now)

    def forget(self, near: Near) -> None:
        """Let go of a question whose answer is gone."""
        if near.found is not None:
            self._nearest.forget(near.part, near.found.key)

    def clear(self, which: Selector) -> int:
        """Let go of questions."""

        def takes(question: Question) -> bool:
            organisation, project, key_id = question.owner
            return (
                which.route in (None, question.route)
                and which.organisation in (None, organisation)
                and which.project in (None, project)
                and which.key_id in (None, key_id)
                and question.key.hex().startswith(which.prefix)
            )

        return self._nearest.clear(takes)

    async def compare(self, near: Near, fresh: Kept, caches: "Caches") -> None:
        """Compare the answer that was not given with the one that was made."""
        least = self.settings.agreement
        if least is None or near.found is None or not (near.shadow and near.would_serve):
            return
        try:
            kept = await caches.shelf.get(near.found.key)
            same = None if kept is None else agreement(text_of(kept), text_of(fresh)) >= least
        except (StoreUnavailable, msgspec.MsgspecError):
            return
        near.right = same
        if same is None:
            return
        watch = self._watches.setdefault(near.route, LossWatch(self.settings.max_false_hits))
        before = watch.alarms
        watch.take(0.0 if same else 1.0)
        if watch.alarms and not before:
            log.error(
                "route %s: %d of %d answers that would have been given again were false; none is any more",
                near.route,
                round(watch.total),
                watch.n,
            )


def _choose(near: Near, matches: list[Match]) -> None:
    """Write down the first match that may be served, else the nearest with what speaks against it."""
    for at, match in enumerate(matches):
        reason = veto(near.text, match.question.text)
        if at == 0 or (reason is None and match.similarity >= near.threshold):
            near.found, near.similarity, near.veto = match.question, match.similarity, reason
        if near.would_serve or match.similarity < near.threshold:
            return


def _is_drawn(request_id: str, share: float) -> bool:
    return zlib.crc32(b"cache" + request_id.encode()) < share * 2**32


def agreement(one: str, other: str) -> float:
    """Return how much two answers say the same: the F1 of their words, each counted as often as it stands."""
    a, b = _WORD.findall(one.casefold()), _WORD.findall(other.casefold())
    if not a or not b:
        return 1.0 if a == b and one.strip() == other.strip() else 0.0
    counts: dict[str, int] = {}
    for word in a:
        counts[word] = counts.get(word, 0) + 1
    shared = 0
    for word in b:
        if counts.get(word, 0) > 0:
            counts[word] -= 1
            shared += 1
    return 2 * shared / (len(a) + len(b))
