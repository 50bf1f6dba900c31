"""Writes a conversation of any origin as `contents` and `systemInstruction`. Floor 2.

Theory of operation.

1. Gemini knows two roles. Tool results go into a `user` turn right behind the calls they answer: results that
   follow each other share one content, and inside a mixed turn they come first.
2. Gemini matches a result to its call by name and order: the name is looked up from the call with its id, and
   results go in the order of the calls. Ids that this codec made up (`wire.MINTED`) are taken off again.
3. Thoughts and signatures of other providers never travel. Models that demand a signature on calls they did
   not make themselves get the word Google documents for that.
"""

import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import Raw

from turnout.codecs.gemini.thinking import generation, needs_signatures
from turnout.codecs.gemini.turns import plain
from turnout.codecs.gemini.wire import MINTED, SIGNATURE, UNREADABLE, WIRE
from turnout.codecs.notes import ARGUMENTS_WRAPPED, NATIVE_DROPPED, REASONING_DROPPED, SYSTEM_FOLDED, Notes
from turnout.codecs.plain import Answered, Called, Turn, Words, message_of, turns_of
from turnout.errors import UnsupportedParameter
from turnout.types.chat import Media, Message, Native, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from turnout.types.json import Json, JsonObject

UNSIGNED = b64encode(b"skip_thought_signature_validator").decode()
"""Stands in for the signature of a call another model made. (Gemini API, Thought signatures.)"""

_MIMES = {"image": "image/jpeg", "audio": "audio/mpeg", "video": "video/mp4", "document": "application/pdf"}
"""Said where neither the client nor the address tells the type, which Gemini requires."""

_SUFFIXES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
"""Media types by the end of an address. (Gemini API, pages on image, document, audio and video input.)"""

_read_arguments = msgspec.json.Decoder(dict[str, Raw]).decode


class _Called(NamedTuple):
    """A call of the conversation."""

    name: str
    at: int
    """How many calls came before it."""


_UNKNOWN = _Called("", sys.maxsize)


