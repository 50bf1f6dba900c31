"""Signals computed beside the event loop: what a decision waits for, and what it goes without."""

import asyncio
import threading
from datetime import UTC, datetime

from msgspec import Struct

from turnout.engine.beside import Beside, Threads, is_slow
from turnout.errors import ProviderOverloaded
from turnout.signals.base import AbsentError
from turnout.signals.canonical import CANONICAL
from turnout.signals.embed import RemoteEmbedSense
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.moment import MOMENT, Moment
from turnout.types.signal import Signal

REQUEST = ChatRequest(model="auto", messages=(Message("user", (Text("Where is my card?"),)),))
ASK = Ask(request_id="req_1")
NOW = Moment(value=0.0, at=datetime(2026, 11, 22, tzinfo=UTC))


class Read(Struct, frozen=True, kw_only=True, eq=False):
    """A sense that does what the test says."""

    name: str
    does: object = lambda: Signal(value=1)
    needs: frozenset[str] = frozenset()
    off_loop: bool = True
    known: Signal | None = None

    def recall(self, request, ask, so_far):
        return self.known

    def read(self, request, ask, so_far):
        return self.does()


async def nobody(request, ask):
    raise AssertionError("no call expected")


def found(signals):
    return {name: signal.error or signal.value for name, signal in signals.items() if name != MOMENT}


# The two tests of lateness run on a real loop: the folder's loop waits for threads.
async def sensed(*senses, deadline_s=5.0, queue=4, embed=nobody):
    threads = Threads(2, queue)
    try:
        return found(await Beside(threads, embed, deadline_s).sense(senses, REQUEST, ASK, NOW))
    finally:
        threads.close()


async def test_a_slow_sense_runs_in_another_thread_and_those_that_need_it_wait() -> None:
    names = []
    slow = Read(name="slow", does=lambda: names.append(threading.current_thread().name) or Signal(value=2))
    after = Read(
        name="after", off_loop=False, needs=frozenset({"slow"}), does=lambda: Signal(value=len(names))
    )
    assert await sensed(slow, after) == {"slow": 2, "after": 1}
    assert names[0].startswith("turnout-signals")


def test_what_is_late_is_absent_and_the_rest_is_there() -> None:
    gate = threading.Event()
    try:
        late = Read(name="late", does=lambda: gate.wait(10) and Signal(value=1))
        told = asyncio.run(sensed(late, Read(name="quick", off_loop=False), deadline_s=0.001))
        assert told == {"late": "timeout", "quick": 1}
    finally:
        gate.set()


def test_work_beyond_the_queue_is_refused_at_once() -> None:
    gate = threading.Event()
    try:
        senses = [Read(name=f"s{i}", does=lambda: gate.wait(10) and Signal(value=1)) for i in range(3)]
        told = asyncio.run(sensed(*senses, deadline_s=0.001, queue=2))
        assert told == {"s0": "timeout", "s1": "timeout", "s2": "busy"}
    finally:
        gate.set()


async def test_what_is_known_already_starts_no_thread() -> None:
    threads = Threads()
    known = Read(name="known", known=Signal(value=7), does=None)
    assert found(await Beside(threads, nobody, 1.0).sense((known,), REQUEST, ASK, NOW)) == {"known": 7}
    assert threads._executor is None


async def test_a_sense_that_fails_is_absent_with_its_reason() -> None:
    def absent():
        raise AbsentError("no_text")

    def broken():
        raise ZeroDivisionError

    assert await sensed(Read(name="absent", does=absent), Read(name="broken", does=broken)) == {
        "absent": "no_text",
        "broken": "ZeroDivisionError",
    }


async def test_vectors_are_asked_of_a_model_on_the_callers_key_and_kept() -> None:
    asked = []

    async def embed(request: EmbedRequest, ask: Ask) -> EmbedResponse:
        asked.append((request.model, list(request.input), ask.endpoint, ask.log_content, len(ask.request_id)))
        return EmbedResponse(model="m", vectors=((3.0, 4.0),))

    sense = RemoteEmbedSense(model="host/embedder")
    told = await sensed(CANONICAL, sense, embed=embed)
    assert told["embed.remote"] == "remote/host/embedder/full"
    assert asked == [("host/embedder", ["Where is my card?"], "embeddings", False, 30)]
    assert (await sensed(CANONICAL, sense))["embed.remote"] == "remote/host/embedder/full"


async def test_a_call_that_fails_or_is_late_or_wrong_leaves_the_vector_absent() -> None:
    async def refused(request, ask):
        raise ProviderOverloaded("busy")

    async def late(request, ask):
        await asyncio.Event().wait()

    async def wrong(request, ask):
        return EmbedResponse(model="m", vectors=())

    async def infinite(request, ask):
        return EmbedResponse(model="m", vectors=((float("nan"), 1.0),))

    told = []
    for embed in (refused, late, wrong, infinite):
        sense = RemoteEmbedSense(model="host/embedder", deadline_s=0.001)
        told.append((await sensed(CANONICAL, sense, embed=embed))["embed.remote"])
    assert told == ["provider_overloaded", "timeout", "bad_answer", "bad_answer"]


async def test_a_decision_that_is_cancelled_cancels_its_call() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def embed(request, ask):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    sense = RemoteEmbedSense(model="host/embedder", deadline_s=60)
    task = asyncio.create_task(sensed(CANONICAL, sense, embed=embed))
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    await asyncio.wait_for(ended.wait(), 5)
    assert task.cancelled()


def test_only_senses_that_must_be_waited_for_are_slow() -> None:
    assert not is_slow((CANONICAL, Read(name="x", off_loop=False)))
    assert is_slow((CANONICAL, Read(name="x")))
    assert is_slow((RemoteEmbedSense(model="m"),))
