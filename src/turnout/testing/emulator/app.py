"""The emulator's ASGI application. Floor 6.

Theory of operation. A call is parsed by the dialect of its path, answered by the model's script, and written
by the same dialect. Waits and faults come in between, drawn from one seeded generator, so that a run can be
repeated. `calls` keeps what was consumed, model by model: what a ledger must agree with.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from random import Random
from time import monotonic

import msgspec

from turnout.codecs.base import Addressed, Dialect, Summary
from turnout.engine.reply import as_events
from turnout.errors import TurnoutError
from turnout.server.http import (
    JSON_TYPE,
    STREAM_HEADERS,
    RawHeaders,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
)
from turnout.testing.emulator.faults import CUTS, cut_short, raw_fault
from turnout.testing.emulator.script import Answerer, Behaviour, Fault, canned, count_tokens, prompt_text
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.event import Event, TextDelta, ToolDelta
from turnout.types.json import Json

_MAX_BODY = 64 * 1024 * 1024
_WORDS = re.compile(r"\s*\S+|\s+$")
"""A word with the space before it: the emulator's unit of streaming."""
_PATHS = {
    "/v1/chat/completions": "openai_chat",
    "/chat/completions": "openai_chat",
    "/v1/messages": "anthropic",
    "/messages": "anthropic",
}


class Served(msgspec.Struct):
    """What one emulated model has served."""

    calls: int = 0
    failed: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Model(msgspec.Struct):
    """One emulated model."""

    answer: Answerer
    behaviour: Behaviour


