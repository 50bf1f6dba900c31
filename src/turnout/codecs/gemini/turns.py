"""Reads the conversation of a generateContent request. Floor 2.

Theory of operation.

1. A content is one message; one that holds nothing but function responses has the role `tool`.
2. Calls without an id get one from their place in the conversation, and a response without an id takes that
   of the oldest open call of its name. The same history gives the same ids in every turn, so that an
   upstream's prompt cache still hits.
3. What has no canonical field stays: in `extra` of its part, or as `Native` when the part is unknown.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from turnout.codecs.gemini.fields import entries, members, refusal, take_bool, take_str
from turnout.codecs.gemini.response import media_kind
from turnout.codecs.gemini.seal import unsealed
from turnout.codecs.gemini.wire import SIGNATURE, WIRE, mint_id, write
from turnout.codecs.plain import Answered, Called, Turn, Words
from turnout.codecs.strict import kind
from turnout.codecs.waiting import Waiting
from turnout.types.chat import Media, Message, Native, Part, Reasoning, Role, Text, ToolCall, ToolResult
from turnout.types.json import Json, JsonObject

_ROLES: dict[str | None, Role] = {
    "user": "user",
    "model": "assistant",
    None: "user",
    "": "user",
    "function": "user",
    "tool": "user",
}
_DATA = frozenset(
    {
        "text",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    }
)
"""Members of a part of which only one may be set."""

_CALL = frozenset({"name", "args", "id"})
_ANSWER = frozenset({"name", "response", "id"})
_FAILED = {"error"}
_PLAIN = ("output", "result", "error")
"""Keys under which a function response holds its one value, by Google's convention."""

_STANDARD = str.maketrans("-_", "+/")
_STORED = ("https://generativelanguage.googleapis.com/", "gs://")
"""Addresses that only Google can read: ids rather than URLs."""


class Turns:
    """Reads contents in order; remembers which calls are still to be answered."""

    def __init__(self) -> None:
        self._open = Waiting()
        self._n_calls = 0

    def system(self, value: Json, at: str) -> list[Turn]:
        """Read `systemInstruction`, a content or a plain string."""
        if isinstance(value, str):
            return [Words("system", value)] if value else []
        parts = self._parts(members(value, at), at)
        only = parts[0] if len(parts) == 1 else None
        if isinstance(only, Text) and not only.extra:
            return [Words("system", only.text)]
        return [Message("system", parts)] if parts else []

    def contents(self, value: Json, at: str) -> list[Turn]:
        """Read `contents`."""
        if isinstance(value, str):
            return [Words("user", value)]
        return [
            self._plain(item) or self._content(item, f"{at}[{i}]")
            for i, item in enumerate(entries(value, at))
        ]

    def _plain(self, item: Json) -> Turn | None:
        """Read words, calls or an answer in good form: no copy, no path; None = it is more, or wrong."""
        if not isinstance(item, dict):
            return None
        given, parts = item.get("role"), item.get("parts")
        role = _ROLES.get(given) if given is None or isinstance(given, str) else None
        if role is None or not isinstance(parts, list) or not parts:
            return None
        text = _text(parts[0])
        if text is not None and len(parts) == 1:
            return Words("assistant" if role == "assistant" else "user", text)
        if role != "assistant":
            return self._answered(parts)
        return None if text == "" else self._called(text or "", parts if text is None else parts[1:])

    def _called(self, text: str, parts: Sequence[Json]) -> Called | None:
        found: list[tuple[str, Json, str | None]] = []
        for part in parts:
            call = _member(part, "functionCall")
            name = call.get("name") if call is not None and _CALL.issuperset(call) else None
            if call is None or not isinstance(name, str) or not name:
                return None
            args, call_id = call.get("args"), call.get("id")
            if not (args is None or isinstance(args, dict)) or not (
                call_id is None or isinstance(call_id, str)
            ):
                return None
            found.append((name, args, call_id))
        return Called(text, [self._made(name, args, call_id) for name, args, call_id in found])

    def _answered(self, parts: Sequence[Json]) -> Answered | None:
        n_parts, given = len(parts), _member(parts[0], "functionResponse")
        words = _text(parts[1]) if n_parts == 2 else ""
        if given is None or n_parts > 2 or not _ANSWER.issuperset(given) or words is None:
            return None
        name, call_id, value = given.get("name"), given.get("id"), given.get("response")
        if not isinstance(name, str) or not isinstance(value, dict) or value.keys() == _FAILED:
            return None
        if (call_id is not None and not isinstance(call_id, str)) or (n_parts == 2 and not words):
            return None
        return Answered(
            "user" if words else "tool", self._answers(call_id, name), plain(value), name, words, value
        )

    def _content(self, item: Json, at: str) -> Message:
        if not isinstance(item, dict):
            raise refusal(at, f"must be an object, not {kind(item)}")
        given = item.get("role")
        role = _ROLES.get(given) if given is None or isinstance(given, str) else None
        if role is None:
            raise refusal(f"{at}.role", f"is {given!r}; expected 'user' or 'model'")
        parts = self._parts(item, at)
        if parts and isinstance(parts[0], ToolResult) and all(isinstance(part, ToolResult) for part in parts):
            role = "tool"
        return Message(role, parts)

    def _parts(self, content: JsonObject, at: str) -> tuple[Part, ...]:
        value = content.get("parts")
        if value is None:
            return ()
        parts: list[Part] = []
        for i, item in enumerate(entries(value, f"{at}.parts")):
            # Plain text is most of every conversation: no copy, no path.
            text = item.get("text") if isinstance(item, dict) and len(item) == 1 else None
            if isinstance(text, str):
                parts.append(Text(text))
            else:
                parts.append(self._part(item, f"{at}.parts[{i}]"))
        return tuple(parts)

    def _part(self, item: Json, at: str) -> Part:
        if isinstance(item, str):
            return Text(item)
        part = members(item, at)
        if not part:
            raise refusal(at, "is empty")
        if len(part) > 1 and len(part.keys() & _DATA) > 1:
            raise refusal(at, f"has more than one of {', '.join(sorted(part.keys() & _DATA))}")
        if "text" in part:
            return _words(part, at)
        if "functionCall" in part:
            return self._call(part, at)
        if "functionResponse" in part:
            return self._result(part, at)
        if "inlineData" in part:
            return _inline(part, at)
        if "fileData" in part:
            return _file(part, at)
        if part.keys() <= {"thought", SIGNATURE}:
            return _words(part, at)
        return Native(WIRE, part)

    def _call(self, part: dict[str, Json], at: str) -> ToolCall:
        at = f"{at}.functionCall"
        call = members(part.pop("functionCall"), at)
        name = take_str(call, "name", at)
        if not name:
            raise refusal(f"{at}.name", "is missing")
        args = call.pop("args", None)
        if args is not None and not isinstance(args, dict):
            raise refusal(f"{at}.args", f"must be an object, not {kind(args)}")
        made = self._made(name, args, take_str(call, "id", at))
        signature = take_str(part, SIGNATURE, at)
        extra = {**part, "functionCall": call} if call else part
        return replace(made, signature=signature, extra=extra) if signature is not None or extra else made

    def _made(self, name: str, args: Json, call_id: str | None) -> ToolCall:
        call_id = call_id or mint_id(f"history|{self._n_calls}")
        self._n_calls += 1
        self._open.add(name, call_id)
        return ToolCall(id=call_id, name=name, arguments=write(args).decode() if args else "{}")

    def _result(self, part: dict[str, Json], at: str) -> ToolResult:
        at = f"{at}.functionResponse"
        given = members(part.pop("functionResponse"), at)
        name = take_str(given, "name", at)
        value = given.pop("response", None)
        if value is not None and not isinstance(value, dict):
            raise refusal(f"{at}.response", f"must be an object, not {kind(value)}")
        call_id = self._answers(take_str(given, "id", at), name)
        content: list[Text | Media | Native] = [Text(plain(value))] if value is not None else []
        pieces = given.pop("parts", None)
        for i, item in enumerate(entries(pieces, f"{at}.parts") if pieces is not None else ()):
            piece = self._part(item, f"{at}.parts[{i}]")
            content.append(
                piece if isinstance(piece, Text | Media | Native) else Native(WIRE, members(item, at))
            )
        failed = value is not None and value.keys() == {"error"}
        extra = {**part, "functionResponse": given} if given else part
        return ToolResult(
            call_id=call_id, name=name, content=tuple(content), is_error=failed, value=value, extra=extra
        )

    def _answers(self, given: str | None, name: str | None) -> str:
        """Return the id of the call that a response belongs to, and close that call."""
        if given is not None:
            return self._open.of_id(given) or given
        named = None if name is None else self._open.of_tool(name)
        found = named or self._open.oldest()
        return found or mint_id(f"orphan|{name}|{self._n_calls}")


