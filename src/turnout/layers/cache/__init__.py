"""Answers given again: to the same request, and to one that means the same. Floor 4.

Theory of operation (SECURITY.md section 9).

1. The layer stands inside the guards and outside the routing: what is kept was not yet restored or redacted,
   so the guards of the moment look at every answer that is given again; and a hit decides nothing, asks
   nobody, reserves no money. The request still counts in its caller's quotas, further out.
2. A request is looked up under one key (`key.py`) in its tenant's part. Where it is not there, it leads a
   flight (`flight.py`): equal ones wait for its answer.
3. What is kept is what was read to its clean end, ended by itself, and that its route lets be kept
   (`wishes.py`). It is kept when the request is left, after the call has been priced.
4. Where a route says so, a question that means the same is answered alike (`semantic.py`).
5. Without a route that caches, the layer is the inner handler itself.
"""

import asyncio
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final

import msgspec

from turnout.engine.exchange import Exchange, Handler
from turnout.engine.pool import Pool, Pools
from turnout.engine.reply import Reply
from turnout.engine.snapshot import Snapshot
from turnout.errors import NotFound, TurnoutError
from turnout.layers.base import CLIENT_CLOSED, Inner, total
from turnout.layers.cache.flight import LEAD, Flight, Flights
from turnout.layers.cache.key import body_of, head_of, is_express, key_of, owner_of
from turnout.layers.cache.replay import Recorded, Replayed
from turnout.layers.cache.served import Served
from turnout.layers.cache.shelf import Shelf
from turnout.layers.cache.wishes import why_not, wish_of
from turnout.stores.cache.base import Kept, Selector
from turnout.types.cache import CacheRule, CacheView, CacheWish, Status
from turnout.types.chat import ChatRequest
from turnout.types.embed import EmbedRequest
from turnout.types.usage import NanoUsd

if TYPE_CHECKING:  # numpy comes with it: only where it is configured
    from turnout.layers.cache.semantic import Near, Semantic

__all__ = ["CacheLayer", "Caches", "Flights", "Shelf", "Terms"]
SHOWN: Final = 8
"""Bytes of a key that are told."""
_GONE = (asyncio.CancelledError, GeneratorExit, ConnectionError)


class Caches:
    """What one process keeps, whatever configuration is in force.

    Attributes:
        hits: Answers given again since the start, by status.
    """

    __slots__ = ("flights", "hits", "max_bytes", "salt", "saved_nusd", "semantic", "shelf", "wait_s")

    def __init__(
        self, shelf: Shelf, *, salt: bytes, max_bytes: int, wait_s: float, semantic: "Semantic | None" = None
    ) -> None:
        self.shelf = shelf
        self.flights = Flights()
        self.salt = salt
        self.max_bytes = max_bytes
        """Of one answer."""
        self.wait_s = wait_s
        """How long a request waits for an equal one."""
        self.semantic = semantic
        self.hits: dict[Status, int] = {}
        self.saved_nusd = NanoUsd(0)

    async def clear(self, which: Selector) -> int:
        """Let go of answers. Raises `StoreUnavailable`."""
        if self.semantic is not None:
            self.semantic.clear(which)
        return await self.shelf.clear(which)

    async def close(self) -> None:
        """Let go of every resource."""
        await self.shelf.close()


