"""One walk over a request's blocks: are they well-formed, and what do filters need to know of them. Floor 2.

The walk looks at every block once and builds nothing, so that a request on the express track, and every
request that is refused, costs no decoding. `blocks.read_turns` relies on what is checked here.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from turnout.codecs.anthropic.declare import declare, refused
from turnout.codecs.anthropic.wire import is_sealed, string, write
from turnout.types.chat import ServerTool, Tool
from turnout.types.json import Json, JsonObject

_ROLES = ("user", "assistant", "system")
"""No set: what is looked for may be anything that JSON can say."""
_REQUIRED: Mapping[str, tuple[tuple[str, type, str], ...]] = {
    "text": (("text", str, "a text"),),
    "image": (("source", dict, "an object"),),
    "document": (("source", dict, "an object"),),
    "tool_use": (("id", str, "a text"), ("name", str, "a text"), ("input", dict, "an object")),
    "tool_result": (("tool_use_id", str, "a text"),),
    "thinking": (("thinking", str, "a text"),),
    "redacted_thinking": (("data", str, "a text"),),
}
_FILES = frozenset({"container_upload"})
_SERVER_FIELDS = ("mcp_servers", "container")
"""Top-level fields that make the upstream run something of its own."""


class Scan(Struct):
    """What the walk counted; the one mutable value while a request is parsed."""

    n_chars: int = 0
    n_media: int = 0
    modalities: frozenset[str] = frozenset()
    is_bound: bool = False
    """Names something only the provider has: a stored file, a server tool."""
    has_server_tools: bool = False
    tools: Sequence[Tool | ServerTool] = ()
    has_sealed: bool = False
    """Holds reasoning of another provider, or unsigned: Anthropic must not see it as it stands."""


def scan(body: JsonObject) -> Scan:
    """Check the conversation and the tools. Raises `InvalidRequest` with the path of the offending field."""
    found = Scan()
    system = body.get("system")
    if system is not None:
        _content(found, system, "system")
    turns = body.get("messages")
    if not isinstance(turns, list):
        raise refused("messages", "must be a list")
    if not turns:
        raise refused("messages", "must hold at least one message")
    for i, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise refused(f"messages[{i}]", "must be an object")
        if turn.get("role") not in _ROLES:
            raise refused(f"messages[{i}].role", "must be 'user', 'assistant' or 'system'")
        content = turn.get("content")
        if type(content) is str:
            found.n_chars += len(content)
        else:
            _content(found, content, f"messages[{i}].content")
    tools = declare(body.get("tools"))
    if tools is not None:
        found.tools = tools
        found.n_chars += tools.n_chars
        found.has_server_tools = tools.is_bound
    if any(body.get(name) for name in _SERVER_FIELDS):
        found.has_server_tools = True
    found.is_bound |= found.has_server_tools
    return found


def _content(found: Scan, content: Json, at: str) -> None:
    if isinstance(content, str):
        found.n_chars += len(content)
        return
    if not isinstance(content, list):
        raise refused(at, "must be a text or a list of blocks")
    for i, block in enumerate(content):
        if not isinstance(block, dict):
            raise refused(f"{at}[{i}]", "must be an object")
        n_chars = _plain(block)
        if n_chars is not None:
            found.n_chars += n_chars
            continue
        kind = block.get("type")
        if not isinstance(kind, str):
            raise refused(f"{at}[{i}].type", "is missing or no text")
        for name, wanted, words in _REQUIRED.get(kind, ()):
            if not isinstance(block.get(name), wanted):
                raise refused(f"{at}[{i}].{name}", f"must be {words}")
        _block(found, kind, block, (at, i))


def _plain(block: JsonObject) -> int | None:
    """Count a text, a call or an answer of words in good form; None = it is another block, or wrong."""
    kind = block.get("type")
    if kind == "text":
        text = block.get("text")
        return len(text) if isinstance(text, str) else None
    if kind == "tool_use":
        name, given = block.get("name"), block.get("input")
        if isinstance(name, str) and isinstance(given, dict) and isinstance(block.get("id"), str):
            return len(name) + len(write(given))
    elif kind == "tool_result":
        said = block.get("content")
        if isinstance(said, str) and isinstance(block.get("tool_use_id"), str):
            return len(said)
    return None


def _block(found: Scan, kind: str, block: JsonObject, place: tuple[str, int]) -> None:
    match kind:
        case "tool_result":
            content = block.get("content")
            if isinstance(content, str):
                found.n_chars += len(content)
            elif content is not None:
                _content(found, content, f"{place[0]}[{place[1]}].content")
        case "thinking":
            found.n_chars += len(string(block, "thinking"))
            found.has_sealed |= is_sealed(string(block, "signature"))
        case "image" | "document":
            found.n_media += 1
            found.modalities |= {kind}
            _source(found, block.get("source"), f"{place[0]}[{place[1]}].source")
        case _:
            found.is_bound |= kind in _FILES


def _source(found: Scan, source: Json, at: str) -> None:
    assert isinstance(source, dict)  # checked by the caller
    match source.get("type"):
        case "text":
            found.n_chars += len(string(source, "data"))
        case "content":
            _content(found, source.get("content"), f"{at}.content")
        case "file":
            found.is_bound = True
