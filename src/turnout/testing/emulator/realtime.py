"""Emulated realtime sessions: what OpenAI's answers with, event by event. Floor 6.

It says the words it was sent last, as text and, unless text alone was asked for, as sound. Each response
counts what it read and wrote; a later one reads what was said before, most of it from a cache.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final, Protocol
from urllib.parse import parse_qs

import msgspec

from turnout.server.http import Receive, Scope, Send
from turnout.testing.emulator.script import Behaviour, Fault, count_tokens
from turnout.types.json import Json

SOUND: Final = b64encode(bytes(2400)).decode()
"""50 ms of silence."""
UNAUTHORISED: Final = 401


class Served(Protocol):
    """What one emulated model has served."""

    failed: int
    input_tokens: int
    output_tokens: int


Model = Callable[[str], tuple[Behaviour, Served]]


class Gone(Exception):  # noqa: N818  an event, not a defect
    """The client left."""


async def speak(scope: Scope, receive: Receive, send: Send, model: Model) -> None:
    """Serve one ASGI scope of type `websocket`."""
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    name = query.get("model") or query.get("deployment") or ""
    await receive()
    headers = dict(scope["headers"])
    if b"authorization" not in headers and b"api-key" not in headers:
        await send({"type": "websocket.close", "code": UNAUTHORISED})
        return
    behaviour, served = model(name)
    session = _Session(name, behaviour, served, receive, send)
    if session.refuses:
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    try:
        await session.run()
    except Gone:
        return


class _Session:
    def __init__(
        self, model: str, behaviour: Behaviour, served: Served, receive: Receive, send: Send
    ) -> None:
        self._model, self._behaviour, self._served = model, behaviour, served
        self._receive, self._send = receive, send
        self._ids = count(1)
        self._said = ""
        self._n_before = 0
        self._n_sound = 0
        self._modes: Json = ["audio"]

    @property
    def refuses(self) -> bool:
        """Whether the handshake is answered with a refusal."""
        return self._faults("close", opening=True) is not None

    async def run(self) -> None:
        """Answer events until the client leaves."""
        await self._tell("session.created", session=self._facts())
        while True:
            event = await self._next()
            match event.get("type"):
                case "session.update":
                    session = event.get("session")
                    if isinstance(session, Mapping):
                        self._modes = session.get("output_modalities", self._modes)
                    await self._tell("session.updated", session=self._facts())
                case "conversation.item.create":
                    await self._add(event.get("item"))
                case "input_audio_buffer.append":
                    audio = event.get("audio")
                    self._n_sound += len(audio) // len(SOUND) if isinstance(audio, str) else 0
                case "response.create":
                    if await self._respond(self._faults("cut")):
                        return
                case "emulator.close":
                    await self._send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
                    return
                case other:
                    await self._tell("error", error={"type": "invalid_request_error", "message": str(other)})

    def _faults(self, kind: str, *, opening: bool = False) -> Fault | None:
        wanted = (kind,) if opening else ("cut", "hang")
        return next((each for each in self._behaviour.faults if each.kind in wanted), None)

    def _facts(self) -> Json:
        return {"id": "sess_emulated", "object": "realtime.session", "type": "realtime", "model": self._model}

    async def _add(self, item: Json) -> None:
        parts = item.get("content") if isinstance(item, Mapping) else None
        parts = parts if isinstance(parts, list) else []
        texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
        self._said = " ".join(text for text in texts if isinstance(text, str))
        added = {**item, "id": f"item_{next(self._ids)}"} if isinstance(item, Mapping) else None
        await self._tell("conversation.item.added", item=added, previous_item_id=None)

    async def _respond(self, fault: Fault | None) -> bool:
        """Answer; return whether the connection was ended on the way."""
        response_id, words = f"resp_{next(self._ids)}", (self._said or "Hello").split(" ")
        response: dict[str, Json] = {
            "id": response_id,
            "object": "realtime.response",
            "status": "in_progress",
        }
        await self._tell("response.created", response=response)
        sounds = self._modes != ["text"]
        place: dict[str, Json] = {
            "response_id": response_id,
            "item_id": "item",
            "output_index": 0,
            "content_index": 0,
        }
        for at, word in enumerate(words):
            if fault is not None and at >= fault.after_chunks:
                self._served.failed += 1
                if fault.kind == "hang":
                    await self._wait()
                await self._send({"type": "websocket.close", "code": 1011})
                return True
            kind = "response.output_audio_transcript.delta" if sounds else "response.output_text.delta"
            await self._tell(kind, delta=word if not at else f" {word}", **place)
            if sounds:
                await self._tell("response.output_audio.delta", delta=SOUND, **place)
            await asyncio.sleep(0)
        done = {**response, "status": "completed", "usage": self._usage(len(words), sounds=sounds)}
        await self._tell("response.done", response=done)
        return False

    def _usage(self, n_words: int, *, sounds: bool) -> Json:
        n_text, n_sound, cached = count_tokens(self._said) + 10, self._n_sound, self._n_before
        n_out = n_words
        self._served.input_tokens += n_text + n_sound + cached
        self._served.output_tokens += n_out * (2 if sounds else 1)
        self._n_before += n_text + n_sound
        self._n_sound = 0
        audio_out = n_out if sounds else 0
        return {
            "total_tokens": n_text + n_sound + cached + n_out + audio_out,
            "input_tokens": n_text + n_sound + cached,
            "output_tokens": n_out + audio_out,
            "input_token_details": {
                "text_tokens": n_text + cached,
                "audio_tokens": n_sound,
                "cached_tokens": cached,
                "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": n_out, "audio_tokens": audio_out},
        }

    async def _wait(self) -> None:
        while True:
            await self._next()

    async def _next(self) -> Mapping[str, Json]:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        text: str = message.get("text") or "{}"
        found: Mapping[str, Json] = msgspec.json.decode(text, type=dict[str, Json])
        return found

    async def _tell(self, kind: str, **fields: Json) -> None:
        event = {"type": kind, "event_id": f"event_{next(self._ids)}", **fields}
        await self._send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})
