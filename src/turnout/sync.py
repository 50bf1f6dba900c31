"""The synchronous client: a portal over the asynchronous one. Floor 6.

Theory of operation. One thread runs one event loop for the life of the client; every call is a coroutine
submitted to it. A stream crosses threads in batches: each hop fetches all events that are ready, so that a
fast stream does not pay a hop per token.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

from turnout.client import Answer, AsyncClient, AsyncStream, ChatParams, Messages, Vectors
from turnout.config import Config
from turnout.types.event import Event, TextDelta
from turnout.types.recommendation import Constraints, Features, Recommendation
from turnout.types.record import Decision

T = TypeVar("T")


class Portal:
    """An event loop in a thread of its own."""

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="turnout-portal", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop and wait for it; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop and its thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class Stream:
    """A streamed answer: iterate for events, or `text()` for words. Use as a context manager."""

    def __init__(self, portal: Portal, stream: AsyncStream) -> None:
        self._portal = portal
        self._stream = stream

    def __enter__(self) -> "Stream":
        self._portal.call(self._stream.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal.call(self._stream.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[Event]:
        while batch := self._portal.call(self._stream.batch()):
            yield from batch

    def text(self) -> Iterator[str]:
        """Yield pieces of text as they arrive."""
        for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    @property
    def answer(self) -> Answer:
        """What was answered so far: complete once the stream was read to its end."""
        return self._stream.answer


class Client:
    """The engine in process, without a server and without `await`. See `AsyncClient` for the arguments."""

    def __init__(self, config: Config | str | Path | None = None) -> None:
        self._portal = Portal()
        try:
            self._client = self._portal.call(_open(config))
        except BaseException:
            self._portal.close()
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and the journal, and stop the thread."""
        self._portal.call(self._client.close())
        self._portal.close()

    def chat(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Answer:
        """Ask and wait for the complete answer. Raises `TurnoutError`."""
        return self._portal.call(self._client.chat(messages, model=model, **params))

    def stream(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Stream:
        """Ask and read the answer as it comes: `with client.stream(…) as stream: for event in stream: …`."""
        return Stream(self._portal, self._client.stream(messages, model=model, **params))

    def embed(self, texts: str | Sequence[str], *, model: str, dimensions: int | None = None) -> Vectors:
        """Embed texts; vectors come in input order. Raises `TurnoutError`."""
        return self._portal.call(self._client.embed(texts, model=model, dimensions=dimensions))

    def explain(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Decision:
        """Return the decision a call would get; nothing is sent."""
        return self._client.explain(messages, model=model, **params)

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

        The arguments are those of `AsyncClient.recommend`, which needs neither credential nor event loop.
        """
        return self._client.recommend(
            messages, features=features, constraints=constraints, top_k=top_k, model=model, **params
        )


async def _open(config: Config | str | Path | None) -> AsyncClient:
    return await AsyncClient(config).__aenter__()
