"""`time`: when the request came, on the clock of UTC. Floor 2."""

from typing import Final

from msgspec import Struct

from turnout.signals.base import moment_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class TimeSense(Struct, frozen=True):
    """Hour and weekday of the arrival, which is an argument. Zones and peak windows are a strategy's.

    No default when absent: a rule about time does not match.
    """

    name: str = "time"
    needs: frozenset[str] = frozenset({"moment"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return hour (0–23), weekday (`mon`–`sun`) and minute of the day."""
        at = moment_of(so_far).at
        return Signal(
            value={
                "hour": at.hour,
                "minute_of_day": 60 * at.hour + at.minute,
                "weekday": WEEKDAYS[at.weekday()],
                "zone": "UTC",
            }
        )


TIME: Final = TimeSense()
