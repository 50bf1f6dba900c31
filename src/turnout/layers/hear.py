"""Listens to live traffic: keeps drawn answers for a judge, and reads signs of displeasure. Floor 4.

1. Of each sampled route a share of requests is drawn by the hash of the request's id: neither the choice nor
   the outcome has a say in it. A drawn request is served on the canonical track: only there is the answer
   something that can be judged.
2. What a judge is shown is what the guards let through, in the form in which it would be stored. It sees
   the turns before the last question only where the text of a request is stored.
3. All of it happens when the request is left: nobody waits for it. What Turnout asked itself is not listened
   to.
"""

import zlib
from collections.abc import Callable
from types import TracebackType

import msgspec

from turnout.engine.heard import Heard
from turnout.layers.base import Clock, Exchange, Handler, Inner, Reply
from turnout.learn.followups import Followups, Glance
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Text
from turnout.types.feedback import Feedback
from turnout.types.quality import Listening, Sample

OURS = frozenset({"shadow", "judge"})
"""Tags of requests that Turnout made itself."""
Judge = Callable[[Sample, Feedback, ChatRequest, ChatResponse, str], None]
"""Takes a sample, what is known of the request, the request, its answer and who answered; must not raise and
must not block."""
Say = Callable[[Glance], None]


def is_drawn(request_id: str, share: float) -> bool:
    """Tell whether a request is in a uniform share of all; independent of other such draws."""
    return zlib.crc32(b"judge" + request_id.encode()) < share * 2**32


class HearLayer:
    """Listens."""

    __slots__ = ("clock", "followups", "judge", "listening", "say")

    def __init__(
        self, listening: Listening, clock: Clock, judge: Judge, followups: Followups, say: Say
    ) -> None:
        self.listening = listening
        self.clock = clock
        self.judge = judge
        self.followups = followups
        self.say = say

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where nothing is listened to."""
        listening = self.listening
        if not listening.samples and not listening.implicit:
            return inner

        def handle(exchange: Exchange) -> Inner:
            ours = exchange.ask.is_probe or not OURS.isdisjoint(exchange.ask.tags)
            if ours or not isinstance(exchange.request, ChatRequest):
                return inner(exchange)
            return _Listened(self, inner, exchange)

        return handle


class _Listened:
    __slots__ = ("_exchange", "_heard", "_inner", "_layer")

    def __init__(self, layer: HearLayer, handler: Handler, exchange: Exchange) -> None:
        self._layer = layer
        self._exchange = exchange
        self._heard: Heard | None = None
        assert isinstance(exchange.request, ChatRequest)
        if is_drawn(exchange.ask.request_id, layer.listening.largest_share):
            exchange.request = msgspec.structs.replace(exchange.request)  # no longer the one that came
        self._inner: Inner = handler(exchange)

    async def __aenter__(self) -> Reply:
        reply = await self._inner.__aenter__()
        sample = self._sample()
        if sample is not None and is_drawn(self._exchange.ask.request_id, sample.share):
            reply = self._heard = Heard(reply)
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            if error is None and not self._exchange.explain_only:
                self._tell()

    def _sample(self) -> Sample | None:
        routing = self._exchange.routing
        return None if routing is None else self._layer.listening.samples.get(routing.route)

    def _tell(self) -> None:
        exchange, layer, heard = self._exchange, self._layer, self._heard
        if exchange.reply is None or exchange.outcome_error is not None:
            return
        about, original = about_of(exchange), exchange.original
        if layer.listening.implicit and isinstance(original, ChatRequest):
            now = layer.clock()
            who = (exchange.ask.principal.key_id or "", exchange.ask.session or exchange.ask.end_user or "")
            glance = layer.followups.look(who, original.messages, now)
            if glance is not None:
                layer.followups.keep(glance, about, now)
                if glance.sign is not None:
                    layer.say(glance)
        sample = self._sample()
        if sample is None or heard is None or heard.answer is None or heard.failure is not None:
            return
        request, answer = original, heard.answer
        if exchange.masked is not None:
            request, answer = exchange.request, _masked(answer, exchange.masked)
        if exchange.content_of is None:  # nothing of it is kept: nothing but the question goes on
            sample = msgspec.structs.replace(sample, earlier=0)
        if isinstance(request, ChatRequest):
            layer.judge(sample, about, request, answer, heard.deployment.id)


def about_of(exchange: Exchange) -> Feedback:
    """Return what is known of a request that was answered: feedback on it, still without the word."""
    ask, reply = exchange.ask, exchange.reply
    who = ask.principal
    return Feedback(
        id="",
        request_id=ask.request_id,
        at=exchange.at,
        kind="judge",
        asked_at=exchange.at,
        principal=who.key_id,
        speaker=who.key_id,
        organisation=who.organisation,
        project=who.project,
        customer=who.customer or (ask.end_user if who.names_customers else None),
        route=None if exchange.routing is None else exchange.routing.route,
        model=None if reply is None else reply.deployment.model.id,
    )


def _masked(answer: ChatResponse, mask: Callable[[str], str]) -> ChatResponse:
    """Return an answer's text as it would be stored."""
    choices = tuple(
        Choice(parts=tuple(Text(mask(part.text)) for part in choice.parts if isinstance(part, Text)))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)
