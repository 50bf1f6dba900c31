"""Brings a chat completion request to the form in which two requests that mean the same are equal. Floor 2.

What is not a difference:

1. absent = null = `"stream": false` = an empty list; `stream_options` is ours to set;
2. `max_tokens` = `max_completion_tokens`; a stop string = a list of it; `response_format: text` = absent;
3. content of one plain text part = that text; null content = empty content;
4. a tool or call without `type` is a function;
5. an image address as a string = as an object;
6. fields meant for the router (`models`, `provider`, …) do not travel.
"""

from turnout.codecs.extras import read as read_extras
from turnout.types.json import Json, JsonObject


def meaning(request: JsonObject) -> JsonObject:
    """Return the request in its plainest form."""
    consumed = read_extras(request).consumed | {"stream_options"}
    plain = _present({key: value for key, value in request.items() if key not in consumed})
    limit = plain.pop("max_completion_tokens", None)
    if limit is not None:
        plain.setdefault("max_tokens", limit)
    if isinstance(plain.get("stop"), str):
        plain["stop"] = [plain["stop"]]
    if plain.get("stream") is False:
        del plain["stream"]
    if plain.get("response_format") == {"type": "text"}:
        del plain["response_format"]
    for name, change in (("messages", _turn), ("tools", _typed)):
        items = plain.get(name)
        if isinstance(items, list):
            plain[name] = [change(item) if isinstance(item, dict) else item for item in items]
    return plain


def _present(value: JsonObject) -> dict[str, Json]:
    return {key: member for key, member in value.items() if member is not None and member != []}


def _turn(turn: dict[str, Json]) -> Json:
    plain = _present(turn)
    content = plain.get("content")
    match content:
        case [{"type": "text", "text": str() as text} as only] if isinstance(only, dict) and len(only) == 2:
            plain["content"] = text
        case list():
            plain["content"] = [_part(part) if isinstance(part, dict) else part for part in content]
    if plain.get("content") == "":
        del plain["content"]
    calls = plain.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = [_typed(call) if isinstance(call, dict) else call for call in calls]
    return plain


def _part(part: dict[str, Json]) -> Json:
    plain = _present(part)
    if isinstance(plain.get("image_url"), str):
        plain["image_url"] = {"url": plain["image_url"]}
    return plain


def _typed(value: dict[str, Json]) -> Json:
    plain = {"type": "function", **_present(value)}
    function = plain.get("function")
    if isinstance(function, dict):
        plain["function"] = _present(function)
    return plain
