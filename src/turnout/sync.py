"""The synchronous client: a portal over the asynchronous one. Floor 6.

Theory of operation.
1. One thread runs one event loop for the life of the client; a call is a coroutine submitted to it.
2. A stream is entered, read and left by one task of that loop: the deadline and whatever else belongs to a
   task holds as it does with `await`. The reading thread asks that task for one batch at a time, and each
   batch holds all events that are ready, so that a fast stream does not pay a hop per token.
3. Closing cancels what is still under way; who waits for it is told that the client was closed.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from turnout.client import Answer, AsyncClient, AsyncStream, ChatParams, Messages, Vectors
from turnout.config import Config
from turnout.operations import (
    Moderation,
    PictureParams,
    Pictures,
    Ranking,
    RankParams,
    Speech,
    SpeechParams,
    Transcript,
    TranscriptParams,
)
from turnout.types.event import Event, TextDelta
from turnout.types.feedback import FeedbackParams, Signal
from turnout.types.json import Json
from turnout.types.recommendation import Constraints, Features, Recommendation
from turnout.types.record import Decision

if TYPE_CHECKING:
    from turnout.server.hearing import Heard
    from turnout.server.local import BackgroundJob as AsyncBackgroundJob
    from turnout.stores.queue import Job

T = TypeVar("T")
Asked: TypeAlias = "Future[list[Event]] | BaseException | None"
"""What a stream's task is asked: the next batch, or to leave, with the reader's error if there is one."""
_CLOSED = "the client is closed"


class Portal:
    """An event loop in a thread of its own."""

    __slots__ = ("_lock", "_loop", "_open", "_thread")

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._loop.run_forever, name="turnout-portal", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop and wait for it; an interrupt cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine on the portal's loop. Raises RuntimeError once the portal is closed."""
        with self._lock:
            if self._open:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeError(_CLOSED)

    def close(self) -> None:
        """Cancel what is under way, stop the loop and its thread. Idempotent."""
        with self._lock:
            if not self._open:
                return
            self._open = False
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


class _Pump:
    """The task that enters, reads and leaves one stream.

    Everything but `enter`, `batch` and `leave` runs on the portal's loop, so its state needs no lock.
    """

    __slots__ = ("_asked", "_ended", "_failure", "_portal", "_stream", "_task")

    def __init__(self, portal: Portal, stream: AsyncStream) -> None:
        self._portal = portal
        self._stream = stream
        self._asked: asyncio.Queue[Asked] = asyncio.Queue()
        self._task: Future[None] | None = None
        self._ended = False
        self._failure: BaseException | None = None
        """Why it ended, while nobody has been told."""

    def enter(self) -> None:
        """Open the stream. Raises what opening it raises."""
        entered: Future[list[Event]] = Future()
        self._task = self._portal.submit(self._run(entered))
        entered.result()

    def batch(self) -> list[Event]:
        """Return the events that are ready; [] at the end, and after a failure was raised."""
        if self._task is None:
            raise RuntimeError("enter the stream first: with client.stream(…) as stream")
        batch: Future[list[Event]] = Future()
        self._portal.call(self._ask(batch))
        return batch.result()

    def leave(self, error: BaseException | None) -> None:
        """Leave the stream, telling it of the reader's own error. Raises what leaving it raises."""
        if self._task is None:
            return
        if error is not None and not isinstance(error, Exception):
            self._task.cancel()  # an interrupt does not wait for the next batch
            return
        try:
            self._portal.call(self._ask(error))
        except RuntimeError:
            return  # closing the client left it already
        wait([self._task])
        failure, self._failure = self._failure, None
        if failure is not None and failure is not error:
            raise failure

    async def _run(self, entered: "Future[list[Event]]") -> None:
        waiting = entered
        failure: BaseException | None = None
        try:
            async with self._stream:
                entered.set_result([])
                while isinstance(asked := await self._asked.get(), Future):
                    waiting = asked
                    waiting.set_result(await self._stream.batch())
                if asked is not None:
                    raise asked  # noqa: TRY301  into the context, which is to know how it was left
        except asyncio.CancelledError:
            failure = RuntimeError(_CLOSED)
            raise
        except BaseException as error:
            failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._end(waiting, failure)

    def _end(self, waiting: "Future[list[Event]]", failure: BaseException | None) -> None:
        self._ended = True
        self._failure = failure
        if not waiting.done():
            self._reply(waiting)
        while not self._asked.empty():
            self._reply(self._asked.get_nowait())

    async def _ask(self, asked: "Asked") -> None:
        if self._ended:
            self._reply(asked)
        else:
            self._asked.put_nowait(asked)

    def _reply(self, asked: "Asked") -> None:
        if isinstance(asked, Future):
            failure, self._failure = self._failure, None
            if failure is None:
                asked.set_result([])
            else:
                asked.set_exception(failure)


