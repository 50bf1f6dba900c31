"""Background jobs of a client in process: the gateway's queue without its listener. Floor 6."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import cast

import msgspec

from turnout.build import Built
from turnout.client import Answer
from turnout.codecs.openai_chat import OpenAIChat
from turnout.errors import Conflict, InvalidRequest, ProviderFailed, TimeoutTotal, TurnoutError
from turnout.server.app import Gateway
from turnout.server.deferred import Asked, Deferred, open_deferred
from turnout.server.settings import ServerSettings
from turnout.stores.queue import ENDED, Job, Sent, Served
from turnout.types.http import HttpResponse
from turnout.types.record import CostState
from turnout.types.usage import NanoUsd

CHAT = "/v1/chat/completions"
_HEADERS = ((b"content-type", b"application/json"),)
LOOK_AGAIN_S = (0.05, 2.0)
"""First and longest pause between two looks at a job that is waited for."""


def open_local(built: Built) -> Deferred | None:
    """Open the configured queue for a client, and take up what is due; None = there is none."""
    return open_deferred(built, Gateway(built.engine, built.dialects, ServerSettings()))


class BackgroundJob:
    """A job that was handed in: look at it, wait for it, cancel it."""

    def __init__(self, deferred: Deferred, job_id: str) -> None:
        self._deferred = deferred
        self.id = job_id
        """Keep it, and `client.job(id)` finds the job again after a restart."""

    async def look(self) -> Job:
        """Return the job as it stands: state, plan, times. Raises `NotFound` once it was deleted."""
        return await self._deferred.get(self.id, "")

    async def cancel(self) -> Job:
        """Cancel it, unless it has ended."""
        return await self._deferred.cancel(self.id, "")

    async def wait(self) -> Answer:
        """Return the answer when there is one.

        Raises:
            TurnoutError: The failure the job ended with; `TimeoutTotal` past its deadline, `Conflict`
                where it was cancelled.
        """
        pause_s, longest_s = LOOK_AGAIN_S
        while (job := await self.look()).state not in ENDED:
            await asyncio.sleep(pause_s)
            pause_s = min(longest_s, pause_s * 2)
        served = await self._deferred.answer(job)
        if job.state == "done" and served is not None:
            return _answer(job, served)
        raise _failure(job, served)


async def hand_in(
    deferred: Deferred, body: Mapping[str, object], deadline: float | datetime | None, key: str | None
) -> BackgroundJob:
    """Hand in a chat request written as OpenAI's API writes it. Raises `TurnoutError`."""
    try:
        sent = Sent(CHAT, _HEADERS, msgspec.json.encode(body))
    except TypeError as error:
        raise InvalidRequest(f"messages or parameters hold what JSON cannot say: {error}") from None
    job = await deferred.submit(Asked(sent=sent, owner="", deadline=deadline, key=key))
    return BackgroundJob(deferred, job.id)


def _answer(job: Job, served: Served) -> Answer:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in served.headers}
    response, codec = HttpResponse(served.status, headers, served.body), OpenAIChat()
    cost = headers.get("x-turnout-cost-usd")
    return Answer(
        request_id=job.request_id,
        model=headers.get("x-turnout-model", ""),
        response=codec.decode(response),
        usage=codec.glance(response).usage,
        cost_nusd=None if cost is None else NanoUsd(int(Decimal(cost) * 10**9)),
        cost_state=cast("CostState", headers.get("x-turnout-cost-state", "unknown")),  # our own header
        decision=None,
    )


def _failure(job: Job, served: Served | None) -> TurnoutError:
    if job.state == "cancelled":
        return Conflict(f"the job {job.id} was cancelled")
    if job.state == "expired" or served is None:
        return TimeoutTotal(f"the job {job.id} was not done by {job.deadline_at.isoformat()}")
    error = msgspec.json.decode(served.body).get("error", {})
    kind = _by_word(TurnoutError, job.error or "") or ProviderFailed
    return kind(str(error.get("message", "")), param=error.get("param"))


def _by_word(kind: type[TurnoutError], word: str) -> type[TurnoutError] | None:
    for each in kind.__subclasses__():
        if getattr(getattr(each, "row", None), "word", None) == word:
            return each
        found = _by_word(each, word)
        if found is not None:
            return found
    return None
