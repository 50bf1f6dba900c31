"""Facts about a request, counted without reading it into our types; item checks on the way. Floor 2."""

from collections.abc import Mapping
from typing import NoReturn

from msgspec import Struct

from turnout.codecs.openai_responses.items import CALLS, COMPACTION, OUTPUTS
from turnout.codecs.openai_responses.parts import MEDIA, WORDS
from turnout.codecs.openai_responses.seal import is_sealed, summary_in
from turnout.errors import InvalidRequest
from turnout.types.chat import MediaKind
from turnout.types.json import Json, JsonObject

MAX_ITEMS = 10_000
_ROLES = ("user", "assistant", "system", "developer")
"""No set: what is looked for may be anything that JSON can say."""
_DONE_ELSEWHERE = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"}
    | {"mcp_list_tools", "mcp_call", "computer_call", "local_shell_call", "shell_call"}
)
"""What an upstream did by its own tools in earlier turns; other formats do without it. Any item that is not
named in this file holds a part of the conversation that only this format can say."""


class Scan(Struct):
    """What was found."""

    n_chars: int = 0
    n_items: int = 0
    media: list[MediaKind] = []
    is_bound: bool = False
    """An item that only this format can say."""
    has_sealed: bool = False
    """Reasoning of other providers, which must not reach OpenAI."""


def scan(tree: JsonObject) -> Scan:
    """Look at the conversation. Raises `InvalidRequest` for an item or part that lacks its payload."""
    found, given = Scan(), tree.get("input")
    instructions = tree.get("instructions")
    if isinstance(instructions, str):
        found.n_chars += len(instructions)
        found.n_items += 1
    if isinstance(given, str):
        found.n_chars += len(given)
        found.n_items += 1
        return found
    if given is None:
        _missing("input")
    if not isinstance(given, list):
        raise InvalidRequest("input: expected a string or a list of items", param="input")
    if len(given) > MAX_ITEMS:
        raise InvalidRequest(f"input holds more than {MAX_ITEMS:,} items", param="input")
    for i, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequest(f"input[{i}]: expected an object", param=f"input[{i}]")
        n_chars = _plain(item)
        if n_chars is not None:
            found.n_chars += n_chars
            continue
        _item(item, f"input[{i}]", found)
    found.n_items += len(given)
    return found


def _plain(item: JsonObject) -> int | None:
    """Count a message, a call or an answer of words in good form; None = it is another item, or wrong."""
    kind = item.get("type")
    if kind is None or kind == "message":
        said = item.get("content") if item.get("role") in _ROLES else None
    elif kind == "function_call":
        named = isinstance(item.get("call_id"), str) and isinstance(item.get("name"), str)
        said = item.get("arguments") if named else None
    elif kind == "function_call_output":
        said = item.get("output") if isinstance(item.get("call_id"), str) else None
    else:
        return None
    return len(said) if isinstance(said, str) else None


def _item(item: JsonObject, at: str, found: Scan) -> None:
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        raise InvalidRequest(f"{at}.type: expected a string", param=f"{at}.type")
    if kind is None or kind == "message":
        role = item.get("role")
        if role not in _ROLES:
            raise InvalidRequest(
                f"{at}.role: expected user, assistant, system or developer", param=f"{at}.role"
            )
        _content(item.get("content"), f"{at}.content", found)
    elif kind in CALLS:
        for field in ("call_id", "name", "arguments" if kind == "function_call" else "input"):
            _text(item, field, at)
        found.n_chars += len(_text(item, "arguments" if kind == "function_call" else "input", at))
    elif kind in OUTPUTS:
        _text(item, "call_id", at)
        _content(item.get("output"), f"{at}.output", found)
    elif kind == "reasoning":
        found.has_sealed |= is_sealed(item.get("encrypted_content"))
    else:
        _other(item, kind, at, found)


def _other(item: JsonObject, kind: str, at: str, found: Scan) -> None:
    """Look at an item that few conversations hold."""
    if kind == COMPACTION and is_sealed(item.get("encrypted_content")):
        summary = summary_in(item)
        if summary is None:
            raise InvalidRequest(f"{at}: not as it was sent", param=f"{at}.encrypted_content")
        found.n_chars += len(summary)
        found.has_sealed = True
    elif kind not in _DONE_ELSEWHERE:
        found.is_bound = True


def _content(content: Json, at: str, found: Scan) -> None:
    if isinstance(content, str):
        found.n_chars += len(content)
        return
    if content is None:
        _missing(at)
    if not isinstance(content, list):
        raise InvalidRequest(f"{at}: expected a string or a list of parts", param=at)
    for i, part in enumerate(content):
        if not isinstance(part, dict):
            raise InvalidRequest(f"{at}[{i}]: expected an object", param=f"{at}[{i}]")
        _part(part, f"{at}[{i}]", found)


def _part(part: JsonObject, at: str, found: Scan) -> None:
    kind = part.get("type")
    if not isinstance(kind, str):
        _missing(f"{at}.type")
    if kind in WORDS:
        found.n_chars += len(_text(part, "text", at))
    elif kind == "refusal":
        found.n_chars += len(_text(part, "refusal", at))
    elif kind in MEDIA:
        found.media.append(MEDIA[kind])
        _check_media(part, kind, at)
    else:
        found.is_bound = True


def _check_media(part: JsonObject, kind: str, at: str) -> None:
    fields = {
        "input_image": ("image_url", "file_id"),
        "input_file": ("file_data", "file_url", "file_id"),
    }.get(kind, ("input_audio",))
    if not any(isinstance(part.get(field), str | Mapping) for field in fields):
        _missing(f"{at}.{fields[0]}")


def _text(value: JsonObject, field: str, at: str) -> str:
    text = value.get(field)
    if text is None:
        _missing(f"{at}.{field}")
    if not isinstance(text, str):
        raise InvalidRequest(f"{at}.{field}: expected a string", param=f"{at}.{field}", code="invalid_type")
    return text


def _missing(where: str) -> NoReturn:
    raise InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
