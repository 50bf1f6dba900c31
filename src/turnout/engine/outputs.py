"""How much each deployment writes on each route: what the next answer is expected to be as long as. Floor 4.

Theory of operation. Models differ in how much they write, and routes in what they ask for; so the mean is
kept per pair. It is exponentially weighted: a plain mean over the first `SETTLED` answers, then the latest
counts for `MEMORY`. Fewer than `MIN_SEEN` answers say nothing. Answers that broke off are not taken in; those
that the client's limit cut are, which is why a route of short limits expects short answers.

There are more decisions than changes of a whole token, so what is expected is kept ready: a mapping that is
replaced, never changed, as decisions hold on to it.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final

MIN_SEEN: Final = 5
MEMORY: Final = 0.05
SETTLED: Final = round(1 / MEMORY)
NOTHING: Final[Mapping[str, int]] = {}
NOBODY: Final[tuple[dict[str, int], int]] = ({}, 0)


class Outputs:
    """Output tokens by route and deployment. One event loop, no locks."""

    __slots__ = ("_expected", "_seen")

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, tuple[int, float]]] = {}
        """Route -> deployment -> answers seen, mean of their output tokens."""
        self._expected: dict[str, tuple[dict[str, int], int]] = {}
        """Route -> what is expected of each deployment that is known well enough, and the most of these."""

    def note(self, route: str, deployment: str, n_tokens: int) -> None:
        """Take in an answer that ended."""
        if n_tokens <= 0:
            return
        of_route = self._seen.setdefault(route, {})
        n, mean = of_route.get(deployment, (0, 0.0))
        n = min(n + 1, SETTLED)
        mean += (n_tokens - mean) / n
        of_route[deployment] = (n, mean)
        expected, length = self._expected.get(route, NOBODY)[0], ceil(mean)
        if n >= MIN_SEEN and expected.get(deployment) != length:
            expected = {**expected, deployment: length}
            self._expected[route] = (expected, max(expected.values()))

    def of(self, route: str, limit: int) -> Mapping[str, int]:
        """Return what is expected of each deployment that is known well enough, at most `limit`."""
        found = self._expected.get(route)
        if found is None:
            return NOTHING
        expected, most = found
        return expected if most <= limit else {name: min(length, limit) for name, length in expected.items()}
