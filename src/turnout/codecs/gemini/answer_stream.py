"""Writes one generateContent stream for a client. Floor 2.

Theory of operation.

1. A frame is one `data:` line with a GenerateContentResponse, LF and a blank line; there is no event name and
   no `[DONE]`. Every frame repeats model, id and the counters so far (WIRE.md 3.6).
2. Text and thoughts go out as they come. Gemini has no partial arguments, so calls are gathered and go out
   whole, in order: when other content of their candidate begins, or when it ends.
3. Finish reasons are kept for `end`, which writes one closing frame per candidate with the final counters;
   the last one carries `turnout`. A call whose arguments are no JSON object is left out, and its candidate
   ends the way Gemini says that.
4. Another provider's thought is sealed whole when its signature arrives (`seal`), whether or not the client
   saw its text.
"""

from collections.abc import Sequence

from turnout.codecs.base import Summary
from turnout.codecs.gemini.errors import body_of
from turnout.codecs.gemini.render import (
    FINISH_WORDS,
    MALFORMED,
    PART_FIELDS,
    finish_word,
    logprobs_result,
    part_of,
    shows_thoughts,
    thought_of,
)
from turnout.codecs.gemini.wire import WIRE, usage_metadata, write
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Reasoning, ToolCall
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
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

KEEP_ALIVE = b"\n\n"
"""An empty event. Google's SDKs for Python and Go take a comment line for broken JSON and end the stream
(google-genai 3.4.0, 2026-11); all of them skip blank lines."""


_TEXT_HEAD = b'data: {"candidates":[{"content":{"parts":[{"text":'
_TEXT_END = b'}],"role":"model"},"index":%d}],'


class _Open:
    """A call whose arguments are still arriving."""

    __slots__ = ("arguments", "call_id", "kind", "name", "signature")

    def __init__(self, delta: ToolDelta) -> None:
        self.call_id = delta.id or ""
        self.name = delta.name or ""
        self.signature = delta.signature
        self.kind = delta.kind
        self.arguments = [delta.arguments]

    def add(self, delta: ToolDelta) -> None:
        self.call_id = self.call_id or delta.id or ""
        self.name = self.name or delta.name or ""
        self.signature = self.signature or delta.signature
        self.arguments.append(delta.arguments)

    def call(self) -> ToolCall:
        text = "".join(self.arguments)
        return ToolCall(
            id=self.call_id, name=self.name, arguments=text, kind=self.kind, signature=self.signature
        )


