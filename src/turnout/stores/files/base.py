"""What a file and a batch are. Floor 3."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

Purpose = Literal["batch", "batch_output", "user_data", "assistants", "vision", "evals", "fine-tune"]
PURPOSES: Final[frozenset[str]] = frozenset(get_args(Purpose)) - {"batch_output"}
"""Those that a client may name."""
Form = Literal["openai", "anthropic", "gemini"]
"""Whose shape a batch was handed in and is shown in."""
BatchState = Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelled"]
"""As it is stored; `cancelling` is a batch that was told to stop and has not yet."""
ENDED: Final[frozenset[BatchState]] = frozenset({"completed", "failed", "expired", "cancelled"})
Kind = Literal["succeeded", "errored", "canceled", "expired"]
"""What became of a line."""


class File(Struct, frozen=True, kw_only=True):
    """One file, without its content."""

    id: str
    owner: str
    """Who may see it: a project, or a key that has none."""
    purpose: Purpose
    name: str
    n_bytes: int
    created_at: datetime
    expires_at: datetime | None = None
    organisation: str | None = None
    customer: str | None = None
    """Whose content it is, where the key belongs to an end customer."""
    mime: str = ""
    """Type that its client named."""


class Room(Struct, frozen=True, kw_only=True):
    """How much one owner may keep."""

    max_bytes: int
    max_files: int


class Defect(Struct, frozen=True):
    """What is wrong with a line of an input file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Counts(Struct, frozen=True):
    """Lines of a batch by what became of them."""

    total: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def open(self) -> int:
        """Lines without an end."""
        return self.total - self.succeeded - self.errored - self.canceled - self.expired


class Handover(Struct, frozen=True, kw_only=True):
    """A batch in the hands of a provider's own batch endpoint."""

    deployment: str
    """Whose vendor, address and credential."""
    deployments: tuple[str, ...]
    """Of the lines, in order."""
    request_ids: tuple[str, ...]
    """Of the lines, in order: names of the Records to come."""
    id: str = ""
    """The provider's name of the batch; "" = it may or may not have arrived."""
    input_file: str = ""
    """The provider's name of the file it was given."""
    reserved: tuple[str, ...] = ()
    """Accounts by reservation, one for each deployment: `usd,tokens`."""
    sent: bool = False
    """Whether it may have arrived."""
    failed: bool = False
    """It is our own engine's now: it stayed here, came back, or was answered as far as it will be."""


class Batch(Struct, frozen=True, kw_only=True):
    """One batch, without its lines."""

    id: str
    owner: str
    key_id: str
    """Whose requests its lines are; "" = a gateway without keys."""
    form: Form
    endpoint: str
    created_at: datetime
    deadline_at: datetime
    state: BatchState = "validating"
    window: str = "24h"
    input_file: str = ""
    metadata: Mapping[str, str] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Of the request that made it: how its lines are to be served."""
    output_expires_s: float | None = None
    organisation: str | None = None
    customer: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    errors: tuple[Defect, ...] = ()
    counts: Counts = Counts()
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    ended_at: datetime | None = None
    cancelling_at: datetime | None = None
    """Kept apart from the rest: whoever runs the batch never overwrites it."""
    handover: Handover | None = None


class Line(Struct, frozen=True):
    """One request of a batch."""

    n: int
    """From 1."""
    custom_id: str
    body: bytes
    job: str | None = None
    """The background job that answers it."""


class Result(Struct, frozen=True):
    """What became of a line."""

    kind: Kind
    status: int = 0
    """HTTP status of the answer; 0 = there is none."""
    request_id: str = ""
    body: bytes = b""
    code: str = ""
    """Of a line without an answer."""
    message: str = ""


class Stored(Struct, frozen=True):
    """A line that ended."""

    n: int
    custom_id: str
    result: Result
