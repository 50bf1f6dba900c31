"""The facts of a request that no dialect has parsed: one of the SDK's, a judge's question. Floor 4."""

import msgspec

from turnout.types.chat import ChatRequest, Facts, Media, Message, Part, Reasoning, Text, ToolCall, ToolResult


def with_facts(request: ChatRequest) -> ChatRequest:
    """Return the request with its facts counted, where nobody has counted them."""
    if request.facts.n_messages or request.wire or not request.messages:
        return request
    parts = [part for message in request.messages for part in message.parts]
    media = [part.kind for part in parts if isinstance(part, Media)]
    n_tools = len(request.tools)
    n_chars = sum(map(_n_chars, parts))
    if n_tools:
        n_chars += len(msgspec.json.encode(request.tools))
    shape = request.output_format
    facts = Facts(
        n_chars=n_chars,
        n_messages=len(request.messages),
        n_media=len(media),
        modalities=frozenset(media),
        n_tools=n_tools,
        structured="" if shape is None else shape.kind,
    )
    return msgspec.structs.replace(request, facts=facts)


def _n_chars(part: Part) -> int:
    match part:
        case Text(text=text) | Reasoning(text=text):
            return len(text)
        case ToolCall(arguments=arguments):
            return len(arguments)
        case ToolResult(content=content):
            return sum(map(_n_chars, content))
        case _:
            return 0


def with_messages(request: ChatRequest, messages: tuple[Message, ...]) -> ChatRequest:
    """Return the request with other messages, and its facts as they are then."""
    before = [part for message in request.messages for part in message.parts]
    parts = [part for message in messages for part in message.parts]
    media = [part.kind for part in parts if isinstance(part, Media)]
    n_fewer = sum(map(_n_chars, before)) - sum(map(_n_chars, parts))
    facts = msgspec.structs.replace(
        request.facts,
        n_chars=max(0, request.facts.n_chars - n_fewer),
        n_messages=len(messages),
        n_media=len(media),
        modalities=frozenset(media),
    )
    return msgspec.structs.replace(request, messages=messages, facts=facts)
