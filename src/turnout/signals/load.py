"""`load`: how busy the deployments of the route are. Floor 2."""

from typing import Final

from msgspec import Struct

from turnout.signals.base import moment_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class LoadSense(Struct, frozen=True):
    """How busy the route's deployments are. Declared default when absent: an idle fleet."""

    name: str = "load"
    needs: frozenset[str] = frozenset({"moment"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return calls in flight, deployments closed to traffic, and the busiest one's share of its cap."""
        candidates = moment_of(so_far).candidates
        caps = [(c.stats.in_flight, c.deployment.limits.max_concurrency) for c in candidates]
        return Signal(
            value={
                "in_flight": sum(n for n, _ in caps),
                "n_open": sum(c.stats.state == "open" for c in candidates),
                "busiest": max((n / cap for n, cap in caps if cap), default=0.0),
            }
        )


LOAD: Final = LoadSense()
