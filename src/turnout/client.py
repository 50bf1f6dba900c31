"""The engine in process: what the gateway does, without the server. Floor 6.

Messages and parameters are written as OpenAI's chat completions writes them and are checked by the same
dialect as a request that arrives at the gateway.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

import msgspec
from msgspec import Struct

from turnout.config import Config, ModelConfig, load_config
from turnout.engine.collect import Collector
from turnout.engine.engine import Opened
from turnout.engine.exchange import Exchange
from turnout.engine.recommend import Wanted, described
from turnout.engine.reply import Reply
from turnout.errors import InvalidRequest
from turnout.operations import Operations, cost_of
from turnout.server.ids import new_request_id
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse, Text, ToolCall
from turnout.types.embed import EmbedRequest
from turnout.types.event import Event
from turnout.types.recommendation import Constraints, Features, Recommendation
from turnout.types.record import Attempt, CostState, Decision
from turnout.types.task import TaskRequest
from turnout.types.usage import NanoUsd, Usage

if TYPE_CHECKING:
    from turnout.build import Built
    from turnout.server.deferred import Deferred
    from turnout.server.local import BackgroundJob

Messages: TypeAlias = "str | Sequence[Mapping[str, Any]]"
"""A question, or messages as `{"role": …, "content": …}`."""

DEFAULT_FILE = Path("turnout.yaml")


class ChatParams(TypedDict, total=False):
    """Optional parameters, named and shaped as in OpenAI's API, and Turnout's own `turnout` object."""

    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int
    n: int
    response_format: Mapping[str, Any]
    reasoning_effort: str
    logprobs: bool
    top_logprobs: int
    user: str
    models: Sequence[str]
    fallbacks: Sequence[str]
    turnout: Mapping[str, Any]


class Answer(Struct, frozen=True, kw_only=True):
    """A complete answer with who gave it and what it took."""

    request_id: str
    model: str
    """`provider/model` that answered."""
    response: ChatResponse
    usage: Usage | None
    cost_nusd: NanoUsd | None
    """Over all attempts; None = a price is not known."""
    cost_state: CostState
    decision: Decision | None
    attempts: tuple[Attempt, ...] = ()

    @property
    def text(self) -> str:
        """All text of the first choice."""
        parts = self.response.choices[0].parts if self.response.choices else ()
        return "".join(part.text for part in parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls of the first choice."""
        parts = self.response.choices[0].parts if self.response.choices else ()
        return tuple(part for part in parts if isinstance(part, ToolCall))


class Vectors(Struct, frozen=True, kw_only=True):
    """Embeddings with who made them."""

    request_id: str
    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None
    cost_nusd: NanoUsd | None


