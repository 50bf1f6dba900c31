"""A reply whose text passes the guards, and gets back what was taken out of the request. Floor 4.

Theory of operation.

1. Guards look at what the model wrote; values are put back after that, so no guard meets a value that the
   caller itself sent.
2. Each choice has channels: its text, its refusal, its reasoning, the arguments of each of its calls. Each
   has a window (`guards.window`) and a restorer of its own. Before another kind of event of a choice passes,
   what its channels hold is handed out, so the order of events stays.
3. Reasoning is guarded and not restored: providers sign it, and a changed one is refused in the next turn.
4. Where a post needs the complete answer, the stream is collected, checked and then handed out at once.
5. Token probabilities spell the text out: they are dropped where anything may be changed.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal

import msgspec

from turnout.engine.collect import Collector
from turnout.engine.reply import Relay, Reply, as_events
from turnout.guards.base import ANSWER, Context, Finding, Post, Source, apart
from turnout.guards.vault import Restorer
from turnout.guards.window import Window
from turnout.layers.guard.round import Blocked, Round, Tally, skipped
from turnout.types.chat import ChatResponse, Choice, Part, Reasoning, Refusal, Text, ToolCall
from turnout.types.embed import EmbedResponse
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.record import GuardView

Kind = Literal["text", "refusal", "reasoning", "call"]
Key = tuple[int, Kind, int]
"""Choice, kind, number of the call."""
BLOCKED: Final = "content_filter"


class _Channel:
    """One growing text of an answer."""

    __slots__ = ("restorer", "shape", "window")

    def __init__(self, window: Window | None, restorer: Restorer | None, shape: Event) -> None:
        self.window = window
        self.restorer = restorer
        self.shape = shape
        """The event its text is handed out in."""

    def feed(self, text: str, *, last: bool = False) -> str:
        if self.window is not None:
            text = self.window.feed(text, last=last)
        if self.restorer is not None:
            text = self.restorer.feed(text) if text else ""
            if last:
                text += self.restorer.end()
        return text


class Guarded(Relay):
    """The reply behind the guards."""

    __slots__ = (
        "_channels",
        "_context",
        "_edited_calls",
        "_refusal",
        "_reply",
        "_round",
        "_streamed",
        "_tallies",
        "_views",
    )

    def __init__(
        self, reply: Reply, round_: Round, views: list[GuardView], context: Context, *, refusal: bool
    ) -> None:
        super().__init__(reply.deployment)
        self._reply = reply
        self._round = round_
        self._views = views
        self._context = context
        self._refusal = refusal
        """Whether an answer that is blocked ends as the model's own refusal would."""
        self._channels: dict[Key, _Channel] = {}
        self._streamed = [post for post in round_.posts if "out" in post.stages]
        self._tallies = {post.name: Tally(post, "stream") for post in self._streamed}
        self._follow()

    @property
    def ended(self) -> bool:
        """Whether the terminal event was handed out."""
        return self.done if self.content_type is None else self._reply.ended

    async def vectors(self) -> EmbedResponse:
        """Return the vectors: there is no text in them."""
        found = await self._reply.vectors()
        self._follow()
        return found

    async def response(self) -> ChatResponse:
        """Return the complete answer, checked and restored. Raises `GuardBlocked`."""
        try:
            answer = await self._reply.response()
        finally:
            self._follow()
        try:
            return await self._checked(answer)
        except Blocked:
            if not self._refusal:
                raise
            self.finish = BLOCKED
            empty = tuple(Choice(parts=(), finish=BLOCKED) for _ in answer.choices)
            return msgspec.structs.replace(answer, choices=empty)

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield what passes. Raises `GuardBlocked`."""
        if any(post.guard.whole for post in self._streamed):
            collector = Collector()
            async for events in self._reply.events():
                collector.add(events)
            self._follow()
            yield list(as_events(await self._checked(collector.response())))
            return
        try:
            async for events in self._reply.events():
                out = [new for event in events for new in self._passed(event)]
                self._follow()
                if out:
                    yield out
            out = list(self._flushed(None))
            if out:
                yield out
        except Blocked:
            if not self._refusal:
                raise
            self.finish, self.done = BLOCKED, True
            yield [Finish(reason=BLOCKED)]
        finally:
            self._follow()
            self._views += [self._tallies[post.name].view() for post in self._streamed]
            self._streamed = []

    # A complete answer.

    async def _checked(self, answer: ChatResponse) -> ChatResponse:
        items: list[tuple[Source, str]] = []
        for choice in answer.choices:
            items += [("answer", text) for part in choice.parts if (text := _text(part))]
        answers = [said for choice in answer.choices if (said := _said(choice)) is not None]
        changed = await self._round.check(items, self._context, reversible=False, answers=answers)
        choices = tuple(self._choice(choice, changed) for choice in answer.choices)
        return msgspec.structs.replace(answer, choices=choices)

    def _choice(self, choice: Choice, changed: dict[tuple[Source, str], str]) -> Choice:
        parts = tuple(self._part(part, changed) for part in choice.parts)
        if parts == choice.parts:
            return choice
        return msgspec.structs.replace(choice, parts=parts, logprobs=None)

    def _part(self, part: Part, changed: dict[tuple[Source, str], str]) -> Part:
        text = _text(part)
        new = changed.get(("answer", text), text)
        vault = self._round.vault
        match part:
            case Text() | Refusal():
                return msgspec.structs.replace(part, text=vault.restore(new))
            case Reasoning() if new != text:
                return msgspec.structs.replace(part, text=new)
            case ToolCall():
                return msgspec.structs.replace(
                    part, arguments=vault.restore(new, quoted=part.kind == "function")
                )
            case _:
                return part

    # A stream.

    def _passed(self, event: Event) -> Iterator[Event]:
        match event:
            case TextDelta():
                key: Key = (event.choice, "text", 0)
            case RefusalDelta():
                key = (event.choice, "refusal", 0)
            case ReasoningDelta():
                key = (event.choice, "reasoning", 0)
            case ToolDelta():
                key = (event.choice, "call", event.index)
            case Finish():
                yield from self._flushed(event.choice)
                yield event
                return
            case _:
                yield event
                return
        yield from self._flushed(event.choice, but=key)
        yield from self._fed(key, event)

    def _fed(self, key: Key, event: TextDelta | RefusalDelta | ReasoningDelta | ToolDelta) -> Iterator[Event]:
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._open(key, event)
        if isinstance(event, ReasoningDelta) and (event.signature or event.redacted):
            text = channel.feed(event.text, last=True)
            del self._channels[key]
            yield msgspec.structs.replace(event, text=text)
            return
        if isinstance(event, ToolDelta):
            arguments = channel.feed(event.arguments)
            if arguments or event.name or event.id or event.signature:
                yield msgspec.structs.replace(event, arguments=arguments)
            return
        text = channel.feed(event.text)
        if text or (isinstance(event, TextDelta) and event.extra):
            yield _with(event, text)

    def _open(self, key: Key, event: TextDelta | RefusalDelta | ReasoningDelta | ToolDelta) -> _Channel:
        window = None
        if self._streamed:
            width = max(post.guard.hold_back for post in self._streamed)
            looked = _Looked(self._round, self._streamed, self._tallies, self._context)
            window = Window(width, looked.find, looked.act)
        restorer = None
        if self._round.vault and key[1] != "reasoning":
            quoted = isinstance(event, ToolDelta) and event.kind == "function"
            restorer = Restorer(self._round.vault, quoted=quoted)
        return _Channel(window, restorer, _bare(event))

    def _flushed(self, choice: int | None, but: Key | None = None) -> Iterator[Event]:
        for key in [key for key in self._channels if choice in (None, key[0]) and key != but]:
            channel = self._channels[key] if key[1] == "call" and but is not None else self._channels.pop(key)
            if key[1] == "call" and but is not None:
                continue  # arguments of several calls may come in turns
            text = channel.feed("", last=True)
            if text:
                yield _with(channel.shape, text)

    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""
        reply = self._reply
        self.usage = reply.usage
        if self.finish != BLOCKED:
            self.finish = reply.finish
            self.done = reply.done
        self.failure = reply.failure
        self.n_text = reply.n_text
        self.upstream_id = reply.upstream_id
        self.warnings = reply.warnings


class _Looked:
    """What the posts of a stream find, and what follows: for one window."""

    __slots__ = ("_context", "_of", "_posts", "_round", "_tallies")

    def __init__(self, round_: Round, posts: list[Post], tallies: dict[str, Tally], context: Context) -> None:
        self._round = round_
        self._posts = posts
        self._tallies = tallies
        self._context = context
        self._of: dict[Finding, Post] = {}

    def find(self, text: str) -> list[Finding]:
        """Return what any post finds; where two overlap, the first post's counts."""
        self._of = {}
        for post in reversed(self._posts):
            if post.hears(self._context):
                self._of.update((each, post) for each in post.guard.check(text, self._context))
        return list(apart(self._of))

    def act(self, found: Finding, text: str) -> str | None:
        """Do what the post's mode says."""
        post = self._of[found]
        tally = self._tallies[post.name]
        here = Finding(0, len(text), found.kind, found.score)
        try:
            out = self._round.act(post, text, [here], tally, reversible=False)
        except Blocked:
            for later in self._posts[self._posts.index(post) + 1 :]:
                if self._tallies[later.name].action == "pass":
                    self._tallies[later.name].action = "skipped"
            raise
        return None if out == text else out


