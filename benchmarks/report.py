"""The results as one JSON document and one page of Markdown, with the budgets they are held against."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import growth, scale
from benchmarks.draw import memory, ratios
from benchmarks.footprint import Footprint
from benchmarks.rounds import Result
from benchmarks.soak import Soaked, told

REFERENCE = "envoy"
BARE, PRODUCTION = "turnout", "turnout, production"
LITELLM = ("litellm, all it has without a database", "litellm")
GATES = (
    (BARE, "whole", 8.0),
    (PRODUCTION, "whole", 45.0),
    (BARE, "stream", 3.0),
    (PRODUCTION, "stream", 4.5),
)
"""Ratios to the reference beyond which something broke: twice what a busy machine shows."""
NGINX_SHARE = 0.4
"""What nginx costs relative to Envoy, where Envoy is not there to compare with."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    date: str
    facts: dict[str, str]
    note: str = ""
    whole: tuple[Result, ...]
    """CPU per request, closed loop; latency, open loop."""
    stream: tuple[Result, ...]
    """CPU per frame; `p50_us` and `p99_us` are times to the first frame."""
    footprint: Footprint
    skipped: dict[str, str] = {}
    """What was not measured, and why."""
    grown: growth.Grown | None = None
    scaled: scale.Scaled | None = None