class AsyncStream:
    """A streamed answer: `async with client.stream(…) as stream: async for event in stream: …`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._collector = Collector()
        self._reply: Reply | None = None
        self._batches: AsyncIterator[list[Event]] | None = None

    async def __aenter__(self) -> "AsyncStream":
        self._reply = await self._opened.__aenter__()
        self._batches = self._reply.events()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while batch := await self.batch():
            for event in batch:
                yield event

    async def batch(self) -> list[Event]:
        """Return the events that are ready, waiting for at least one; [] at the end."""
        if self._batches is None:
            raise RuntimeError("enter the stream first: async with client.stream(…) as stream")
        async for events in self._batches:
            self._collector.add(events)
            return events
        return []

    @property
    def answer(self) -> Answer:
        """What was answered so far: complete, with its cost, once the stream was read and left."""
        if self._reply is None:
            raise RuntimeError("enter the stream first: async with client.stream(…) as stream")
        return _answer(self._opened.exchange, self._reply, self._collector.response())


class AsyncClient(Operations):
    """The engine in process.

    Args:
        config: A `Config`, the path of a configuration file, or None for `./turnout.yaml` where it exists and
            otherwise every provider whose key is in the environment.

    Raises:
        ConfigError: The file cannot be read; on entering, the configuration cannot be used.
    """

    def __init__(self, config: Config | str | Path | None = None) -> None:
        self._config = _config(config)
        self._built: Built | None = None
        self._deferred: Deferred | None = None

    async def __aenter__(self) -> "AsyncClient":
        from turnout.build import build  # noqa: PLC0415  heavy, and not needed to name the class

        if self._built is not None:
            raise RuntimeError("the client is already entered")
        self._built = await build(self._config)
        if self._config.background.path is not None:
            from turnout.server.local import open_local  # noqa: PLC0415  brings the gateway's endpoints

            try:
                self._deferred = open_local(self._built)
            except BaseException:
                await self.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Queue again what runs in the background, close connections and write out the journal."""
        if self._deferred is not None:
            await self._deferred.close()
            self._deferred = None
        if self._built is not None:
            await self._built.close()
            self._built = None

    async def chat(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Answer:
        """Ask and wait for the complete answer. Raises `TurnoutError`."""
        opened = self._open(messages, model, params, stream=False)
        async with opened as reply:
            response = await reply.response()
        return _answer(opened.exchange, reply, response)

    def stream(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> AsyncStream:
        """Ask and read the answer as it comes. Raises `TurnoutError` on entering, and while it is read."""
        return AsyncStream(self._open(messages, model, params, stream=True))

    async def send(self, request: ChatRequest, ask: Ask | None = None) -> Answer:
        """Send a request built from Turnout's own types. Raises `TurnoutError`."""
        opened = self._engine.engine.open(request, ask or Ask(request_id=new_request_id()))
        async with opened as reply:
            response = await reply.response()
        return _answer(opened.exchange, reply, response)

    def decide(self, request: ChatRequest, ask: Ask | None = None) -> Decision:
        """Return the decision `send` would make on the configuration in force; nothing is sent."""
        return self._engine.engine.select(request, ask or Ask(request_id=new_request_id()))

    async def embed(
        self, texts: str | Sequence[str], *, model: str, dimensions: int | None = None
    ) -> Vectors:
        """Embed texts; vectors come in input order. Raises `TurnoutError`."""
        request = EmbedRequest(
            model=model, input=[texts] if isinstance(texts, str) else list(texts), dimensions=dimensions
        )
        opened = self._engine.engine.open(request, Ask(request_id=new_request_id(), endpoint="embeddings"))
        async with opened as reply:
            response = await reply.vectors()
        exchange = opened.exchange
        return Vectors(
            request_id=exchange.ask.request_id,
            model=reply.deployment.model.id,
            vectors=response.vectors,
            usage=reply.usage,
            cost_nusd=cost_of(exchange)[0],
        )

    async def background(
        self,
        messages: Messages,
        *,
        model: str = "auto",
        deadline: float | datetime | None = None,
        idempotency_key: str | None = None,
        **params: Unpack[ChatParams],
    ) -> "BackgroundJob":
        """Hand in a request that nobody waits for; it is run at the cheapest hour before its deadline.

        Needs `background.path` in the configuration; jobs outlive the process.

        Args:
            messages: As of a call, and so are `model` and `params`.
            model: Route, alias or model.
            deadline: Seconds from now, or an aware instant; None = as the route or the configuration says.
            idempotency_key: The same key and request again are the same job.
            **params: Parameters of the call.

        Raises:
            TurnoutError: The request cannot be served at any hour, or the queue is full.
        """
        from turnout.server.local import hand_in  # noqa: PLC0415  loaded with the queue

        body = {"model": model, "messages": _turns(messages), **params}
        return await hand_in(self._queue, body, deadline, idempotency_key)

    def job(self, job_id: str) -> "BackgroundJob":
        """Return a background job by its id, also after a restart."""
        from turnout.server.local import BackgroundJob  # noqa: PLC0415  loaded with the queue

        return BackgroundJob(self._queue, job_id)

    def explain(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Decision:
        """Return the decision a call would get on the configuration in force; nothing is sent."""
        request, ask = _request(messages, model, params, stream=False)
        return self._engine.engine.select(request, ask)

    def recommend(
        self,
        messages: Messages = "",
        *,
        features: Features | None = None,
        constraints: Constraints | None = None,
        top_k: int | None = None,
        model: str = "auto",
        **params: Unpack[ChatParams],
    ) -> Recommendation:
        """Rank models for a request, best first, from local computation alone; nothing is sent.

        Before the client is entered, no provider needs a credential and nothing is opened. Once it is
        entered, the live numbers of its engine count as well.

        Args:
            messages: What would be asked.
            features: Its size and shape instead of its words.
            constraints: Bounds on cost, time, quality and region.
            top_k: How many models to name; None = all.
            model: A route, alias or model; `auto` = the default route, or everything configured.
            **params: As of a call. `models=[…]` names the models to choose among, configured or not.

        Raises:
            ConfigError: A model is neither configured nor in the catalogue.
            TurnoutError: No model fits.
        """
        from turnout.build import recommend  # noqa: PLC0415  heavy, and not needed to name the class

        request, ask = _request(messages, model, params, stream=False)
        if features is not None:
            request, given = described(features, model)
            ask = msgspec.structs.replace(ask, given=given)
        wanted = Wanted(constraints=constraints or Constraints(), top_k=top_k)
        names = ask.prefer.candidates
        if self._built is not None and (not names or self._built.engine.serves(names)):
            return self._built.engine.recommend(request, ask, wanted)
        return recommend(_with_models(self._config, names), request, ask, wanted)

    @property
    def _queue(self) -> "Deferred":
        if self._deferred is None:
            raise RuntimeError("set background.path in the configuration, and enter the client")
        return self._deferred

    @property
    def _engine(self) -> "Built":
        if self._built is None:
            raise RuntimeError("enter the client first: async with AsyncClient(…) as client")
        return self._built

    def _entered(self) -> "Built":
        return self._engine

    def _open_request(self, request: TaskRequest, ask: Ask) -> Opened:
        return self._engine.engine.open(request, ask)

    def _open(self, messages: Messages, model: str, params: ChatParams, *, stream: bool) -> Opened:
        request, ask = _request(messages, model, params, stream=stream)
        return self._engine.engine.open(request, ask)


def _config(config: Config | str | Path | None) -> Config:
    if isinstance(config, Config):
        return config
    if config is not None:
        return load_config(config)
    return load_config(DEFAULT_FILE) if DEFAULT_FILE.is_file() else Config()


def _with_models(config: Config, names: Sequence[str]) -> Config:
    """Return the configuration with these models in it, configured or not."""
    known = {row if isinstance(row, str) else row.id or row.model for row in config.models}
    known |= {row.model for row in config.models if isinstance(row, ModelConfig)}
    known |= {*config.aliases, *(f"turnout/{route.name}" for route in config.routes)}
    new = tuple(name for name in names if name not in known)
    return msgspec.structs.replace(config, models=(*config.models, *new))


def _turns(messages: Messages) -> list[Mapping[str, Any]]:
    if isinstance(messages, Mapping | bytes) or not isinstance(messages, Iterable):
        raise InvalidRequest(f"messages: expected a text or a list, not {type(messages).__name__}")
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)


def _request(messages: Messages, model: str, params: ChatParams, *, stream: bool) -> tuple[ChatRequest, Ask]:
    from turnout.codecs.openai_chat import OpenAIChatDialect  # noqa: PLC0415  loaded with the first call

    if params.get("stream", stream) is not stream:  # its type lacks it, but the vendor's own client takes it
        raise InvalidRequest("stream: client.stream(…) streams, client.chat(…) waits for the whole answer")
    tree = {**params, "model": model, "messages": _turns(messages), "stream": stream}
    try:
        text = msgspec.json.encode(tree)
    except TypeError as error:
        raise InvalidRequest(f"messages or parameters hold what JSON cannot say: {error}") from None
    body = OpenAIChatDialect().parse(text)
    if "background" in body.ours:
        raise InvalidRequest(
            "turnout.background: nobody would wait; use client.background(…)", param="turnout.background"
        )
    ask = Ask(
        request_id=new_request_id(),
        prefer=body.prefer,
        session=body.session,
        end_user=body.request.user,
        tags=body.tags,
        metadata=body.metadata,
        timeout_s=body.timeout_s,
        retries=body.retries,
        warnings=body.warnings,
    )
    return body.request, ask


def _answer(exchange: Exchange, reply: Reply, response: ChatResponse) -> Answer:
    cost, state = cost_of(exchange)
    return Answer(
        request_id=exchange.ask.request_id,
        model=reply.deployment.model.id,
        response=response,
        usage=reply.usage,
        cost_nusd=cost,
        cost_state=state,
        decision=exchange.full_decision(),
        attempts=tuple(exchange.attempts),
    )