class Stream:
    """A streamed answer: iterate for events, or `text()` for words. Use as a context manager."""

    def __init__(self, portal: Portal, stream: AsyncStream) -> None:
        self._stream = stream
        self._pump = _Pump(portal, stream)

    def __enter__(self) -> "Stream":
        self._pump.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pump.leave(error)

    def __iter__(self) -> Iterator[Event]:
        while batch := self._pump.batch():
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
        """Break off what is under way, close connections and the journal, and stop the thread. Idempotent."""
        with suppress(RuntimeError):  # closed before
            self._portal.call(self._client.close())
        self._portal.close()

    def chat(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Answer:
        """Ask and wait for the complete answer. Raises `TurnoutError`."""
        return self._portal.call(self._client.chat(messages, model=model, **params))

    def stream(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Stream:
        """Ask and read the answer as it comes: `with client.stream(…) as stream: for event in stream: …`."""
        return Stream(self._portal, self._portal.call(_stream(self._client, messages, model, params)))

    def embed(self, texts: str | Sequence[str], *, model: str, dimensions: int | None = None) -> Vectors:
        """Embed texts; vectors come in input order. Raises `TurnoutError`."""
        return self._portal.call(self._client.embed(texts, model=model, dimensions=dimensions))

    def rerank(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        *,
        model: str,
        **params: Unpack[RankParams],
    ) -> Ranking:
        """Rank documents by their relevance to a query. Raises `TurnoutError`."""
        return self._portal.call(self._client.rerank(query, documents, model=model, **params))

    def images(self, prompt: str, *, model: str, **params: Unpack[PictureParams]) -> Pictures:
        """Make pictures of a description. Raises `TurnoutError`."""
        return self._portal.call(self._client.images(prompt, model=model, **params))

    def speech(self, text: str, *, model: str, voice: str, **params: Unpack[SpeechParams]) -> Speech:
        """Speak a text. Raises `TurnoutError`."""
        return self._portal.call(self._client.speech(text, model=model, voice=voice, **params))

    def transcribe(
        self,
        sound: bytes | Path,
        *,
        model: str,
        filename: str | None = None,
        **params: Unpack[TranscriptParams],
    ) -> Transcript:
        """Write down what is said. The arguments are those of `AsyncClient.transcribe`."""
        return self._portal.call(self._client.transcribe(sound, model=model, filename=filename, **params))

    def moderate(self, texts: str | Sequence[str], *, model: str = "omni-moderation-latest") -> Moderation:
        """Judge texts. Raises `TurnoutError`."""
        return self._portal.call(self._client.moderate(texts, model=model))

    def background(
        self,
        messages: Messages,
        *,
        model: str = "auto",
        deadline: float | datetime | None = None,
        idempotency_key: str | None = None,
        **params: Unpack[ChatParams],
    ) -> "BackgroundJob":
        """Hand in a request that nobody waits for. The arguments are those of `AsyncClient.background`."""
        work = self._client.background(
            messages, model=model, deadline=deadline, idempotency_key=idempotency_key, **params
        )
        return BackgroundJob(self._portal, self._portal.call(work))

    def feedback(
        self, request_id: str, signal: Signal, value: Json = None, **more: Unpack[FeedbackParams]
    ) -> "Heard":
        """Say how the answer to a request was; see `AsyncClient.feedback`. Raises `TurnoutError`."""
        return self._portal.call(self._client.feedback(request_id, signal, value, **more))

    def job(self, job_id: str) -> "BackgroundJob":
        """Return a background job by its id, also after a restart."""
        return BackgroundJob(self._portal, self._client.job(job_id))

    def explain(self, messages: Messages, *, model: str = "auto", **params: Unpack[ChatParams]) -> Decision:
        """Return the decision a call would get; nothing is sent."""
        return self._portal.call(_explain(self._client, messages, model, params))

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


class BackgroundJob:
    """A job that was handed in: look at it, wait for it, cancel it."""

    def __init__(self, portal: Portal, job: "AsyncBackgroundJob") -> None:
        self._portal = portal
        self._job = job
        self.id = job.id

    def look(self) -> "Job":
        """Return the job as it stands: state, plan, times."""
        return self._portal.call(self._job.look())

    def cancel(self) -> "Job":
        """Cancel it, unless it has ended."""
        return self._portal.call(self._job.cancel())

    def wait(self) -> Answer:
        """Return the answer when there is one. Raises `TurnoutError`."""
        return self._portal.call(self._job.wait())


async def _open(config: Config | str | Path | None) -> AsyncClient:
    return await AsyncClient(config).__aenter__()


async def _stream(client: AsyncClient, messages: Messages, model: str, params: ChatParams) -> AsyncStream:
    return client.stream(messages, model=model, **params)


async def _explain(client: AsyncClient, messages: Messages, model: str, params: ChatParams) -> Decision:
    """Decide on the portal's loop, where the live numbers of the engine are written."""
    return client.explain(messages, model=model, **params)
