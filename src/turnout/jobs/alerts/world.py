"""What rules may look at. Floor 4."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from turnout.engine.books import Books
from turnout.engine.certified import Standings
from turnout.engine.snapshot import Snapshot
from turnout.stores.base import Journal
from turnout.stores.feedback.base import FeedbackStore
from turnout.types.deployment import Stats
from turnout.types.limits import Budget


class Used(Struct, frozen=True, kw_only=True):
    """How much of one budget one subject has used."""

    budget: Budget
    subject: str
    used_nusd: int
    resets_at: datetime | None
    """None = never, or it slides."""


class Ends(Struct, frozen=True, kw_only=True):
    """A key or token that ends."""

    kind: str
    id: str
    name: str
    expires: datetime


class World(Struct, frozen=True, kw_only=True):
    """What one process of a gateway knows."""

    journal: Journal | None
    snapshot: Callable[[], Snapshot]
    health: Callable[[], Mapping[str, Stats]]
    """By deployment, as this process sees it."""
    books: Callable[[], Books | None]
    standings: Standings
    feedback: FeedbackStore | None
    """Where judges' scores are."""
    budgets: Callable[[], Awaitable[Sequence[Used]]]
    expiring: Callable[[float], Awaitable[Sequence[Ends]]]
    """Returns what works now and ends within so many seconds."""
