"""What was read off clocks and live numbers when a request came. Floor 0."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from msgspec import Struct

from turnout.types.deployment import Candidate
from turnout.types.signal import Signal, Signals

MOMENT: Final = "moment"
"""Name of the signal that the engine itself gives."""


class Session(Struct, frozen=True, kw_only=True):
    """The conversation a request goes on with, as it stood before this turn."""

    deployment: str
    """Id of the deployment that answered the turn before."""
    prefix_tokens: int = 0
    """Tokens of the prompt of the turn before: what a prompt cache may hold."""
    idle_s: float = 0.0
    """Since that answer."""
    n_turns: int = 1


class Moment(Signal, frozen=True, kw_only=True):
    """The engine's readings on arrival, as a signal, so that a decision stays a function of its arguments.

    `value` is the arrival in Unix seconds; the rest is in the Record already, as candidates and ask.
    """

    at: datetime
    """Aware UTC instant of arrival."""
    candidates: tuple[Candidate, ...] = ()
    """Everything the route could choose, before filters."""
    session: Session | None = None
    """None = the request names no session, or a new one."""
    outputs: Mapping[str, int] = {}
    """Deployment id -> output tokens expected of it, where enough of its answers on this route were seen."""
    repeated: AbstractSet[int] = frozenset()
    """Hashes of the blocks that this tenant's requests repeat (`signals/canonical/repeated.py`)."""
    budget_left: float | None = None
    """Share of the tightest budget that is left; None = no budget is kept."""


def moment_in(signals: Signals) -> Moment | None:
    """Return the moment among signals; None where nobody gave one."""
    found = signals.get(MOMENT)
    return found if isinstance(found, Moment) else None
