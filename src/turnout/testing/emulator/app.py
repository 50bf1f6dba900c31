"""The emulator's ASGI application. Floor 6.

Theory of operation.
1. A call is parsed by the dialect of its path, answered by the model's script, and written by the same
   dialect. Waits and faults come in between, drawn from one seeded generator, so that a run can be repeated.
2. `served` keeps what was consumed, model by model: what a ledger must agree with. A stream that was cut, or
   whose client left, counts what was sent.
3. A client that leaves cancels the call, as a provider does; `served` tells that too.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from time import monotonic

import msgspec

from turnout.codecs.base import Dialect, Summary
from turnout.engine.reply import as_events
from turnout.errors import TurnoutError
from turnout.server.http import JSON_TYPE, Disconnected, HangUp, Receive, Scope, Send, read_body, respond
from turnout.testing.emulator.batches import EmulatedBatches
from turnout.testing.emulator.clouds import dialect_at, parse_at, place_of
from turnout.testing.emulator.faults import (
    CUTS,
    EMULATED,
    answer_with,
    drop,
    end_cut,
    failure,
    refuse,
    send_cut,
    stream_start,
)
from turnout.testing.emulator.live import converse, is_live
from turnout.testing.emulator.realtime import speak
from turnout.testing.emulator.script import (
    Answerer,
    Behaviour,
    Fault,
    Script,
    canned,
    count_tokens,
    prompt_text,
    recorded,
)
from turnout.testing.emulator.tasks import is_task, perform, send_done, task_wire
from turnout.testing.emulator.vectors import embed
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.event import Event, TextDelta, ToolDelta
from turnout.types.json import Json

_MAX_BODY = 64 * 1024 * 1024
_MINUTE_S = 60.0
_EMBEDS = ("/embeddings", "/embed", ":batchEmbedContents", ":embedContent")
_read_behaviours = msgspec.json.Decoder(dict[str, Behaviour]).decode


class Served(msgspec.Struct):
    """What one emulated model has served."""

    calls: int = 0
    failed: int = 0
    """Calls that did not get a whole answer because of a fault."""
    cancelled: int = 0
    """Calls whose client left."""
    input_tokens: int = 0
    output_tokens: int = 0


class Model(msgspec.Struct):
    """One emulated model."""

    answer: Answerer
    behaviour: Behaviour


class Emulator:
    """An upstream with any number of models. Models never named before answer with the canned script.

    Attributes:
        default: Behaviour of models that were not given one.
        served: Model -> what it consumed.
        down: Whether every connection is closed without an answer.
    """

    def __init__(self, dialects: Mapping[str, Dialect], *, seed: int = 0) -> None:
        self._dialects = dialects
        self._rng = Random(seed)  # noqa: S311  repeatable, not secret
        self._models: dict[str, Model] = {}
        self._minute: dict[str, list[float]] = {}
        self.default = Behaviour()
        self.served: dict[str, Served] = {}
        self.down = False
        self.batches = EmulatedBatches(self._line)

    def add(self, name: str, answer: Answerer | None = None, behaviour: Behaviour | None = None) -> None:
        """Give a model a script and a behaviour; may be called again to change either."""
        known = self._models.get(name)
        self._models[name] = Model(
            answer or (known.answer if known else canned(name)),
            behaviour or (known.behaviour if known else self.default),
        )

    def follow(self, script: Script) -> None:
        """Take over a script file."""
        self.default = script.default
        for name, row in script.models.items():
            self.add(name, recorded(name, row.answers) if row.answers else None, row.behaviour)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "websocket":
            session = converse if is_live(scope["path"]) else speak
            await session(scope, receive, send, self._speaks)
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        try:
            if path == "/emulator/served":
                await _ok(send, msgspec.json.encode(self.served))
            elif scope["method"] == "GET" and path.endswith("/models"):
                await _ok(send, self._listing())
            else:
                body = await read_body(receive, _MAX_BODY, None, "")
                if self.batches.at(path):
                    told = next((v for name, v in scope["headers"] if name == b"content-type"), b"")
                    await self.batches.serve((scope["method"], path, told.decode("latin-1")), body, send)
                elif is_task(path, body):
                    await self._task(scope, body, receive, send)
                else:
                    await self._visit(path, body, receive, send)
        except Disconnected:
            pass

    def _line(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one line of a batch."""
        place = place_of(path)
        dialect = self._dialects[place.wire]
        try:
            request = parse_at(dialect, place, body).request
            served = self.served.setdefault(request.model, Served())
            served.calls += 1
            model = self._models.get(request.model) or Model(canned(request.model), self.default)
            fault = self._fault(request, model.behaviour, served.calls)
            if fault is not None:
                raise failure(fault, dialect.wire)
        except TurnoutError as error:
            return dialect.error(error, "emulator")
        response = model.answer(request)
        served.input_tokens += response.usage.n_input
        served.output_tokens += response.usage.n_output
        return 200, dialect.render(response, request, _summary(response))

    def _speaks(self, name: str) -> tuple[Behaviour, Served]:
        served = self.served.setdefault(name, Served())
        served.calls += 1
        model = self._models.get(name)
        return (self.default if model is None else model.behaviour), served

    async def _visit(self, path: str, body: bytes, receive: Receive, send: Send) -> None:
        if path == "/emulator/behaviour":
            await self._configure(body, send)
            return
        place = place_of(path)
        dialect = dialect_at(place, self._dialects)
        if dialect is None:
            await _no(send, 404, "no such path")
            return
        try:
            if path.endswith(_EMBEDS):
                await self._embed(dialect, path, body, send)
                return
            parsed = parse_at(dialect, place, body)
        except TurnoutError as error:
            await refuse(send, dialect, error)
            return
        hang_up = HangUp(receive, 0.0)
        served = self.served.setdefault(parsed.request.model, Served())
        served.calls += 1
        try:
            await self._serve(parsed.request, dialect, served, send)
        except asyncio.CancelledError:
            if not hang_up.gone:
                raise
            served.cancelled += 1
        finally:
            hang_up.stop()

    async def _task(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        dialect = dialect_at(place_of(path), self._dialects) or self._dialects[task_wire(path)]
        told = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        try:
            done = perform(path, told.decode("latin-1"), body)
        except TurnoutError as error:
            await refuse(send, dialect, error)
            return
        served = self.served.setdefault(done.model, Served())
        served.calls += 1
        behaviour = (self._models.get(done.model) or Model(canned(done.model), self.default)).behaviour
        fault = self._fault(ChatRequest(model=done.model, messages=()), behaviour, served.calls)
        served.failed += fault is not None
        hang_up = HangUp(receive, 0.0)
        try:
            await asyncio.sleep(self._wait(behaviour.ttft_s, behaviour))
            await send_done(done, fault, dialect, send)
            served.input_tokens += done.n_tokens
        except asyncio.CancelledError:
            if not hang_up.gone:
                raise
            served.cancelled += 1
        finally:
            hang_up.stop()

    async def _embed(self, dialect: Dialect, path: str, body: bytes, send: Send) -> None:
        found = embed(dialect, path, body)
        served = self.served.setdefault(found.model, Served())
        served.calls += 1
        served.input_tokens += found.n_tokens
        await _ok(send, found.body)

    async def _configure(self, body: bytes, send: Send) -> None:
        try:
            change = _read_behaviours(body)
        except msgspec.MsgspecError as error:
            await _no(send, 400, str(error))
            return
        for name, behaviour in change.items():
            self.add(name, behaviour=behaviour)
        await _ok(send, b"{}")

    def _listing(self) -> bytes:
        rows: list[Json] = [
            {"id": name, "object": "model", "created": 0, "owned_by": "emulator"} for name in self._models
        ]
        return msgspec.json.encode({"object": "list", "data": rows})

    async def _serve(self, request: ChatRequest, dialect: Dialect, served: Served, send: Send) -> None:
        model = self._models.get(request.model) or Model(canned(request.model), self.default)
        behaviour = model.behaviour
        fault = self._fault(request, behaviour, served.calls)
        served.failed += fault is not None
        if fault is not None and fault.kind == "close":
            drop(send)
            return
        await asyncio.sleep(self._wait(behaviour.ttft_s, behaviour))
        if fault is not None and fault.kind == "hang":
            await asyncio.Event().wait()  # until the client leaves
        if fault is not None and fault.kind not in CUTS:
            await answer_with(fault, dialect, send, stream=request.stream)
            return
        response = model.answer(request)
        served.input_tokens += response.usage.n_input
        if request.stream:
            pause = self._wait(1 / behaviour.tokens_per_s, behaviour) if behaviour.tokens_per_s else 0.0
            await _Stream(request, response, dialect, served).run(fault, pause, send)
            return
        served.output_tokens += response.usage.n_output
        text = dialect.render(response, request, _summary(response))
        if fault is None:
            await _ok(send, text)
        else:
            await send_cut(send, text, fault.kind)

    def _fault(self, request: ChatRequest, behaviour: Behaviour, n: int) -> Fault | None:
        if self.down or (behaviour.fail_after is not None and n > behaviour.fail_after):
            return Fault(kind="close")
        if behaviour.rpm is not None:
            wait_s = self._over_rate(request.model, behaviour.rpm)
            if wait_s is not None:
                return Fault(kind="rate_limit", retry_after_s=wait_s)
        window = behaviour.context_window
        if window is not None and count_tokens(prompt_text(request)) > window:
            return Fault(kind="context")
        for fault in behaviour.faults:
            if (fault.first is None or n <= fault.first) and self._rng.random() < fault.share:
                return fault
        return None

    def _over_rate(self, name: str, rpm: int) -> float | None:
        """Return how long to wait for the next free place in the minute; None = there is one."""
        now = monotonic()
        recent = [at for at in self._minute.get(name, []) if at > now - _MINUTE_S]
        if len(recent) < rpm:
            self._minute[name] = [*recent, now]
            return None
        return recent[len(recent) - rpm] + _MINUTE_S - now if rpm else _MINUTE_S

    def _wait(self, seconds: float, behaviour: Behaviour) -> float:
        return seconds * (1 + behaviour.jitter * (2 * self._rng.random() - 1)) if seconds else 0.0


class _Stream:
    """One streamed answer; counts what leaves."""

    def __init__(
        self, request: ChatRequest, response: ChatResponse, dialect: Dialect, served: Served
    ) -> None:
        self._response = response
        self._wire = dialect.wire
        self._summary = _summary(response)
        self._encoder = dialect.stream(request, self._summary)
        self._served = served
        self._said = ""

    async def run(self, fault: Fault | None, pause_s: float, send: Send) -> None:
        """Send the whole answer, or what the fault lets pass of it."""
        done = False
        try:
            await send(stream_start(fault, self._wire))
            done = await self._pieces(fault, pause_s, send)
        finally:
            usage = self._response.usage
            self._served.output_tokens += usage.n_output if done else count_tokens(self._said)

    async def _pieces(self, fault: Fault | None, pause_s: float, send: Send) -> bool:
        n_content = 0
        async for events in _pieces(self._response, pause_s):
            frames = self._encoder.feed(events)
            if fault is not None and n_content >= fault.after_chunks:
                await end_cut(send, fault.kind, frames)
                return False
            n_content += isinstance(events[0], TextDelta | ToolDelta)
            self._said += "".join(_said(event) for event in events)
            if frames:
                await send({"type": "http.response.body", "body": frames, "more_body": True})
        last = self._encoder.end(self._response.usage, self._summary)
        if fault is not None:
            await end_cut(send, fault.kind, last)
            return False
        await send({"type": "http.response.body", "body": last})
        return True


async def _pieces(response: ChatResponse, pause_s: float) -> AsyncIterator[list[Event]]:
    """Yield the answer's events with its text word by word, at the model's speed."""
    for event in as_events(response):
        match event:
            case TextDelta():
                for at, word in enumerate(_words(event.text)):
                    if pause_s and at:
                        await asyncio.sleep(pause_s)
                    yield [TextDelta(word, event.choice)]
            case ToolDelta():
                yield [msgspec.structs.replace(event, arguments="")]
                yield [ToolDelta(index=event.index, arguments=event.arguments, choice=event.choice)]
            case _:
                yield [event]


def _words(text: str) -> list[str]:
    """Cut a text after each run of white space, losing nothing."""
    words: list[str] = []
    start = 0
    for at in range(1, len(text)):
        if text[at - 1].isspace() and not text[at].isspace():
            words.append(text[start:at])
            start = at
    return [*words, text[start:]] if text else []


def _said(event: Event) -> str:
    match event:
        case TextDelta():
            return event.text
        case ToolDelta():
            return event.arguments
        case _:
            return ""


def _summary(response: ChatResponse) -> Summary:
    name = response.id.removeprefix("emu-") or "emulator"
    return Summary(request_id=name, model=response.model, created=response.created or 0)


async def _ok(send: Send, body: bytes) -> None:
    await respond(send, 200, [JSON_TYPE, EMULATED], body)


async def _no(send: Send, status: int, message: str) -> None:
    body = msgspec.json.encode({"error": {"message": message, "type": "emulator"}})
    await respond(send, status, [JSON_TYPE, EMULATED], body)
