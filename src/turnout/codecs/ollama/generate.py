"""Ollama's `/api/generate` for clients: a prompt in, its continuation out. Floor 2.

To an upstream it is a chat of one turn, as Ollama itself makes of it. What goes around the model's own
template is refused: `raw`, `template`, `suffix`, and the `context` of an earlier answer, which are tokens.
"""

from msgspec import Struct
from msgspec.structs import replace

from turnout.codecs import strict
from turnout.codecs.base import Body, Summary
from turnout.codecs.ollama.dialect import Name, OllamaDialect, OllamaStream, line_end, line_head
from turnout.codecs.ollama.wire import WORDS, write
from turnout.errors import TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse, Reasoning, Refusal, Text
from turnout.types.json import Json, JsonObject

NAME = "ollama_generate"
_OWN = frozenset({"prompt", "system", "images", "raw", "template", "suffix", "context"})
_REFUSED = ("raw", "template", "suffix", "context")


class _Asked(Struct, frozen=True):
    model: Name
    prompt: str = ""
    system: str | None = None
    images: list[str] | None = None
    raw: bool | None = None
    template: str | None = None
    suffix: str | None = None
    context: list[int] | None = None


class OllamaGenerateDialect:
    """Speaks `/api/generate` to clients."""

    wire = NAME
    lines = True

    def __init__(self) -> None:
        self._chat = OllamaDialect()

    def parse(self, body: bytes) -> Body:
        """Read a request; it streams unless it says otherwise. Raises `InvalidRequest`."""
        tree = strict.parse(body)
        asked = strict.convert(tree, _Asked)
        for name in _REFUSED:
            if getattr(asked, name):
                raise UnsupportedParameter(f"{name} goes around the model's template", param=name)
        turns: list[Json] = [{"role": "system", "content": asked.system}] if asked.system else []
        turns.append({"role": "user", "content": asked.prompt, "images": asked.images or []})
        rest = {key: value for key, value in tree.items() if key not in _OWN}
        found = self._chat.parse(write({**rest, "messages": turns}))
        return replace(found, wire=Wire(NAME, tree))

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        choice = response.choices[0]
        said: dict[str, Json] = {
            "response": "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
        }
        thought = "".join(part.text for part in choice.parts if isinstance(part, Reasoning))
        if thought:
            said["thinking"] = thought
        end = line_end(WORDS.get(choice.finish, "stop"), response.usage)
        return write({**line_head(summary), **said, **end})

    def stream(self, request: ChatRequest, summary: Summary) -> "GenerateStream":
        """Return a new stream writer."""
        return GenerateStream(summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        return self._chat.error(error, request_id)


class GenerateStream(OllamaStream):
    """Writes one client stream, a line per event."""

    __slots__ = ()

    def written(self, said: JsonObject) -> JsonObject:
        """Return what the model says as members of a line."""
        thought = {"thinking": said["thinking"]} if "thinking" in said else {}
        return {"response": said.get("content", ""), **thought}
