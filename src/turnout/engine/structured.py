"""Answers that must have a shape: checked, and asked for again where they miss it. Floor 4.

Theory of operation. The plan of a request with a required shape is wrapped where its route says so.

1. Where the route asks for repairs or for errors, the plan is run to its complete answer, also for a stream:
   nothing is handed out that may still be replaced. Where it only wants to know, the answer passes as it
   comes and is checked at its end.
2. A repair is one more call in the attempt ring: the same conversation, the answer as the assistant's turn,
   and what was wrong with it as the next. It is measured, budgeted and recorded like any other, and its
   Attempt says why it was made. Nothing but the request's own texts is in it.
3. `stronger` is the candidate next in quality above the one that answered; next in expected cost where the
   strategy measured no quality; the same one where there is none.
4. A repair that fails, is refused by a budget or misses again leaves the latest complete answer. It is never
   worse off than without: what was there stays.
5. An answer cut off by its length is not asked for again: the next would be too. Nor is one of several (`n`).
"""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final

import msgspec

from turnout.engine.collect import Collector
from turnout.engine.exchange import Exchange
from turnout.engine.execute import Executor
from turnout.engine.follow import Step, whole
from turnout.engine.recover import open_recovering, recovers
from turnout.engine.reply import Reply, WholeReply
from turnout.engine.routed import Routed, expected_cost, rule_of
from turnout.errors import InvalidModelOutput, TurnoutError
from turnout.plan import Verdict
from turnout.strategies.accept.schema import SchemaUnusable
from turnout.strategies.accept.shape import Miss, miss
from turnout.types.chat import ChatRequest, ChatResponse, Message, Part, Reasoning, Text, ToolCall, ToolResult
from turnout.types.embed import EmbedResponse
from turnout.types.event import Event
from turnout.types.structured import Structured

INVALID: Final = "structured_output_invalid"
UNCHECKED: Final = "schema_unchecked"
HOPELESS: Final = frozenset({"cut_off"})
"""Misses that asking again does not mend."""
_ASK: Final = (
    "Your last answer cannot be used: it does not have the required form.\n{detail}\n"
    "Answer the same question again, completely, in the required form, and with nothing else."
)


class Collected:
    """A plan whose complete answer is checked, and repaired, before it is handed out."""

    __slots__ = ("_exchange", "_executor", "_routed", "_rule")

    def __init__(self, executor: Executor, routed: Routed, exchange: Exchange, rule: Structured) -> None:
        self._executor = executor
        self._routed = routed
        self._exchange = exchange
        self._rule = rule

    async def __aenter__(self) -> Reply:
        exchange, rule = self._exchange, self._rule
        reply = await self._executor.collect(self._routed.choice.plan, exchange, exchange.request)
        found = await self._looked(reply)
        for _ in range(rule.max_repairs if rule.repair != "off" else 0):
            if found is None or found.reason in HOPELESS or len((await reply.response()).choices) != 1:
                break
            again = await self._repair(reply, found)
            if again is None:
                break
            reply = again
            found = await self._looked(reply)
        if found is not None and rule.on_invalid == "error":
            raise InvalidModelOutput(f"the answer misses the required form: {found.reason}")
        return reply

    async def _looked(self, reply: WholeReply) -> Miss | None:
        found = look(self._exchange, await reply.response())
        note(self._exchange, reply, found)
        return found

    async def _repair(self, reply: WholeReply, found: Miss) -> WholeReply | None:
        """Ask again; None where nobody answered."""
        exchange, request = self._exchange, self._exchange.request
        assert isinstance(request, ChatRequest)
        asked = whole(mended(request, await reply.response(), found))
        answered = reply.deployment.id
        to = stronger(self._routed, answered) if self._rule.repair == "stronger" else answered
        exchange.n_repairs += 1
        try:
            async with self._executor.call(to, exchange, asked, repair=found.reason) as again:
                return WholeReply(again.deployment, await again.response())
        except TurnoutError:
            exchange.warnings.append("repair_failed")
            return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held: every call was left before its answer was looked at."""


class Watched(Reply):
    """A reply whose answer is checked once it was read to its end."""

    __slots__ = ("_exchange", "_reply", "found")

    def __init__(self, reply: Reply, exchange: Exchange) -> None:
        super().__init__(reply.deployment)
        self._reply = reply
        self._exchange = exchange
        self.found: Miss | None = None
        self._follow()

    async def response(self) -> ChatResponse:
        """Return the complete answer."""
        try:
            answer = await self._reply.response()
        finally:
            self._follow()
        self.found = look(self._exchange, answer)
        return answer

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events as they arrive."""
        collector = Collector()
        try:
            async for events in self._reply.events():
                collector.add(events)
                self._follow()
                yield events
        finally:
            self._follow()
        if self.done:
            self.found = look(self._exchange, collector.response())

    async def vectors(self) -> EmbedResponse:
        """Refuse: a conversation is not vectors."""
        raise TypeError("a chat reply has no vectors()")

    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""
        reply = self._reply
        self.deployment = reply.deployment
        self.usage = reply.usage
        self.finish = reply.finish
        self.done = reply.done
        self.failure = reply.failure
        self.n_text = reply.n_text
        self.upstream_id = reply.upstream_id
        self.warnings = reply.warnings


