"""Reads complete generateContent answers. Floor 2.

Parts are read field by field from their own bytes: arguments of a call stay the provider's text, and what
has no canonical field is kept whole (`Native`, `extra`) and goes back to Gemini as it came.
"""

import re

import msgspec
from msgspec import Raw

from turnout.codecs.base import Glance
from turnout.codecs.gemini import errors
from turnout.codecs.gemini.wire import (
    NO_RAW,
    SIGNATURE,
    UNREADABLE,
    WIRE,
    Blob,
    Frame,
    arguments_of,
    finish_word,
    finished,
    mint_id,
    read_blob,
    read_call,
    read_content,
    read_frame,
    read_int,
    read_json,
    read_str,
    read_word,
    unix_seconds,
    usage_of,
    write,
)
from turnout.types.chat import (
    NOTHING,
    ChatResponse,
    Choice,
    FinishReason,
    Media,
    MediaKind,
    Native,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

CANDIDATE = frozenset({"content", "finishReason", "index"})
"""Members of a candidate that have a place of their own; all others are kept as they are."""

_TOP = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "turnout"})
_SIGNED_THOUGHT = frozenset({SIGNATURE, "thought"})
_SPELLED_OUT = re.compile(
    rb'"(?:t|\\u0074)(?:u|\\u0075)(?:r|\\u0072)(?:n|\\u006[eE])(?:o|\\u006[fF])(?:u|\\u0075)(?:t|\\u0074)"'
)
_read_array = msgspec.json.Decoder(list[Raw]).decode
_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video"}


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete 2xx answer. Raises the class of an error, a block or a broken output inside it."""
    body = response.body
    if body.lstrip()[:1] == b"[":
        return _decode_array(body)
    frame = whole(body)
    seed = seed_of(frame, body)
    try:
        choices = tuple(
            read_choice(fields, seed, body, at) for at, fields in enumerate(frame.candidates or ())
        )
        usage = usage_of(frame.usage_metadata) or Usage()
        members = msgspec.json.decode(body, type=dict[str, Raw])
        extra = {name: read_json(raw) for name, raw in members.items() if name not in _TOP}
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), body) from failure
    return ChatResponse(
        id=frame.response_id,
        model=frame.model_version,
        choices=choices,
        usage=usage,
        created=unix_seconds(frame.create_time),
        wire=WIRE,
        extra=extra,
    )


def _decode_array(body: bytes) -> ChatResponse:
    """Read a stream that came as one JSON array, all at once."""
    gathered: dict[int, _Gathered] = {}
    usage = Usage()
    try:
        pieces = [bytes(piece) for piece in _read_array(body)]
        frames = [read_frame(piece) for piece in pieces]
        seed = seed_of(frames[0], body) if frames else ""
        for frame, piece in zip(frames, pieces, strict=True):
            refuse(frame, piece)
            for fields in frame.candidates or ():
                index = read_int(fields["index"]) if "index" in fields else 0
                gathered.setdefault(index, _Gathered()).add(fields, f"{seed}|{index}", piece)
            usage = usage_of(frame.usage_metadata) or usage
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), body) from failure
    if not gathered:
        raise errors.unreadable("it has no candidates", body)
    return ChatResponse(
        id=frames[0].response_id,
        model=frames[0].model_version,
        choices=tuple(gathered[index].choice() for index in sorted(gathered)),
        usage=usage,
        created=unix_seconds(frames[0].create_time),
        wire=WIRE,
    )


class _Gathered:
    """One candidate, put together from the frames of an array."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._extra: dict[str, Json] = {}
        self._word: str | None = None
        self._n_calls = 0

    def add(self, fields: dict[str, Raw], seed: str, body: bytes) -> None:
        self._word = finish_of(fields, body) or self._word
        self._extra |= candidate_extra(fields)
        for part in read_parts(fields, seed=seed, n_calls=self._n_calls):
            self._n_calls += isinstance(part, ToolCall)
            last = self._parts[-1] if self._parts else None
            if isinstance(part, Text) and isinstance(last, Text) and not (part.extra or last.extra):
                self._parts[-1] = Text(last.text + part.text)
            elif isinstance(part, Reasoning) and isinstance(last, Reasoning) and last.signature is None:
                self._parts[-1] = Reasoning(
                    text=last.text + part.text, signature=part.signature, wire=WIRE, extra=part.extra
                )
            else:
                self._parts.append(part)

    def choice(self) -> Choice:
        ended = finished(self._word, n_calls=self._n_calls)
        return Choice(
            parts=tuple(self._parts), finish=ended.reason, native_finish=ended.native, extra=self._extra
        )


