"""Our events written as a chat completion stream for a client. Floor 2.

Theory of operation.

1. What every chunk repeats is serialised once per choice; a text chunk is that prefix, the text as JSON,
   and a constant tail.
2. The first chunk of a choice carries the role; a call that opens the answer carries it itself.
3. A choice's finish chunk comes after all its content. When the `turnout` object has to travel and no
   usage chunk follows, finish chunks wait for `end`, and the last one carries it.
4. Text is written as JSON in one `data:` line, so nothing in it can start a frame (S-45).
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from turnout.codecs.base import Summary
from turnout.codecs.citations import annotations_of
from turnout.codecs.openai_chat.ids import shown_id
from turnout.codecs.openai_chat.reasoning import write_details, write_signature
from turnout.codecs.openai_chat.render import Style, answer_id
from turnout.codecs.openai_chat.usage import write_usage
from turnout.codecs.openai_chat.wire import WIRE
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Reasoning
from turnout.types.event import (
    Event,
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.json import Json
from turnout.types.usage import Usage

_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_OPENED: dict[str, Json] = {"role": "assistant", "content": "", "refusal": None}
_OPENED_BY_CALL: dict[str, Json] = {"role": "assistant", "content": None, "refusal": None}


class _Choice:
    """State of one choice of the stream."""

    __slots__ = ("calls", "n_thoughts", "open", "prefix", "words")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        """Everything before the delta's value."""
        self.words = prefix + b'{"content":'
        self.open = False
        self.calls: dict[int, bool] = {}
        """Calls whose head was sent -> whether arguments followed."""
        self.n_thoughts = 0


