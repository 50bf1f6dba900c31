"""The background queue of one process: what takes jobs in, plans them and runs them. Floor 6.

Theory of operation.

1. A job is a request as a client would send it. It is read, checked and run by the endpoint of its path:
   `Inside` serves a request whose client is this process, for the key that handed the job in.
2. Planning reads the request as far as the engine and stops there; then the engine says whom it would
   choose at each hour that matters.
3. While there is time, a run makes one try without fallbacks, as background work; a job that is out of
   time, or at its last try, is run as a user's request.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from turnout.build import Built
from turnout.config import BackgroundConfig
from turnout.engine.engine import Engine, Opened
from turnout.engine.exchange import Request
from turnout.errors import (
    GatewayError,
    InvalidRequest,
    LoopDetected,
    NotFound,
    ProviderAuth,
    ProviderError,
    ProviderModelUnavailable,
    RateLimited,
    TurnoutError,
)
from turnout.jobs.booking import Option, Span, book, instants
from turnout.jobs.queue import Ran, Rules, Runner
from turnout.server.defects import note_defect
from turnout.server.http import Disconnected
from turnout.server.ids import new_request_id
from turnout.stores.queue import Booking, Claimed, Draft, Job, Sent, Served, SqliteQueue
from turnout.strategies.modifiers import Background as InBackground
from turnout.strategies.pipeline import Pipeline
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.record import Decision
from turnout.types.slot import Slot, price_factor

Opens = Callable[[Request, Ask], Opened]
"""What an endpoint calls once it has read a request."""
LASTING = (ProviderAuth, ProviderModelUnavailable, LoopDetected)
"""Failures of providers and of the gateway that time does not mend."""
UNBOUNDED_S = 600.0
"""Reckoned for a run that has no time-out and was never observed."""
_NO_SPAN = Span(0.0)
RESTART_S = 1.0


class Inside(Protocol):
    """A gateway that serves requests of its own process."""

    deferred: "Deferred | None"

    async def inside(
        self, sent: Sent, owner: str, request_id: str, opens: Opens
    ) -> tuple[Served, TurnoutError | None]:
        """Serve a request for a key, through the endpoint of its path; the failure, if it is one."""
        ...


class Asked(Struct, frozen=True, kw_only=True):
    """What a caller wants done in the background."""

    sent: Sent
    owner: str
    deadline: float | datetime | None = None
    """Seconds from now, or an instant."""
    key: str | None = None


class Planned(Struct, frozen=True):
    """A request as its endpoint read it."""

    request: Request
    ask: Ask


class Deferred:
    """Jobs of this process; the queue may be shared with others. Must be closed."""

    def __init__(
        self, engine: Engine, inside: Inside, config: Callable[[], BackgroundConfig], path: Path
    ) -> None:
        """Open the queue.

        Raises:
            ConfigError: The file cannot be used.
        """
        self._engine = engine
        self._inside = inside
        self._config = config
        self._queue = SqliteQueue(path)
        self._runner = Runner(
            self._queue, self._run, self._rebook, rules=self._rules, now=_now, new_request_id=new_request_id
        )
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take up what is due, from now on."""
        self._running = asyncio.get_running_loop().create_task(self._work(), name="background jobs")

    async def close(self, grace_s: float = 0.0) -> None:
        """Let what runs end within the grace period, queue the rest again, and close the file."""
        if self._running is not None:
            self._runner.stop(grace_s)
            await asyncio.wait((self._running,))
            self._running = None
        self._queue.close()

    async def _work(self) -> None:
        while True:
            try:
                return await self._runner.run()
            except Exception as error:  # noqa: BLE001  the boundary of jobs: noted, and the gateway serves on
                note_defect("background", error)
            await asyncio.sleep(RESTART_S)

    async def submit(self, asked: Asked) -> Job:
        """Take in a job.

        Raises:
            TurnoutError: Whatever its endpoint says of the request; `Conflict`; `CapacityExhausted`.
        """
        now = _now()
        rest = new_request_id().removeprefix("req_")
        planned = await self.read(asked.sent, asked.owner)
        if isinstance(planned.request, ChatRequest) and planned.request.stream:
            raise InvalidRequest("a background job is not streamed; leave stream out", param="body.stream")
        deadline = await self._deadline(asked.deadline, planned, now)
        booking = await self._book(planned, now, deadline)
        draft = Draft(
            id=f"job_{rest}",
            owner=asked.owner,
            request_id=f"req_{rest}",
            sent=asked.sent,
            booking=booking,
            deadline_at=deadline,
            key=asked.key,
            digest=_digest(asked),
        )
        job = await asyncio.to_thread(self._queue.submit, draft, now, self._config().max_jobs)
        self._runner.wake()
        return job

    async def get(self, job_id: str, owner: str) -> Job:
        """Return a job. Raises `NotFound`, also where it is another key's."""
        return _found(job_id, await asyncio.to_thread(self._queue.get, job_id, owner))

    async def answer(self, job: Job) -> Served | None:
        """Return what the job was answered, and note that it was collected; None = there is no answer."""
        return None if job.status is None else await asyncio.to_thread(self._queue.answer, job.id, _now())

    async def ended(self, ids: Collection[str]) -> list[str]:
        """Return those of these jobs that have ended, or are not there."""
        return await asyncio.to_thread(self._queue.ended, ids)

    async def outcome(self, job_id: str) -> tuple[Job | None, Served | None]:
        """Return a job with its answer, whoever's it is, and leave it uncollected."""
        job = await asyncio.to_thread(self._queue.get, job_id, None)
        return job, await asyncio.to_thread(self._queue.answer, job_id, None)

    async def collect(self, job_id: str) -> None:
        """Note that the answer of a job was collected."""
        await asyncio.to_thread(self._queue.answer, job_id, _now())

    async def cancel(self, job_id: str, owner: str) -> Job:
        """Cancel a job that has not ended. Raises `NotFound`."""
        job = _found(job_id, await asyncio.to_thread(self._queue.cancel, job_id, owner, _now()))
        if job.state == "cancelled":
            self._runner.drop(job_id)
        return job

    async def jobs(self, owner: str, limit: int, after: str | None) -> list[Job]:
        """Return the jobs of a key, newest first."""
        return await asyncio.to_thread(self._queue.jobs, owner, limit, after)

    def _rules(self) -> Rules:
        config = self._config()
        return Rules(
            max_running=config.max_running,
            max_tries=config.max_tries,
            lease_s=config.lease_s,
            retention_s=config.retention_s,
            keep_s=config.keep_s,
        )

    async def read(self, sent: Sent, owner: str) -> Planned:
        """Have the endpoint read a request. Raises what it says of it."""
        found: list[Planned] = []

        def note(request: Request, ask: Ask) -> Opened:
            found.append(Planned(request, msgspec.structs.replace(ask, visibility="background")))
            raise Disconnected  # nobody waits for an answer

        _, error = await self._inside.inside(sent, owner, new_request_id(), note)
        if error is not None:
            raise error
        if not found:
            raise NotFound(f"{sent.path[:200]} cannot be asked in the background", param="path")
        return found[0]

    async def _deadline(self, wanted: float | datetime | None, planned: Planned, now: datetime) -> datetime:
        config = self._config()
        if wanted is None:
            deadline = now + timedelta(seconds=await self._default_deadline_s(planned))
        else:
            deadline = wanted if isinstance(wanted, datetime) else now + timedelta(seconds=wanted)
        if deadline <= now:
            raise InvalidRequest("deadline has passed; name a later one", param="deadline")
        if deadline > now + timedelta(seconds=config.max_deadline_s):
            raise InvalidRequest(
                f"deadline is more than {config.max_deadline_s:g} s ahead; name an earlier one",
                param="deadline",
            )
        return deadline

    async def _default_deadline_s(self, planned: Planned) -> float:
        """Return what the strategy of the request's route says, else the configured time."""
        config, snapshot = self._config(), self._engine.snapshot
        try:
            route = snapshot.routes.get((await self.decide(planned, _now())).route)
        except TurnoutError:
            route = None
        strategy = None if route is None else route.strategy
        modifiers = strategy.modify if isinstance(strategy, Pipeline) else ()
        said = [each.deadline_s for each in modifiers if isinstance(each, InBackground)]
        return min([*said, config.max_deadline_s]) if said else min(config.deadline_s, config.max_deadline_s)

    async def _book(self, planned: Planned, earliest: datetime, deadline: datetime) -> Booking:
        """Plan a run. Raises what forbids the request at any hour."""
        slots = {slot for d in self._engine.registry() for slot in d.slots}
        options: list[Option] = []
        refusal: TurnoutError | None = None
        for at in instants(slots, earliest, deadline):
            try:
                options.append(self._option(await self.decide(planned, at), at))
            except TurnoutError as error:
                refusal = refusal or error
        if not options:
            assert refusal is not None
            if not _may_pass(refusal):
                raise refusal
            options = [Option(at=earliest, span=_NO_SPAN)]  # nobody is well now; the run will tell
        config = self._config()
        n_ahead = await asyncio.to_thread(self._queue.ahead, earliest)
        wait_s = n_ahead / config.max_running * (options[0].span.p50_s or 0.0)
        return book(options, deadline, eta=config.eta, wait_s=wait_s)

    async def decide(self, planned: Planned, at: datetime) -> Decision:
        """Return whom the route would choose at an instant. Raises a `TurnoutError` when it is nobody."""
        ask = await self._engine.sensed(planned.request, planned.ask, at=at)
        return self._engine.select(planned.request, ask, at=at)

    def _option(self, decision: Decision, at: datetime) -> Option:
        first = decision.chosen[0]
        deployment = self._engine.snapshot.deployments[first]
        factor = price_factor(deployment.slots, at)
        return Option(
            at=at,
            span=_span(decision, first, deployment.timeouts.total_s or UNBOUNDED_S),
            price_nusd=_price(decision, first, factor),
            price_factor=factor,
            slot=_slot_name(deployment.slots, at, factor),
            deployment=first,
            model=deployment.model.id,
        )

    async def _rebook(self, claimed: Claimed, start: datetime) -> Booking:
        planned = await self.read(claimed.sent, claimed.job.owner)
        booking = await self._book(planned, start, claimed.job.deadline_at)
        return msgspec.structs.replace(booking, latest_at=max(booking.latest_at, start))

    async def _run(self, claimed: Claimed) -> Ran:
        """Run a job once."""
        job = claimed.job
        urgent = claimed.promoted or job.n_runs + 1 >= self._config().max_tries

        def opens(request: Request, ask: Ask) -> Opened:
            left_s = max(0.001, (job.deadline_at - _now()).total_seconds())
            prefer = ask.prefer
            if not urgent and prefer.allow_fallbacks:
                prefer = msgspec.structs.replace(prefer, allow_fallbacks=False)
            ask = msgspec.structs.replace(
                ask,
                prefer=prefer,
                visibility="user" if claimed.promoted else "background",
                timeout_s=left_s if ask.timeout_s is None else min(left_s, ask.timeout_s),
            )
            return self._engine.open(request, ask)

        served, error = await self._inside.inside(claimed.sent, job.owner, job.request_id, opens)
        if error is None:
            return Ran(served)
        return Ran(served, error.row.word, _may_pass(error), error.retry_after_s or 0.0)