class Budget(msgspec.Struct, frozen=True):
    """One promise and what was measured."""

    what: str
    limit: float
    measured: float | None
    unit: str

    @property
    def verdict(self) -> str:
        """Tell whether the promise holds."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.limit else "not met"


def budgets(report: Report) -> tuple[Budget, ...]:
    """Hold a run against the budgets of docs/design/PERFORMANCE.md."""
    foot, unit = report.footprint, f"× {REFERENCE}"
    rises = [] if report.grown is None else [c.rise for c in report.grown.curves if c.name not in growth.WHY]
    return (
        Budget("CPU per request, bare", 1.3, ratio(report.whole, BARE), unit),
        Budget("CPU per request, production", 2.5, ratio(report.whole, PRODUCTION), unit),
        Budget("the same, share of LiteLLM's with what it has", 1 / 60, _share(report.whole), "× litellm"),
        Budget("CPU per streamed frame, production", 1.5, ratio(report.stream, PRODUCTION), unit),
        Budget(
            "growth, the steepest of what is configured", 1.2, max(rises, default=None), "× CPU per request"
        ),
        Budget("memory, idle", 80, foot.idle_mb, "MB"),
        Budget("memory per open stream", 32, foot.stream_kb, "KB"),
        Budget("start to first answer, one deployment", 0.8, foot.start_s, "s"),
        Budget("the same, 100 routes and 1,000 deployments", 0.8, foot.large_start_s, "s"),
        Budget("CPU of `import turnout`", 0.15, foot.import_cpu_s, "s"),
    )


def missed(report: Report) -> tuple[Budget, ...]:
    """Return the gates that a run does not pass: wide limits on ratios, for CI."""
    found = []
    for name, kind, limit in GATES:
        results = report.whole if kind == "whole" else report.stream
        measured = ratio(results, name)
        if measured is None:
            cpu = {each.name: each.cpu_us for each in results}
            measured = cpu[name] / cpu["nginx"] * NGINX_SHARE if cpu.get("nginx") and name in cpu else None
        gate = Budget(f"{name}, {kind}", limit, measured, f"× {REFERENCE}")
        if measured is None or gate.verdict == "not met":
            found.append(
                msgspec.structs.replace(gate, measured=float("nan") if measured is None else measured)
            )
    return tuple(found)


def ratio(results: Sequence[Result], name: str) -> float | None:
    """Return CPU relative to the reference; None when either was not measured."""
    return next((each.ratio for each in results if each.name == name and each.ratio), None)


def _share(results: Sequence[Result]) -> float | None:
    cpu = {each.name: each.cpu_us for each in results}
    other = next((cpu[name] for name in LITELLM if cpu.get(name)), None)
    return None if other is None or PRODUCTION not in cpu else cpu[PRODUCTION] / other


def page(report: Report, soaked: Soaked | None = None, *, charts: bool = False) -> str:
    """Write the page of docs/reference."""
    intro = (
        "One run of `make bench ARGS=--publish`. How it was measured, and what the numbers do not say, is in "
        "[Performance](../explanation/performance.md); the same run as JSON is in `benchmarks/results/`."
    )
    parts = [f"# Benchmarks\n\n{intro}\n", markdown(report)]
    if charts:
        parts.append("".join(f"![{name}](../images/benchmarks/{name}.svg)\n\n" for name in plots(report)))
    if soaked is not None:
        parts.append(
            f"## Soak\n\n`python -m benchmarks.soak --minutes {soaked.minutes:g}` on {soaked.date}:\n\n"
            f"```text\n{told(soaked)}\n```\n\n![memory](../images/benchmarks/soak.svg)\n"
        )
    return "\n".join(parts).rstrip() + "\n"


def read_soak(path: Path) -> Soaked:
    """Read the results of a soak."""
    return msgspec.json.decode(path.read_bytes(), type=Soaked)


def plots(report: Report) -> dict[str, str]:
    """Draw the run."""
    drawn = {
        name: ratios(
            title, [(r.name, r.ratio, r.ratio_low, r.ratio_high) for r in rows if 0 < r.ratio < 100], x
        )
        for name, title, rows, x in (
            ("whole", "CPU per request", report.whole, f"× {REFERENCE}"),
            ("stream", "CPU per streamed frame", report.stream, f"× {REFERENCE}"),
        )
        if any(r.ratio for r in rows)
    }
    return {**drawn, **(growth.plots(report.grown) if report.grown is not None else {})}


def soak_plot(soaked: Soaked) -> str:
    """Draw the memory of a soak."""
    return memory(soaked.samples)


def markdown(report: Report) -> str:
    """Write the tables."""
    facts = "; ".join(f"{name} {value}" for name, value in report.facts.items() if value)
    whole, stream = (f"× {REFERENCE}", "low–high"), (f"× {REFERENCE}", "low–high")
    lines = [f"Measured on {report.date}: {facts}.", *([report.note] if report.note else []), ""]
    lines += _budget_table(report)
    lines += [
        "",
        "Whole answers: CPU per request with 32 connections kept busy; latency at an even pace.",
        "",
    ]
    lines += _table(report.whole, ("CPU µs", *whole, "requests/s", "p50 µs", "p99 µs"))
    lines += [
        "",
        "Streams: CPU per frame that reached the client, 32 streams at once; time to first frame.",
        "",
    ]
    lines += _table(report.stream, ("CPU µs", *stream, "frames/s", "first p50 µs", "first p99 µs"))
    if report.skipped:
        lines += ["", "Not measured: " + "; ".join(f"{n} ({why})" for n, why in report.skipped.items()) + "."]
    if report.grown is not None:
        lines += ["", "## Growth", "", growth.markdown(report.grown).rstrip()]
    if report.scaled is not None:
        lines += ["", "## Scale", "", scale.markdown(report.scaled).rstrip()]
    return "\n".join(lines) + "\n"


def _budget_table(report: Report) -> list[str]:
    lines = ["| budget | limit | measured | |", "|---|---|---|---|"]
    for each in budgets(report):
        measured = "–" if each.measured is None else f"{each.measured:.3g} {each.unit}"
        lines.append(f"| {each.what} | ≤ {each.limit:.3g} {each.unit} | {measured} | {each.verdict} |")
    return lines


def _table(results: Sequence[Result], columns: Sequence[str]) -> list[str]:
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for each in results:
        cells = [
            f"{each.cpu_us:.1f}" if each.cpu_us else "–",
            f"{each.ratio:.2f}" if each.ratio else "–",
            f"{each.ratio_low:.2f}–{each.ratio_high:.2f}" if each.ratio else "–",
            f"{each.per_s:,.0f}",
            f"{each.p50_us:.0f}",
            f"{each.p99_us:.0f}",
        ]
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    return lines