class OpenAIChatStream:
    """Writes one stream."""

    __slots__ = (
        "_choices",
        "_finished",
        "_head",
        "_hold_finish",
        "_id",
        "_style",
        "_tail",
        "_usage",
        "_words_end",
    )

    def __init__(self, request: ChatRequest, summary: Summary) -> None:
        self._id = answer_id(summary)
        self._style = Style.of(request)
        self._usage = request.include_usage
        self._hold_finish = summary.show and not request.include_usage
        self._finished: list[bytes] = []
        self._choices: dict[int, _Choice] = {}
        head: Json = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": summary.created,
            "model": summary.model,
        }
        self._head = b"data: " + _encode(head)[:-1]
        self._tail = b"}]" + (b',"usage":null' if request.include_usage else b"") + b"}\n\n"
        self._words_end = b'},"finish_reason":null' + self._tail

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        if len(events) == 1 and isinstance(only := events[0], TextDelta):  # nearly always
            choice = self._choices.get(only.choice)
            if choice is not None and choice.open and only.text and only.logprobs is None and not only.extra:
                return choice.words + _encode(only.text) + self._words_end
        return self._frames(events)

    def _frames(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta():
                    self._text(event, out)
                case Start() | UsageUpdate():
                    pass
                case Finish():
                    self._finish(event, out)
                case ToolDelta():
                    self._tool(event, out)
                case ReasoningDelta():
                    self._think(event, out)
                case RefusalDelta():
                    self._delta(event.choice, {"refusal": event.text}, out)
                case NativeDelta():
                    if event.block.wire == WIRE:
                        self._delta(event.choice, dict(event.block.value), out)
                case _:
                    assert_never(event)
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        out = self._finished
        shown = b',"turnout":' + _encode(summary.told()) if summary.show else b""
        if self._usage:
            counts = write_usage(usage or Usage(), summary.cost_usd if summary.show else None)
            out.append(self._head + b',"choices":[],"usage":' + _encode(counts) + shown + b"}\n\n")
        elif shown and out:
            out[-1] = out[-1][:-3] + shown + b"}\n\n"
        elif shown:
            out.append(self._head + b',"choices":[]' + shown + b"}\n\n")
        return b"".join(out) + DONE

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit (WIRE.md 9.4)."""
        told: Json = {
            "code": error.row.status,
            "message": error.message,
            "metadata": {"error_type": error.row.word, "request_id": summary.request_id},
        }
        choices = [_failed(index) for index in sorted(self._choices) or [0]]
        members = b',"error":' + _encode(told) + b',"choices":' + _encode(choices)
        return self._head + members + b"}\n\n" + DONE

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open."""
        return KEEP_ALIVE

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            prefix = self._head + b',"choices":[{"index":%d,"delta":' % index
            choice = self._choices[index] = _Choice(prefix)
        return choice

    def _chunk(self, choice: _Choice, delta: Json, finish: bytes = b"null") -> bytes:
        return choice.prefix + _encode(delta) + b',"finish_reason":' + finish + self._tail

    def _opened(self, index: int, out: list[bytes]) -> _Choice:
        choice = self._choice(index)
        if not choice.open:
            choice.open = True
            out.append(self._chunk(choice, _OPENED))
        return choice

    def _delta(self, index: int, delta: dict[str, Json], out: list[bytes]) -> None:
        out.append(self._chunk(self._opened(index, out), delta))

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        choice = self._opened(event.choice, out)
        if event.logprobs is None and not event.extra:
            if event.text:
                out.append(choice.words + _encode(event.text) + self._words_end)
            return
        delta: dict[str, Json] = {"content": event.text}
        notes = annotations_of(event.extra)
        if notes:
            delta["annotations"] = notes
        logprobs = b',"logprobs":' + _encode(event.logprobs)
        out.append(choice.prefix + _encode(delta) + logprobs + b',"finish_reason":null' + self._tail)

    def _think(self, event: ReasoningDelta, out: list[bytes]) -> None:
        if not self._style.reasoning:
            return
        delta: dict[str, Json] = {"reasoning_content": event.text} if event.text else {}
        if self._style.details:
            part = Reasoning(
                text=event.text,
                signature=event.signature,
                redacted=event.redacted,
                id=event.id,
                wire=event.wire,
            )
            delta |= {"reasoning": event.text, "reasoning_details": write_details([part])}
        if delta:
            self._delta(event.choice, delta, out)

    def _tool(self, event: ToolDelta, out: list[bytes]) -> None:
        choice = self._choice(event.choice)
        if self._style.legacy:
            self._legacy(choice, event, out)
            return
        if event.index not in choice.calls:
            choice.calls[event.index] = event.kind == "custom"
            head: dict[str, Json] = {"tool_calls": [_call_head(event, self._id)]}
            if not choice.open:
                choice.open = True
                head = {**_OPENED_BY_CALL, **head}
            out.append(self._chunk(choice, head))
        if event.arguments:
            choice.calls[event.index] = True
            field: dict[str, Json] = (
                {"custom": {"input": event.arguments}}
                if event.kind == "custom"
                else {"function": {"arguments": event.arguments}}
            )
            out.append(self._chunk(choice, {"tool_calls": [{"index": event.index, **field}]}))

    def _legacy(self, choice: _Choice, event: ToolDelta, out: list[bytes]) -> None:
        if event.index > 0:  # the old form holds one call
            return
        call: dict[str, Json] = {"arguments": event.arguments}
        if not choice.calls:
            choice.calls[0] = False
            call["name"] = event.name or ""
        elif not event.arguments:
            return
        delta: dict[str, Json] = {"function_call": call}
        if not choice.open:
            choice.open = True
            delta = {**_OPENED_BY_CALL, **delta}
        choice.calls[0] = choice.calls[0] or bool(event.arguments)
        out.append(self._chunk(choice, delta))

    def _finish(self, event: Finish, out: list[bytes]) -> None:
        choice = self._opened(event.choice, out)
        for index, has_arguments in choice.calls.items():
            if not has_arguments:  # no arguments are an empty object (WIRE.md 2.8)
                nothing: Json = {"arguments": "{}"}
                delta: Json = (
                    {"function_call": nothing}
                    if self._style.legacy
                    else {"tool_calls": [{"index": index, "function": nothing}]}
                )
                out.append(self._chunk(choice, delta))
        reason = "function_call" if self._style.legacy and event.reason == "tool_calls" else event.reason
        frame = self._chunk(choice, {}, b'"' + reason.encode() + b'"')
        (self._finished if self._hold_finish else out).append(frame)


def _call_head(event: ToolDelta, answer: str) -> Json:
    call_id = shown_id(event.id or "", answer, event.choice, event.index)
    head: dict[str, Json] = {"index": event.index, "id": call_id, "type": event.kind}
    if event.kind == "custom":
        return {**head, "custom": {"name": event.name or "", "input": ""}}
    function: Json = {"name": event.name or "", "arguments": ""}
    return {**head, "function": function, **write_signature(event.signature)}


def _failed(index: int) -> Json:
    return {"index": index, "delta": {"content": ""}, "finish_reason": "error"}
