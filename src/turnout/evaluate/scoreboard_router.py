"""What a scoreboard can evaluate: a configured route, a trainer, a baseline. Floor 6."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct

from turnout.engine.snapshot import Snapshot
from turnout.evaluate import baselines
from turnout.evaluate.baselines import Fold, Run
from turnout.evaluate.metrics import Floats
from turnout.evaluate.scoreboard_measure import Sweep
from turnout.evaluate.scoreboard_types import Router
from turnout.evaluate.simulate_route import SETTINGS, Decision, Table, setup
from turnout.learn.base import Trainer

NO_TIMES = np.empty(0)


class Standing(Struct, frozen=True, eq=False, kw_only=True):
    """What a contender comes to on the test items of a fold. One row an item."""

    run: Run
    low: Floats
    high: Floats
    quality: Floats | None = None
    """Predicted scores; None: it predicts none."""
    utility: Floats | None = None
    """What it ranks models by, without the price of money; None: nothing of the kind."""
    sweep: Sweep | None = None
    """Over the price of money; None: costs are not known, or it has no price."""
    rejected: Floats | None = None
    """Answers that an acceptor sent on."""
    decisions: tuple[Decision, ...] = ()
    seconds: Floats = NO_TIMES
    """Of each decision on this machine: never part of a result."""

    @property
    def timing(self) -> str:
        """How long decisions took, in words; empty where nobody measured."""
        if not self.seconds.size:
            return ""
        p50, p99 = np.quantile(self.seconds, (0.5, 0.99)) * 1e6
        return f"p50 {p50:.0f} µs, p99 {p99:.0f} µs on this machine, signals included"


class Contender(Protocol):
    """Something that chooses."""

    @property
    def card(self) -> Router:
        """What it is."""
        ...

    def on(self, fold: Fold) -> Standing:
        """Return what it comes to on the test items. It learns from the training items alone."""
        ...


class RouteContender(Struct, frozen=True, eq=False):
    """A route of a compiled configuration."""

    snapshot: Snapshot
    route: str
    card: Router
    samples: int = 0
    """Decisions kept for the report."""

    def on(self, fold: Fold) -> Standing:
        """Decide and play every test item."""
        table = Table(setup(self.snapshot, self.route, fold), fold.test)
        found = table.run(self.card.name, samples=self.samples)
        matrix, sweep = found.matrix, None
        if fold.charges is not None:
            grid = baselines.prices(fold.charges).tolist()
            if matrix is not None:
                chosen = [matrix.choose(price) for price in grid]
                sweep = baselines.sweep(self.card.name, fold.test, chosen)
            else:
                sweep = table.sweep(self.card.name, _thinned(grid))
        return Standing(
            run=found.run,
            low=found.low,
            high=found.high,
            quality=None if matrix is None else matrix.quality,
            utility=None if matrix is None else matrix.base,
            sweep=sweep,
            rejected=np.array([each.n_rejected for each in found.played], dtype=np.float64),
            decisions=found.decisions,
            seconds=found.seconds,
        )


class ForecastContender(Struct, frozen=True, eq=False):
    """Takes the model with the highest forecast, less λ times its expected cost."""

    card: Router
    forecast: baselines.Forecaster
    samples: int = 0

    def on(self, fold: Fold) -> Standing:
        """Fit on the training items and choose for the test items."""
        quality = self.forecast(fold)
        name, charges = self.card.name, fold.charges
        run = baselines.picked(name, fold.test, baselines.choose(quality, charges, self.card.price or 0.0))
        swept = None
        if charges is not None:
            settings = [
                baselines.choose(quality, charges, float(price)) for price in baselines.prices(charges)
            ]
            swept = baselines.sweep(name, fold.test, settings)
        known = ~np.isnan(run.scores)
        return Standing(
            run=run,
            low=np.where(known, run.scores, 0.0),
            high=np.where(known, run.scores, 1.0),
            quality=quality,
            utility=quality,
            sweep=swept,
            decisions=tuple(
                self._decision(fold, run, quality, i) for i in range(min(self.samples, fold.test.n))
            ),
        )

    def _decision(self, fold: Fold, run: Run, quality: Floats, i: int) -> Decision:
        item, models, at = fold.test.items[i], fold.test.models, int(run.chosen[i])
        score, cost = float(run.scores[i]), float(run.costs[i])
        return Decision(
            item=item.item_id,
            prompt_id=item.prompt_id,
            plan={"try": models[at]},
            reason="highest_score",
            quality={name: round(float(q), 6) for name, q in zip(models, quality[i], strict=True)},
            utility={},
            answered_by=models[at],
            score=None if np.isnan(score) else score,
            cost_nusd=None if np.isnan(cost) else round(cost * 1e9),
        )


def from_trainer(
    name: str, trainer: Trainer, encoder: str, *, price: float = 0.0, samples: int = 0
) -> Contender:
    """Return what a trainer makes of each fold's training items."""
    card = Router(name=name, kind="trainer", strategy=trainer.kind, encoder=encoder, price=price)
    return ForecastContender(card, baselines.trained(trainer), samples)


def from_baseline(name: str, encoder: str, *, price: float = 0.0, samples: int = 0) -> Contender:
    """Return one of the baselines as the router."""
    kind: Literal["baseline"] = "baseline"
    card = Router(name=f"{name} as router", kind=kind, strategy=name, encoder=encoder, price=price)
    return ForecastContender(card, baselines.FORECASTS[name], samples)


def _thinned(grid: Sequence[float]) -> list[float]:
    """Return fewer prices, both ends included."""
    at = np.unique(np.linspace(0, len(grid) - 1, SETTINGS).round().astype(int))
    return [grid[i] for i in at]


def joined(standings: Sequence[Standing]) -> Standing:
    """Return the standings of several folds as one."""
    if len(standings) == 1:
        return standings[0]
    sweeps = [each.sweep for each in standings if each.sweep is not None]
    whole = len(sweeps) == len(standings)
    return Standing(
        run=baselines.joined([each.run for each in standings]),
        low=np.concatenate([each.low for each in standings]),
        high=np.concatenate([each.high for each in standings]),
        quality=_stacked([each.quality for each in standings]),
        utility=_stacked([each.utility for each in standings]),
        sweep=Sweep(
            sweeps[0].name,
            np.concatenate([each.scores for each in sweeps], axis=1),
            np.concatenate([each.costs for each in sweeps], axis=1),
        )
        if whole
        else None,
        rejected=_stacked([each.rejected for each in standings]),
        decisions=standings[0].decisions,
        seconds=np.concatenate([each.seconds for each in standings]),
    )


def _stacked(parts: Sequence[Floats | None]) -> Floats | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