def _text(part: Part) -> str:
    match part:
        case Text() | Refusal() | Reasoning():
            return part.text
        case ToolCall():
            return part.arguments
        case _:
            return ""


def _said(choice: Choice) -> str | None:
    """Return what a choice says as a whole; None where it calls tools or refuses instead of answering."""
    if choice.finish == BLOCKED or any(isinstance(part, ToolCall | Refusal) for part in choice.parts):
        return None
    return "".join(part.text for part in choice.parts if isinstance(part, Text))


def _bare(event: TextDelta | RefusalDelta | ReasoningDelta | ToolDelta) -> Event:
    """Return the event to hand out held text in."""
    match event:
        case TextDelta():
            return TextDelta("", event.choice)
        case ToolDelta():
            return ToolDelta(index=event.index, choice=event.choice, kind=event.kind)
        case ReasoningDelta():
            return ReasoningDelta(choice=event.choice, wire=event.wire, id=event.id)
        case _:
            return event


def _with(event: Event, text: str) -> Event:
    match event:
        case TextDelta():
            return TextDelta(text, event.choice, extra=event.extra)
        case RefusalDelta() | ReasoningDelta():
            return msgspec.structs.replace(event, text=text)
        case ToolDelta():
            return msgspec.structs.replace(event, arguments=text)
        case _:
            return event


__all__ = ["ANSWER", "Guarded", "skipped"]
