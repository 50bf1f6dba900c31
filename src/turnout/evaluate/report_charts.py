"""The charts of a report. Floor 6."""

from collections.abc import Mapping, Sequence

import numpy as np

from turnout.evaluate.metrics import Interval
from turnout.evaluate.plots import Bar, Chart, Series, bars, draw
from turnout.evaluate.scoreboard_types import CurveLine, Line, Place, Scoreboard

SHOWN = ("kNN-100", "k-means-64", "logistic", "prompt length", "category")
"""Baselines drawn beside the router: more lines than that cannot be told apart."""
MOST_PLACES = 24
HULL = "random mix"
"""Of single models: their hull."""
N_BENT = 60
"""Points of a line that is straight in cost and bent on a logarithmic axis."""


def charts(board: Scoreboard) -> Mapping[str, str]:
    """Return each chart by the name of its file, those that the data allows."""
    found: dict[str, str] = {}
    if board.curves:
        for log in (False, True):
            name = "cost-quality-log" if log else "cost-quality"
            found[name] = draw(_cost_quality(board, log=log))
    if board.two_models:
        found["deferral"] = draw(_deferral(board))
    elif board.curves:
        found["deferral"] = draw(_relative(board))
    if board.forecasts:
        found["calibration"] = draw(_calibration(board))
    if board.domains:
        found["domains"] = _places("Domains", board.domains)
    if board.clusters:
        found["clusters"] = _places("Clusters of similar prompts", board.clusters)
    if rows := [_bar(d.minus, d.value) for d in board.differences if d.of == "quality"]:
        about = "Difference in mean score between the router and each other policy, with 95 % intervals."
        found["differences"] = bars("Router minus others", about, rows, "difference in mean score")
    return found


def _drawn(board: Scoreboard) -> list[CurveLine]:
    names = {board.router.name, *SHOWN}
    return [line for line in board.curves if line.name in names]


def _cost_quality(board: Scoreboard, *, log: bool) -> Chart:
    singles = next((line for line in board.curves if line.name == "single models"), None)
    most = max((line.cost_usd or 0.0 for line in board.singles), default=0.0)
    series = [
        Series(
            name=line.name,
            points=_per_1k(line.hull),
            band=tuple((1000 * x, lo, hi) for x, lo, hi in line.band),
        )
        for line in _drawn(board)
    ]
    if singles is not None:
        series.append(Series(name=HULL, points=_hull(singles, most)))
    dots = [line for line in board.singles if line.cost_usd is not None]
    series.append(
        Series(
            name="single models",
            points=_per_1k([(line.cost_usd or 0.0, line.quality.mean) for line in dots]),
            dots=True,
            labels=tuple(_said(line) for line in dots),
        )
    )
    here = board.lines[0]
    if here.cost_usd is not None:
        at = (1000 * here.cost_usd, here.quality.mean)
        series.append(Series(name="as configured", points=(at,), dots=True, labels=(_said(here),)))
    scale = "logarithmic" if log else "linear"
    return Chart(
        title=f"Quality against cost, {scale}",
        about="Hull of the router and of baselines over the price of money, the router's with its 95 % band, "
        "and the single models with the best that mixing them at random can do.",
        x=f"USD per 1,000 items{' (log)' if log else ''}",
        y="mean score",
        series=tuple(series),
        log=log,
    )


def _hull(line: CurveLine, most: float) -> tuple[tuple[float, float], ...]:
    """Return a hull in USD per 1,000 items, flat to the dearest model, with enough points to bend."""
    costs, qualities = (np.array(column) for column in zip(*line.hull, strict=True))
    grid = np.geomspace(costs[0], max(most, costs[-1]), N_BENT) if costs[0] > 0 else costs
    every = np.union1d(grid, costs)
    return _per_1k(list(zip(every.tolist(), np.interp(every, costs, qualities).tolist(), strict=True)))


def _per_1k(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple((1000 * cost, quality) for cost, quality in points)


def _said(line: Line) -> str:
    return f"{line.name}: {line.quality.mean:.4f} at ${1000 * (line.cost_usd or 0):.4g} per 1,000"


def _deferral(board: Scoreboard) -> Chart:
    names = {board.router.name, *SHOWN, "random"}
    lines = [line for line in board.two_models if line.name in names]
    return Chart(
        title="Gap recovered against strong calls",
        about="Share of the quality gap between the weak and the strong model that is recovered, by the "
        "share of items that the strong model answers. A router that knows nothing is on the diagonal.",
        x="share of strong calls",
        y="performance gap recovered",
        series=tuple(
            Series(name=line.name, points=tuple((k / 100, pgr) for k, pgr in enumerate(line.curve)))
            for line in lines
        ),
    )


def _relative(board: Scoreboard) -> Chart:
    best = next((line for line in board.lines if line.name == "best single"), None)
    unit = (best.cost_usd if best is not None else None) or 1.0
    return Chart(
        title="Deferral: quality against relative cost",
        about="Mean score as the price of money is swept, by cost relative to the best single model.",
        x="cost over that of the best single model",
        y="mean score",
        series=tuple(
            Series(
                name=line.name,
                points=tuple(sorted((c / unit, q) for c, q in zip(line.costs, line.qualities, strict=True))),
            )
            for line in _drawn(board)
        ),
    )


def _calibration(board: Scoreboard) -> Chart:
    names = {board.router.name, *SHOWN}
    return Chart(
        title="Calibration",
        about="Mean observed score against mean predicted score in bins of equal mass. On the diagonal, "
        "predictions are right on average.",
        x="predicted score",
        y="observed score",
        series=tuple(
            Series(name=each.name, points=tuple((p, y) for p, y, _ in each.bins))
            for each in board.forecasts
            if each.name in names
        ),
        diagonal=True,
    )


def _places(title: str, places: Sequence[Place]) -> str:
    shown = places if len(places) <= MOST_PLACES else (*places[: MOST_PLACES - 6], *places[-6:])
    rows = [_bar(place.name, place.difference, f"n={place.n}") for place in shown]
    left_out = len(places) - len(shown)
    about = "Router minus best single model by place, the worst first, with 95 % intervals." + (
        f" {left_out} in the middle are left out." if left_out else ""
    )
    return bars(title, about, rows, "router minus best single model, mean score")


def _bar(name: str, value: Interval, note: str = "") -> Bar:
    return Bar(name=name, value=value.mean, low=value.low, high=value.high, note=note or f"{value.mean:+.4f}")
