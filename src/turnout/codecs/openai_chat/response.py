"""A complete chat completion read into our answer. Floor 2."""

from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs.base import Glance
from turnout.codecs.openai_chat.errors import error_in
from turnout.codecs.openai_chat.finish import read_finish
from turnout.codecs.openai_chat.history import LEGACY
from turnout.codecs.openai_chat.reasoning import FIELDS as REASONING_FIELDS
from turnout.codecs.openai_chat.reasoning import read_reasoning, read_signature, thinking_text
from turnout.codecs.openai_chat.usage import usage_in
from turnout.codecs.openai_chat.wire import (
    NO_DELTA,
    WIRE,
    Answer,
    ChoiceOut,
    CustomDelta,
    Delta,
    ToolCallDelta,
)
from turnout.codecs.openai_errors import unreadable
from turnout.errors import ProviderBadResponse
from turnout.types.chat import (
    NOTHING,
    ChatResponse,
    Choice,
    FinishReason,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

_tree = msgspec.json.Decoder().decode
_answer = msgspec.json.Decoder(Answer).decode
_encode = msgspec.json.Encoder().encode

_KNOWN = frozenset({"id", "object", "created", "model", "choices", "usage", "turnout"})
_CHOICE_KNOWN = frozenset({"index", "message", "delta", "finish_reason", "logprobs"})
_MESSAGE_KNOWN = (
    frozenset({"role", "content", "refusal", "tool_calls", "function_call", "annotations"}) | REASONING_FIELDS
)


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete 2xx answer. Raises `ProviderBadResponse`, or the class of an error object inside it."""
    tree, answer = _read(response)
    choices = answer.choices
    raw = tree.get("choices")
    if not choices or not isinstance(raw, Sequence):
        raise ProviderBadResponse("the provider's answer holds no choices")
    created = answer.created
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=tuple(
            _choice(choice, value)
            for choice, value in zip(choices, raw, strict=True)
            if isinstance(value, Mapping)
        ),
        usage=usage_in(answer.usage, answer.x_groq) or Usage(),
        created=int(created) if isinstance(created, int | float) else None,
        wire=WIRE,
        extra={key: value for key, value in tree.items() if key not in _KNOWN},
    )


def glance(response: HttpResponse) -> Glance:
    """Read counts, finish and names from an answer that passes through, and take a forged `turnout` out."""
    try:
        answer = _answer(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    choices = answer.choices
    if answer.error is not None or choices is None or len(choices) != 1 or choices[0].error is not None:
        _check(answer, response)
    if not choices:
        raise ProviderBadResponse("the provider's answer holds no choices")
    body = response.body
    if answer.turnout is not msgspec.UNSET:
        body = _encode({key: value for key, value in _tree(body).items() if key != "turnout"})
    first = choices[0]
    return Glance(
        usage=usage_in(answer.usage, answer.x_groq) or Usage(),
        finish=finish_of(first, first.message or NO_DELTA),
        upstream_id=answer.id,
        model=answer.model,
        body=body,
    )


def finish_of(choice: ChoiceOut, said: Delta) -> FinishReason:
    """Return why a complete choice ended."""
    native, call = choice.finish_reason, said.function_call
    if native == "stop" and call is None and not said.tool_calls:  # as nearly always
        return "stop"
    return read_finish(native or "", calls=bool(said.tool_calls or (call is not None and call.name)))


def custom_of(call: ToolCallDelta) -> CustomDelta | None:
    """Return the free-text call, if it is one; some hosts send an empty `custom` beside every function."""
    return call.custom if call.function is None or (call.custom and call.custom.name) else None


def call_arguments(arguments: object) -> str:
    """Return the raw text of arguments; hosts that send an object mean its JSON."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else _encode(arguments).decode()


def _read(response: HttpResponse) -> tuple[Mapping[str, Json], Answer]:
    try:
        tree = _tree(response.body)
        answer = msgspec.convert(tree, Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    _check(answer, response)
    return tree, answer


def _check(answer: Answer, response: HttpResponse) -> None:
    if answer.error is not None:
        raise error_in(answer.error, response)
    for choice in answer.choices or ():
        if choice.error is not None:
            raise error_in(choice.error, response)


def _choice(choice: ChoiceOut, raw: Mapping[str, Json]) -> Choice:
    said = choice.message or choice.delta or NO_DELTA
    message = raw.get("message") or raw.get("delta")
    assert isinstance(message, Mapping) or message is None
    extra = {key: value for key, value in raw.items() if key not in _CHOICE_KNOWN}
    unknown = {} if message is None else {k: v for k, v in message.items() if k not in _MESSAGE_KNOWN}
    logprobs = raw.get("logprobs")
    return Choice(
        parts=_parts(said, message or {}),
        finish=finish_of(choice, said),
        native_finish=choice.finish_reason,
        logprobs=logprobs,
        extra={**extra, "message": unknown} if unknown else extra or NOTHING,
    )


def _parts(said: Delta, message: Mapping[str, Json]) -> tuple[Part, ...]:
    parts: list[Part] = [*read_reasoning(message)]
    annotations = message.get("annotations")
    notes = {"annotations": annotations} if annotations else NOTHING
    content = message.get("content")
    if isinstance(content, str) and (content or notes):
        parts.append(Text(content, notes))
    elif isinstance(content, list):
        parts += read_content(content)
    if said.refusal:
        parts.append(Refusal(said.refusal))
    parts += [_call(call) for call in said.tool_calls or ()]
    if said.function_call is not None and said.function_call.name:
        name, arguments = said.function_call.name or "", call_arguments(said.function_call.arguments)
        parts.append(ToolCall(id="", name=name, arguments=arguments, extra={LEGACY: True}))
    return tuple(parts)


def read_content(content: Sequence[Json]) -> list[Text | Reasoning]:
    """Read content that came as a list of parts, as Mistral's reasoning models send it."""
    parts: list[Text | Reasoning] = []
    for part in content:
        match part:
            case {"type": "thinking"} if isinstance(part, Mapping):
                parts.append(Reasoning(text=thinking_text(part), wire=WIRE))
            case {"text": str() as text}:
                parts.append(Text(text))
    return parts


def _call(call: ToolCallDelta) -> ToolCall:
    custom = custom_of(call)
    if custom is not None:
        name, text = custom.name or "", custom.input or ""
        return ToolCall(id=call.id or "", name=name, arguments=text, kind="custom")
    if call.function is None:
        raise ProviderBadResponse("the provider's answer holds a tool call without a function")
    return ToolCall(
        id=call.id or "",
        name=call.function.name or "",
        arguments=call_arguments(call.function.arguments),
        signature=read_signature(call.extra_content),
        extra=_kept(call.extra_content),
    )


def _kept(extra_content: object) -> Mapping[str, Json]:
    return {"extra_content": extra_content} if isinstance(extra_content, dict) else NOTHING
