"""`complexity`: which tier of models a request needs. Floor 2.

The signal says how hard a request is, in [0, 1]; rising thresholds cut that range into tiers. A model of the
needed tier scores 1, a more capable one a little less, a less capable one much less: when the right tier
cannot answer, the request goes up before it goes down.
"""

from collections.abc import Sequence

from msgspec import Struct

from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.strategies.base import Context, Role, Setting
from turnout.types.deployment import Candidate

STEP = 0.1
"""Cost of one tier too many; two tiers too few cost as much again below 0.5."""


class Complexity(Struct, frozen=True, tag="complexity", kw_only=True, forbid_unknown_fields=True):
    """Fit of a model's tier to the request's."""

    tiers: tuple[tuple[str, ...], ...]
    """Deployment or model ids, least capable tier first."""
    thresholds: tuple[float, ...]
    """Rising; one fewer than tiers. At or above the first one the second tier is needed."""
    signal: str = "complexity"
    default: float = 0.5
    """Taken when the signal is absent (ROUTING.md 2.2)."""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if len(self.tiers) < 2 or not all(self.tiers):
            raise ValueError("tiers: expected at least two tiers with a model each")
        if len(self.thresholds) != len(self.tiers) - 1:
            raise ValueError(
                f"thresholds: {len(self.thresholds)} given for {len(self.tiers)} tiers; expected one fewer"
            )
        if list(self.thresholds) != sorted(set(self.thresholds)):
            raise ValueError("thresholds must rise")
        if not all(0 <= t <= 1 for t in (*self.thresholds, self.default)):
            raise ValueError("thresholds and default must lie between 0 and 1")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "complexity"

    @property
    def role(self) -> Role:
        """A rank: adequacy, not a quality that a floor may look at."""
        return "rank"

    @property
    def needs(self) -> frozenset[str]:
        """The signal."""
        return frozenset((self.signal,))

    def bind(self, setting: Setting) -> "Complexity":
        """Refuse names that are not in the pool, and models in two tiers or none."""
        listed = [name for tier in self.tiers for name in tier]
        known = {name for d in setting.pool for name in (d.id, d.model.id)}
        problems = [
            f"tiers: {name!r} is not in the route's models{did_you_mean(name, known)}"
            for name in listed
            if name not in known
        ]
        problems += [
            f"tiers: {name!r} stands twice" for name in dict.fromkeys(listed) if listed.count(name) > 1
        ]
        problems += [
            f"tiers: {d.id!r} is in no tier" for d in setting.pool if not {d.id, d.model.id} & set(listed)
        ]
        if problems:
            raise ConfigError(tuple(problems))
        return self

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return how well each model's tier fits."""
        needed = self.tier(context)
        fit = [
            1.0 - STEP * (at - needed) if at >= needed else 0.5 - STEP * (needed - at) for at in self._range
        ]
        places = {name: at for at, tier in enumerate(self.tiers) for name in tier}
        return [fit[places.get(c.id, places.get(c.deployment.model.id, 0))] for c in candidates]

    @property
    def _range(self) -> range:
        return range(len(self.tiers))

    def tier(self, context: Context) -> int:
        """Return the tier a request needs."""
        signal = context.signals.get(self.signal)
        value = signal.value if signal is not None and signal.error is None else None
        hard = value if isinstance(value, float | int) and value == value else self.default  # noqa: PLR0124  NaN
        return sum(hard >= threshold for threshold in self.thresholds)
