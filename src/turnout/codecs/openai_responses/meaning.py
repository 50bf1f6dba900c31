"""Brings a responses request to the form in which two requests that mean the same are equal. Floor 2.

What is not a difference:

1. absent = null = `"stream": false` = an empty list; `text.format` of type `text` = absent;
2. an input string = one message of the user;
3. an item with a role is a message; its content as a string = one part of text;
4. the answer of a tool as a string = one part of text; no citations and no probabilities = none mentioned;
5. fields meant for the router (`models`, `provider`, …) do not travel.
"""

from collections.abc import Mapping

from turnout.codecs.extras import read as read_extras
from turnout.types.json import Json, JsonObject


def meaning(request: JsonObject) -> JsonObject:
    """Return the request in its plainest form."""
    consumed = read_extras(request).consumed
    plain = _present({key: value for key, value in request.items() if key not in consumed})
    if plain.get("stream") is False:
        del plain["stream"]
    text = plain.get("text")
    if isinstance(text, dict):
        shaped = _present(text)
        if shaped.get("format") == {"type": "text"}:
            del shaped["format"]
        plain["text"] = {key: _member(value) for key, value in shaped.items()}
        if not shaped:
            del plain["text"]
    given = plain.get("input")
    if isinstance(given, str):
        plain["input"] = [_item({"role": "user", "content": given})]
    elif isinstance(given, list):
        plain["input"] = [_item(item) if isinstance(item, dict) else item for item in given]
    tools = plain.get("tools")
    if isinstance(tools, list):
        plain["tools"] = [_member(tool) for tool in tools]
    return plain


def _present(value: JsonObject) -> dict[str, Json]:
    return {key: member for key, member in value.items() if member is not None and member != []}


def _member(value: Json) -> Json:
    return _present(value) if isinstance(value, Mapping) else value


def _item(item: dict[str, Json]) -> Json:
    plain = _present(item)
    if "role" in plain:
        plain.setdefault("type", "message")
    for field in ("content", "output"):
        words = plain.get(field)
        if isinstance(words, str):
            kind = "output_text" if plain.get("role") == "assistant" else "input_text"
            plain[field] = [{"type": kind, "text": words}]
        elif isinstance(words, list):
            plain[field] = [_member(word) for word in words]
    return plain
