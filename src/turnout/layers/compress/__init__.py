"""Conversations made shorter before anybody counts, decides or pays. Floor 4.

Theory of operation.

1. Which rule applies follows from the route the request names; a request may ask for less (`off`, `lossless`)
   or for the window's limit (`fit`, OpenRouter's `transforms: ["middle-out"]`). Without a rule anywhere the
   layer is not there at all.
2. A request that got shorter leaves the express track: what goes out is written anew. One in which nothing
   changes stays the one that came.
3. The window is the largest of the pool's, less the answer: smaller models drop out by the filter of windows.
4. A summary is a call of its own through the attempt ring: measured, priced and recorded. The same turns are
   summed up once. Where that fails, their sentences stand for them, and the Record says so.
5. Long conversations are shortened in a thread, so that other requests have their turn.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Final, TypeAlias

import msgspec

from turnout.compress import Job, Older, lossless, older, question, shorten, summary_in, text_of
from turnout.engine.exchange import Call, CallHandler, Clock, Exchange, Handler
from turnout.engine.facts import with_facts, with_messages
from turnout.engine.pool import Pool, Pools
from turnout.engine.reply import Reply
from turnout.engine.snapshot import Snapshot
from turnout.errors import InvalidRequest, TurnoutError
from turnout.layers.base import Inner
from turnout.layers.compress.marks import MarksLayer
from turnout.signals.tokens.estimate import estimate
from turnout.signals.tokens.families import factor_of
from turnout.types.chat import ChatRequest, Message, Part, Text, ToolResult
from turnout.types.compress import CompressRule, CompressView, Wish
from turnout.types.deployment import Deployment

__all__ = ["CompressLayer", "MarksLayer"]
MIDDLE_OUT: Final = "middle-out"
IGNORED: Final = "transforms_ignored"
"""Warning that the dialects set, as they do not know whether anybody honours the field."""
CHARS_ON_LOOP: Final = 32_768
"""Characters that are shortened at once: one or two milliseconds."""
MARGIN: Final = 0.95
"""Of the window: sizes are estimates."""
CHARS_PER_TOKEN: Final = 3.2
"""What a decision reckons with where its route does not estimate tokens (ROUTING.md 2.2)."""
DEFAULT_OUTPUT: Final = 4_096
SAMPLE_CHARS: Final = 4_096
"""Of one text, where only the kind of text matters."""
REMEMBERED: Final = 1_024
"""Summaries kept."""
Found: TypeAlias = "tuple[tuple[Message, ...], CompressView]"
"""A conversation after it was looked at, and what was taken away."""
_WISHES: Final[frozenset[Wish]] = frozenset(("default", "off", "lossless", "fit"))


class CompressLayer:
    """Shortens conversations."""

    __slots__ = ("_gists", "_pools", "_rules", "call", "clock", "deployments")

    def __init__(self, snapshot: Snapshot, call: CallHandler, clock: Clock) -> None:
        self._rules = snapshot.compress
        self._pools = Pools(snapshot)
        self.deployments = snapshot.deployments
        self.call = call
        self.clock = clock
        self._gists: dict[bytes, str] = {}
        """Digest of earlier turns -> their summary."""

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where nothing is shortened."""
        return partial(self._open, inner) if self._rules else inner

    def _open(self, inner: Handler, exchange: Exchange) -> Inner:
        request = exchange.request
        if not isinstance(request, ChatRequest) or exchange.ask.is_probe or request.facts.realtime:
            return inner(exchange)
        try:
            pool = self._pools.pool(request.model, exchange.ask)
        except TurnoutError:
            return inner(exchange)  # said again where it is known best
        rule = self._rules.get(pool.route.name)
        rule = None if rule is None else _wished(rule, exchange)
        if rule is None:
            return inner(exchange)
        task = Task(request, rule, pool, self.clock())
        asks = rule.compact is not None and rule.compact.by != "extract"
        if asks or request.facts.n_chars > CHARS_ON_LOOP:
            return _Shortened(self, inner, exchange, task)
        self.take(exchange, task, task.shortened())
        return inner(exchange)

    def take(self, exchange: Exchange, task: "Task", found: Found, why: str | None = None) -> None:
        """Put the shorter conversation in place of the one that came."""
        messages, view = found
        duration_s = self.clock() - task.began_s
        exchange.compressed = msgspec.structs.replace(view, duration_s=duration_s, why=why or view.why)
        if messages is not task.messages:
            exchange.request = with_messages(task.request, messages)

    async def gist(self, exchange: Exchange, writer: Deployment, found: Older, n_tokens: int) -> str:
        """Return the summary of earlier turns. Raises `TurnoutError` or `ValueError`."""
        text = text_of(found)
        key = blake2b(f"{writer.id}\0{n_tokens}\0{text}".encode("utf-8", "replace"), digest_size=16).digest()
        known = self._gists.pop(key, None)
        if known is None:
            call = Call(exchange, writer, with_facts(question(text, n_tokens)), now=self.clock())
            async with self.call(call) as reply:
                known = summary_in(await reply.response())
        self._gists[key] = known
        if len(self._gists) > REMEMBERED:
            self._gists.pop(next(iter(self._gists)))
        return known


