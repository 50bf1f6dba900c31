"""The results as one JSON document and one page of Markdown, with the budgets they are held against."""

from collections.abc import Sequence

import msgspec

from benchmarks.footprint import Footprint
from benchmarks.rounds import Result

REFERENCE = "envoy"


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
    """Peers that were not measured, and why."""


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
    foot = report.footprint
    return (
        Budget("CPU per request, bare", 1.5, _ratio(report.whole, "turnout"), f"× {REFERENCE}"),
        Budget("CPU per streamed frame", 1.5, _ratio(report.stream, "turnout"), f"× {REFERENCE}"),
        Budget("memory, idle", 80, foot.idle_mb, "MB"),
        Budget("memory per open stream", 32, foot.stream_kb, "KB"),
        Budget("start to first answer", 0.8, foot.start_s, "s"),
        Budget("CPU of `import turnout`", 0.15, foot.import_cpu_s, "s"),
    )


def page(report: Report) -> str:
    """Write the page of docs/reference."""
    return (
        "# Benchmarks\n\n"
        "One run of `make bench`. How it was measured, and what the numbers do not say, is in "
        "[Performance](../explanation/performance.md); the same run as JSON is in `benchmarks/results/`.\n\n"
        + markdown(report)
    )


def markdown(report: Report) -> str:
    """Write the page."""
    facts = "; ".join(f"{name} {value}" for name, value in report.facts.items() if value)
    lines = [f"Measured on {report.date}: {facts}.", *([report.note] if report.note else []), ""]
    lines += _budget_table(report)
    lines += [
        "",
        "Whole answers: CPU per request with 32 connections kept busy; latency at an even pace.",
        "",
    ]
    lines += _table(report.whole, ("CPU µs", "low–high", "× envoy", "requests/s", "p50 µs", "p99 µs"))
    lines += [
        "",
        "Streams: CPU per frame that reached the client, 32 streams at once; time to first frame.",
        "",
    ]
    lines += _table(
        report.stream, ("CPU µs", "low–high", "× envoy", "frames/s", "first p50 µs", "first p99 µs")
    )
    if report.skipped:
        lines += ["", "Not measured: " + "; ".join(f"{n} ({why})" for n, why in report.skipped.items()) + "."]
    return "\n".join(lines) + "\n"


def _budget_table(report: Report) -> list[str]:
    lines = ["| budget | limit | measured | |", "|---|---|---|---|"]
    for each in budgets(report):
        measured = "–" if each.measured is None else f"{each.measured:.3g} {each.unit}"
        lines.append(f"| {each.what} | ≤ {each.limit:g} {each.unit} | {measured} | {each.verdict} |")
    return lines


def _table(results: Sequence[Result], columns: Sequence[str]) -> list[str]:
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for each in results:
        ratio = _ratio(results, each.name)
        cpu = each.cpu_us > 0
        cells = [
            f"{each.cpu_us:.1f}" if cpu else "–",
            f"{each.cpu_low_us:.1f}–{each.cpu_high_us:.1f}" if cpu else "–",
            f"{ratio:.2f}" if cpu and ratio is not None else "–",
            f"{each.per_s:,.0f}",
            f"{each.p50_us:.0f}",
            f"{each.p99_us:.0f}",
        ]
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    return lines


def _ratio(results: Sequence[Result], name: str) -> float | None:
    """Return CPU relative to the reference; None when either was not measured."""
    cpu = {each.name: each.cpu_us for each in results}
    if not cpu.get(REFERENCE) or name not in cpu:
        return None
    return cpu[name] / cpu[REFERENCE]
