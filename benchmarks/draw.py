"""Charts of the bench as SVG files, drawn by the package's own `evaluate.plots`."""

from collections.abc import Mapping, Sequence

from turnout.evaluate.plots import Bar, Chart, Series, bars, draw, standalone

Points = Sequence[tuple[float, float]]


def memory(samples: Points) -> str:
    """Draw resident memory over the minutes of a soak."""
    points = tuple((seconds / 60, mb) for seconds, mb in samples)
    return standalone(
        draw(
            Chart(
                title="Memory during the soak",
                about="Resident memory of the gateway; the first third is warming up.",
                x="minutes",
                y="MB resident",
                series=(Series(name="turnout", points=points),),
            )
        )
    )


def growth(curves: Mapping[str, Points], y: str, title: str) -> str:
    """Draw how something changes as a quantity grows; x is how often its smallest value."""
    return standalone(
        draw(
            Chart(
                title=title,
                about="A line is one quantity, from its smallest value to a thousand times that.",
                x="times the smallest",
                y=y,
                log=True,
                series=tuple(Series(name=name, points=tuple(points)) for name, points in curves.items()),
            )
        )
    )


def ratios(title: str, rows: Sequence[tuple[str, float, float, float]], x: str) -> str:
    """Draw (name, value, low, high) as bars."""
    drawn = [Bar(name=name, value=value, low=low, high=high) for name, value, low, high in rows]
    return standalone(bars(title, "Median over the rounds; whiskers are the lowest and highest.", drawn, x))