class GeminiStream:
    """Stream writer for Gemini clients."""

    __slots__ = ("_broken", "_calls", "_ends", "_id", "_model", "_shows", "_tail", "_thoughts", "_usage")

    def __init__(self, request: ChatRequest, summary: Summary) -> None:
        self._shows = shows_thoughts(request)
        self._id = summary.request_id
        self._model = summary.model
        self._usage = Usage()
        self._tail = b""
        """The members every frame shares, written once per change of the counters."""
        self._calls: dict[int, dict[int, _Open]] = {}
        """Choice -> index of the call -> the call."""
        self._thoughts: dict[int, str] = {}
        """Choice -> text of another provider's thought, until its signature comes."""
        self._broken: set[int] = set()
        self._ends: dict[int, str] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                self._text(event, out)
            else:
                self._take(event, out)
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        out: list[bytes] = []
        for choice in list(self._calls):
            self._close_calls(choice, out)
        if usage is not None:
            self._count(usage)
        ends = self._ends or {0: MALFORMED if self._broken else FINISH_WORDS["stop"]}
        last = len(ends) - 1
        for at, (choice, word) in enumerate(ends.items()):
            candidate: dict[str, Json] = {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": word,
                "index": choice,
            }
            shown = summary if at == last and summary.show else None
            out.append(self._frame(write(candidate), shown))
        return b"".join(out)

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frame of a failure after commit (WIRE.md 9.4)."""
        _, body = body_of(error, summary.request_id)
        return b"data: " + write(body) + b"\n\n"

    def keep_alive(self) -> bytes:
        """Return the blank lines that keep a silent stream open."""
        return KEEP_ALIVE

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case ToolDelta():
                self._tool(event)
            case ReasoningDelta():
                self._thought(event, out)
            case RefusalDelta():
                self._content(event.choice, {"text": event.text}, out)
            case NativeDelta() if event.block.wire == WIRE:
                self._content(event.choice, event.block.value, out)
            case UsageUpdate():
                self._count(event.usage)
            case Finish():
                self._finish(event, out)
            case Start():
                self._start(event)

    def _start(self, event: Start) -> None:
        self._id = event.id or self._id
        self._tail = b""
        if event.usage is not None:
            self._count(event.usage)

    def _finish(self, event: Finish, out: list[bytes]) -> None:
        self._close_calls(event.choice, out)
        is_broken = event.choice in self._broken and event.reason != "length"
        self._ends[event.choice] = MALFORMED if is_broken else finish_word(event.reason, event.native)

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        if not event.extra and event.logprobs is None:
            if self._calls:
                self._close_calls(event.choice, out)
            out.append(_TEXT_HEAD + write(event.text) + _TEXT_END % event.choice + self._shared() + b"}\n\n")
            return
        of_part = {name: value for name, value in event.extra.items() if name in PART_FIELDS}
        # Members only Gemini writes; another format's annotations have their own words and stay behind.
        beside: dict[str, Json] = {
            name: value
            for name, value in event.extra.items()
            if name.endswith("Metadata") and name not in of_part
        }
        if event.logprobs is not None:
            beside["logprobsResult"] = logprobs_result(event.logprobs)
        if event.text or of_part or beside:
            self._content(event.choice, {"text": event.text, **of_part}, out, beside)

    def _thought(self, event: ReasoningDelta, out: list[bytes]) -> None:
        text, whole = event.text, event.text
        if event.wire != WIRE:
            whole = self._thoughts.pop(event.choice, "") + text
            if event.signature is None and event.redacted is None:
                self._thoughts[event.choice] = whole
        thought = Reasoning(
            text=whole, signature=event.signature, redacted=event.redacted, id=event.id, wire=event.wire
        )
        part = thought_of(thought, shown=text if self._shows or event.wire == WIRE else "")
        if part is not None:
            self._content(event.choice, part, out)

    def _tool(self, event: ToolDelta) -> None:
        calls = self._calls.setdefault(event.choice, {})
        held = calls.get(event.index)
        if held is None:
            calls[event.index] = _Open(event)
        else:
            held.add(event)

    def _close_calls(self, choice: int, out: list[bytes]) -> None:
        for held in self._calls.pop(choice, {}).values():
            part = part_of(held.call(), shows=self._shows)
            if part is None:
                self._broken.add(choice)
            else:
                self._content(choice, part, out)

    def _content(
        self, choice: int, part: JsonObject, out: list[bytes], beside: JsonObject | None = None
    ) -> None:
        if self._calls:
            self._close_calls(choice, out)
        candidate: dict[str, Json] = {"content": {"parts": [part], "role": "model"}, "index": choice}
        if beside:
            candidate |= beside
        out.append(self._frame(write(candidate), None))

    def _count(self, usage: Usage) -> None:
        self._usage = usage
        self._tail = b""

    def _shared(self) -> bytes:
        if not self._tail:
            shared: JsonObject = {
                "usageMetadata": usage_metadata(self._usage),
                "modelVersion": self._model,
                "responseId": self._id,
            }
            self._tail = write(shared)[1:-1]
        return self._tail

    def _frame(self, candidate: bytes, summary: Summary | None) -> bytes:
        ours = b"" if summary is None else b',"turnout":' + write(summary.told())
        return b'data: {"candidates":[' + candidate + b"]," + self._shared() + ours + b"}\n\n"
