"""Where a prompt is marked for the cache of its provider. Floor 2.

Theory of operation.

1. A mark says: everything up to here may be read from the cache next time. A request may have four: after the
   tools, after the system prompt, after a border in the conversation that moves only every `STRIDE` messages,
   and before the last message, which is where the next turn will go on from.
2. A mark whose prefix is shorter than the model's minimum would be ignored; it is not made.
3. A client that marks anything has a plan of its own: its marks are all there is.
4. Tools stand in the order of their names: clients that list them from a set send another prefix each time.
5. Words that change with every request (times, numbers, ids) spoil the prefix behind them. `skeleton` is the
   prefix without them: where the skeleton stays and the prefix does not, somebody should be told.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from turnout.compress.base import MARK, SYSTEM, Sizes, part_marked
from turnout.types.chat import ChatRequest, Media, Message, Part, ServerTool, Text, Tool, ToolCall, ToolResult
from turnout.types.json import Json

TAKES: Final[Mapping[str, bool]] = {"anthropic": True, "bedrock": False}
"""Wire formats with marks -> whether a call can bear one."""
MOST_MARKS: Final = 4
STRIDE: Final = 16
"""Messages. The provider looks back 20 blocks from a mark for what it has: a tool loop of one turn may be
longer."""
LEAST: Final = (
    ("claude-opus-4-5", 4096),
    ("claude-opus-4-6", 4096),
    ("claude-opus-4-7", 2048),
    ("claude-haiku-4-5", 4096),
    ("claude-3-5-haiku", 2048),
    ("claude-3-haiku", 2048),
    ("claude-sonnet-4-6", 2048),
    ("claude", 1024),
    ("nova", 1024),
)
"""Part of a model's name -> tokens of the shortest prefix that is kept. Other models get no marks.
https://platform.claude.com/docs/en/build-with-claude/prompt-caching, seen 2026-11-22; of
Sonnet 4.6 the larger of two numbers told."""
MOST_SKELETON_CHARS: Final = 65_536
_EPHEMERAL: Final[Mapping[str, Json]] = {MARK: {"type": "ephemeral"}}
_VOLATILE: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    r"|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
    r"|\b(?=[0-9a-f]*\d)[0-9a-f]{16,64}\b|\d+"
)
_ENCODE: Final = msgspec.json.Encoder().encode


def least_tokens(model: str) -> int | None:
    """Return the shortest prefix that a model's provider keeps; None: it takes no marks."""
    name = model.lower()
    return next((n for part, n in LEAST if part in name), None)


def marked(request: ChatRequest, least: float, sizes: Sizes, *, calls: bool) -> ChatRequest:
    """Return the request with marks; the same one where its client has set its own, or it is too short.

    Args:
        request: What is asked.
        least: Tokens of the shortest prefix that is kept.
        sizes: Counts tokens.
        calls: Whether a call of a tool can bear a mark.
    """
    messages, tools = tuple(request.messages), _in_order(request.tools)
    if MARK in request.extra or any(MARK in _extra(tool) for tool in tools):
        return request
    if any(MARK in message.extra or any(map(part_marked, message.parts)) for message in messages):
        return request
    n = sizes.count(_ENCODE(tools).decode()) if tools else 0.0
    left = MOST_MARKS
    last = tools[-1] if tools else None
    if isinstance(last, Tool) and n >= least:
        tools = (*tools[:-1], replace(last, extra={**last.extra, **_EPHEMERAL}))
        left -= 1
    places = _places(messages, calls=calls)
    out = list(messages)
    for at, message in enumerate(messages):
        n += sizes.message(message)
        if at in places and n >= least and left:
            out[at] = _with_mark(message, places[at])
            left -= 1
    same = all(a is b for a, b in zip(out, messages, strict=True)) and tools == tuple(request.tools)
    return request if same else replace(request, messages=tuple(out), tools=tools)


def _in_order(tools: Sequence[Tool | ServerTool]) -> tuple[Tool | ServerTool, ...]:
    """Return tools by name; as they stand where some are the upstream's own."""
    own = [tool for tool in tools if isinstance(tool, Tool)]
    if len(own) < len(tools):
        return tuple(tools)
    return tuple(sorted(own, key=_name))


def _name(tool: Tool) -> str:
    return tool.name


def _extra(tool: Tool | ServerTool) -> Mapping[str, Json]:
    return tool.extra if isinstance(tool, Tool) else tool.value


def _places(messages: tuple[Message, ...], *, calls: bool) -> Mapping[int, int]:
    """Return the messages after which a mark stands, each with the part that bears it."""
    system = (
        next((at for at, message in enumerate(messages) if message.role not in SYSTEM), len(messages)) - 1
    )
    last = len(messages) - 2
    border = last // STRIDE * STRIDE
    found: dict[int, int] = {}
    for wanted in (system, border, last):
        at = _bearer(messages, wanted, calls=calls) if wanted > system or wanted == system >= 0 else None
        if at is not None:
            found[at[0]] = at[1]
    return found


def _bearer(messages: tuple[Message, ...], wanted: int, *, calls: bool) -> tuple[int, int] | None:
    """Return the last part, at a message or before it, that can bear a mark."""
    for at in range(wanted, max(-1, wanted - STRIDE), -1):
        parts = messages[at].parts
        if parts and _bears(parts[-1], calls=calls):
            return at, len(parts) - 1
    return None


def _bears(part: Part, *, calls: bool) -> bool:
    match part:
        case Text(text=text):
            return bool(text.strip())
        case Media() | ToolResult():
            return True
        case ToolCall():
            return calls
        case _:
            return False


def _with_mark(message: Message, at: int) -> Message:
    part = message.parts[at]
    assert isinstance(part, Text | Media | ToolCall | ToolResult)
    new = replace(part, extra={**part.extra, **_EPHEMERAL})
    return replace(message, parts=(*message.parts[:at], new, *message.parts[at + 1 :]))


def skeleton(request: ChatRequest) -> tuple[bytes, bytes]:
    """Return digests of the system prompt: without the words that change, and as it is."""
    texts: list[str] = []
    for message in request.messages:
        if message.role not in SYSTEM:
            break
        texts += [part.text for part in message.parts if isinstance(part, Text)]
    text = "\n".join(texts)[:MOST_SKELETON_CHARS]
    return _digest(_VOLATILE.sub("#", text)), _digest(text)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
