"""Prompts marked for the caches of providers, call by call. Floor 4.

Theory of operation.

1. Only here is it known who is asked: marks go to models whose wire format has them, and to nobody else.
2. What is marked is what the call sends (`Call.request`); what it is about (`Call.asked`) stays: a retry or a
   fallback begins without marks.
3. A request that gets marks leaves the express track; one whose client marks it itself stays on it.
4. A system prompt that changes only in numbers, dates or ids is told of (`volatile_prefix`): whatever stands
   behind them is never read from a cache.
"""

from contextlib import AbstractAsyncContextManager
from typing import Final

from turnout.compress.base import Sizes
from turnout.compress.marks import TAKES, least_tokens, marked, skeleton
from turnout.engine.exchange import Call, CallHandler
from turnout.engine.reply import Reply
from turnout.signals.tokens.estimate import estimate
from turnout.signals.tokens.families import factor_of
from turnout.types.chat import ChatRequest

VOLATILE: Final = "volatile_prefix"
REMEMBERED: Final = 4_096
"""System prompts watched."""


class MarksLayer:
    """Marks prompts.

    Args:
        routes: Routes whose prompts are marked.
    """

    __slots__ = ("_routes", "_seen")

    def __init__(self, routes: frozenset[str]) -> None:
        self._routes = routes
        self._seen: dict[tuple[str, bytes], bytes] = {}
        """Route and skeleton of a system prompt -> the prompt as it last was."""

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler; none where nothing is marked."""
        if not self._routes:
            return inner

        def handler(call: Call) -> AbstractAsyncContextManager[Reply]:
            self._mark(call)
            return inner(call)

        return handler

    def _mark(self, call: Call) -> None:
        request, exchange = call.asked, call.exchange
        routing, deployment = exchange.routing, call.deployment
        calls = TAKES.get(deployment.vendor.codec)
        if calls is None or routing is None or routing.route not in self._routes:
            return
        least = least_tokens(deployment.upstream_model)
        if least is None or request is not exchange.request or not isinstance(request, ChatRequest):
            return
        call.request = marked(request, least / factor_of(deployment.model.id), Sizes(estimate), calls=calls)
        if call.request is not request and call.retry_of is None and self._changes(routing.route, request):
            exchange.warnings.append(VOLATILE)

    def _changes(self, route: str, request: ChatRequest) -> bool:
        """Tell whether a system prompt is another than the last one of its skeleton."""
        bones, now = skeleton(request)
        before = self._seen.pop((route, bones), None)
        self._seen[route, bones] = now
        if len(self._seen) > REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        return before is not None and before != now
