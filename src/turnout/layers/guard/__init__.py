"""Guards around a request: what goes in is checked and may be changed, what comes out likewise. Floor 4.

Theory of operation.

1. Which guards apply follows from the route the request names, its surface, its key and team; a caller may
   ask for more (`guardrails`), never for fewer. Where no guard is configured the layer is not there at all.
2. A request that was changed, or whose answer is to be looked at, leaves the express track: bytes that nobody
   reads cannot be checked.
3. Values that were taken out are put back into the answer, whole or streamed (`answer.py`; operations:
   `tasks.py`).
4. A flagged request of a surface with a designated route goes there, whatever it named.
5. What each guard said stands in the Record and in `x-turnout-guards`: kinds and counts, never text.
"""

from functools import partial
from types import TracebackType
from typing import Final

import msgspec

from turnout.engine.exchange import Request
from turnout.engine.pool import Pools
from turnout.engine.snapshot import Snapshot
from turnout.errors import Forbidden, GuardBlocked, InvalidRequest
from turnout.guards.base import ANSWER, USER, Context, OfAnswer, Post, Posting
from turnout.layers.base import Exchange, Handler, Inner, Reply
from turnout.layers.guard.answer import Guarded
from turnout.layers.guard.refusal import refused
from turnout.layers.guard.round import Blocked, Means, Memo, Round, Send
from turnout.layers.guard.tasks import CHECKED, GuardedTask
from turnout.layers.guard.texts import edited, system_of, texts
from turnout.types.chat import ChatRequest
from turnout.types.json import JsonObject
from turnout.types.task import TaskRequest

__all__ = ["GuardLayer", "Means", "Memo", "Send"]
NO_WISHES: Final[frozenset[str]] = frozenset()


class GuardLayer:
    """Asks the guards of each request."""

    __slots__ = ("_pools", "means", "posting")

    def __init__(self, snapshot: Snapshot, means: Means) -> None:
        self.posting: Posting = snapshot.guards
        self.means = means
        self._pools = Pools(snapshot)

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where no guard is configured."""
        return inner if self.posting.is_empty else partial(self._open, inner)

    def _open(self, inner: Handler, exchange: Exchange) -> Inner:
        posts = self._posts(exchange)
        if posts and exchange.ask.endpoint == "realtime":
            raise Forbidden("what is said in a realtime session cannot be checked, and guards apply here")
        request = exchange.request
        if posts and isinstance(request, TaskRequest) and request.kind == "compaction":
            raise Forbidden("what a provider makes of a conversation cannot be read, and guards apply here")
        return _Checked(self, inner, exchange, posts) if posts else inner(exchange)

    def _posts(self, exchange: Exchange) -> tuple[Post, ...]:
        posting = self.posting
        if exchange.ask.is_probe:
            return ()
        route = ""
        if posting.routes:
            route = self._pools.pool(exchange.request.model, exchange.ask).route.name
        return posting.of(route, exchange.ask, self._wished(exchange))

    def _wished(self, exchange: Exchange) -> frozenset[str]:
        asked = exchange.ask.extra.get("guardrails")
        if asked is None:
            return NO_WISHES
        names = (
            frozenset(name for name in asked if isinstance(name, str))
            if isinstance(asked, list | tuple)
            else None
        )
        if names is None or not names <= {post.name for post in self.posting.posts}:
            raise InvalidRequest("guardrails names a guard that is not configured here", param="guardrails")
        return names


class _Checked:
    __slots__ = ("_exchange", "_handler", "_inner", "_layer", "_round")

    def __init__(
        self, layer: GuardLayer, handler: Handler, exchange: Exchange, posts: tuple[Post, ...]
    ) -> None:
        self._layer = layer
        self._handler = handler
        self._exchange = exchange
        self._round = Round(posts, exchange, layer.means)
        self._inner: Inner | None = None

    async def __aenter__(self) -> Reply:
        exchange, round_ = self._exchange, self._round
        original = exchange.request
        try:
            await self._check(original)
        except Blocked:
            if self._layer.posting.block_as == "error" or not isinstance(original, ChatRequest):
                raise
            return refused(exchange)
        looks = any("out" in post.stages for post in round_.posts)
        if (looks or round_.vault) and exchange.request is exchange.original:
            exchange.request = msgspec.structs.replace(
                original
            )  # no longer the one that came: no express track
        self._inner = inner = self._handler(exchange)
        reply = await inner.__aenter__()
        if not looks and not round_.vault:
            return reply
        if isinstance(original, TaskRequest):
            return GuardedTask(reply, round_, original.kind) if original.kind in CHECKED else reply
        context = _about(original, round_) if looks else ANSWER
        refusal = self._layer.posting.block_as == "refusal"
        return Guarded(reply, round_, exchange.guards, context, refusal=refusal)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._inner is None:
            return None  # refused in the model's stead
        return await self._inner.__aexit__(kind, error, trace)

    async def _check(self, request: Request) -> None:
        exchange, round_, posting = self._exchange, self._round, self._layer.posting
        if not any("in" in post.stages for post in round_.posts):
            return
        items = texts(request)
        n_chars = sum(len(text) for _, text in items)
        if n_chars > posting.max_chars:
            raise GuardBlocked(
                f"the request has {n_chars:,} characters, and guards look at {posting.max_chars:,} at most"
            )
        for _, text in items:
            round_.vault.reserve(text)
        changed = await round_.check(items, USER, reversible=True)
        if changed:
            exchange.request = edited(request, lambda source, text: changed.get((source, text), text))
            exchange.masked = round_.vault.mask
        exchange.ask = msgspec.structs.replace(exchange.ask, findings=round_.findings())
        diverted = posting.diverted.get(exchange.ask.surface or "")
        if round_.flagged and diverted is not None:
            exchange.ask = msgspec.structs.replace(exchange.ask, diverted=diverted)


def _about(request: Request, round_: Round) -> Context:
    """Return what guards of the answer know about it."""
    told = any("out" in post.stages and isinstance(post.guard, OfAnswer) for post in round_.posts)
    documents = (
        tuple(text for source, text in texts(request) if source in ("tool", "document")) if told else ()
    )
    return Context("out", "answer", _schema(request), system_of(request), documents)


def _schema(request: Request) -> JsonObject | None:
    if isinstance(request, ChatRequest) and request.output_format is not None:
        return request.output_format.schema
    return None
