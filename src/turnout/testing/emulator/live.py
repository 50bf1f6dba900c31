"""Emulated live sessions: what Gemini's `BidiGenerateContent` answers with, message by message. Floor 6.

It says the words it was sent last, as sound unless text alone was asked for. Asked for a `tool`, it calls one
and goes on when that was answered, which is counted as two prompts. Its messages are bytes, as Gemini's.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from turnout.server.http import Receive, Scope, Send
from turnout.testing.emulator.realtime import SOUND, UNAUTHORISED, Gone, Model, Served
from turnout.testing.emulator.script import Behaviour, Fault, count_tokens
from turnout.types.json import Json, JsonObject

MARK: Final = ".BidiGenerateContent"
AT_VERTEX: Final = "/LlmBidiService/BidiGenerateContent"
CALLED: Final = "weather"
INVALID, NOT_FOUND, BROKEN = 1007, 1008, 1011


def is_live(path: str) -> bool:
    """Tell whether a path is where live sessions are opened."""
    return path.endswith((MARK, AT_VERTEX))


async def converse(scope: Scope, receive: Receive, send: Send, model: Model) -> None:
    """Serve one ASGI scope of type `websocket`."""
    await receive()
    headers = dict(scope["headers"])
    if b"x-goog-api-key" not in headers and b"authorization" not in headers:
        await send({"type": "websocket.close", "code": UNAUTHORISED})
        return
    await send({"type": "websocket.accept"})
    try:
        await _Session(receive, send).run(model)
    except Gone:
        return


class _Session:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._sounds = True
        self._n_before = 0
        self._n_sound = 0

    async def run(self, model: Model) -> None:
        """Take the setup, then answer until the client leaves."""
        setup = _object((await self._next()).get("setup"))
        name = str(setup.get("model", "")).rpartition("/")[2]
        if not name:
            await self._close(INVALID, "setup.model is missing")
            return
        behaviour, served = model(name)
        if any(fault.kind == "close" for fault in behaviour.faults):
            await self._close(NOT_FOUND, f"models/{name} is not found for API version v1beta")
            return
        wanted = _object(setup.get("generationConfig")).get("responseModalities")
        self._sounds = wanted != ["TEXT"]
        await self._tell({"setupComplete": {"sessionId": "live_emulated"}})
        while await self._answered(behaviour, served):
            pass

    async def _answered(self, behaviour: Behaviour, served: Served) -> bool:
        """Take a message and answer it; return whether the session goes on."""
        message = await self._next()
        spoken = _object(_either(message, "realtimeInput", "realtime_input"))
        self._n_sound += len(str(_object(spoken.get("audio")).get("data", ""))) // len(SOUND)
        content = _object(_either(message, "clientContent", "client_content"))
        is_over = _either(content, "turnComplete", "turn_complete")
        said = _text(content.get("turns")) if is_over else spoken.get("text")
        if not isinstance(said, str):
            return True
        fault = next((each for each in behaviour.faults if each.kind in ("cut", "hang")), None)
        if "tool" in said:
            call: Json = {"id": "call_1", "name": CALLED, "args": {"city": "Oslo"}}
            await self._tell({"toolCall": {"functionCalls": [call]}, **self._used(said, 1, served)})
            while _either(await self._next(), "toolResponse", "tool_response") is None:
                pass
        return await self._say(said, fault, served)

    async def _say(self, said: str, fault: Fault | None, served: Served) -> bool:
        words = said.split(" ")
        for at, word in enumerate(words):
            if fault is not None and at >= fault.after_chunks:
                served.failed += 1
                while fault.kind == "hang":
                    await self._next()
                await self._close(BROKEN, "Internal error encountered.")
                return False
            text = word if not at else f" {word}"
            part: Json = {"text": text}
            if self._sounds:
                part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": SOUND}}
            await self._tell({"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}})
            await asyncio.sleep(0)
        await self._tell({"serverContent": {"generationComplete": True}})
        await self._tell({"serverContent": {"turnComplete": True}, **self._used(said, len(words), served)})
        return True

    def _used(self, said: str, n_out: int, served: Served) -> dict[str, Json]:
        n_text = count_tokens(said) + 10 + self._n_before
        n_in = n_text + self._n_sound
        served.input_tokens += n_in
        served.output_tokens += n_out
        kind = "AUDIO" if self._sounds else "TEXT"
        told: Json = {
            "promptTokenCount": n_in,
            "responseTokenCount": n_out,
            "totalTokenCount": n_in + n_out,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": n_text},
                {"modality": "AUDIO", "tokenCount": self._n_sound},
            ],
            "responseTokensDetails": [{"modality": kind, "tokenCount": n_out}],
        }
        self._n_before += n_in
        self._n_sound = 0
        return {"usageMetadata": told}

    async def _next(self) -> JsonObject:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        found: JsonObject = msgspec.json.decode(
            message.get("text") or message.get("bytes") or "{}", type=dict[str, Json]
        )
        return found

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _tell(self, message: JsonObject) -> None:
        await self._send({"type": "websocket.send", "bytes": msgspec.json.encode(message)})


def _either(message: JsonObject, name: str, other: str) -> Json:
    """Return a member that clients spell in one of two ways."""
    return message.get(name, message.get(other))


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _text(turns: Json) -> str:
    """Return what was said last."""
    last = _object(turns[-1]) if isinstance(turns, list) and turns else {}
    parts = last.get("parts")
    told = [_object(part).get("text") for part in parts] if isinstance(parts, list) else []
    return " ".join(text for text in told if isinstance(text, str))
