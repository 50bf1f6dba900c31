"""A conversation in nobody's dialect. Floor 0.

Every wire format decodes into these types and is encoded from them. What only one format can say is
kept in `extra` (unknown fields) or `Native` (unknown blocks) and re-emitted to that format alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NoReturn, TypeVar, overload

from msgspec import Struct

from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

T = TypeVar("T")


class _Nothing(dict[str, Json]):
    """A mapping that stays empty: as a default it is shared, where `{}` is made anew for each value."""

    __slots__ = ()

    def _refuse(self, *_given: object, **_named: object) -> NoReturn:
        raise TypeError("nothing stays empty: it is shared by all that have no fields of their own")

    __setitem__ = setdefault = update = __ior__ = _refuse


NOTHING: Mapping[str, Json] = _Nothing()

Role = Literal["system", "developer", "user", "assistant", "tool"]
MediaKind = Literal["image", "audio", "video", "document"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class Text(Struct, frozen=True, tag="text"):
    """Words."""

    text: str
    extra: Mapping[str, Json] = NOTHING
    """Fields of the origin format, such as `cache_control`, `citations`, `annotations`."""


class Media(Struct, frozen=True, tag="media", kw_only=True):
    """A picture, sound, film or document; exactly one of data, url, file_id and text is set."""

    kind: MediaKind
    mime: str | None = None
    data: str | None = None
    """Base64, as it came."""
    url: str | None = None
    file_id: str | None = None
    """Id in the origin provider's file store."""
    text: str | None = None
    """A document given as plain text."""
    name: str | None = None
    detail: str | None = None
    extra: Mapping[str, Json] = NOTHING


class ToolCall(Struct, frozen=True, tag="tool_call", kw_only=True):
    """The model asks for a tool."""

    id: str
    """Unique per response; may be "" where the origin gave none (Gemini)."""
    name: str
    arguments: str
    """The model's raw JSON text: never re-serialised, never repaired."""
    kind: Literal["function", "custom"] = "function"
    signature: str | None = None
    """Opaque provider token that must come back with the call (Gemini `thoughtSignature`)."""
    extra: Mapping[str, Json] = NOTHING


class ToolResult(Struct, frozen=True, tag="tool_result", kw_only=True):
    """What a tool answered."""

    call_id: str
    name: str | None = None
    content: tuple["Text | Media | Native", ...] = ()
    is_error: bool = False
    value: Json = None
    """Structured result, where the origin format has one (Gemini `response`); else None."""
    extra: Mapping[str, Json] = NOTHING


class Reasoning(Struct, frozen=True, tag="reasoning", kw_only=True):
    """Thought of the model, with what its provider needs to verify it in the next turn."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    """Encrypted payload without readable text."""
    id: str | None = None
    wire: str = ""
    """Wire format whose provider signed it; others never receive signature or payload."""
    extra: Mapping[str, Json] = NOTHING


class Refusal(Struct, frozen=True, tag="refusal"):
    """The model declines, in its own words. Content, not an error."""

    text: str


class Native(Struct, frozen=True, tag="native"):
    """A block that only one wire format knows; re-emitted there, dropped with a warning elsewhere."""

    wire: str
    value: JsonObject


Part = Text | Media | ToolCall | ToolResult | Reasoning | Refusal | Native


class Message(Struct, frozen=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    extra: Mapping[str, Json] = NOTHING


class Tool(Struct, frozen=True, kw_only=True):
    """A function the model may call."""

    name: str
    description: str | None = None
    schema: JsonObject | None = None
    """JSON Schema of the arguments; None = no parameters declared."""
    strict: bool | None = None
    extra: Mapping[str, Json] = NOTHING


class ServerTool(Struct, frozen=True):
    """A tool the upstream runs itself (web search, code execution); binding to that wire format."""

    wire: str
    value: JsonObject


class ToolChoice(Struct, frozen=True):
    """Whether and which tool the model must call."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()
    """For `named`: exactly the tool; for `required`: the allowed subset, empty = any."""


class OutputFormat(Struct, frozen=True, kw_only=True):
    """The shape the answer must have."""

    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None
    description: str | None = None


class Thinking(Struct, frozen=True, kw_only=True):
    """How much the model should reason before it answers."""

    enabled: bool | None = None
    """None = not said: the model's default."""
    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    summary: str | None = None
    """Detail of a reasoning summary (`auto`, `concise`, `detailed`)."""
    include: bool | None = None
    """Whether reasoning text should come back."""
    extra: Mapping[str, Json] = NOTHING
    """The origin format's own top-level fields for this, re-emitted to that format as they came."""


class Facts(Struct, frozen=True, kw_only=True):
    """What filters and cheap strategies need to know, without reading the conversation."""

    n_chars: int = 0
    """Characters of text in all messages and tool schemas."""
    n_messages: int = 0
    n_media: int = 0
    modalities: frozenset[str] = frozenset()
    """Subset of {"image", "audio", "video", "document"}: input beyond text."""
    n_tools: int = 0
    forced_tool: bool = False
    structured: Literal["", "json_object", "json_schema"] = ""
    server_tools: bool = False
    native_wire: str = ""
    """Wire format to which the request is bound by server tools; "" = any."""
    realtime: bool = False
    """Whether it opens a session of speech instead of asking for one answer."""


class Lazy(Sequence[T]):
    """A sequence made when first looked at, then kept. Equal to a tuple of the same items."""

    __slots__ = ("_items", "_make")

    def __init__(self, make: Callable[[], tuple[T, ...]]) -> None:
        self._make = make
        self._items: tuple[T, ...] | None = None

    @property
    def is_made(self) -> bool:
        """Whether it was looked at."""
        return self._items is not None

    def _all(self) -> tuple[T, ...]:
        if self._items is None:
            self._items = self._make()
        return self._items

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Lazy):
            return self._all() == other._all()
        return self._all() == other

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class ChatRequest(Struct, frozen=True, kw_only=True):
    """What a client asks for. `messages` and `tools` may be `Lazy`: reading them may cost a decode."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[Tool | ServerTool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    output_format: OutputFormat | None = None
    thinking: Thinking | None = None
    user: str | None = None
    stream: bool = False
    include_usage: bool = False
    """Whether the client asked for usage on the stream. Turnout always asks the upstream."""
    wire: str = ""
    """Wire format the request came in; "" = built in process."""
    extra: Mapping[str, Json] = NOTHING
    """Top-level fields of the origin format that have no field here, name and value as sent."""
    kept: Mapping[str, Json] = NOTHING
    """Likewise, but honoured by the gateway itself for whichever upstream: re-emitted to the origin format,
    and nothing is lost where they are not."""
    facts: Facts = Facts()
    """Filled by the dialect that parsed the request, else by the engine."""


class Choice(Struct, frozen=True, kw_only=True):
    """One answer."""

    parts: tuple[Part, ...]
    finish: FinishReason = "stop"
    native_finish: str | None = None
    """The upstream's own word."""
    stop_sequence: str | None = None
    logprobs: Json = None
    extra: Mapping[str, Json] = NOTHING


class ChatResponse(Struct, frozen=True, kw_only=True):
    """What a model answered, complete."""

    id: str
    model: str
    """As the upstream named it."""
    choices: tuple[Choice, ...]
    usage: Usage = Usage()
    created: int | None = None
    """Unix seconds."""
    wire: str = ""
    extra: Mapping[str, Json] = NOTHING
