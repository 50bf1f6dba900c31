"""What people do with alerts: look at them, silence them, have a receiver tried. Floor 4."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from turnout.errors import NotFound
from turnout.jobs.alerts.base import EMPTY, Alert, Notice, Silence, State, What
from turnout.jobs.alerts.keep import Kept
from turnout.jobs.alerts.watch import Setup, tell

TEST: Final = "test"
"""Rule of an alert that was asked for."""
MOST_SILENCES: Final = 200


class Board:
    """The alerts of an installation, as any of its processes shows them.

    Args:
        kept: The state; None = nothing was ever watched here.
        setup: Returns what is configured now.
        now: Returns the time.
    """

    __slots__ = ("_kept", "_now", "setup")

    def __init__(
        self, kept: Callable[[], Kept | None], setup: Callable[[], Setup], now: Callable[[], datetime]
    ) -> None:
        self._kept = kept
        self._now = now
        self.setup = setup
        """Returns what is configured now."""

    async def state(self) -> State:
        """Return the state. Raises `StoreUnavailable`."""
        kept = self._kept()
        return EMPTY if kept is None else (await kept.read())[1]

    async def silence(self, alert: str, for_s: float, by: str, reason: str) -> Silence | None:
        """Tell nobody about an alert for a while; 0 s = end its silence.

        Raises:
            NotFound: There is no such alert.
            StoreUnavailable: It cannot be kept.
        """
        kept, now = self._kept(), self._now()
        if kept is None:
            raise NotFound(f"there is no alert {alert!r}")
        until = now + timedelta(seconds=for_s)
        name = f"sil_{secrets.token_hex(8)}"
        made = Silence(id=name, alert=alert, until=until, by=by, reason=reason, at=now)

        def changed(state: State) -> State:
            if all(each.id != alert for each in state.alerts):
                raise NotFound(f"there is no alert {alert!r} now")
            others = tuple(each for each in state.silences if each.alert != alert)
            return replace(state, silences=(*others, made)[-MOST_SILENCES:] if for_s else others)

        await kept.change(changed)
        return made if for_s else None

    async def test(self, receiver: str) -> str | None:
        """Tell a receiver of an alert that is none, and that it is over; return what went wrong.

        Raises:
            NotFound: There is no such receiver.
        """
        receivers, now = self.setup().receivers, self._now()
        if receiver not in receivers:
            known = ", ".join(sorted(receivers)) or "there are none"
            raise NotFound(f"there is no receiver {receiver[:64]!r}; known: {known}")
        begun = Alert(
            id=secrets.token_hex(8),
            rule=TEST,
            type=TEST,
            severity="info",
            labels={"receiver": receiver},
            text="a test of this receiver: nothing is wrong",
            state="firing",
            since=now,
            fired_at=now,
            known_at=now,
        )
        over = replace(begun, state="resolved", ended_at=now)
        steps: tuple[tuple[What, Alert], ...] = (("firing", begun), ("resolved", over))
        for what, alert in steps:
            notice = Notice(
                id=f"ntc_{secrets.token_hex(8)}",
                receiver=receiver,
                what=what,
                rule=TEST,
                severity="info",
                at=now,
                alerts=(alert,),
                next_at=now,
            )
            sent = await tell(receivers[receiver], notice)
            if sent.problem is not None:
                return sent.problem
        return None
