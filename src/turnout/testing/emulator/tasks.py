"""Emulated operations: rankings by shared words, one small picture, sound made of the text. Floor 6."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.base import Dialect
from turnout.errors import InvalidRequest
from turnout.server.http import JSON_TYPE, RawHeaders, Send, respond
from turnout.server.multipart import Begin, Data, Multipart
from turnout.testing.emulator.faults import CUTS, EMULATED, answer_with, drop, end_cut
from turnout.testing.emulator.script import Fault, count_tokens
from turnout.types.json import Json

PICTURE: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
"""A PNG of one pixel."""
_ENDS: Final = (
    "/rerank",
    "/images/generations",
    "/images/edits",
    "/images/variations",
    "/api/v1/images",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/moderations",
    "/responses/compact",
)
_COUNTED: Final = {
    "/messages/count_tokens": "input_tokens",
    "/responses/input_tokens": "input_tokens",
    ":countTokens": "totalTokens",
    "/count-tokens": "inputTokens",
    "/models/count-tokens:rawPredict": "input_tokens",
}
"""End of a counter's path -> member that holds the count."""
COUNTED: Final = 4_711
"""What every counter here counts."""
_SOUNDS: Final = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg", "pcm": "audio/pcm"}
_PIECE: Final = 64
_HARMS: Final = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)
"""Every category of a moderation."""
_EVENTS: RawHeaders = [(b"content-type", b"text/event-stream; charset=utf-8")]
_write = msgspec.json.Encoder().encode


class Done(Struct, frozen=True):
    """An answer to an operation: sent in these pieces, as a stream where there are several."""

    model: str
    n_tokens: int
    headers: RawHeaders
    pieces: Sequence[bytes]


class _Asked(Struct, frozen=True):
    """A request, JSON or form, by its members."""

    path: str
    body: Mapping[str, Json]
    files: tuple[tuple[str, int], ...] = ()
    """Name and size of each file of a form."""

    def text(self, name: str) -> str:
        value = self.body.get(name)
        return value if isinstance(value, str) else ""

    @property
    def streams(self) -> bool:
        return self.body.get("stream") in (True, "true")


def is_task(path: str, body: bytes) -> bool:
    """Tell whether a call is for an operation."""
    if path.endswith(":predict"):
        return "/imagen" in path
    if path.endswith(":generateContent"):
        return b'"IMAGE"' in body
    return path.endswith((*_ENDS, *_COUNTED)) or (path.endswith("/invoke") and b'"documents"' in body)


def perform(path: str, content_type: str, body: bytes) -> Done:
    """Answer an operation. Raises `InvalidRequest`."""
    asked = _read(path, content_type, body)
    model = asked.text("model") or path.rpartition("/models/")[2].rpartition(":")[0]
    if "/model/" in path:
        model = path.partition("/model/")[2].rpartition("/")[0]
    n_tokens = count_tokens(str(asked.body))
    if path.endswith(tuple(_COUNTED)):
        return Done(model, 0, [JSON_TYPE], [_counted(asked)])
    if path.endswith((":predict", ":generateContent")):
        return Done(model, n_tokens, [JSON_TYPE], [_gemini(asked, n_tokens)])
    if path.endswith(("/rerank", "/invoke")):
        return Done(model, n_tokens, [JSON_TYPE], [_write(_ranking(asked, n_tokens))])
    if path.endswith("/moderations"):
        return Done(model, n_tokens, [JSON_TYPE], [_write(_judged(asked, model))])
    if path.endswith("/compact"):
        return Done(model, n_tokens, [JSON_TYPE], [_write(_compacted(asked, n_tokens))])
    if path.endswith("/speech"):
        return _spoken(asked, model, n_tokens)
    if path.endswith(("/transcriptions", "/translations")):
        return _heard(asked, model, n_tokens)
    return _drawn(asked, model, n_tokens)


def task_wire(path: str) -> str:
    """Return the format in which failures are told where an operation is served."""
    return "cohere" if "/v2/" in path else "openai_chat"


