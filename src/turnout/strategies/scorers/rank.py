"""`rank` and `constant`: numbers the operator declared. Floor 2."""

from collections.abc import Sequence
from math import isfinite

from msgspec import Struct

from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.strategies.base import Context, Role, Setting
from turnout.types.deployment import Candidate


class Rank(Struct, frozen=True, tag="rank", kw_only=True, forbid_unknown_fields=True):
    """The declared order: by the deployments' `priority`, then as listed. First is 0, the next -1."""

    weight: float = 1.0

    @property
    def name(self) -> str:
        """Word for Records."""
        return "rank"

    @property
    def role(self) -> Role:
        """A rank."""
        return "rank"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return minus the place of each candidate."""
        places = [0.0] * len(candidates)
        ordered = sorted(range(len(candidates)), key=lambda i: candidates[i].deployment.priority)
        for place, i in enumerate(ordered):
            places[i] = -float(place)
        return places


class Constant(Struct, frozen=True, tag="constant", kw_only=True, forbid_unknown_fields=True):
    """A number per deployment or model, as written."""

    values: dict[str, float]
    """Deployment id or model id -> number."""
    default: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        bad = [name for name, value in self.values.items() if not isfinite(value)]
        if bad or not isfinite(self.default):
            raise ValueError(f"values: {bad[0] if bad else 'default'} is not a number")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "constant"

    @property
    def role(self) -> Role:
        """A rank."""
        return "rank"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def bind(self, setting: Setting) -> "Constant":
        """Refuse names that are not in the pool."""
        known = {name for d in setting.pool for name in (d.id, d.model.id)}
        unknown = [name for name in self.values if name not in known]
        if unknown:
            hint = did_you_mean(unknown[0], known)
            raise ConfigError((f"values: {unknown[0]!r} is not in the route's models{hint}",))
        return self

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the declared numbers."""
        values, default = self.values, self.default
        return [values.get(c.id, values.get(c.deployment.model.id, default)) for c in candidates]
