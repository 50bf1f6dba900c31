"""How an emulated model behaves: what it answers, how fast, and what goes wrong. Floor 6."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.testing.emulator.example import example
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    FinishReason,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.usage import Usage

FaultKind = Literal[
    "rate_limit",
    "overloaded",
    "server_error",
    "auth",
    "model_gone",
    "context",
    "filtered",
    "hang",
    "cut",
    "half_frame",
    "garbage",
    "html",
    "error_in_200",
    "wrong_length",
    "close",
]
"""What can go wrong.

`hang`: no answer; `cut`: the answer ends early, in good order; `half_frame`: inside a frame; `wrong_length`:
less comes than Content-Length promised, then the connection closes; `garbage`: not JSON; `html`: a proxy's
error page; `error_in_200`: an error object with status 200; `close`: the connection closes without an answer.
"""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong for some calls."""

    kind: FaultKind
    share: float = 1.0
    """Share of calls it hits, drawn from the emulator's seeded generator."""
    first: int | None = None
    """Only the first so many calls; None = all."""
    retry_after_s: float | None = None
    after_chunks: int = 3
    """For faults inside a stream: pieces of content sent before."""


class Behaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one emulated model behaves."""

    ttft_s: float = 0.0
    """Wait before the first byte."""
    jitter: float = 0.0
    """Share by which waits vary, either way."""
    tokens_per_s: float = 0.0
    """Speed of a stream after its first token; 0 = at once. A word counts as a token."""
    rpm: int | None = None
    """Calls per minute before 429."""
    context_window: int | None = None
    """Prompt tokens above this are refused as the provider would."""
    faults: tuple[Fault, ...] = ()
    fail_after: int | None = None
    """After so many calls the provider is down: connections close without an answer."""


class Scripted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One emulated model in a script file."""

    behaviour: Behaviour = Behaviour()
    answers: dict[str, str] = {}
    """Text of the last user turn -> answer; anything else is answered by the canned script."""


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A script file: what `python -m turnout.testing.emulator --config` reads."""

    models: dict[str, Scripted] = {}
    default: Behaviour = Behaviour()
    """Of models that are not named."""


Answerer = Callable[[ChatRequest], ChatResponse]
"""What an emulated model says. Pure."""


def count_tokens(text: str) -> int:
    """Count tokens by the emulator's rule: one per four bytes, rounded up."""
    return -(-len(text.encode()) // 4)


def prompt_text(request: ChatRequest) -> str:
    """Return all text of a conversation, as the rule counts it."""
    return "\n".join(_text(part) for message in request.messages for part in message.parts)


def last_user_text(request: ChatRequest) -> str:
    """Return the text of the last user turn; "" if there is none."""
    for message in reversed(request.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return ""


def _text(part: Part) -> str:
    match part:
        case Text():
            return part.text
        case ToolCall():
            return part.arguments
        case ToolResult():
            return "\n".join(_text(item) for item in part.content)
        case _:
            return ""


def reply_with(request: ChatRequest, parts: tuple[Part, ...], *, model: str) -> ChatResponse:
    """Return a complete answer holding `parts`, with usage counted by the emulator's rule."""
    said = "".join(_text(part) for part in parts)
    digest = hashlib.sha256((prompt_text(request) + said).encode()).hexdigest()[:24]
    finish: FinishReason = "stop"
    n_in, n_out = count_tokens(prompt_text(request)), max(1, count_tokens(said))
    limit = request.max_tokens
    if any(isinstance(part, ToolCall) for part in parts):
        finish = "tool_calls"
    if limit is not None and n_out > limit and finish == "stop":
        parts = (Text(said.encode()[: limit * 4].decode(errors="ignore")),)
        n_out, finish = limit, "length"
    return ChatResponse(
        id=f"emu-{digest}",
        model=model,
        choices=(Choice(parts=parts, finish=finish),),
        usage=Usage(input_uncached=n_in, output_text=n_out),
        created=1_700_000_000,
    )


def canned(name: str) -> Answerer:
    """Return the default script.

    Calls a forced or first-turn tool; answers in the shape that was asked for; else says who it is and what
    it was asked.
    """

    def answer(request: ChatRequest) -> ChatResponse:
        call = _tool_call(request)
        if call is not None:
            return reply_with(request, (call,), model=name)
        said = last_user_text(request).strip()
        words = " ".join(said.split()[:12])
        text = f"This is an emulated answer of {name}. You wrote {len(said)} characters, beginning: {words}"
        shape = request.output_format
        if shape is not None:
            value = {"emulated": text} if shape.schema is None else example(shape.schema)
            text = msgspec.json.encode(value).decode()
        return reply_with(request, (Text(text),), model=name)

    return answer


def recorded(name: str, answers: Mapping[str, str]) -> Answerer:
    """Return a script that answers known questions with texts, and anything else as `canned` does."""
    otherwise = canned(name)

    def answer(request: ChatRequest) -> ChatResponse:
        text = answers.get(last_user_text(request))
        return otherwise(request) if text is None else reply_with(request, (Text(text),), model=name)

    return answer


def _tool_call(request: ChatRequest) -> ToolCall | None:
    """Call the first offered tool once: when the last turn is the user's and a tool was offered."""
    tools = [tool for tool in request.tools if isinstance(tool, Tool)]
    choice = request.tool_choice
    if not tools or (choice is not None and choice.mode == "none"):
        return None
    last = request.messages[-1]
    if last.role != "user" or any(isinstance(part, ToolResult) for part in last.parts):
        return None
    named = choice.names if choice is not None and choice.mode == "named" else ()
    tool = next((each for each in tools if each.name in named), tools[0])
    digest = hashlib.sha256(last_user_text(request).encode()).hexdigest()[:9]
    arguments = {} if tool.schema is None else example(tool.schema)
    text = msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()
    return ToolCall(id=f"call{digest}", name=tool.name, arguments=text)
