"""Departures of hosts from OpenAI's chat format, applied to a request's JSON. Floor 2.

The same function serves both tracks: what we wrote ourselves and what a client wrote. A parameter that
changes what a correct answer is (*binding*, WIRE.md 2.2) is refused rather than dropped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from turnout.errors import UnsupportedParameter
from turnout.types.deployment import Quirks
from turnout.types.json import Json

_BINDING = frozenset({"tools", "response_format", "logprobs", "top_logprobs", "stop", "functions"}) | {
    "max_tokens",
    "max_completion_tokens",
}
_LIMITS = ("max_tokens", "max_completion_tokens")
_ID_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN_ID = re.compile(r"[0-9A-Za-z]*")


def adapt(body: dict[str, Json], quirks: Quirks) -> tuple[str, ...]:
    """Change a request in place to what the host understands; return the names of dropped parameters.

    Raises `UnsupportedParameter` for a binding parameter the host does not have.
    """
    for other in _LIMITS:
        if other in body and other != quirks.max_tokens_field:
            limit = body.pop(other)
            body.setdefault(quirks.max_tokens_field, limit)
    if not quirks.developer_role and _has_developer(body.get("messages")):
        _turns(body, _without_developer)
    if quirks.required_as_any and body.get("tool_choice") == "required":
        body["tool_choice"] = "any"
    if quirks.tool_id_length is not None:
        length = quirks.tool_id_length
        _turns(body, lambda turn: _with_short_ids(turn, length))
    if quirks.image_url_string:
        _turns(body, _with_plain_image_urls)
    if not quirks.json_schema:
        _check_schema(body)
    return () if quirks.unsupported.isdisjoint(body) else _without(body, quirks.unsupported)


def _without(body: dict[str, Json], unsupported: frozenset[str]) -> tuple[str, ...]:
    dropped = []
    for name in [name for name in body if name in unsupported]:
        value = body[name]
        if value is not None and value != [] and _binds(name, value):
            raise UnsupportedParameter(f"{name} is not supported by this model's provider", param=name)
        del body[name]
        if value is not None:
            dropped.append(name)
    return tuple(dropped)


def _binds(name: str, value: Json) -> bool:
    match name:
        case "tool_choice":
            return value != "auto"
        case "n":
            return value != 1
        case "parallel_tool_calls" | "logprobs":
            return value is (name == "logprobs")
        case _:
            return name in _BINDING


def _check_schema(body: Mapping[str, Json]) -> None:
    match body.get("response_format"):
        case {"type": "json_schema"}:
            raise UnsupportedParameter(
                "response_format of type json_schema is not supported by this model's provider",
                param="response_format",
            )


def _turns(body: dict[str, Json], change: Callable[[Mapping[str, Json]], Mapping[str, Json]]) -> None:
    """Replace turns by what `change` makes of them; the list is copied only when something changed."""
    turns = body.get("messages")
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        return
    changed = [change(turn) if isinstance(turn, Mapping) else turn for turn in turns]
    if any(new is not old for new, old in zip(changed, turns, strict=True)):
        body["messages"] = changed


def _has_developer(turns: Json) -> bool:
    if isinstance(turns, list):
        for turn in turns:  # a plain loop: this runs for every call
            if isinstance(turn, dict) and turn.get("role") == "developer":
                return True
    return False


def _without_developer(turn: Mapping[str, Json]) -> Mapping[str, Json]:
    return {**turn, "role": "system"} if turn.get("role") == "developer" else turn


def _with_short_ids(turn: Mapping[str, Json], length: int) -> Mapping[str, Json]:
    answered = turn.get("tool_call_id")
    if isinstance(answered, str):
        return {**turn, "tool_call_id": short_id(answered, length)}
    calls = turn.get("tool_calls")
    if not isinstance(calls, Sequence) or not calls:
        return turn
    return {**turn, "tool_calls": [_call_with_short_id(call, length) for call in calls]}


def _call_with_short_id(call: Json, length: int) -> Json:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str):
        return call
    return {**call, "id": short_id(str(call["id"]), length)}


def short_id(call_id: str, length: int) -> str:
    """Return an id of exactly `length` letters and digits; the same id always gives the same one."""
    if len(call_id) == length and _PLAIN_ID.fullmatch(call_id):
        return call_id
    digest = int.from_bytes(blake2b(call_id.encode(), digest_size=16).digest(), "big")
    chars = []
    for _ in range(length):
        digest, rest = divmod(digest, len(_ID_CHARS))
        chars.append(_ID_CHARS[rest])
    return "".join(chars)


def _with_plain_image_urls(turn: Mapping[str, Json]) -> Mapping[str, Json]:
    content = turn.get("content")
    if not isinstance(content, Sequence) or isinstance(content, str):
        return turn
    return {**turn, "content": [_plain_image_url(part) for part in content]}


def _plain_image_url(part: Json) -> Json:
    match part:
        case {"type": "image_url", "image_url": {"url": str() as url}}:
            return {"type": "image_url", "image_url": url}
        case _:
            return part
