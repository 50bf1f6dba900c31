"""Answers of operations behind the guards: what was heard, and what a picture's prompt became. Floor 4.

Theory of operation.

1. Text in an answer is checked as an answer is: transcriptions and translations in every form (JSON, plain
   text, subtitles, events), and the prompt that a picture was really made from. Sound, pictures, rankings of
   the caller's own documents and scores of moderation hold no text of a model.
2. Events are collected, checked and handed out at once. Where the text changed they become the last event
   alone: the pieces before it would tell what was taken out.
3. Words with their times, and tokens with their probabilities, spell the text out once more: where it
   changed they are left out.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from turnout.codecs.sse import frames
from turnout.engine.reply import Relay, Reply
from turnout.errors import ProviderBadResponse
from turnout.guards.base import ANSWER, Source
from turnout.layers.guard.round import Round
from turnout.types.chat import ChatResponse
from turnout.types.event import Event
from turnout.types.json import Json
from turnout.types.task import TaskKind, TaskResponse

MOST: Final = 16 * 1024 * 1024
"""Bytes of a stream that is collected."""
CHECKED: Final[frozenset[TaskKind]] = frozenset(("transcription", "image"))
_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"
_SPELLED: Final = ("words", "tokens", "logprobs")
_DONE: Final = "transcript.text.done"
_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode
Edit = Callable[[str], str]


class GuardedTask(Relay):
    """The reply of an operation behind the guards."""

    __slots__ = ("_kind", "_reply", "_round")

    def __init__(self, reply: Reply, round_: Round, kind: TaskKind) -> None:
        super().__init__(reply.deployment)
        self._reply = reply
        self._round = round_
        self._kind = kind
        self._follow()

    @property
    def ended(self) -> bool:
        """Whether the last event was handed out."""
        return self._reply.ended

    async def response(self) -> ChatResponse:
        """Refuse: it is no conversation."""
        return await self._reply.response()

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: it is no conversation."""
        return self._reply.events()

    async def task(self) -> TaskResponse:
        """Return the answer, checked. Raises `GuardBlocked`."""
        found = await super().task()
        return msgspec.structs.replace(found, body=await self._checked(found.body, found.content_type))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer, checked. Raises `GuardBlocked`."""
        if self._kind != "transcription":
            async for piece in super().pieces():
                yield piece
            return
        held = bytearray()
        async for piece in super().pieces():
            held += piece
            if len(held) > MOST:
                raise ProviderBadResponse(
                    f"the answer is longer than {MOST} bytes, and guards look at all of it"
                )
        yield await self._checked(bytes(held), self.content_type or "")

    async def _checked(self, body: bytes, content_type: str) -> bytes:
        edit = editor(content_type)
        found: list[str] = []

        def note(text: str) -> str:
            found.append(text)
            return text

        edit(body, note)
        items: list[tuple[Source, str]] = [("answer", text) for text in dict.fromkeys(found) if text]
        changed = await self._round.check(items, ANSWER, reversible=False)
        restore = self._round.vault.restore
        new = {text: restore(changed.get((source, text), text)) for source, text in items}
        if all(text == now for text, now in new.items()):
            return body
        return edit(body, lambda text: new.get(text, text))

    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""
        reply = self._reply
        self.usage, self.finish, self.done = reply.usage, reply.finish, reply.done
        self.failure, self.upstream_id, self.warnings = reply.failure, reply.upstream_id, reply.warnings


def editor(content_type: str) -> Callable[[bytes, Edit], bytes]:
    """Return what finds and replaces the texts of an answer of a type."""
    if content_type.startswith(_JSON):
        return _object
    return _events if content_type.startswith(_EVENTS) else _plain


def _plain(body: bytes, edit: Edit) -> bytes:
    return edit(body.decode("utf-8", "replace")).encode()


def _object(body: bytes, edit: Edit) -> bytes:
    return _write(_edited(_read(body), edit))


def _edited(tree: Json, edit: Edit) -> Json:
    """Edit `text` of a transcription and of its segments, and `revised_prompt` of pictures."""
    if isinstance(tree, list):
        return [_edited(each, edit) for each in tree]
    if not isinstance(tree, dict):
        return tree
    out: dict[str, Json] = {}
    changed = False
    for name, value in tree.items():
        if name in ("text", "revised_prompt") and isinstance(value, str):
            out[name] = edit(value)
            changed |= out[name] != value
        else:
            out[name] = _edited(value, edit) if name in ("segments", "data") else value
    return {name: value for name, value in out.items() if name not in _SPELLED} if changed else out


def _events(body: bytes, edit: Edit) -> bytes:
    """Edit the text of the last event; where it changes, the last event is all there is."""
    told = [(frame, _read(frame.data)) for frame in frames(body) if frame.data.startswith(b"{")]
    last = next((pair for pair in reversed(told) if pair[1].get("type") == _DONE), None)
    if last is None:
        said = "".join(str(tree.get("delta", "")) for _, tree in told)
        return body if edit(said) == said else b""
    frame, tree = last
    new = _edited(tree, edit)
    if new == tree:
        return body
    head = b"event: %s\n" % frame.event.encode() if frame.event else b""
    return head + b"data: " + _write(new) + b"\n\n"