class CacheLayer:
    """Looks requests up, and keeps answers."""

    __slots__ = ("_pools", "_rules", "caches", "deployments")

    def __init__(self, snapshot: Snapshot, caches: Caches | None) -> None:
        self._rules = snapshot.caches
        self._pools = Pools(snapshot)
        self.deployments = snapshot.deployments
        self.caches = caches

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where nothing is cached."""
        return inner if self.caches is None or not self._rules else partial(self._open, self.caches, inner)

    def _open(self, caches: Caches, inner: Handler, exchange: Exchange) -> Inner:
        if exchange.ask.is_probe or not isinstance(exchange.request, ChatRequest | EmbedRequest):
            return inner(exchange)
        try:
            pool = self._pools.pool(exchange.request.model, exchange.ask)
        except TurnoutError:
            return inner(exchange)  # said again where it is known best
        rule = self._rules.get(pool.route.name)
        if rule is None:
            return inner(exchange)
        wish = wish_of(exchange.ask)
        why = why_not(exchange.request, rule, wish)
        if wish.mode == "bypass" or why is not None:
            exchange.cached = CacheView(status="bypass", why=why or "asked")
            return inner(exchange)
        return _Cached(self, caches, inner, exchange, Terms(pool, rule, wish))


class Terms(msgspec.Struct, frozen=True):
    """What applies to one request."""

    pool: Pool
    rule: CacheRule
    wish: CacheWish


class _Cached:
    __slots__ = (
        "_caches",
        "_exchange",
        "_flight",
        "_handler",
        "_inner",
        "_key",
        "_layer",
        "_near",
        "_recorded",
        "_terms",
    )

    def __init__(
        self, layer: CacheLayer, caches: Caches, handler: Handler, exchange: Exchange, terms: Terms
    ) -> None:
        self._layer = layer
        self._caches = caches
        self._handler = handler
        self._exchange = exchange
        self._terms = terms
        self._key = b""
        self._flight: Flight | None = None
        self._near: Near | None = None
        self._inner: Inner | None = None
        self._recorded: Recorded | None = None

    async def __aenter__(self) -> Reply:
        try:
            reply = await self._found()
            if reply is not None:
                return reply
            self._inner = inner = self._handler(self._exchange)
            reply = await inner.__aenter__()
        except BaseException as error:
            self._part(error)
            raise
        if not self._terms.wish.keeps:
            return reply
        self._recorded = recorded = Recorded(reply, self._caches.max_bytes)
        return recorded

    async def _found(self) -> Reply | None:
        """Return an answer that is there; None: a model is to be asked."""
        exchange, caches, terms = self._exchange, self._caches, self._terms
        wish = terms.wish
        request = exchange.request
        if terms.rule.semantic and isinstance(request, ChatRequest) and request is exchange.original:
            # No longer the one that came: answers to other questions must be read, not passed through.
            exchange.request = msgspec.structs.replace(request)
        express = is_express(exchange, echo_model=terms.pool.route.policy.echo_model)
        head = head_of(exchange, terms.rule, wish, express=express)
        key = self._key = key_of(caches.salt, head, body_of(exchange, wish, express=express))
        if wish.mode == "refresh":
            exchange.cached = CacheView(status="refresh", key=key[:SHOWN].hex())
            return None
        exchange.cached = CacheView(status="miss", key=key[:SHOWN].hex())
        if caches.shelf.near is not None and not terms.rule.semantic and caches.flights.of(key) is None:
            reply = self._at_hand(caches.shelf.near.look(key, caches.shelf.wall()))
        else:
            reply = await self._given()
        if reply is None and wish.mode == "only":
            raise NotFound("no answer to this request is kept", param="cache", code="not_cached")
        return reply

    def _at_hand(self, kept: Kept | None) -> Reply | None:
        """Return the answer that was looked up; where there is none, lead those who ask the same."""
        wish = self._terms.wish
        if wish.keeps and wish.mode != "only":
            self._flight = self._caches.flights.lead(self._key)
        return None if kept is None or not self._is_young(kept) else self._hit(kept, "hit")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._inner is None:
            return None  # nobody was asked
        try:
            swallowed = await self._inner.__aexit__(kind, error, trace)
        except BaseException as final:
            self._part(final)
            raise
        kept = None if error is not None else self._kept()
        if kept is None:
            self._part(error)
            return swallowed
        if self._flight is not None:
            self._flight.land(kept)
            self._flight = None
        self._caches.shelf.keep(kept)
        if self._near is not None:
            await self._learn(kept)
        return swallowed

    async def _learn(self, kept: Kept) -> None:
        """Take in a question that may answer others; tell whether another would have answered it."""
        near, semantic = self._near, self._caches.semantic
        if near is None or semantic is None:
            return
        await semantic.compare(near, kept, self._caches)
        self._exchange.cached = msgspec.structs.replace(_view(self._exchange), near=near.view())
        semantic.add(near, kept, self._caches.shelf.wall())

    async def _given(self) -> Reply | None:
        """Return a kept answer, or that of an equal request under way; None: this one is to be made."""
        caches, key, terms = self._caches, self._key, self._terms
        flight = caches.flights.of(key)
        if flight is not None and terms.wish.mode != "only":
            fate = await flight.wait(caches.wait_s)
            if isinstance(fate, Kept):
                return self._hit(fate, "hit", shared=True)
            if fate == LEAD:
                self._flight = flight
            return None
        if terms.wish.keeps and terms.wish.mode != "only":
            self._flight = caches.flights.lead(key)
        kept = await caches.shelf.get(key)
        reply = None if kept is None or not self._is_young(kept) else self._hit(kept, "hit")
        if reply is None and terms.rule.semantic and caches.semantic is not None:
            reply = await self._alike(caches.semantic)
        return reply

    async def _alike(self, semantic: "Semantic") -> Reply | None:
        """Return the answer to a question that means the same; note the nearest in any case."""
        exchange, terms = self._exchange, self._terms
        near = self._near = await semantic.look(exchange, terms, self._caches)
        if near is None or near.found is None:
            return None
        exchange.cached = msgspec.structs.replace(_view(exchange), near=near.view())
        if not near.serves:
            return None
        kept = await self._caches.shelf.get(near.found.key)
        if kept is None:
            semantic.forget(near)
            return None
        if not self._is_young(kept):
            return None
        semantic.used(near, self._caches.shelf.wall())
        return self._hit(kept, "semantic-hit")

    def _is_young(self, kept: Kept) -> bool:
        most = self._terms.wish.max_age_s
        return most is None or self._caches.shelf.wall() - kept.created <= most

    def _hit(self, kept: Kept, status: Status, *, shared: bool = False) -> Reply | None:
        exchange, caches, pool = self._exchange, self._caches, self._terms.pool
        deployment = self._layer.deployments.get(kept.deployment)
        if deployment is None:
            return None
        if self._flight is not None:
            self._flight.land(kept)
            self._flight = None
        exchange.policy = pool.route.policy
        exchange.routing = Served(pool.route.name, pool.source, deployment.id)
        exchange.dropped = kept.dropped
        exchange.cached = msgspec.structs.replace(
            _view(exchange),
            status=status,
            age_s=round(max(0.0, caches.shelf.wall() - kept.created), 3),
            saved_nusd=kept.cost_nusd,
            n_tokens_saved=kept.n_tokens,
            shared=shared,
        )
        caches.hits[status] = caches.hits.get(status, 0) + 1
        caches.saved_nusd = NanoUsd(caches.saved_nusd + (kept.cost_nusd or 0))
        exchange.reply = reply = Replayed(deployment, kept, whole=self._terms.rule.replay == "fast")
        return reply

    def _kept(self) -> Kept | None:
        """Return what is to be kept; None: nothing, or not this."""
        recorded, exchange, terms = self._recorded, self._exchange, self._terms
        if recorded is None or recorded.form is None or not recorded.complete:
            return None
        if recorded.finish != "stop" and not (recorded.finish == "tool_calls" and terms.rule.tools):
            return None
        usage, cost_nusd, _ = total(exchange.attempts)
        now = self._caches.shelf.wall()
        ttl_s = terms.rule.ttl_s if terms.wish.ttl_s is None else terms.wish.ttl_s
        ttl_s = min(ttl_s, terms.rule.max_ttl_s)
        if ttl_s <= 0:
            return None
        return Kept(
            key=self._key,
            form=recorded.form,
            pieces=tuple(recorded.kept),
            created=now,
            expires=now + ttl_s,
            route=terms.pool.route.name,
            owner=owner_of(exchange.ask.principal),
            deployment=recorded.deployment.id,
            cost_nusd=cost_nusd,
            n_tokens=0 if usage is None else usage.n_input + usage.n_output,
            finish=recorded.finish,
            dropped=exchange.dropped,
        )

    def _part(self, error: BaseException | None) -> None:
        """End the flight without an answer."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        unread = self._recorded is not None and not self._recorded.done and self._recorded.failure is None
        left = self._exchange.outcome_error == CLIENT_CLOSED or (error is None and unread)
        if left or isinstance(error, _GONE):
            flight.hand_over()
        else:
            flight.release()


def _view(exchange: Exchange) -> CacheView:
    assert exchange.cached is not None
    return exchange.cached