def glance(response: HttpResponse) -> Glance:
    """Read usage and finish of an answer that passes through. Raises as `decode` does."""
    body = response.body
    frame = whole(body)
    finish: FinishReason | None = None
    try:
        for fields in frame.candidates or ():
            reason = finish_of(fields, body)
            ended = finished(reason, n_calls=b'"functionCall"' in bytes(fields.get("content", NO_RAW)))
            finish = finish or ended.reason
        usage = usage_of(frame.usage_metadata) or Usage()
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), body) from failure
    return Glance(
        usage=usage,
        finish=finish,
        upstream_id=frame.response_id or None,
        model=frame.model_version or None,
        body=without_turnout(body),
    )


def whole(body: bytes) -> Frame:
    """Read the frame of a plain answer; refuse errors, blocked prompts and answers without a candidate."""
    try:
        frame = read_frame(body)
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), body) from failure
    refuse(frame, body)
    if not frame.candidates:
        raise errors.unreadable("it has no candidates", body)
    return frame


def refuse(frame: Frame, body: bytes) -> None:
    """Raise for an error object or a blocked prompt inside a good answer."""
    if frame.error:
        raise errors.of_object(frame.error, body=body)
    feedback = frame.prompt_feedback
    if feedback is not None and feedback.block_reason:
        raise errors.of_blocked(feedback, body)


def without_turnout(body: bytes) -> bytes:
    """Return the body without a top-level `turnout` member: only Turnout itself may speak under that name."""
    if not may_name_turnout(body):
        return body
    members = msgspec.json.decode(body, type=dict[str, Raw])
    if members.pop("turnout", None) is None:
        return body
    return write(members)


def may_name_turnout(body: bytes) -> bool:
    """Tell cheaply whether a member may be called `turnout`, however its letters are spelled."""
    return b'"turnout"' in body or (b"\\u00" in body and _SPELLED_OUT.search(body) is not None)


def finish_of(fields: dict[str, Raw], body: bytes) -> str | None:
    """Read the word a candidate ended with; None while it is not finished. Raises for words of an error."""
    raw = fields.get("finishReason")
    if raw is None or bytes(raw) == b"null":
        return None
    word = finish_word(read_word(raw))
    failure = errors.of_finish(word, body)
    if failure is not None:
        raise failure
    return word


def seed_of(frame: Frame, body: bytes) -> str:
    """Return what ids of calls are made from: the answer's id, else its bytes."""
    return frame.response_id or mint_id(body.hex())


def read_choice(fields: dict[str, Raw], seed: str, body: bytes, at: int) -> Choice:
    """Read one candidate."""
    word = finish_of(fields, body)
    index = read_int(fields["index"]) if "index" in fields else at
    parts = tuple(read_parts(fields, seed=f"{seed}|{index}"))
    n_calls = sum(isinstance(part, ToolCall) for part in parts)
    ended = finished(word, n_calls=n_calls)
    return Choice(
        parts=parts,
        finish=ended.reason,
        native_finish=ended.native,
        logprobs=logprobs_of(fields.get("logprobsResult")),
        extra=candidate_extra(fields),
    )


def candidate_extra(fields: dict[str, Raw]) -> JsonObject:
    """Return what a candidate says beyond its parts and end (grounding, citations, ratings)."""
    if fields.keys() <= CANDIDATE:
        return NOTHING
    return {name: read_json(raw) for name, raw in fields.items() if name not in CANDIDATE}


