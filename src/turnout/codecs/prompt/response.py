"""Continuations of a prompt, complete and streamed. Floor 2.

Theory of operation.

1. An answer is told by where its text stands: `SHAPES`, the first that fits. Nothing else of a family is
   needed to read one.
2. A stream is a JSON object per line, bare or behind `data:`. What a cloud put around it is off by then.
3. It is over with a word for why, with `[DONE]`, or with a line that says `done`; usage may come later.
"""

from collections.abc import Mapping

import msgspec

from turnout.codecs.failures import Class, Said, failure, text_in, tree_of, unreadable
from turnout.codecs.held import HoldingDecoder
from turnout.codecs.lines import LineBuffer
from turnout.codecs.prompt.families import FINISHES, METRICS, SHAPES, Shape
from turnout.codecs.prompt.request import WIRE
from turnout.errors import StreamInterrupted, TurnoutError
from turnout.types.chat import ChatResponse, Choice, Text
from turnout.types.event import Event, Finish, Start, TextDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_DONE = b"[DONE]"
_NO_WORDS: Mapping[str, Class] = {}
_read = msgspec.json.Decoder(dict[str, Json]).decode


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
    tree = _tree(response.body)
    shape = shape_of(tree)
    if shape is None:
        raise unreadable("it has no text", response.body, WIRE)
    word = _word(tree, shape) or _blocked(tree)
    choice = Choice(
        parts=(Text(str(at(tree, shape.text))),), finish=FINISHES.get(word or "", "stop"), native_finish=word
    )
    answer_id = tree.get("id")
    return ChatResponse(
        id=answer_id if isinstance(answer_id, str) else "",
        model=text_in(tree, "model"),
        choices=(choice,),
        usage=_usage(tree, shape),
        wire=WIRE,
    )


def shape_of(tree: JsonObject) -> Shape | None:
    """Return where an answer, or a piece, says what; None = it holds no text."""
    return next((shape for shape in SHAPES if isinstance(at(tree, shape.text), str)), None)


def at(tree: Json, path: str) -> Json:
    """Return what stands at a path of names and places; None = nothing."""
    found = tree
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def error_of(response: HttpResponse) -> TurnoutError:
    """Map a failed answer to one class. Never raises."""
    tree = tree_of(response.body)
    inner = tree.get("error")
    said = text_in(inner, "message") if isinstance(inner, dict) else ""
    return failure(Said("", said or text_in(tree, "error", "message")), response, WIRE, _NO_WORDS)


class PromptDecoder(HoldingDecoder[bytes]):
    """Push parser of one upstream stream."""

    __slots__ = ("_blocked", "_buffer", "_finished", "_started")

    def __init__(self) -> None:
        self._buffer = LineBuffer()
        super().__init__(self._buffer.take)
        self._started = False
        self._finished = False
        self._blocked: str | None = None
        """The word of a guardrail that answered; no other follows it."""

    def end(self) -> list[Event]:
        """Tell that the stream is over. Raises `StreamInterrupted` where nothing said so."""
        if self._failure is not None:
            raise self._failure
        rest = self._buffer.rest()
        if rest and not self._finished and _is_whole(rest):
            return self.feed(rest + b"\n")
        if self._blocked is not None and not self._finished:
            events: list[Event] = []
            self._finish(self._blocked, events)
            return events
        if not self._finished:
            self._failure = StreamInterrupted("the provider's stream ended before it said why")
            raise self._failure
        return []

    def _take(self, line: bytes, events: list[Event]) -> None:
        line = line.strip()
        data = line[5:].strip() if line.startswith(b"data:") else line
        if data == _DONE:
            self._finish(None, events)
        if not data.startswith(b"{"):
            return
        tree = _tree(data)
        if not self._started:
            self._started = True
            events.append(Start(id=text_in(tree, "id"), model=text_in(tree, "model")))
        shape = shape_of(tree)
        if shape is not None and not self._finished:
            text = at(tree, shape.text)
            if isinstance(text, str) and text:
                events.append(TextDelta(text))
        self._close(tree, shape, events)

    def _close(self, tree: JsonObject, shape: Shape | None, events: list[Event]) -> None:
        counted = _closing_usage(tree, shape)
        if counted.n_output or tree.get("done") is True:
            events.append(UsageUpdate(counted))
        word = _closing_word(tree) if shape is None else _word(tree, shape)
        if word or tree.get("done") is True or METRICS in tree:
            self._finish(word, events)
        self._blocked = _blocked(tree)

    def _finish(self, word: str | None, events: list[Event]) -> None:
        if not self._finished:
            self._finished = True
            events.append(Finish(reason=FINISHES.get(word or "", "stop"), native=word))


def _closing_usage(tree: JsonObject, shape: Shape | None) -> Usage:
    """Return the counters of a piece, which may come without text, or inside the whole answer said again."""
    inner = tree.get("response")
    if isinstance(inner, dict) and (whole := shape_of(inner)) is not None:
        return _usage(inner, whole)
    return _usage(tree, shape or SHAPES[0])


def _closing_word(tree: JsonObject) -> str | None:
    found = tree.get("finish_reason") or at(tree, "choices.0.finish_reason")
    return found if isinstance(found, str) else None


def _blocked(tree: JsonObject) -> str | None:
    """Return the word for a guardrail of the provider's that answered in the model's place."""
    return "INTERVENED" if tree.get("amazon-bedrock-guardrailAction") == "INTERVENED" else None


def _tree(data: bytes) -> JsonObject:
    """Read an answer or a piece. Raises the class of an error in it, or `ProviderBadResponse`."""
    try:
        tree = _read(data)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), data, WIRE) from error
    if tree.get("error"):
        raise error_of(HttpResponse(500, {}, data))
    return tree


def _word(tree: JsonObject, shape: Shape) -> str | None:
    word = at(tree, shape.finish)
    return word if isinstance(word, str) and word else None


def _usage(tree: JsonObject, shape: Shape) -> Usage:
    metrics = tree.get(METRICS)
    if isinstance(metrics, dict):
        return Usage(
            input_uncached=_count(metrics.get("inputTokenCount")),
            output_text=_count(metrics.get("outputTokenCount")),
        )
    found = [_count(at(tree, path)) if path else None for path in (shape.n_in, shape.n_out)]
    if shape.text == "completions.0.data.text":  # it lists tokens instead of counting them
        lists = [at(tree, "prompt.tokens"), at(tree, "completions.0.data.tokens")]
        found = [len(each) if isinstance(each, list) else None for each in lists]
    return Usage(input_uncached=found[0], output_text=found[1])


def _count(value: Json) -> int | None:
    whole = isinstance(value, float) and value.is_integer()
    good = (isinstance(value, int) or whole) and not isinstance(value, bool)
    return int(value) if good and isinstance(value, int | float) and value >= 0 else None


def _is_whole(line: bytes) -> bool:
    try:
        _read(line.removeprefix(b"data:"))
    except (ValueError, RecursionError):
        return line.removeprefix(b"data:").strip() == _DONE
    return True
