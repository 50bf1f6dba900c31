"""How much each deployment writes on each route: what the next answer is expected to be as long as. Floor 4.

Theory of operation. Models differ in how much they write, and routes in what they ask for; so the mean is
kept per pair. It is exponentially weighted: a plain mean over the first `SETTLED` answers, then the latest
counts for `MEMORY`. Fewer than `MIN_SEEN` answers say nothing. Answers that broke off are not taken in; those
that the client's limit cut are, which is why a route of short limits expects short answers.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final

MIN_SEEN: Final = 5
MEMORY: Final = 0.05
SETTLED: Final = round(1 / MEMORY)
NOTHING: Final[Mapping[str, int]] = {}


class Outputs:
    """Output tokens by route and deployment. One event loop, no locks."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, tuple[int, float]]] = {}
        """Route -> deployment -> answers seen, mean of their output tokens."""

    def note(self, route: str, deployment: str, n_tokens: int) -> None:
        """Take in an answer that ended."""
        if n_tokens <= 0:
            return
        of_route = self._seen.setdefault(route, {})
        n, mean = of_route.get(deployment, (0, 0.0))
        n = min(n + 1, SETTLED)
        of_route[deployment] = (n, mean + (n_tokens - mean) / n)

    def of(self, route: str, limit: int) -> Mapping[str, int]:
        """Return what is expected of each deployment that is known well enough, at most `limit`."""
        of_route = self._seen.get(route)
        if not of_route:
            return NOTHING
        return {name: min(ceil(mean), limit) for name, (n, mean) in of_route.items() if n >= MIN_SEEN}