async def send_done(done: Done, fault: Fault | None, dialect: Dialect, send: Send) -> None:
    """Send an answer, or what a fault lets pass of it."""
    kind = "" if fault is None else fault.kind
    if kind == "close":
        drop(send)
        return
    if kind == "hang":
        await asyncio.Event().wait()  # until the client leaves
    if fault is not None and kind not in CUTS:
        await answer_with(fault, dialect, send, stream=False)
        return
    if len(done.pieces) == 1 and fault is None:
        await respond(send, 200, [*done.headers, EMULATED], done.pieces[0])
        return
    await send({"type": "http.response.start", "status": 200, "headers": [*done.headers, EMULATED]})
    for at, piece in enumerate(done.pieces):
        if fault is not None and at >= fault.after_chunks:
            await end_cut(send, fault.kind, piece)
            return
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _read(path: str, content_type: str, body: bytes) -> _Asked:
    if not content_type.startswith("multipart/"):
        try:
            return _Asked(path, msgspec.json.decode(body, type=dict[str, Json]))
        except msgspec.MsgspecError as error:
            raise InvalidRequest(str(error)) from error
    parser = Multipart(content_type)
    fields: dict[str, str] = {}
    files: list[tuple[str, int]] = []
    part = Begin("", None)
    for piece in parser.feed(body):
        if isinstance(piece, Begin):
            part = piece
            if part.filename is not None:
                files.append((part.filename, 0))
        elif isinstance(piece, Data):
            if part.filename is not None:
                files[-1] = (files[-1][0], files[-1][1] + len(piece.data))
            else:
                fields[part.name] = fields.get(part.name, "") + piece.data.decode()
    parser.end()
    return _Asked(path, dict(fields), tuple(files))


