"""Charts as SVG: lines with bands, and bars with whiskers. Floor 6.

A chart is one `<svg>` with a title and a description for whoever cannot see it. Colours are classes, so a
page can say them twice, for light and for dark; `standalone` puts the light ones inside.
"""

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 196, 16, 52
ROW = 22
TICKS = 6
LIGHT = ("#0b5cd6", "#c2410c", "#047857", "#7c3aed", "#92660a", "#0e7490", "#be185d", "#57534e", "#3f6212")
DARK = ("#7db2ff", "#fb9660", "#4cd3a2", "#c4a5ff", "#e3b95b", "#5fd0e6", "#f58ac0", "#b8b2ab", "#b5d86a")
DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4", "12 4", "6 2 2 2", "3 6")
"""A second way to tell lines apart, for those who cannot by colour."""


class Series(Struct, frozen=True, kw_only=True):
    """What is drawn, with its entry in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float, float], ...] = ()
    """(x, low, high)."""
    dots: bool = False
    """Points instead of a line."""
    labels: tuple[str, ...] = ()
    """One a dot, shown on hover."""


class Chart(Struct, frozen=True, kw_only=True):
    """Lines and dots over two axes."""

    title: str
    about: str
    """What can be read off it, in a sentence."""
    x: str
    y: str
    series: tuple[Series, ...]
    log: bool = False
    diagonal: bool = False


class Bar(Struct, frozen=True, kw_only=True):
    """One row of a bar chart."""

    name: str
    value: float
    low: float
    high: float
    note: str = ""


def style(colours: Sequence[str], ink: str, grid: str, paper: str) -> str:
    """Return the rules of one colour scheme."""
    rules = [
        f"svg.chart text{{fill:{ink}}}",
        f".grid{{stroke:{grid}}}",
        f".axis{{stroke:{ink}}}",
        f".paper{{fill:{paper}}}",
    ]
    for at, colour in enumerate(colours):
        rules.append(f".s{at}{{stroke:{colour}}}.f{at}{{fill:{colour}}}")
    return "".join(rules)


LIGHT_STYLE = style(LIGHT, "#1c1917", "#e2e0dd", "#ffffff")
DARK_STYLE = style(DARK, "#ece9e6", "#3d3a37", "#181716")
FIXED_STYLE = (
    "svg.chart text{font:12px system-ui,'DejaVu Sans',sans-serif}.line{fill:none;stroke-width:2}"
    ".band{opacity:.16;stroke:none}.grid,.axis{stroke-width:1}.dot{stroke-width:1.5;fill-opacity:.75}"
    ".whisker{stroke-width:1.5}svg.chart text.end{text-anchor:end}svg.chart text.mid{text-anchor:middle}"
)


def standalone(svg: str) -> str:
    """Return a chart that needs no page around it: light colours inside, on paper."""
    head, _, rest = svg.partition(">")
    paper = '<rect class="paper" width="100%" height="100%"/>'
    return f"{head}><style>{FIXED_STYLE}{LIGHT_STYLE}</style>{paper}{rest}"


def draw(chart: Chart) -> str:
    """Return a chart as SVG."""
    axes = _Axes.around(chart)
    parts = [axes.frame(chart)]
    if chart.diagonal:
        parts.append(_line("grid", [axes.at(0, 0), axes.at(1, 1)], dash="4 4"))
    for at, series in enumerate(chart.series):
        colour = at % len(LIGHT)
        parts.append(_series(axes, series, colour))
        parts.append(_legend(series, at, colour))
    return _svg(chart.title, chart.about, HEIGHT, "".join(parts))


def _svg(title: str, about: str, height: float, body: str) -> str:
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img"><title>{escape(title)}</title>'
        f"<desc>{escape(about)}</desc>{body}</svg>"
    )


class _Axes(Struct, frozen=True):
    x0: float
    x1: float
    y0: float
    y1: float
    log: bool

    @classmethod
    def around(cls, chart: Chart) -> "_Axes":
        """Return axes that hold every point, with a little room above and below."""
        xs = [x for series in chart.series for x, *_ in (*series.points, *series.band)]
        ys = [y for series in chart.series for _, *rest in (*series.points, *series.band) for y in rest]
        if chart.diagonal:
            return cls(0.0, 1.0, 0.0, 1.0, log=False)
        xs = [x for x in xs if not chart.log or x > 0] or [0.1, 1.0]
        low, high = min(ys, default=0.0), max(ys, default=1.0)
        room = 0.05 * (high - low or 1.0)
        x0, x1 = min(xs), max(xs)
        if x0 == x1:
            x0, x1 = (x0 / 2, x1 * 2) if chart.log else (x0 - 0.5, x1 + 0.5)
        return cls(x0 if chart.log else min(x0, 0.0), x1, low - room, high + room, log=chart.log)

    def at(self, x: float, y: float) -> tuple[float, float]:
        if self.log:
            share = (math.log(max(x, self.x0)) - math.log(self.x0)) / (math.log(self.x1) - math.log(self.x0))
        else:
            share = (x - self.x0) / (self.x1 - self.x0)
        down = (self.y1 - y) / (self.y1 - self.y0)
        return LEFT + share * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - TOP - BOTTOM)

    def frame(self, chart: Chart) -> str:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for tick in ticks(self.y0, self.y1):
            _, y = self.at(self.x1, tick)
            parts.append(_line("grid", [(LEFT, y), (right, y)]))
            parts.append(f'<text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{number(tick)}</text>')
        for tick in log_ticks(self.x0, self.x1) if self.log else ticks(self.x0, self.x1):
            x, _ = self.at(tick, self.y0)
            parts.append(_line("grid", [(x, TOP), (x, bottom)]))
            parts.append(f'<text class="mid" x="{x:.1f}" y="{bottom + 18}">{number(tick)}</text>')
        parts.append(_line("axis", [(LEFT, TOP), (LEFT, bottom), (right, bottom)]))
        middle = (LEFT + right) / 2
        parts.append(f'<text class="mid" x="{middle}" y="{HEIGHT - 10}">{escape(chart.x)}</text>')
        place = f"translate(14 {(TOP + bottom) / 2}) rotate(-90)"
        parts.append(f'<text class="mid" transform="{place}">{escape(chart.y)}</text>')
        return "".join(parts)


def _series(axes: _Axes, series: Series, colour: int) -> str:
    parts = []
    if series.band:
        low = [axes.at(x, bottom) for x, bottom, _ in series.band]
        high = [axes.at(x, top) for x, _, top in reversed(series.band)]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*low, *high))
        parts.append(f'<polygon class="band f{colour}" points="{corners}"/>')
    if series.dots:
        labels = series.labels or ("",) * len(series.points)
        for (px, py), label in zip(series.points, labels, strict=True):
            x, y = axes.at(px, py)
            said = f"<title>{escape(label)}</title>" if label else ""
            parts.append(
                f'<circle class="dot s{colour} f{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4">{said}</circle>'
            )
    else:
        parts.append(_line(f"line s{colour}", [axes.at(x, y) for x, y in series.points], dash=DASHES[colour]))
    return "".join(parts)


def _legend(series: Series, at: int, colour: int) -> str:
    x, y = WIDTH - RIGHT + 16, TOP + 10 + 20 * at
    mark = (
        f'<circle class="dot s{colour} f{colour}" cx="{x + 12}" cy="{y}" r="4"/>'
        if series.dots
        else _line(f"line s{colour}", [(x, y), (x + 24, y)], dash=DASHES[colour])
    )
    return f'{mark}<text x="{x + 32}" y="{y + 4}">{escape(_short(series.name, 22))}</text>'


def _line(kind: str, points: Sequence[tuple[float, float]], dash: str = "") -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline class="{kind}" fill="none"{dashes} points="{corners}"/>'


def bars(title: str, about: str, rows: Sequence[Bar], x: str) -> str:
    """Return differences as bars from zero, with their intervals as whiskers."""
    low = min([0.0, *(row.low for row in rows)])
    high = max([0.0, *(row.high for row in rows)])
    if low == high:
        low, high = -0.01, 0.01
    left, right = 250, WIDTH - 90
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = TOP + ROW * len(rows)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = []
    for tick in ticks(low, high):
        parts.append(_line("grid", [(place(tick), TOP), (place(tick), bottom)]))
        parts.append(f'<text class="mid" x="{place(tick):.1f}" y="{bottom + 18}">{number(tick)}</text>')
    for at, row in enumerate(rows):
        y = TOP + ROW * at + ROW / 2
        begin, end = sorted((place(0), place(row.value)))
        colour = 0 if row.value >= 0 else 1
        parts.append(f'<text class="end" x="{left - 10}" y="{y + 4}">{escape(_short(row.name, 32))}</text>')
        parts.append(
            f'<rect class="f{colour}" x="{begin:.1f}" y="{y - 6}" width="{end - begin:.1f}" height="12"/>'
        )
        parts.append(_line("axis whisker", [(place(row.low), y), (place(row.high), y)]))
        parts.append(f'<text x="{right + 10}" y="{y + 4}">{escape(row.note)}</text>')
    parts.append(_line("axis", [(place(0), TOP), (place(0), bottom)]))
    middle = (left + right) / 2
    parts.append(f'<text class="mid" x="{middle}" y="{bottom + 40}">{escape(x)}</text>')
    return _svg(title, about, height, "".join(parts))


def ticks(low: float, high: float) -> list[float]:
    """Return round values between two ends, both included where they are round."""
    step = 10 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= TICKS)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two ends; powers alone where those are enough."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > TICKS else (1, 2, 5)
    return [value for p in powers for f in factors if low <= (value := f * 10.0**p) <= high]


def number(value: float) -> str:
    """Return a tick's label."""
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"


def _short(text: str, n: int) -> str:
    return text if len(text) <= n else text[: n - 1] + "…"
