"""Signals that take too long for the event loop, computed beside it. Floor 4.

Theory of operation.
1. Senses come in an order in which each follows those it needs. A quick one is read at once. A slow one is
   started: in a thread, or as a call to a model. Only a sense that needs it, or the end, waits.
2. All threads' work of a decision has one deadline from the first wait on; a call has its own. What is late
   is absent (`timeout`), and the decision goes on without it.
3. A thread cannot be stopped: late work still ends in the sense's cache, where the next turn finds it. So
   that it cannot pile up, at most `queue` pieces wait or run; beyond, a signal is absent at once (`busy`).
4. A late call is cancelled, and has ended before the decision goes on.
5. Nothing raises: whatever goes wrong becomes an absent signal with its reason.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from turnout.engine.exchange import Request
from turnout.engine.sense import read
from turnout.errors import TurnoutError
from turnout.signals.base import AbsentError, Asking, Sense, Slow
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.moment import MOMENT, Moment
from turnout.types.signal import Signal, Signals

Serve = Callable[[EmbedRequest | ChatRequest, Ask], Awaitable[EmbedResponse | ChatResponse]]
"""Serves a call as it would serve a client's, and waits for the whole answer."""
LATE = Signal(error="timeout")
BUSY = Signal(error="busy")


class Threads:
    """Where slow senses are read. Started at the first piece of work; must be closed."""

    __slots__ = ("_executor", "_n_threads", "_n_waiting", "_queue")

    def __init__(self, n_threads: int = 1, queue: int = 16) -> None:
        self._n_threads = n_threads
        self._queue = queue
        """Pieces of work that may wait or run at once."""
        self._n_waiting = 0
        self._executor: ThreadPoolExecutor | None = None

    def start(self, work: Callable[[], Signal]) -> "asyncio.Future[Signal] | None":
        """Start a piece of work; None where too much is waiting already."""
        if self._n_waiting >= self._queue:
            return None
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._n_threads, thread_name_prefix="turnout-signals")
        self._n_waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: "asyncio.Future[Signal]") -> None:
        self._n_waiting -= 1

    def close(self) -> None:
        """Drop what waits; what runs ends by itself."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None


def is_slow(senses: Sequence[Sense]) -> bool:
    """Tell whether any of the senses must be waited for."""
    return any(isinstance(each, Asking) or (isinstance(each, Slow) and each.off_loop) for each in senses)


class Beside:
    """Computes the signals of routes that have slow ones."""

    __slots__ = ("_deadline_s", "_serve", "_threads")

    def __init__(self, threads: Threads, serve: Serve, deadline_s: float) -> None:
        self._threads = threads
        self._serve = serve
        self._deadline_s = deadline_s

    async def sense(self, senses: Sequence[Sense], request: Request, ask: Ask, moment: Moment) -> Signals:
        """Compute the signals; as `engine.sense` does; one that is late is absent with its reason."""
        found: dict[str, Signal] = {MOMENT: moment}
        if not isinstance(request, ChatRequest):
            return found
        started: dict[str, asyncio.Future[Signal]] = {}
        try:
            for each in senses:
                if not each.needs.isdisjoint(started):
                    await self._wait(started, found)
                self._take(each, request, ask, found, started)
            await self._wait(started, found)
        finally:
            for future in started.values():
                future.cancel()
        return found

    def _take(
        self,
        each: Sense,
        request: ChatRequest,
        ask: Ask,
        found: dict[str, Signal],
        started: "dict[str, asyncio.Future[Signal]]",
    ) -> None:
        """Read a sense, or start it."""
        asks = isinstance(each, Asking)
        if not asks and not (isinstance(each, Slow) and each.off_loop):
            found[each.name] = read(each, request, ask, found)
            return
        assert isinstance(each, Slow | Asking)
        known = each.recall(request, ask, found)
        if known is not None:
            found[each.name] = known
            return
        before = dict(found)  # what a thread reads must not change under it
        future = (
            asyncio.ensure_future(self._call(each, request, ask, before))
            if isinstance(each, Asking)
            else self._threads.start(lambda: read(each, request, ask, before))
        )
        if future is None:
            found[each.name] = BUSY
        else:
            started[each.name] = future

    async def _wait(self, started: "dict[str, asyncio.Future[Signal]]", found: dict[str, Signal]) -> None:
        """Take in what was started; afterwards nothing is."""
        if not started:
            return
        calls = [future for future in started.values() if isinstance(future, asyncio.Task)]
        work = [future for future in started.values() if not isinstance(future, asyncio.Task)]
        if work:
            await asyncio.wait(work, timeout=self._deadline_s)
        if calls:
            await asyncio.wait(calls)  # each ends by its own deadline
        for name, future in started.items():
            found[name] = future.result() if future.done() and not future.cancelled() else LATE
        started.clear()

    async def _call(self, each: Asking, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        try:
            question = each.question(request, ask, so_far)
            async with asyncio.timeout(each.deadline_s):
                response = await self._serve(question, _ask(ask, question))
            return each.heard(request, so_far, response)
        except TimeoutError:
            return LATE
        except AbsentError as error:
            return Signal(error=str(error))
        except TurnoutError as error:
            return Signal(error=error.row.word)
        except Exception as error:  # noqa: BLE001  as for any signal (`engine.sense.read`)
            return Signal(error=type(error).__name__)


def _ask(ask: Ask, question: EmbedRequest | ChatRequest) -> Ask:
    """Return the envelope of a call made for a request: on its key, with an id that follows from its own."""
    digest = hashlib.blake2b(f"{ask.request_id} {question.model}".encode(), digest_size=13).digest()
    return Ask(
        request_id="req_" + digest.hex(),
        endpoint="embeddings" if isinstance(question, EmbedRequest) else "chat",
        principal=ask.principal,
        session=ask.session,
        surface=ask.surface,
        tags=ask.tags,
        log_content=False,
        given={},  # its own decision asks nobody: else a route could wait for itself
        traceparent=ask.traceparent,
        hops=ask.hops,
    )