def _ranking(asked: _Asked, n_tokens: int) -> Json:
    documents = asked.body.get("documents")
    wanted = set(asked.text("query").lower().split())
    scored: list[tuple[float, int]] = []
    for at, document in enumerate(documents if isinstance(documents, list) else ()):
        words = set(str(document).lower().split())
        scored.append((len(wanted & words) / max(1, len(wanted)), at))
    scored.sort(key=lambda row: (-row[0], row[1]))
    limit = asked.body.get("top_n", asked.body.get("top_k"))
    kept = scored[: limit if isinstance(limit, int) else None]
    rows: list[Json] = [{"index": at, "relevance_score": score} for score, at in kept]
    if asked.path.endswith("/invoke"):
        return {"results": rows}
    if "/v2/" in asked.path:
        units: Json = {"search_units": -(-len(scored) // 100)}
        return {"id": "emu-rerank", "results": rows, "meta": {"billed_units": units}}
    counted: Json = {"total_tokens": n_tokens}
    if "top_k" in asked.body:
        return {"object": "list", "data": rows, "model": asked.text("model"), "usage": counted}
    return {"id": "emu-rerank", "results": rows, "model": asked.text("model"), "usage": counted}


def _judged(asked: _Asked, model: str) -> Json:
    given = asked.body.get("input")
    rows: list[Json] = []
    for each in given if isinstance(given, list) else [given]:
        harmful = "kill" in str(each)
        rows.append(
            {
                "flagged": harmful,
                "categories": {name: harmful and name == "violence" for name in _HARMS},
                "category_scores": {name: 0.9 if harmful and name == "violence" else 0.01 for name in _HARMS},
                "category_applied_input_types": {name: ["text"] for name in _HARMS},
            }
        )
    return {"id": "modr-emu", "model": model, "results": rows}


def _counted(asked: _Asked) -> bytes:
    if "max_tokens" in asked.body or "max_output_tokens" in asked.body:
        raise InvalidRequest("max_tokens: extra inputs are not permitted", param="max_tokens")
    return _write({next(name for end, name in _COUNTED.items() if asked.path.endswith(end)): COUNTED})


def _compacted(asked: _Asked, n_tokens: int) -> Json:
    given = asked.body.get("input")
    items = [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    kept: list[Json] = [
        {
            "id": f"msg_emu_{at}",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": str(item.get("content"))}],
        }
        for at, item in enumerate(items)
        if item.get("role") == "user"
    ]
    kept.append({"id": "cmp_emu", "type": "compaction", "encrypted_content": "gAAAA-emulated"})
    usage: Json = {
        "input_tokens": n_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": n_tokens + 7,
    }
    return {
        "id": "resp_emu_compact",
        "object": "response.compaction",
        "created_at": 0,
        "output": kept,
        "usage": usage,
    }


def _gemini(asked: _Asked, n_tokens: int) -> bytes:
    picture = b64encode(PICTURE).decode()
    if asked.path.endswith(":predict"):
        parameters = asked.body.get("parameters")
        n = parameters.get("sampleCount", 1) if isinstance(parameters, Mapping) else 1
        row: Json = {"bytesBase64Encoded": picture, "mimeType": "image/png"}
        return _write({"predictions": [row] * (n if isinstance(n, int) else 1)})
    part: Json = {"inlineData": {"mimeType": "image/png", "data": picture}}
    usage: Json = {
        "promptTokenCount": n_tokens,
        "candidatesTokenCount": 1120,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        "totalTokenCount": n_tokens + 1120,
    }
    candidate: Json = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    return _write({"candidates": [candidate], "usageMetadata": usage, "responseId": "emu-picture"})


def _drawn(asked: _Asked, model: str, n_tokens: int) -> Done:
    n = int(str(asked.body.get("n") or 1))
    picture = b64encode(PICTURE).decode()
    usage: Json = {
        "input_tokens": n_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": n_tokens},
        "output_tokens": 1056 * n,
        "output_tokens_details": {"image_tokens": 1056 * n, "text_tokens": 0},
        "total_tokens": n_tokens + 1056 * n,
    }
    if asked.streams:
        partial: dict[str, Json] = {"b64_json": picture, "partial_image_index": 0, "created_at": 0}
        kind = "image_edit" if asked.path.endswith("/edits") else "image_generation"
        last: dict[str, Json] = {"b64_json": picture, "created_at": 0, "usage": usage}
        frames = [_named(f"{kind}.partial_image", partial), _named(f"{kind}.completed", last)]
        return Done(model, n_tokens, _EVENTS, frames)
    answer: dict[str, Json] = {"created": 0, "data": [{"b64_json": picture}] * n}
    if "gpt-image" in model:
        answer["usage"] = usage
    return Done(model, n_tokens, [JSON_TYPE], [_write(answer)])


def _spoken(asked: _Asked, model: str, n_tokens: int) -> Done:
    sound = b"ID3" + asked.text("input").encode() * 16
    pieces = [sound[at : at + _PIECE] for at in range(0, len(sound), _PIECE)]
    if asked.text("stream_format") == "sse":
        frames = [_unnamed("speech.audio.delta", {"audio": b64encode(piece).decode()}) for piece in pieces]
        n_out = len(pieces)
        usage: Json = {"input_tokens": n_tokens, "output_tokens": n_out, "total_tokens": n_tokens + n_out}
        return Done(model, n_tokens, _EVENTS, [*frames, _unnamed("speech.audio.done", {"usage": usage})])
    mime = _SOUNDS.get(asked.text("response_format") or "mp3", "application/octet-stream")
    return Done(model, n_tokens, [(b"content-type", mime.encode())], pieces)


def _heard(asked: _Asked, model: str, n_tokens: int) -> Done:
    if not asked.files:
        raise InvalidRequest("file is missing", param="file")
    name, size = asked.files[0]
    said = f"{size} bytes of {name}"
    tokens: Json = {"type": "tokens", "input_tokens": 37, "output_tokens": 12, "total_tokens": 49}
    if asked.streams:
        words = [_unnamed("transcript.text.delta", {"delta": word + " "}) for word in said.split()]
        last = _unnamed("transcript.text.done", {"text": said, "usage": tokens})
        return Done(model, n_tokens, _EVENTS, [*words, last, b"data: [DONE]\n\n"])
    match asked.text("response_format"):
        case "text":
            return Done(model, n_tokens, [(b"content-type", b"text/plain; charset=utf-8")], [said.encode()])
        case "srt":
            cue = f"1\n00:00:00,000 --> 00:00:04,000\n{said}\n\n".encode()
            return Done(model, n_tokens, [(b"content-type", b"text/plain; charset=utf-8")], [cue])
        case "vtt":
            cue = f"WEBVTT\n\n00:00.000 --> 00:04.000\n{said}\n\n".encode()
            return Done(model, n_tokens, [(b"content-type", b"text/vtt")], [cue])
        case "verbose_json":
            long: Json = {"task": "transcribe", "language": "english", "duration": 3.7, "text": said}
            return Done(model, n_tokens, [JSON_TYPE], [_write(long)])
        case _:
            short = {"text": said, "usage": {"type": "duration", "seconds": 4}}
            return Done(model, n_tokens, [JSON_TYPE], [_write(short)])


def _named(event: str, members: Mapping[str, Json]) -> bytes:
    return b"event: %b\n%b" % (event.encode(), _unnamed(event, members))


def _unnamed(event: str, members: Mapping[str, Json]) -> bytes:
    return b"data: %b\n\n" % _write({"type": event, **members})