class Contents:
    """The conversation as Gemini wants it; `write` fills `system` and `turns`."""

    def __init__(self, model: str, notes: Notes, *, own: bool) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self._notes = notes
        self._own = own
        """The request came in this format: it keeps its extra fields."""
        self._fill_signatures = not own and needs_signatures(model)
        self._media_in_results = own or (generation(model) or 0) >= 3
        self._calls: dict[str, _Called] = {}

    def write(self, messages: Sequence[Message]) -> None:
        """Write the messages in order."""
        if self._own:
            for message in messages:
                self._message(message)
        else:
            self._foreign(turns_of(messages))
        if not self.turns:
            self.turns.append({"role": "user", "parts": [{"text": ""}]})

    def _foreign(self, turns: Sequence[Turn]) -> None:
        answers: list[Turn] = []
        for turn in turns:
            if turn.role == "tool":
                answers.append(turn)
                continue
            if answers:
                self._answers(answers)
                answers = []
            if isinstance(turn, Words):
                self._say(turn)
            elif isinstance(turn, Called):
                self._called(turn)
            elif isinstance(turn, Answered):
                self._answer(turn)
            else:
                self._message(turn)
        if answers:
            self._answers(answers)

    def _answers(self, turns: Sequence[Turn]) -> None:
        """Write answers of tools that follow each other as one content."""
        only = turns[0]
        if len(turns) == 1 and isinstance(only, Answered):
            self._answer(only)
        else:
            self._message(Message("tool", tuple([part for turn in turns for part in message_of(turn).parts])))

    def _say(self, turn: Words) -> None:
        role, text = turn.role, turn.text
        if role == "system" or role == "developer":  # noqa: PLR1714  # no set for every turn
            if self.turns:
                self._notes.warn(SYSTEM_FOLDED)
            if text:
                self.system.append({"text": text})
        elif text:
            self.turns.append({"role": "model" if role == "assistant" else "user", "parts": [{"text": text}]})

    def _called(self, turn: Called) -> None:
        parts: list[Json] = [{"text": turn.text}] if turn.text else []
        signature = UNSIGNED if self._fill_signatures else None
        for call in turn.calls:
            parts.append(self._call(call, signature))
            signature = None
        self.turns.append({"role": "model", "parts": parts})

    def _answer(self, turn: Answered) -> None:
        if turn.value is not None:
            self._message(message_of(turn))
            return
        call_id = turn.call_id
        name = turn.name or self._calls.get(call_id, _UNKNOWN).name or call_id
        out: dict[str, Json] = {"name": name, "response": {"output": turn.text}}
        if call_id and not call_id.startswith(MINTED):
            out["id"] = call_id
        parts: list[Json] = [{"functionResponse": out}]
        if turn.words:
            parts.append({"text": turn.words})
        self.turns.append({"role": "user", "parts": parts})

    def _message(self, message: Message) -> None:
        if message.role in {"system", "developer"}:
            self._system(message)
            return
        is_model = message.role == "assistant"
        parts = self._assistant(message) if is_model else self._user(message)
        if parts:
            self.turns.append({"role": "model" if is_model else "user", "parts": parts})

    def _system(self, message: Message) -> None:
        if self.turns:
            self._notes.warn(SYSTEM_FOLDED)
        for part in message.parts:
            written = self._content(part)
            if written is not None:
                self.system.append(written)

    def _assistant(self, message: Message) -> list[Json]:
        parts: list[Json] = []
        unsigned = self._fill_signatures
        for part in message.parts:
            if isinstance(part, ToolCall):
                signature = part.signature or (UNSIGNED if unsigned else None)
                unsigned = False
                parts.append(self._call(part, signature))
                continue
            written = self._content(part)
            if written is not None:
                parts.append(written)
        return parts

    def _user(self, message: Message) -> list[Json]:
        results: list[tuple[int, Json]] = []
        others: list[Json] = []
        for part in message.parts:
            if not isinstance(part, ToolResult):
                written = self._content(part)
                if written is not None:
                    others.append(written)
                continue
            response, beside = self._result(part)
            if self._own:
                others.append(response)
            else:
                results.append((self._calls.get(part.call_id, _UNKNOWN).at, response))
            others += beside
        if len(results) > 1:
            results.sort(key=itemgetter(0))
        return [response for _, response in results] + others

    def _content(self, part: Part) -> JsonObject | None:
        """Write a part; None where it says nothing to this upstream."""
        match part:
            case Text():
                return self._text(part)
            case Media():
                return self._media(part)
            case Reasoning():
                return self._thought(part)
            case Refusal():
                return {"text": part.text}
            case Native() if part.wire == WIRE:
                return part.value
            case Native():
                self._notes.warn(NATIVE_DROPPED)
                return None
            case ToolCall():
                return self._call(part, part.signature)
            case ToolResult():
                return self._result(part)[0]

    def _text(self, part: Text) -> JsonObject | None:
        if not part.extra:
            return {"text": part.text} if part.text or self._own else None
        extra = self._extra(part.extra)
        return {"text": part.text, **extra} if part.text or extra else None

    def _extra(self, extra: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return the fields of a part that may travel; a signature is Google's whoever brings it back."""
        if self._own:
            return extra
        for name in extra.keys() - {SIGNATURE}:
            if name == "cache_control":
                self._notes.drop(name)
        return {SIGNATURE: extra[SIGNATURE]} if SIGNATURE in extra else {}

    def _thought(self, part: Reasoning) -> JsonObject | None:
        if part.wire != WIRE:
            self._notes.warn(REASONING_DROPPED)
            return None
        out: dict[str, Json] = {"text": part.text, "thought": True} if part.text else {"thought": True}
        if part.signature is not None:
            out[SIGNATURE] = part.signature
        return {**out, **self._extra(part.extra)} if part.text or part.signature else None

    def _call(self, part: ToolCall, signature: str | None) -> JsonObject:
        self._calls[part.id] = _Called(part.name, len(self._calls))
        call: dict[str, Json] = {"name": part.name, "args": self._arguments(part)}
        if part.id and not part.id.startswith(MINTED):
            call["id"] = part.id
        out: dict[str, Json] = {"functionCall": call}
        if signature:
            out[SIGNATURE] = signature
        if not part.extra:
            return out
        extra = dict(self._extra(part.extra))
        inner = extra.pop("functionCall", None)
        if isinstance(inner, Mapping):
            call |= inner
        return {**out, **extra}

    def _arguments(self, part: ToolCall) -> Json:
        """Return the arguments as the object Gemini demands; the model's own text where it is one."""
        text = part.arguments.strip()
        if not text:
            return {}
        try:
            _read_arguments(text)
        except UNREADABLE:
            self._notes.warn(ARGUMENTS_WRAPPED)
            return {"input": part.arguments}
        return Raw(text.encode())

    def _result(self, part: ToolResult) -> tuple[JsonObject, list[Json]]:
        """Write a tool's answer; media go inside it where the model can read them there, else beside it."""
        texts: list[str] = []
        media: list[Json] = []
        for piece in part.content:
            if isinstance(piece, Text):
                texts.append(piece.text)
            elif (written := self._content(piece)) is not None:
                media.append(written)
        out: dict[str, Json] = {
            "name": part.name or self._calls.get(part.call_id, _UNKNOWN).name or part.call_id
        }
        out["response"] = _response(part, "\n".join(texts))
        if part.call_id and not part.call_id.startswith(MINTED):
            out["id"] = part.call_id
        if media and self._media_in_results:
            out["parts"] = media
        extra: dict[str, Json] = {}
        if part.extra:
            extra = dict(self._extra(part.extra))
            inner = extra.pop("functionResponse", None)
            if isinstance(inner, Mapping):
                out |= inner
        return {"functionResponse": out, **extra}, [] if self._media_in_results else media

    def _media(self, part: Media) -> JsonObject:
        if part.text is not None:
            return {"text": part.text}
        extra = dict(self._extra(part.extra))
        if part.detail not in {None, "auto"}:
            self._notes.drop("detail")
        blob: dict[str, Json] = {}
        mime, data = part.mime, part.data
        if data is None and part.url is not None and part.url.startswith("data:"):
            head, _, data = part.url.partition(",")
            mime = head[5:].partition(";")[0] or mime
        if data is not None:
            key, blob["data"] = "inlineData", data
        else:
            key, blob["fileUri"] = "fileData", self._uri(part)
            mime = mime or (None if self._own else _guess(part))
        if mime is not None:
            blob["mimeType"] = mime
        elif not self._own:
            blob["mimeType"] = _MIMES[part.kind]
        if part.name is not None and self._own:
            blob["displayName"] = part.name
        inner = extra.pop(key, None)
        return {key: {**blob, **inner} if isinstance(inner, Mapping) else blob, **extra}

    def _uri(self, part: Media) -> str:
        if part.url is not None:
            return part.url
        if part.file_id is not None and self._own:
            return part.file_id
        raise UnsupportedParameter(
            f"messages: {part.kind} {part.file_id!r} is stored at another provider; send its content instead",
            param="messages",
        )


def _guess(part: Media) -> str:
    path = (part.url or "").partition("?")[0]
    return _SUFFIXES.get(path.rpartition(".")[2].lower(), _MIMES[part.kind])


def _response(part: ToolResult, text: str) -> Json:
    """Return the object Gemini demands: as it came, or the text if a layer rewrote it."""
    value = part.value
    if not part.content:
        return _structured(part)
    if value is not None and isinstance(value, Mapping) and plain(value) == text:
        return value
    return {"error" if part.is_error else "output": text}


def _structured(part: ToolResult) -> Json:
    value = part.value
    if value is None:
        return {}
    if part.is_error and not (isinstance(value, Mapping) and "error" in value):
        return {"error": value}
    return value if isinstance(value, Mapping) else {"output": value}