def read_parts(fields: dict[str, Raw], *, seed: str, n_calls: int = 0) -> list[Part]:
    """Read the parts of a candidate in order; empty text without a signature says nothing and is left out.

    Args:
        fields: The candidate.
        seed: What ids of calls without one are made from.
        n_calls: Calls already seen in this candidate.
    """
    raw = fields.get("content")
    if raw is None:
        return []
    parts: list[Part] = []
    for part_fields in read_content(raw).parts:
        part = read_part(part_fields, seed, n_calls)
        n_calls += isinstance(part, ToolCall)
        if not (isinstance(part, Text) and not part.text and not part.extra):
            parts.append(part)
    return parts


def read_part(fields: dict[str, Raw], seed: str, n_calls: int) -> Part:
    """Read one part."""
    if "text" in fields or fields.keys() <= _SIGNED_THOUGHT:
        return _words(fields)
    if "functionCall" in fields:
        return _call(fields, seed, n_calls)
    if "inlineData" in fields and "thought" not in fields:
        return _blob(fields)
    return Native(WIRE, {name: read_json(raw) for name, raw in fields.items()})


def _words(fields: dict[str, Raw]) -> Text | Reasoning:
    text = read_str(fields["text"]) if "text" in fields else ""
    if len(fields) == 1:
        return Text(text)
    extra = _rest(fields, "text")
    if not extra.pop("thought", False):
        return Text(text, extra)
    signature = extra.pop(SIGNATURE, None)
    signed = signature if isinstance(signature, str) else None
    return Reasoning(text=text, signature=signed, wire=WIRE, extra=extra)


def _call(fields: dict[str, Raw], seed: str, n_calls: int) -> ToolCall:
    call = read_call(fields["functionCall"])
    signature = read_str(fields[SIGNATURE]) if SIGNATURE in fields else None
    extra = _rest(fields, "functionCall") if len(fields) > 1 + (signature is not None) else {}
    extra.pop(SIGNATURE, None)
    return ToolCall(
        id=call.id or mint_id(f"{seed}|{n_calls}"),
        name=call.name,
        arguments=arguments_of(call.args),
        signature=signature,
        extra=extra,
    )


def _blob(fields: dict[str, Raw]) -> Media:
    blob: Blob = read_blob(fields["inlineData"])
    return Media(
        kind=media_kind(blob.mime_type),
        mime=blob.mime_type,
        data=blob.data,
        name=blob.display_name,
        extra=_rest(fields, "inlineData"),
    )


def _rest(fields: dict[str, Raw], known: str) -> dict[str, Json]:
    return {name: read_json(raw) for name, raw in fields.items() if name != known}


def media_kind(mime: str | None) -> MediaKind:
    """Tell the kind of media from its type; what is neither picture, sound nor film is a document."""
    return _KINDS.get((mime or "").partition("/")[0], "document")


class _Token(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Ranked(msgspec.Struct, frozen=True):
    candidates: tuple[_Token, ...] = ()


class _Logprobs(msgspec.Struct, frozen=True, rename="camel"):
    chosen_candidates: tuple[_Token, ...] = ()
    top_candidates: tuple[_Ranked, ...] = ()


_read_logprobs = msgspec.json.Decoder(_Logprobs).decode


def logprobs_of(raw: Raw | None) -> Json:
    """Write `logprobsResult` in the other dialects' form: `{"content": [{token, logprob, top_logprobs}]}`."""
    if raw is None:
        return None
    result = _read_logprobs(raw)
    content: list[Json] = []
    for at, chosen in enumerate(result.chosen_candidates):
        top = result.top_candidates[at].candidates if at < len(result.top_candidates) else ()
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(token) for token in top]})
    return {"content": content}


def _logprob(token: _Token) -> dict[str, Json]:
    spelled = list(token.token.encode())
    return {"token": token.token, "logprob": token.log_probability, "bytes": spelled}
