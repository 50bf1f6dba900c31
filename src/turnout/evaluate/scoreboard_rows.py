"""From evidence to the rows of a scoreboard. Floor 6."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from turnout.evaluate import baselines
from turnout.evaluate import scoreboard_measure as measure
from turnout.evaluate.baselines import Run
from turnout.evaluate.metrics import (
    N_BINS,
    Floats,
    Interval,
    aiq_range,
    aiq_range_log,
    aiq_repo,
    brier,
    deferral,
    ece,
    hull,
    regret,
)
from turnout.evaluate.scoreboard_evidence import Allows, Evidence
from turnout.evaluate.scoreboard_measure import Sweep
from turnout.evaluate.scoreboard_two import two_models
from turnout.evaluate.scoreboard_types import (
    CurveLine,
    Difference,
    Fit,
    Forecast,
    Line,
    Place,
    TwoLine,
    verdict_of,
)

SHARE = 0.95
"""Of the reference's quality, whose cost is reported."""
N_BAND = 41
N_BAND_RESAMPLES = 400
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95)


class Board(Struct, frozen=True, kw_only=True):
    """What depends on the evidence alone."""

    lines: tuple[Line, ...]
    singles: tuple[Line, ...]
    gap: Interval | None
    refused: tuple[str, ...]
    curves: tuple[CurveLine, ...]
    two_models: tuple[TwoLine, ...]
    forecasts: tuple[Forecast, ...]
    differences: tuple[Difference, ...]
    domains: tuple[Place, ...]
    clusters: tuple[Place, ...]
    cost_fit: Fit | None
    latency_fit: Fit | None
    escalated: float | None


def board(evidence: Evidence, allows: Allows) -> Board:
    """Return every row there is time for, the most wanted first."""
    runs = _runs(evidence)
    alone = [
        baselines.picked(name, evidence.bench, np.full(evidence.bench.n, m))
        for m, name in enumerate(evidence.bench.models)
    ]
    gap = _gap(evidence)
    lines, singles, differences = _lines(evidence, runs, alone)
    refused, twos, areas = two_models(evidence, gap, allows)
    curves, aiqs = _curves(evidence, allows)
    places = allows("domains")
    return Board(
        lines=lines,
        singles=singles,
        gap=gap,
        refused=refused,
        curves=curves,
        two_models=twos,
        forecasts=_forecasts(evidence) if allows("forecasts") else (),
        differences=(*differences, *aiqs, *areas),
        domains=_places(evidence, evidence.bench.places.tolist()) if places else (),
        clusters=_places(evidence, [f"cluster {c}" for c in evidence.clusters.tolist()])
        if evidence.clusters is not None and allows("clusters")
        else (),
        cost_fit=_fit(evidence, evidence.train.costs, evidence.router.run.costs),
        latency_fit=_fit(evidence, evidence.train.latency, evidence.router.run.latency),
        escalated=None if evidence.router.rejected is None else float((evidence.router.rejected > 0).mean()),
    )


def _runs(evidence: Evidence) -> list[Run]:
    """Return the router and what it has to beat, at its price of money."""
    bench, router = evidence.bench, evidence.router.run
    runs = [
        router,
        baselines.oracle(bench),
        baselines.dataset_oracle(bench),
        baselines.picked("best single", bench, evidence.best),
    ]
    if evidence.cheapest is not None:
        runs.append(baselines.picked("cheapest", bench, evidence.cheapest))
    if bench.priced and np.isfinite(router.costs).all():
        runs.append(baselines.mixture(bench, float(router.costs.mean())))
    runs.append(baselines.random_choice(bench))
    runs += [
        baselines.picked(name, bench, baselines.choose(quality, evidence.charges, evidence.price))
        for name, quality in evidence.forecasts.items()
    ]
    return runs


def _gap(evidence: Evidence) -> Interval | None:
    if evidence.strong is None or evidence.weak is None:
        return None
    models, scores = evidence.bench.models, evidence.bench.scores
    strong, weak = (scores[:, models.index(name)] for name in (evidence.strong, evidence.weak))
    return _means(evidence, "gap", (strong - weak)[:, None])[0]


def _means(evidence: Evidence, name: str, values: Floats) -> list[Interval]:
    return measure.mean_intervals(
        values, evidence.bench.groups, name=name, seed=evidence.seed, n_resamples=evidence.n_resamples
    )


