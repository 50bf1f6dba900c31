"""Recorded answers told to clients of every other format, and read by those clients' own readers. Floor 6.

An answer has no notices: what a client's format has no word for is missing there and stands in the Record.
Every such loss is listed in `UNSAID` with its reason; one that is not listed is a defect.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.base import Summary
from turnout.codecs.citations import annotations_of
from turnout.engine.collect import Collector
from turnout.errors import TurnoutError
from turnout.evaluate.translate.features import kind_of, value_of
from turnout.evaluate.translate.formats import FORMATS, Asked
from turnout.transport.recording import Recorded
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Media,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from turnout.types.event import Event
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

_SUMMARY: Final = Summary(request_id="req_0", model="recorded/m", created=0)
_CLIENT: Final = ChatRequest(
    model="m",
    messages=(),
    thinking=Thinking(enabled=True, include=True, extra={"reasoning": {"enabled": True}}),
    logprobs=True,
    include_usage=True,
)
"""Asks for everything an answer may hold."""
_ONE: Final = frozenset({"anthropic", "openai_responses", "bedrock", "cohere", "ollama"})
_ALL: Final = frozenset(FORMATS)
_PLACES: Final = ("url", "file_id", "title")
_SEALED: Final = "Other providers' thoughts come sealed, to be handed back: no one else can read them."
UNSAID: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "answers": (_ONE, "The format gives one answer; who asked in it cannot have asked for several."),
    "block": (_ALL, "What a provider's own tools did: binding to it, and told to no one else."),
    "citations": (
        _ALL - {"openai_chat", "openai_responses"},
        "These formats cite their own provider's sources, and check them when they come back.",
    ),
    "finish": (
        frozenset({"anthropic", "openai_responses", "gemini", "ollama"}),
        "Ollama has no word for a filter, a refusal is one elsewhere, and only calls for the client count.",
    ),
    "image": (
        _ALL - {"gemini"},
        "A chat's answer holds no pictures here; they are made at an endpoint of their own.",
    ),
    "logprobs": (
        frozenset({"anthropic", "bedrock", "cohere", "ollama"}),
        "The format has none, or none that can be translated.",
    ),
    "reasoning.redacted": (_ALL - {"openai_chat", "openai_responses"}, _SEALED),
    "reasoning.signature": (_ALL - {"openai_chat", "openai_responses"}, _SEALED),
    "refusal": (
        frozenset({"anthropic", "gemini", "bedrock", "cohere", "ollama"}),
        "A refusal is the words of the answer.",
    ),
    "stop_sequence": (_ALL - {"anthropic"}, "The format does not say which one it was."),
    "tool_call.signature": (_ALL - {"openai_chat", "gemini"}, _SEALED),
    "usage.cache_read": (frozenset({"cohere", "ollama"}), "All input is one counter."),
    "usage.cache_write": (frozenset({"gemini", "cohere", "ollama"}), "All input is one counter."),
    "usage.reasoning": (frozenset({"bedrock", "ollama"}), "All output is one counter."),
}
"""Feature of an answer -> formats that have no word for it, and why."""


class Heard(Struct, frozen=True, kw_only=True):
    """What a client of another format heard of one answer."""

    origin: str
    other: str
    streamed: bool
    kept: tuple[str, ...]
    unsaid: tuple[str, ...] = ()
    """Missing, and listed."""
    lost: tuple[str, ...] = ()
    """Missing, and not listed."""
    before: Mapping[str, Json] = {}
    after: Mapping[str, Json] = {}


class Answer(Struct, frozen=True, kw_only=True):
    """A recorded answer, read by the codec of its format."""

    format: str
    asked: ChatRequest
    response: ChatResponse
    events: tuple[Event, ...] | None = None
    """What a streamed one is made of."""


def answered(record: Recorded, asked: Asked) -> Answer | None:
    """Return the answer of a record; None where it is broken, or stands in a cloud's own envelope."""
    known = FORMATS[asked.format]
    request = known.read(asked.http)
    body = record.received
    framed = record.response_body_encoding is not None
    if framed and asked.format != "bedrock":
        return None
    try:
        lines = asked.format == "ollama" and request.stream
        if not (framed or lines) and body.lstrip()[:1] in (b"{", b"["):
            response = known.codec.decode(HttpResponse(record.status, record.response_headers, body))
            return Answer(format=asked.format, asked=request, response=response)
        decoder = known.codec.decoder()
        events = (*decoder.feed(body), *decoder.end())
    except TurnoutError:
        return None  # the recording holds a failure, or half an answer
    return Answer(format=asked.format, asked=request, response=_collected(events), events=events)