class _Watching:
    __slots__ = ("_exchange", "_reply", "_step")

    def __init__(self, step: Step, exchange: Exchange) -> None:
        self._step = step
        self._exchange = exchange
        self._reply: Watched | None = None

    async def __aenter__(self) -> Reply:
        reply = self._reply = Watched(await self._step.__aenter__(), self._exchange)
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        swallowed = await self._step.__aexit__(kind, error, trace)
        if self._reply is not None:
            note(self._exchange, self._reply, self._reply.found)
        return swallowed


def open_shaped(executor: Executor, routed: Routed, exchange: Exchange) -> Step | None:
    """Return the plan with the check its route asks for; None where there is nothing to check.

    Takes the request off the express track: what passes unread cannot be checked.
    """
    rule = rule_of(exchange)
    if rule is None:
        return None
    request = exchange.request
    assert isinstance(request, ChatRequest)
    exchange.request = msgspec.structs.replace(request)
    if rule.collects:
        return Collected(executor, routed, exchange, rule)
    if recovers(exchange):
        return _Watching(open_recovering(executor, routed.choice.plan, exchange), exchange)
    return _Watching(executor.open(routed.choice.plan, exchange, exchange.request), exchange)


def note(exchange: Exchange, reply: Reply, found: Miss | None) -> None:
    """Write what an answer misses into the record of the call that gave it."""
    if found is not None:
        exchange.note_verdict(reply.deployment.id, Verdict(accept=False, reason=found.reason))


def look(exchange: Exchange, answer: ChatResponse) -> Miss | None:
    """Check an answer, and write down how it stands."""
    request = exchange.request
    assert isinstance(request, ChatRequest)
    exchange.warnings[:] = [word for word in exchange.warnings if word != INVALID]
    try:
        found = miss(request, answer)
    except SchemaUnusable:
        exchange.shaped = "unchecked"
        exchange.warnings.append(UNCHECKED)
        return None
    if found is None:
        exchange.shaped = "repaired" if exchange.n_repairs else "valid"
        return None
    exchange.shaped = "invalid"
    exchange.warnings.append(INVALID)
    return found


def mended(request: ChatRequest, answer: ChatResponse, found: Miss) -> ChatRequest:
    """Return the request with the answer that missed and what was wrong with it as two more turns."""
    choice = answer.choices[found.choice]
    words = _ASK.format(detail=found.detail or found.reason)
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    if calls:
        turns = [Message("tool", (_told(call, words),)) for call in calls]
    else:
        turns = [Message("user", (Text(words),))]
    said = Message("assistant", choice.parts or (Text("(nothing)"),))
    facts = msgspec.structs.replace(
        request.facts,
        n_chars=request.facts.n_chars + sum(_n_chars(part) for part in said.parts) + len(words) * len(turns),
        n_messages=request.facts.n_messages + 1 + len(turns),
    )
    return msgspec.structs.replace(request, messages=(*request.messages, said, *turns), facts=facts)


def _n_chars(part: Part) -> int:
    match part:
        case Text() | Reasoning():
            return len(part.text)
        case ToolCall():
            return len(part.arguments)
        case _:
            return 0


def _told(call: ToolCall, words: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=(Text(words),), is_error=True)


def stronger(routed: Routed, answered: str) -> str:
    """Return the candidate next above the one that answered; itself where nobody is."""
    kept = [each for each in routed.candidates if each.id not in routed.dropped]
    quality = routed.choice.quality
    if answered in quality:
        marks = {each.id: quality[each.id] for each in kept if each.id in quality}
    else:
        costs = {each.id: expected_cost(each.deployment, routed.context) for each in kept}
        marks = {name: float(cost.mean) for name, cost in costs.items() if cost and cost.mean is not None}
    if answered not in marks:
        return answered
    above = {name: mark for name, mark in marks.items() if mark > marks[answered]}
    return min(above, key=above.__getitem__) if above else answered