def _lines(
    evidence: Evidence, runs: Sequence[Run], alone: Sequence[Run]
) -> tuple[tuple[Line, ...], tuple[Line, ...], list[Difference]]:
    router = runs[0].scores
    rivals = [run for run in runs[1:] if run.name not in ("oracle", "dataset oracle")]
    columns = [run.scores for run in (*runs, *alone)] + [router - run.scores for run in rivals]
    found = _means(evidence, "means", np.stack(columns, axis=1))
    qualities, minus = found[: len(runs) + len(alone)], found[len(runs) + len(alone) :]
    lines = [_line(evidence, run, q) for run, q in zip((*runs, *alone), qualities, strict=True)]
    differences = [
        Difference(minus=run.name, of="quality", value=value, verdict=verdict_of(value))
        for run, value in zip(rivals, minus, strict=True)
    ]
    return tuple(lines[: len(runs)]), tuple(lines[len(runs) :]), differences


def _line(evidence: Evidence, run: Run, quality: Interval) -> Line:
    bench = evidence.bench
    rows = np.arange(bench.n)
    best = bench.scores[rows, evidence.best]
    named = bool((run.chosen >= 0).all())
    cost = float(run.costs.mean()) if np.isfinite(run.costs).all() and bench.priced else None
    strong, pgr = None, None
    if evidence.strong is not None and evidence.weak is not None:
        at, low = bench.models.index(evidence.strong), bench.models.index(evidence.weak)
        strong = float((run.chosen == at).mean()) if named else None
        weakest = float(bench.scores[:, low].mean())
        gap = float(bench.scores[:, at].mean()) - weakest
        pgr = (quality.mean - weakest) / gap if gap > 0 else None
    reference = (
        float(bench.scores[:, bench.models.index(evidence.strong)].mean()) if evidence.strong else None
    )
    datasets = [item.dataset or item.place for item in bench.items]
    return Line(
        name=run.name,
        quality=quality,
        cost_usd=cost,
        latency_s=float(run.latency.mean()) if np.isfinite(run.latency).all() else None,
        strong_share=strong,
        models_used=int(np.unique(run.chosen).size) if named else None,
        entropy=measure.entropy(run.chosen) if named else None,
        v_best=quality.mean / float(best.mean()) if best.mean() > 0 else None,
        v_reference=quality.mean / reference if reference else None,
        pgr=pgr,
        regret=regret(bench.scores, run.chosen) if named else None,
        gains=measure.gains(run.scores, bench.scores, best, datasets),
        arena=measure.arena(quality.mean, 1000 * cost) if cost is not None else None,
        optimal=measure.optimal(bench.scores, bench.costs, run.chosen)
        if named and cost is not None
        else None,
    )


# Many models: quality against cost


def _curves(evidence: Evidence, allows: Allows) -> tuple[tuple[CurveLine, ...], list[Difference]]:
    bench, mine = evidence.bench, evidence.router.sweep
    if not bench.priced or evidence.charges is None or not allows("curves"):
        return (), []
    grid = baselines.prices(evidence.charges)
    mine = None if mine is None else baselines.thinned(mine)
    sweeps = [] if mine is None else [mine]
    for name, quality in evidence.forecasts.items():
        chosen = [baselines.choose(quality, evidence.charges, float(price)) for price in grid]
        sweeps.append(baselines.thinned(baselines.sweep(name, bench, chosen)))
    alone = baselines.singles(bench)
    lines = [_curve(evidence, sweep) for sweep in (*sweeps, alone)]
    if mine is None or not allows("intervals of curves"):
        return tuple(lines), []
    found = measure.aiq_intervals(
        (*sweeps, alone),
        bench.groups,
        name="aiq",
        singles=alone,
        seed=evidence.seed,
        n_resamples=evidence.n_resamples,
    )
    names = [sweep.name for sweep in sweeps[1:]] + ["random mix (hull of single models)"]
    differences = [
        Difference(minus=name, of="aiq_range", value=value, verdict=verdict_of(value))
        for name, value in zip(names, found, strict=True)
    ]
    return tuple(lines), differences


def _curve(evidence: Evidence, sweep: Sweep) -> CurveLine:
    bench = evidence.bench
    costs, qualities = sweep.costs.mean(axis=1), sweep.scores.mean(axis=1)
    pool = bench.costs.mean(axis=0)
    low, high = float(pool.min()), float(pool.max())
    curve = hull(costs, qualities)
    rows = np.arange(bench.n)
    best_cost = float(bench.costs[rows, evidence.best].mean())
    best_quality = float(bench.scores[rows, evidence.best].mean())
    swept = deferral(costs, qualities, best_cost, best_quality)
    reference = best_quality
    if evidence.strong is not None:
        reference = float(bench.scores[:, bench.models.index(evidence.strong)].mean())
    singles = hull(pool, bench.scores.mean(axis=0))
    is_router = sweep.name == evidence.name
    run = evidence.router.run
    at = (float(run.costs.mean()), float(run.scores.mean())) if is_router else _knee(costs, qualities)
    qnc = swept.qnc if np.isfinite(swept.qnc) else None
    return CurveLine(
        name=sweep.name,
        costs=tuple(costs.tolist()),
        qualities=tuple(qualities.tolist()),
        hull=tuple(zip(curve.costs.tolist(), curve.qualities.tolist(), strict=True)),
        aiq_range=aiq_range(curve, low, high),
        aiq_range_log=aiq_range_log(curve, low, high) if low > 0 else None,
        aiq_repo=aiq_repo(curve, high) if curve.costs[0] < high else 0.0,
        audc=swept.audc,
        qnc=qnc,
        peak=swept.peak,
        cost_at_95=measure.cheapest_with(curve, SHARE * reference),
        perf_gain=swept.peak / best_quality - 1 if best_quality else 0.0,
        cost_save=None if qnc is None else 1 - qnc,
        pareto_distance=measure.pareto_distance(*at, singles),
        band=_band(evidence, sweep, low, high) if is_router else (),
    )