def tell(answer: Answer, other: str) -> Heard:
    """Tell an answer to a client of another format. Raises what that client's reader would."""
    known = FORMATS[other]
    request = msgspec.structs.replace(_CLIENT, wire=other, stream=answer.events is not None)
    if answer.events is None:
        said = known.dialect.render(answer.response, request, _SUMMARY)
        heard = known.codec.decode(HttpResponse(200, {}, said))
    else:
        stream = known.dialect.stream(request, _SUMMARY)
        events = [event for event in answer.events if other not in _ONE or not getattr(event, "choice", 0)]
        out = stream.feed(events) + stream.end(answer.response.usage, _SUMMARY)
        decoder = known.codec.decoder()
        heard = _collected((*decoder.feed(out), *decoder.end()))
    before, after = features(answer.response), features(heard)
    gone = [name for name, value in before.items() if after.get(name) != value]
    unsaid = tuple(name for name in gone if other in UNSAID.get(_head(name), (frozenset(), ""))[0])
    return Heard(
        origin=answer.format,
        other=other,
        streamed=answer.events is not None,
        kept=tuple(name for name in before if name not in gone),
        unsaid=unsaid,
        lost=tuple(name for name in gone if name not in unsaid),
        before={name: before[name] for name in gone},
        after={name: after.get(name) for name in gone},
    )


def features(response: ChatResponse) -> dict[str, Json]:
    """Return everything an answer says, by name: its first choice, where there are several."""
    found: dict[str, Json] = {}
    for choice in response.choices[:1]:
        _choice(found, choice)
    if len(response.choices) > 1:
        found["answers"] = len(response.choices)
    _usage(found, response.usage)
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _collected(events: tuple[Event, ...]) -> ChatResponse:
    collector = Collector()
    collector.add(events)
    return collector.response()


def _head(name: str) -> str:
    return "block" if name.startswith("block ") else name


def _choice(found: dict[str, Json], choice: Choice) -> None:
    _add(found, "finish", choice.finish)
    _add(found, "stop_sequence", choice.stop_sequence)
    probable = choice.logprobs.get("content") if isinstance(choice.logprobs, Mapping) else None
    _add(found, "logprobs", probable or None)
    text = thought = ""
    for part in choice.parts:
        if isinstance(part, Text | Refusal):
            text += part.text
        elif isinstance(part, Reasoning):
            thought += part.text
        _part(found, part)
    found["text"] = _joined(text)
    found["reasoning"] = _joined(thought)


def _address(note: Json) -> Json:
    """Return what a citation points to, whichever form it is in."""
    tree = note if isinstance(note, Mapping) else {}
    inner = tree.get(str(tree.get("type")), tree)
    return [inner.get(key) for key in _PLACES] if isinstance(inner, Mapping) else note


def _joined(text: str) -> str:
    """Return a text without white space: formats put different signs between parts."""
    return "".join(text.split())


def _part(found: dict[str, Json], part: Part) -> None:
    match part:
        case Text():
            for note in annotations_of(part.extra):
                _add(found, "citations", _address(note))
        case Refusal():
            _add(found, "refusal", part.text)
        case Reasoning():
            _add(found, "reasoning.signature", part.signature)
            _add(found, "reasoning.redacted", part.redacted)
        case ToolCall():
            _add(found, "tool_call", [part.name, value_of(part.arguments)])
            _add(found, "tool_call.id", part.id or None)
            _add(found, "tool_call.signature", part.signature)
        case Media():
            _add(found, part.kind, part.data or part.url)
        case Native():
            _add(found, f"block {kind_of(part.value)}", part.value)
        case _:
            pass


def _usage(found: dict[str, Json], usage: Usage) -> None:
    found["usage.input"] = usage.n_input or None
    found["usage.output"] = usage.n_output or None
    found["usage.cache_read"] = usage.cache_read or None
    found["usage.cache_write"] = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0) or None
    found["usage.reasoning"] = usage.reasoning or None


def _add(found: dict[str, Json], name: str, value: Json) -> None:
    if value is None:
        return
    values = found.setdefault(name, [])
    assert isinstance(values, list)
    values.append(value)