def _text(part: Json) -> str | None:
    """Return the words of a part that is nothing else."""
    text = part.get("text") if isinstance(part, dict) and len(part) == 1 else None
    return text if isinstance(text, str) else None


def _member(part: Json, name: str) -> JsonObject | None:
    """Return the one member of a part, if it is an object of this name."""
    value = part.get(name) if isinstance(part, dict) and len(part) == 1 else None
    return value if isinstance(value, dict) else None


def plain(value: JsonObject) -> str:
    """Return a function response as text: the one string it wraps, else its JSON."""
    if len(value) == 1:
        for name in _PLAIN:
            inner = value.get(name)
            if isinstance(inner, str):
                return inner
    return write(value).decode()


def _words(part: dict[str, Json], at: str) -> Text | Reasoning:
    text = take_str(part, "text", at) or ""
    if not part:
        return Text(text)
    if not take_bool(part, "thought", at):
        return Text(text, part)
    signature = take_str(part, SIGNATURE, at)
    foreign = unsealed(signature) if signature is not None else None
    return foreign or Reasoning(text=text, signature=signature, wire=WIRE, extra=part)


def _inline(part: dict[str, Json], at: str) -> Media:
    at = f"{at}.inlineData"
    blob = members(part.pop("inlineData"), at)
    mime = take_str(blob, "mimeType", at)
    data = take_str(blob, "data", at)
    if data is None:
        raise refusal(f"{at}.data", "is missing")
    if "-" in data or "_" in data:  # Google's client for Python writes base64 for URLs; others read none
        data = data.translate(_STANDARD)
    name = take_str(blob, "displayName", at)
    extra = {**part, "inlineData": blob} if blob else part
    return Media(kind=media_kind(mime), mime=mime, data=data, name=name, extra=extra)


def _file(part: dict[str, Json], at: str) -> Media:
    at = f"{at}.fileData"
    blob = members(part.pop("fileData"), at)
    mime = take_str(blob, "mimeType", at)
    uri = take_str(blob, "fileUri", at)
    if not uri:
        raise refusal(f"{at}.fileUri", "is missing")
    stored = uri.startswith(_STORED) or not uri.startswith(("https://", "http://"))
    kind_of_media = "video" if mime is None and "youtu" in uri else media_kind(mime)
    name = take_str(blob, "displayName", at)
    return Media(
        kind=kind_of_media,
        mime=mime,
        url=None if stored else uri,
        file_id=uri if stored else None,
        name=name,
        extra={**part, "fileData": blob} if blob else part,
    )
