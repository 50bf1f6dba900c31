"""Reasoning in OpenAI-style messages: four spellings of one thing, both directions. Floor 2."""

from collections.abc import Iterable, Mapping, Sequence

from turnout.codecs.openai_chat.wire import WIRE
from turnout.types.chat import Reasoning
from turnout.types.json import Json

FIELDS = frozenset({"reasoning", "reasoning_content", "reasoning_details", "thinking_blocks"})

_WIRES = {
    "anthropic-claude-v1": "anthropic",
    "google-gemini-v1": "gemini",
    "openai-responses-v1": "openai_responses",
}
"""OpenRouter's names for who made a block -> wire format whose provider can verify it."""
_FORMATS = {wire: name for name, wire in _WIRES.items()}


def read_reasoning(message: Mapping[str, Json]) -> tuple[Reasoning, ...]:
    """Read the reasoning of a message or delta: the form with signatures first, plain text last."""
    details = message.get("reasoning_details")
    if isinstance(details, list) and details:
        return tuple(read_detail(detail) for detail in details if isinstance(detail, Mapping))
    blocks = message.get("thinking_blocks")
    if isinstance(blocks, list) and blocks:
        return tuple(_from_block(block) for block in blocks if isinstance(block, Mapping))
    text = message.get("reasoning_content") or message.get("reasoning")
    return (Reasoning(text=text, wire=WIRE),) if isinstance(text, str) and text else ()


def read_detail(detail: Mapping[str, Json]) -> Reasoning:
    """Read one entry of `reasoning_details`."""
    text = detail.get("text") or detail.get("summary")
    return Reasoning(
        text=text if isinstance(text, str) else "",
        signature=_text(detail, "signature"),
        redacted=_text(detail, "data"),
        id=_text(detail, "id"),
        wire=_WIRES.get(_text(detail, "format") or "", WIRE),
    )


def thinking_text(part: Mapping[str, Json]) -> str:
    """Return the words of a Mistral `thinking` part, whose payload is a string or a list of text parts."""
    inner = part.get("thinking")
    if isinstance(inner, str):
        return inner
    if not isinstance(inner, Sequence):
        return ""
    return "".join(_text(piece, "text") or "" for piece in inner if isinstance(piece, Mapping))


def read_signature(extra_content: object) -> str | None:
    """Return the token Gemini's OpenAI endpoint wants back with a call: `extra_content` of the call."""
    match extra_content:
        case {"google": {"thought_signature": str() as signature}}:
            return signature
        case _:
            return None


def write_signature(signature: str | None) -> dict[str, Json]:
    """Write the token as the member of a call that `read_signature` reads."""
    return {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}


def write_details(parts: Iterable[Reasoning]) -> list[Json]:
    """Write reasoning as `reasoning_details`, so that a client can hand it back with its signatures."""
    entries: list[Reasoning] = []
    for part in parts:
        if part.redacted is not None and part.text:  # what can be read stands in an entry of its own
            entries.append(Reasoning(text=part.text, wire=part.wire))
        entries.append(part)
    return [_detail(part, i) for i, part in enumerate(entries)]


def _detail(part: Reasoning, index: int) -> dict[str, Json]:
    common: dict[str, Json] = {"format": _FORMATS.get(part.wire, "unknown"), "index": index}
    if part.id is not None:
        common["id"] = part.id
    if part.redacted is not None:
        return {"type": "reasoning.encrypted", "data": part.redacted, **common}
    if part.signature is not None:
        common["signature"] = part.signature
    return {"type": "reasoning.text", "text": part.text, **common}


def _from_block(block: Mapping[str, Json]) -> Reasoning:
    """Read an Anthropic block as LiteLLM clients hand it back."""
    return Reasoning(
        text=_text(block, "thinking") or "",
        signature=_text(block, "signature"),
        redacted=_text(block, "data"),
        wire="anthropic",
    )


def _text(value: Mapping[str, Json], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None