class Task:
    """One request with what is to be done about it."""

    __slots__ = ("began_s", "job", "messages", "request", "rule")

    def __init__(self, request: ChatRequest, rule: CompressRule, pool: Pool, began_s: float) -> None:
        self.began_s = began_s
        self.request = request
        self.rule = rule
        self.messages: tuple[Message, ...] = tuple(request.messages)
        tools = tuple(request.tools)
        n_other = estimate(msgspec.json.encode(tools).decode()) if tools else 0.0
        room = _room(request, pool) if rule.fit else None
        self.job = Job(
            rule=rule,
            count=estimate,
            room=None if room is None else max(room - n_other, 0.0),
            n_other=n_other,
        )

    def shortened(self, gist: str | None = None) -> Found:
        """Shorten the conversation; pure."""
        return shorten(self.messages, self.job, gist)


class _Shortened:
    """A request whose shortening must be waited for."""

    __slots__ = ("_exchange", "_handler", "_inner", "_layer", "_task")

    def __init__(self, layer: CompressLayer, handler: Handler, exchange: Exchange, task: Task) -> None:
        self._layer = layer
        self._handler = handler
        self._exchange = exchange
        self._task = task
        self._inner: Inner | None = None

    async def __aenter__(self) -> Reply:
        layer, task, exchange = self._layer, self._task, self._exchange
        gist, why = await self._gist()
        found = await asyncio.to_thread(task.shortened, gist)
        layer.take(exchange, task, found, why)
        self._inner = inner = self._handler(exchange)
        return await inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._inner is not None
        return await self._inner.__aexit__(kind, error, trace)

    async def _gist(self) -> tuple[str | None, str | None]:
        """Return the summary of earlier turns where a model writes it, and the word for a failure."""
        layer, compact = self._layer, self._task.rule.compact
        if compact is None or compact.by == "extract":
            return None, None
        found = await asyncio.to_thread(older, self._task.messages, self._task.job)
        if found is None:
            return None, None
        try:
            writer = layer.deployments[compact.by]
            return await layer.gist(self._exchange, writer, found, compact.to_tokens), None
        except (TurnoutError, ValueError):
            return None, "summary_failed"


def _wished(rule: CompressRule, exchange: Exchange) -> CompressRule | None:
    """Return the rule as the request wants it; None = leave it alone. Raises `InvalidRequest`."""
    extra = exchange.ask.extra
    if not extra:
        return rule
    wish = extra.get("compress")
    transforms = extra.get("transforms")
    if isinstance(transforms, list | tuple):
        rule = msgspec.structs.replace(rule, fit=MIDDLE_OUT in transforms)
        _honoured(exchange, transforms)
    if wish is None or wish == "default":
        return rule
    if wish not in _WISHES:
        raise InvalidRequest("compress: expected default, off, lossless or fit", param="compress")
    if wish == "off":
        return None
    return lossless(rule) if wish == "lossless" else msgspec.structs.replace(rule, fit=True)


def _honoured(exchange: Exchange, transforms: Sequence[object]) -> None:
    """Take back the warning that nobody heeds a field, where all of it is heeded."""
    ask = exchange.ask
    if IGNORED in ask.warnings and all(each == MIDDLE_OUT for each in transforms):
        warnings = tuple(word for word in ask.warnings if word != IGNORED)
        exchange.ask = msgspec.structs.replace(ask, warnings=warnings)


def _room(request: ChatRequest, pool: Pool) -> float | None:
    """Return the tokens that the largest window of a pool has for the input; None = unknown."""
    estimates = any(each.name.startswith("tokens.") for each in pool.route.senses)
    rooms: list[float] = []
    for deployment in pool.deployments:
        model = deployment.model
        if model.context_window is None:
            return None
        output = request.max_tokens or min(model.max_output or DEFAULT_OUTPUT, model.context_window // 4)
        most = model.context_window - output
        if model.max_input is not None:
            most = min(most, model.max_input)
        factor = factor_of(model.id)
        rooms.append(most / (factor if estimates else max(factor, _crude(request))))
    return MARGIN * max(rooms) if rooms else None


def _crude(request: ChatRequest) -> float:
    """Return how many times more tokens a decision reckons with that only counts characters."""
    pieces = [piece for message in request.messages for part in message.parts if (piece := _piece(part))]
    n_tokens = sum(map(estimate, pieces))
    return sum(map(len, pieces)) / CHARS_PER_TOKEN / n_tokens if n_tokens else 1.0


def _piece(part: Part) -> str:
    match part:
        case Text(text=text):
            return text[:SAMPLE_CHARS]
        case ToolResult(content=content):
            return "".join([each.text[:SAMPLE_CHARS] for each in content if isinstance(each, Text)])
        case _:
            return ""