class Emulator:
    """An upstream with any number of models. Models never named before answer with the canned script."""

    def __init__(self, dialects: Mapping[str, Dialect], *, seed: int = 0) -> None:
        self._dialects = dialects
        self._rng = Random(seed)  # noqa: S311  repeatable, not secret
        self._models: dict[str, Model] = {}
        self._minute: dict[str, list[float]] = {}
        self.default = Behaviour()
        self.served: dict[str, Served] = {}
        self.down = False
        """Whether every connection is closed without an answer."""

    def add(self, name: str, answer: Answerer | None = None, behaviour: Behaviour | None = None) -> None:
        """Give a model a script and a behaviour; may be called again to change them."""
        self._models[name] = Model(answer or canned(name), behaviour or self.default)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == "/emulator/served":
            await respond(send, 200, [JSON_TYPE], msgspec.json.encode(self.served))
            return
        body = await read_body(receive, _MAX_BODY, None, "")
        if path.endswith("/embeddings"):
            await respond(send, 200, [JSON_TYPE], _vectors(body))
            return
        if path == "/emulator/behaviour":
            self._configure(body)
            await respond(send, 200, [JSON_TYPE], b"{}")
            return
        name, model, stream = self._address(path)
        if name is None:
            await respond(send, 404, [JSON_TYPE], b'{"error":{"message":"no such path","type":"not_found"}}')
            return
        dialect = self._dialects[name]
        try:
            if model and isinstance(dialect, Addressed):
                parsed = dialect.parse_call(body, model=model, stream=stream)
            else:
                parsed = dialect.parse(body)
            await self._serve(parsed.request, dialect, receive, send)
        except TurnoutError as error:
            status, text = dialect.error(error, "emulator")
            await respond(send, status, [JSON_TYPE, *_waits(error)], text)

    def _configure(self, body: bytes) -> None:
        change = msgspec.json.decode(body, type=dict[str, Behaviour])
        for name, behaviour in change.items():
            known = self._models.get(name)
            self.add(name, known.answer if known else None, behaviour)

    def _address(self, path: str) -> tuple[str | None, str, bool]:
        """Return dialect, and for Gemini the model and verb that stand in the path."""
        if path in _PATHS:
            return _PATHS[path], "", False
        marker = "/models/"
        if marker in path and ":" in path:
            model, _, verb = path.partition(marker)[2].rpartition(":")
            if verb in ("generateContent", "streamGenerateContent"):
                return "gemini", model, verb[0] == "s"
        return None, "", False

    async def _serve(self, request: ChatRequest, dialect: Dialect, receive: Receive, send: Send) -> None:
        model = self._models.get(request.model) or Model(canned(request.model), self.default)
        served = self.served.setdefault(request.model, Served())
        served.calls += 1
        behaviour = model.behaviour
        try:
            fault = self._fault(request, behaviour, served.calls)
            await asyncio.sleep(self._wait(behaviour.ttft_s, behaviour))
            if fault is not None and fault.kind not in CUTS:
                served.failed += 1
                await raw_fault(fault, dialect, receive, send)
                return
            response = model.answer(request)
            served.input_tokens += response.usage.n_input
            served.output_tokens += response.usage.n_output
            if request.stream:
                await self._stream(request, response, dialect, behaviour, fault, send)
            else:
                text = dialect.render(response, request, _summary(response))
                if fault is None:
                    await respond(send, 200, _headers(JSON_TYPE), text)
                else:
                    await cut_short(send, text)
        except asyncio.CancelledError:
            served.cancelled += 1
            raise

    def _fault(self, request: ChatRequest, behaviour: Behaviour, n: int) -> Fault | None:
        if self.down or (behaviour.fail_after is not None and n > behaviour.fail_after):
            return Fault(kind="close")
        if behaviour.rpm is not None and self._over_rate(request.model, behaviour.rpm):
            return Fault(kind="rate_limit", retry_after_s=1.0)
        window = behaviour.context_window
        if window is not None and count_tokens(prompt_text(request)) > window:
            return Fault(kind="context")
        for fault in behaviour.faults:
            if (fault.first is None or n <= fault.first) and self._rng.random() < fault.share:
                return fault
        return None

    def _over_rate(self, name: str, rpm: int) -> bool:
        now = monotonic()
        recent = [at for at in self._minute.get(name, []) if at > now - 60]
        self._minute[name] = [*recent, now] if len(recent) < rpm else recent
        return len(recent) >= rpm

    def _wait(self, seconds: float, behaviour: Behaviour) -> float:
        return seconds * (1 + behaviour.jitter * (2 * self._rng.random() - 1)) if seconds else 0.0

    async def _stream(
        self,
        request: ChatRequest,
        response: ChatResponse,
        dialect: Dialect,
        behaviour: Behaviour,
        fault: Fault | None,
        send: Send,
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _headers(*STREAM_HEADERS)})
        encoder = dialect.stream(request, _summary(response))
        pause = self._wait(1 / behaviour.tokens_per_s, behaviour) if behaviour.tokens_per_s else 0.0
        n = 0
        async for events in _pieces(response, pause):
            n += 1
            if fault is not None and n > fault.after_chunks:
                frame = encoder.feed(events)
                cut = frame[: len(frame) // 2] if fault.kind == "half_frame" else b""
                await send({"type": "http.response.body", "body": cut, "more_body": False})
                return
            frames = encoder.feed(events)
            if frames:
                await send({"type": "http.response.body", "body": frames, "more_body": True})
        last = encoder.end(response.usage, _summary(response))
        await send({"type": "http.response.body", "body": last})


async def _pieces(response: ChatResponse, pause_s: float) -> AsyncIterator[list[Event]]:
    """Yield the answer's events with its text word by word, at the model's speed."""
    for event in as_events(response):
        match event:
            case TextDelta():
                for word in _WORDS.findall(event.text):
                    if pause_s:
                        await asyncio.sleep(pause_s)
                    yield [TextDelta(word, event.choice)]
            case ToolDelta():
                yield [msgspec.structs.replace(event, arguments="")]
                yield [ToolDelta(index=event.index, arguments=event.arguments, choice=event.choice)]
            case _:
                yield [event]


def _summary(response: ChatResponse) -> Summary:
    return Summary(request_id="emulator", model=response.model, created=response.created or 0)


def _headers(*headers: tuple[bytes, bytes]) -> RawHeaders:
    return [*headers, (b"x-emulated", b"true")]


def _waits(error: TurnoutError) -> RawHeaders:
    return [] if error.retry_after_s is None else [(b"retry-after", b"%d" % -int(-error.retry_after_s // 1))]


def _vectors(body: bytes) -> bytes:
    """Return unit-length vectors made of each text's digest: stable, and meaningless."""
    tree = msgspec.json.decode(body)
    texts = tree["input"] if isinstance(tree["input"], list) else [tree["input"]]
    data: list[Json] = []
    for at, text in enumerate(texts):
        digest = hashlib.sha256(str(text).encode()).digest()
        data.append(
            {"object": "embedding", "index": at, "embedding": [(byte - 127.5) / 848 for byte in digest]}
        )
    n = sum(count_tokens(str(text)) for text in texts)
    usage = {"prompt_tokens": n, "total_tokens": n}
    return msgspec.json.encode({"object": "list", "data": data, "model": tree["model"], "usage": usage})
