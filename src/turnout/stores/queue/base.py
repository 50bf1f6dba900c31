"""What a job is, and what every queue promises. Floor 3.

Theory of operation.

1. A job is `queued` until its start, `running` while one holder has a lease on it, and then `done`, `failed`,
   `cancelled` or `expired` for good. Every step is one atomic call that names the state it starts from.
2. A holder renews its leases. A lease that ran out is a holder that died: the job is claimed again, under the
   request id it had, and whatever the late holder still says of it is refused.
3. An idempotency key stands for one job of one owner for as long as the job is kept.
4. The request is deleted when its job ends; the answer when it was collected long enough ago, or nobody came.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal, Protocol

from msgspec import Struct

State = Literal["queued", "running", "done", "failed", "cancelled", "expired"]
Ending = Literal["done", "failed", "cancelled", "expired"]
ENDED: Final[frozenset[State]] = frozenset({"done", "failed", "cancelled", "expired"})


class Booking(Struct, frozen=True, kw_only=True):
    """When a job is to run, where by today's knowledge, and at what price."""

    start_at: datetime
    latest_at: datetime
    """From here on it cannot wait any more: it is promoted."""
    slot: str | None = None
    """The slot it waits for or is in; None = the plain price."""
    deployment: str | None = None
    """Whom the route would ask first at that hour."""
    model: str | None = None
    price_nusd: int | None = None
    """Expected price there and then; None = not known."""
    price_factor: float = 1.0
    plain_nusd: int | None = None
    """Expected price of running at once."""
    p_done: float | None = None
    """Probability of being done before the deadline; None = nothing was observed yet."""
    promoted: bool = False
    """Whether there is no time to wait."""


class Sent(Struct, frozen=True):
    """The client's request, as it will be served."""

    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Served(Struct, frozen=True):
    """What the endpoint answered."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Draft(Struct, frozen=True, kw_only=True):
    """A job to be taken in."""

    id: str
    owner: str
    """Id of the key that hands it in; "" = a gateway without keys."""
    request_id: str
    sent: Sent
    booking: Booking
    deadline_at: datetime
    key: str | None = None
    """Idempotency key."""
    digest: bytes = b""
    """Of what came with the key."""


class Job(Struct, frozen=True, kw_only=True):
    """A job as it stands, without its request and answer."""

    id: str
    owner: str
    state: State
    path: str
    request_id: str
    """Of the run to come, the one under way, or the last."""
    booking: Booking
    created_at: datetime
    deadline_at: datetime
    n_runs: int = 0
    """Runs that ended."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    collected_at: datetime | None = None
    status: int | None = None
    """HTTP status of the answer."""
    error: str | None = None
    """Class word of the last failure."""
    key: str | None = None


class Claimed(Struct, frozen=True):
    """A job whose lease the caller has."""

    job: Job
    sent: Sent
    promoted: bool
    """Whether it ran out of time to wait."""


class Queue(Protocol):
    """Keeps jobs. Blocking: called from a thread that may wait. Every call may raise `StoreUnavailable`."""

    def submit(self, draft: Draft, now: datetime, most: int) -> Job:
        """Take in a job, or return the one that came with the same idempotency key before.

        Raises:
            Conflict: The key came with something else.
            CapacityExhausted: `most` jobs wait or run already.
        """
        ...

    def claim(self, holder: str, now: datetime, lease_s: float, most: int) -> list[Claimed]:
        """Take the jobs that are due, while fewer than `most` run; those out of time first."""
        ...

    def renew(self, holder: str, ids: Collection[str], now: datetime, lease_s: float) -> frozenset[str]:
        """Extend leases; return the jobs that are still the holder's."""
        ...

    def finish(self, holder: str, job: Job, ending: Ending, served: Served | None, now: datetime) -> bool:
        """End a job, with `job.error`; False = it is not the holder's any more, and nothing was changed."""
        ...

    def release(self, holder: str, job: Job) -> bool:
        """Queue a running job again, with its `booking`, `request_id`, `n_runs` and `error`."""
        ...

    def cancel(self, job_id: str, owner: str | None, now: datetime) -> Job | None:
        """Cancel a job that has not ended; return it as it stands then. `owner` None = whoever's."""
        ...

    def get(self, job_id: str, owner: str | None) -> Job | None:
        """Return a job."""
        ...

    def answer(self, job_id: str, now: datetime | None) -> Served | None:
        """Return what an ended job was answered, and note that it was collected; `now` None = do not."""
        ...

    def ended(self, ids: Collection[str]) -> list[str]:
        """Return those of these jobs that have ended, or are not there."""
        ...

    def jobs(self, owner: str | None, limit: int, after: str | None = None) -> list[Job]:
        """Return jobs, newest first; `after` = the last id of the page before."""
        ...

    def ahead(self, start_at: datetime) -> int:
        """Return how many jobs run, or are due no later than an instant."""
        ...

    def due(self, now: datetime) -> datetime | None:
        """Return the next instant after `now` at which a job starts or a lease runs out."""
        ...

    def sweep(self, now: datetime, retention_s: float, keep_s: float) -> int:
        """Expire what is past its deadline and delete what was kept long enough; return the rows deleted."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
