"""`quality`: how good a model's answers are expected to be, from what is known of it. Floor 2."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct

from turnout.catalog.benchmarks import Score, unknown_benchmark
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.strategies.base import Z_90, Context, Role, Setting
from turnout.types.deployment import Candidate, Deployment

NAN = float("nan")


class Quality(Struct, frozen=True, tag="quality", kw_only=True, forbid_unknown_fields=True):
    """A number in [0, 1] per model: as written, or else the benchmark named.

    Public benchmarks are percentages or shares; a value above 1 is read as a percentage.
    """

    values: dict[str, float] = {}
    """Deployment id or model id -> quality, before any benchmark."""
    benchmark: str | None = None
    """Where a model without a value is looked up; None = the mean of the benchmarks that all of the route's
    scored models share, because a mean over different tests compares nothing."""
    sd: float = 0.0
    """Standard deviation of every number."""
    weight: float = 1.0
    known: Mapping[str, float] | None = None
    """Deployment id -> quality; filled when a configuration is loaded."""

    FILLED: ClassVar = frozenset({"known"})

    def __post_init__(self) -> None:
        bad = [f"{name} is {q}" for name, q in self.values.items() if not 0 <= q <= 1]
        if bad:
            raise ValueError(f"values: {bad[0]}; expected between 0 and 1")
        if not 0 <= self.sd < float("inf"):
            raise ValueError(f"sd is {self.sd}; expected at least 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "quality"

    @property
    def role(self) -> Role:
        """A quality."""
        return "quality"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def bind(self, setting: Setting) -> "Quality":
        """Look up the pool. Raises `ConfigError` for unknown names and when nothing is known of any model."""
        names = {name for d in setting.pool for name in (d.id, d.model.id)}
        unknown = [name for name in self.values if name not in names]
        if unknown:
            hint = did_you_mean(unknown[0], names)
            raise ConfigError((f"values: {unknown[0]!r} is not in the route's models{hint}",))
        if self.benchmark is not None and self.benchmark not in setting.scores.benchmarks:
            raise ConfigError((f"benchmark: {unknown_benchmark(self.benchmark, setting.scores.benchmarks)}",))
        wanted = (self.benchmark,) if self.benchmark else self._shared(setting)
        known = {d.id: q for d in setting.pool if (q := self._look_up(d, wanted, setting)) is not None}
        if not known:
            raise ConfigError(
                ("quality: nothing is known of any model of the route; write values:, or import scores",)
            )
        return msgspec.structs.replace(self, known=known)

    def _declared(self, deployment: Deployment) -> float | None:
        return self.values.get(deployment.id, self.values.get(deployment.model.id))

    def _shared(self, setting: Setting) -> Sequence[str]:
        shared: set[str] | None = None
        for deployment in setting.pool:
            if self._declared(deployment) is None:
                model = deployment.model.id
                has = {
                    b for b in setting.scores.benchmarks if _share(setting.scores.get(b, model)) is not None
                }
                shared = shared & has if shared is not None and has else has or shared
        return sorted(shared or ())

    def _look_up(self, deployment: Deployment, wanted: Sequence[str], setting: Setting) -> float | None:
        declared = self._declared(deployment)
        if declared is not None:
            return declared
        shares = [_share(setting.scores.get(name, deployment.model.id)) for name in wanted]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known else None

    @property
    def highest(self) -> float | None:
        """Best quality that any model of the pool reaches with confidence; None before binding."""
        return max(self.known.values()) - Z_90 * self.sd if self.known else None

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the quality of each model; NaN where nothing is known."""
        known = self.known or {}
        return [known.get(c.id, NAN) for c in candidates]

    def spread(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the declared standard deviation; nothing when quality is taken as exact."""
        return [self.sd] * len(candidates) if self.sd else []


def _share(row: Score | None) -> float | None:
    """Read a score as a share, or None when it is neither a share nor a percentage (ratings, error rates)."""
    if row is None or not row.higher_is_better or not 0 <= row.score <= 100:
        return None
    return row.score if row.score <= 1 else row.score / 100
