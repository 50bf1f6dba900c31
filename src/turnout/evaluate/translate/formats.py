"""The chat formats as both ends of a translation: requests read, written for an upstream. Floor 6."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.anthropic import verify as anthropic
from turnout.codecs.base import Addressed, Codec, Dialect
from turnout.codecs.bedrock import Bedrock, BedrockDialect
from turnout.codecs.bedrock import verify as bedrock
from turnout.codecs.cohere import Cohere, CohereDialect
from turnout.codecs.cohere import verify as cohere
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.codecs.gemini import verify as gemini
from turnout.codecs.ollama import Ollama, OllamaDialect
from turnout.codecs.ollama import verify as ollama
from turnout.codecs.openai_chat import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_chat import verify as openai_chat
from turnout.codecs.openai_responses import OpenAIResponses, OpenAIResponsesDialect
from turnout.codecs.openai_responses import verify as openai_responses
from turnout.transport.recording import Recorded
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

_FIELDS: Final = ("reasoning", "thinking")
_STREAMS: Final = ("/converse-stream", ":streamGenerateContent")


class Format(Struct, frozen=True, kw_only=True):
    """One chat format, and a model whose generation takes most of what the format can say."""

    codec: Codec
    dialect: Dialect
    speaks: Callable[[str, str, JsonObject], bool]
    """Tells whether a call (method, address, body) is in this format."""
    model: str
    asks: frozenset[str]
    """Members of a body that ask for a chat in this format: one of them is there."""
    quirks: Quirks = Quirks()

    def upstream(self, model: str = "", quirks: Quirks | None = None) -> Deployment:
        """Return a deployment that speaks this format, of a model whose capabilities are not known."""
        name = model or self.model
        vendor = Vendor(
            name="recorded",
            base_url="https://recorded.invalid/v1",
            codec=self.codec.wire,
            quirks=self.quirks if quirks is None else quirks,
        )
        return Deployment(id=name, vendor=vendor, model=Model(id=f"recorded/{name}"), upstream_model=name)

    def read(self, http: HttpRequest) -> ChatRequest:
        """Read what was written for an upstream, as that upstream does. Raises `InvalidRequest`."""
        if not isinstance(self.dialect, Addressed):
            return self.dialect.parse(http.body).request
        model, stream = _addressed(http.url)
        return self.dialect.parse_call(http.body, model=model, stream=stream).request


_OPENAI: Final = Quirks(max_tokens_field="max_completion_tokens", developer_role=True, openai_fields=True)
_MESSAGES: Final = frozenset({"messages"})
FORMATS: Final[Mapping[str, Format]] = {
    each.codec.wire: each
    for each in (
        Format(
            codec=OpenAIChat(),
            dialect=OpenAIChatDialect(),
            speaks=openai_chat.speaks,
            model="gpt-5",
            asks=_MESSAGES,
            quirks=_OPENAI,
        ),
        Format(
            codec=OpenAIResponses(),
            dialect=OpenAIResponsesDialect(),
            speaks=openai_responses.speaks,
            model="gpt-5",
            asks=frozenset({"input", "previous_response_id", "prompt"}),
            quirks=_OPENAI,
        ),
        Format(
            codec=Anthropic(),
            dialect=AnthropicDialect(),
            speaks=anthropic.speaks,
            model="claude-opus-4-6",
            asks=_MESSAGES,
        ),
        Format(
            codec=Gemini(),
            dialect=GeminiDialect(),
            speaks=gemini.speaks,
            model="gemini-3.1-flash",
            asks=frozenset({"contents"}),
        ),
        Format(
            codec=Bedrock(),
            dialect=BedrockDialect(),
            speaks=bedrock.speaks,
            model="anthropic.claude-opus-4-6-v1:0",
            asks=_MESSAGES,
        ),
        Format(
            codec=Cohere(),
            dialect=CohereDialect(),
            speaks=cohere.speaks,
            model="command-a-reasoning-08-2025",
            asks=_MESSAGES,
        ),
        Format(
            codec=Ollama(), dialect=OllamaDialect(), speaks=ollama.speaks, model="gpt-oss:20b", asks=_MESSAGES
        ),
    )
}
"""Name of the wire format -> its two directions."""


class Asked(Struct, frozen=True, kw_only=True):
    """A recorded request for a chat, as it went over the wire."""

    format: str
    http: HttpRequest
    body: JsonObject

    @property
    def origin(self) -> Deployment:
        """Return the upstream it was sent to, with the quirks its client evidently counted on."""
        model, _ = _addressed(self.http.url)
        name = self.body.get("model")
        known = FORMATS[self.format]
        if self.format != "openai_chat":
            return known.upstream(model or (name if isinstance(name, str) else ""))
        limit = "max_tokens" if self.body.get("max_tokens") is not None else "max_completion_tokens"
        quirks = Quirks(
            max_tokens_field=limit,
            developer_role=True,
            openai_fields=True,
            cache_marks=b'"cache_control"' in self.http.body,
            required_as_any=self.body.get("tool_choice") == "any",
            thinking_field="reasoning" if "reasoning" in self.body else "reasoning_effort",
        )
        return known.upstream(name if isinstance(name, str) else "", quirks)


def asked(record: Recorded) -> Asked | None:
    """Return the request of a record; None where it is none for a chat, or the provider refused it."""
    if record.status // 100 != 2:
        return None
    try:
        body = msgspec.json.decode(record.sent, type=dict[str, Json])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # a form, or nothing at all
    spoken = (each for each in FORMATS.values() if each.speaks(record.method, record.url, body))
    found = next(spoken, None)
    if found is None or found.asks.isdisjoint(body) or "embed" in record.url.lower():
        return None
    name = found.codec.wire
    if name == "bedrock" and "/converse" not in record.url:
        return None  # a model's own body, behind the same address
    if name == "anthropic" and "model" not in body:  # an envelope names the model in its address
        rest = {key: value for key, value in body.items() if key != "anthropic_version"}
        body = {**rest, "model": "enveloped"}
    sent = msgspec.json.encode(body)
    return Asked(format=name, http=HttpRequest("POST", record.url, (), sent), body=body)


def _addressed(url: str) -> tuple[str, bool]:
    """Return the model an address names, and whether it asks for a stream."""
    path = unquote(urlsplit(url).path)
    stream = path.endswith(_STREAMS)
    if "/model/" in path:
        return path.partition("/model/")[2].rpartition("/")[0], stream
    name, colon, _ = path.rpartition("/models/")[2].rpartition(":")
    return (name, stream) if colon and "/models/" in path else ("", stream)