def open_deferred(built: Built, inside: Inside) -> Deferred | None:
    """Open the configured queue and take up what is due; None = there is none. Raises `ConfigError`."""
    path = built.config.background.path
    if path is None:
        return None
    deferred = Deferred(built.engine, inside, lambda: built.config.background, Path(path))
    inside.deferred = deferred
    deferred.start()
    return deferred


async def beside_jobs(
    deferred: Deferred | None, serving: Awaitable[None], grace_s: Callable[[], float]
) -> None:
    """Serve to the end, then give the jobs that run their grace period."""
    try:
        await serving
    finally:
        if deferred is not None:
            await deferred.close(grace_s())


def _now() -> datetime:
    return datetime.now(UTC)


def _found(job_id: str, job: Job | None) -> Job:
    if job is None:
        raise NotFound(f"no background job {job_id[:64]!r}", param="id")
    return job


def _digest(asked: Asked) -> bytes:
    deadline = asked.deadline.isoformat() if isinstance(asked.deadline, datetime) else asked.deadline
    parts = (asked.sent.path, asked.sent.headers, asked.sent.body, deadline)
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


def _may_pass(error: TurnoutError) -> bool:
    return isinstance(error, ProviderError | GatewayError | RateLimited) and not isinstance(error, LASTING)


def _span(decision: Decision, deployment: str, bound_s: float) -> Span:
    for view in decision.candidates:
        if view.id == deployment and view.total_s is not None:
            return Span(bound_s, view.total_s.p50, view.total_s.p95)
    return Span(bound_s)


def _price(decision: Decision, deployment: str, factor: float) -> int | None:
    for view in decision.candidates:
        if view.id == deployment and view.cost_nusd is not None and view.cost_nusd.mean is not None:
            return round(view.cost_nusd.mean * factor)
    return None


def _slot_name(slots: tuple[Slot, ...], at: datetime, factor: float) -> str | None:
    return next((slot.name for slot in slots if slot.price_factor == factor and slot.holds(at)), None)