def _knee(costs: Floats, qualities: Floats) -> tuple[float, float]:
    at = int(qualities.argmax())
    return float(costs[at]), float(qualities[at])


def _band(
    evidence: Evidence, sweep: Sweep, low: float, high: float
) -> tuple[tuple[float, float, float], ...]:
    grid = np.linspace(max(low, float(sweep.costs.mean(axis=1).min())), high, N_BAND)
    n = min(N_BAND_RESAMPLES, evidence.n_resamples)
    bottom, top = measure.curve_band(sweep, evidence.bench.groups, grid, name="band", n_resamples=n)
    return tuple(zip(grid.tolist(), bottom.tolist(), top.tolist(), strict=True))


# Predictions, places, fits


def _forecasts(evidence: Evidence) -> tuple[Forecast, ...]:
    mine = evidence.router.quality
    parts = dict(evidence.forecasts) if mine is None else {evidence.name: mine, **evidence.forecasts}
    return tuple(_forecast(name, quality, evidence.bench.scores) for name, quality in parts.items())


def _forecast(name: str, quality: Floats, scores: Floats) -> Forecast:
    p, y = quality.ravel(), scores.ravel()
    order = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(order, N_BINS) if part.size]
    return Forecast(
        name=name,
        brier=brier(p, y),
        ece=ece(p, y),
        gap=measure.gap_measures(quality, scores),
        bins=tuple((float(p[part].mean()), float(y[part].mean()), int(part.size)) for part in bins),
    )


def _places(evidence: Evidence, names: Sequence[str]) -> tuple[Place, ...]:
    """Return every headline number by place, the worst for the router first."""
    bench, run = evidence.bench, evidence.router.run
    best = bench.scores[np.arange(bench.n), evidence.best]
    home = np.array(names)
    found = []
    for name in sorted(set(names)):
        rows = home == name
        part = bench.only(rows)
        value = measure.mean_intervals(
            (run.scores - best)[rows][:, None],
            part.groups,
            name=f"place|{name}",
            seed=evidence.seed,
            n_resamples=evidence.n_resamples,
        )[0]
        used = run.chosen[rows]
        used = used[used >= 0]
        cost = run.costs[rows]
        found.append(
            Place(
                name=name,
                n=int(rows.sum()),
                quality=float(run.scores[rows].mean()),
                best_single=float(best[rows].mean()),
                oracle=float(part.scores.max(axis=1).mean()),
                difference=value,
                verdict=verdict_of(value),
                cost_usd=float(cost.mean()) if bench.priced and np.isfinite(cost).all() else None,
                most_used=bench.models[int(np.bincount(used).argmax())] if used.size else "",
            )
        )
    return tuple(sorted(found, key=lambda place: (place.difference.mean, place.name)))


def _fit(evidence: Evidence, train: Floats, seen: Floats) -> Fit | None:
    """Return how right the training quantiles of the chosen models are."""
    chosen = evidence.router.run.chosen
    rows = np.flatnonzero((chosen >= 0) & np.isfinite(seen))
    columns = np.unique(chosen[rows])
    if not rows.size or np.isnan(train[:, columns]).all(axis=0).any():
        return None
    table = np.full((len(QUANTILES), train.shape[1]), np.nan)
    table[:, columns] = np.nanquantile(train[:, columns], QUANTILES, axis=0)
    q05, q25, q50, q75, q90, q95 = table[:, chosen[rows]]
    y = seen[rows]
    known = (y > 0) & (q50 > 0)
    return Fit(
        n=int(rows.size),
        pinball_50=_pinball(y, q50, 0.5),
        pinball_90=_pinball(y, q90, 0.9),
        coverage_50=float(((q25 <= y) & (y <= q75)).mean()),
        coverage_90=float(((q05 <= y) & (y <= q95)).mean()),
        log_bias=float(np.log(q50[known] / y[known]).mean()) if known.any() else 0.0,
    )


def _pinball(seen: Floats, predicted: Floats, quantile: float) -> float:
    over = seen - predicted
    return float(np.maximum(quantile * over, (quantile - 1) * over).mean())
