"""One frame of `turnout top`: what it holds, and how a terminal shows it. Floor 7."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from turnout.cli.journal_story import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

Sort: TypeAlias = Literal["cost", "requests", "failed", "first", "whole", "model"]
"""By what models are ordered."""
NONE: Final = "–"
FULL: Final = 1.0
NEARLY: Final = 0.8
MANY_FAILURES: Final = 0.02
_MOST_LIMITS: Final = 4
_CENT: Final = 0.01
WIDE: Final = 100
"""Columns of a terminal from which on everything is shown."""


class Latency(Struct, frozen=True):
    """Quantiles in seconds."""

    p50: float | None = None
    p95: float | None = None


class Used(Struct, frozen=True, kw_only=True):
    """The requests of one model, or of all."""

    model: str | None = None
    requests: int = 0
    failed: int = 0
    cost_usd: float = 0.0
    saved_usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_hits: int | None = None
    ttft_s: Latency | None = None
    total_s: Latency | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """One request that ended."""

    request_id: str
    at: datetime
    route: str | None = None
    model: str | None = None
    error: str | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    fallbacks: int = 0


class Live(Struct, frozen=True):
    """How a deployment stands."""

    state: str = "closed"
    in_flight: int = 0
    demoted: bool = False


class Deployment(Struct, frozen=True):
    """One model at one provider."""

    id: str
    model: str
    live: Live = Live()


class Limit(Struct, frozen=True):
    """What is used of one budget or quota."""

    id: str
    of: str
    level: str
    subject: str
    used: float
    limit: float
    share: float | None = None


class Frame(Struct, frozen=True, kw_only=True):
    """Everything that is shown at once."""

    where: str
    at: datetime
    span: timedelta
    total: Used
    models: tuple[Used, ...]
    latest: tuple[Seen, ...]
    deployments: tuple[Deployment, ...] | None = None
    """None = a journal knows nothing of them."""
    limits: tuple[Limit, ...] = ()


_KEYS: Final[Mapping[Sort, Callable[[Used], float]]] = {
    "cost": lambda row: row.cost_usd,
    "requests": lambda row: row.requests,
    "failed": lambda row: row.failed / row.requests if row.requests else 0.0,
    "first": lambda row: (row.ttft_s and row.ttft_s.p95) or 0.0,
    "whole": lambda row: (row.total_s and row.total_s.p95) or 0.0,
}
SORTS: Final[tuple[Sort, ...]] = (*_KEYS, "model")


def ordered(rows: Sequence[Used], by: Sort) -> list[Used]:
    """Return models, the greatest first, or by name."""
    named = sorted(rows, key=lambda row: row.model or "")
    return named if by == "model" else sorted(named, key=_KEYS[by], reverse=True)


def drawn(frame: Frame, by: Sort, *, note: str = "", width: int = WIDE) -> "RenderableType":
    """Return a frame as rich shows it on so many columns; `note` says what keys do, or what is wrong."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_head(frame, note, width), Text(_sum(frame, width)), Text()]
    parts.append(_models(frame, by, width))
    if frame.limits:
        parts += [Text(), _limits(frame.limits)]
    return Group(*parts, Text(), _latest(frame.latest, width))


def _head(frame: Frame, note: str, width: int) -> "RenderableType":
    from rich.text import Text

    minutes = round(frame.span.total_seconds() / 60)
    span = f"{minutes // 60} h" if minutes % 60 == 0 and minutes > 60 else f"{minutes} min"
    name = "turnout top · " if width >= WIDE else ""
    told = f"{name}{printable(frame.where)} · last {span} · {frame.at.astimezone():%H:%M:%S}"
    more = f"  {printable(note)}" if note else ""
    return Text.assemble((told, "bold"), (more, "dim"), no_wrap=True, overflow="ellipsis")


def _sum(frame: Frame, width: int) -> str:
    """Return the sums, broken between them and nowhere else."""
    lines = [""]
    for part in _sums(frame):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def _sums(frame: Frame) -> list[str]:
    of, seconds = frame.total, max(1.0, frame.span.total_seconds())
    failed = of.failed / of.requests if of.requests else 0.0
    parts = [
        f"{of.requests:,} requests ({of.requests / seconds:.2f}/s)",
        f"{failed:.1%} failed",
        f"{_usd(of.cost_usd)} spent ({_usd(of.cost_usd / seconds * 3600)}/h)",
        f"first p50 {_pair(of.ttft_s)}",
        f"whole p50 {_pair(of.total_s)}",
    ]
    if of.saved_usd:
        parts.append(f"{_usd(of.saved_usd)} saved")
    if of.cache_hits:
        parts.append(f"{of.cache_hits / max(1, of.requests):.0%} from the cache")
    return parts


def _cut(text: str, style: str = "") -> "Text":
    """Return what gives way where there is no room, on one line."""
    from rich.text import Text

    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _shown(columns: Sequence[str], width: int) -> list[str]:
    return [name for name in columns if width >= WIDE or name not in _WIDE_ONLY]


def _fitted(table: "Table") -> "Table":
    """Let names alone be cut: a number without its end is another number."""
    from rich.cells import cell_len

    for column in table.columns:
        if column.header not in _CUT:
            column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    return table


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True
    )
    for at, name in enumerate(columns):
        is_text = at == 0 or name in _TEXTS
        table.add_column(
            name, justify="left" if is_text else "right", no_wrap=name not in _CUT, overflow="ellipsis"
        )
    return table


_CUT: Final = frozenset({"model", "answered by", "for", "limit", "ended"})
_WIDE_ONLY: Final = frozenset({"tokens in", "out", "in flight", "route", "first"})
"""Columns that are left out where there is no room for all."""
_TEXTS: Final = frozenset({"state", "route", "ended", "for", "answered by", "request"})


def _models(frame: Frame, by: Sort, width: int) -> "RenderableType":
    from rich.text import Text

    columns = ["model", "requests", "failed", "spent", "tokens in", "out", "first p95", "whole p95"]
    columns += [] if frame.deployments is None else ["in flight", "state"]
    shown = _shown(columns, width)
    table = _table(f"Models, by {by}", *shown)
    states = _states(frame.deployments or ())
    seen = {row.model for row in frame.models}
    idle = [Used(model=name) for name in states if name not in seen]
    for row in ordered([*frame.models, *idle], by):
        failed = row.failed / row.requests if row.requests else 0.0
        cells: list[str | Text] = [
            _cut(row.model or "(none answered)"),
            f"{row.requests:,}",
            Text(f"{failed:.1%}", "red" if failed > MANY_FAILURES else ""),
            _usd(row.cost_usd),
            f"{row.input_tokens:,}",
            f"{row.output_tokens:,}",
            _p95(row.ttft_s),
            _p95(row.total_s),
        ]
        if frame.deployments is not None:
            n, state = states.get(row.model or "", (0, ""))
            cells += [str(n), Text(state, "green" if state == "up" else "red")]
        table.add_row(*(cell for name, cell in zip(columns, cells, strict=True) if name in shown))
    return _fitted(table)


def _states(deployments: Sequence[Deployment]) -> dict[str, tuple[int, str]]:
    """Return of each model how many calls are under way, and the worst that is known of its deployments."""
    found: dict[str, tuple[int, str]] = {}
    for each in deployments:
        live = each.live
        state = (
            ("asked last" if live.demoted else "up") if live.state == "closed" else f"circuit {live.state}"
        )
        n, before = found.get(each.model, (0, "up"))
        found[each.model] = (n + live.in_flight, printable(before if state == "up" else state))
    return found


def _limits(limits: Sequence[Limit]) -> "RenderableType":
    from rich.text import Text

    table = _table("Budgets and quotas, the fullest first", "limit", "for", "used", "of", "share")
    fullest = sorted(limits, key=lambda each: FULL if each.share is None else each.share, reverse=True)
    for each in fullest[:_MOST_LIMITS]:
        share = FULL if each.share is None else each.share
        style = "red" if share >= FULL else "yellow" if share >= NEARLY else "green"
        write = _usd if each.of == "usd" else (lambda value: f"{value:,.0f}")
        name, subject = _cut(each.id), _cut(f"{each.level} {each.subject}")
        table.add_row(name, subject, write(each.used), write(each.limit), Text(f"{share:.0%}", style))
    return _fitted(table)


def _latest(latest: Sequence[Seen], width: int) -> "RenderableType":
    from rich.text import Text

    columns = ("arrived", "route", "answered by", "ended", "tokens in", "out", "cost", "first", "whole")
    shown = _shown(columns, width)
    table = _table("Latest requests", *shown)
    for each in latest:
        more = f", {each.fallbacks} fallback" + "s" * (each.fallbacks > 1) if each.fallbacks else ""
        end = each.error.replace("_", " ") if each.error else f"served{more}"
        style = "red" if each.error else "yellow" if each.fallbacks else "green"
        row: tuple[str | Text, ...] = (
            f"{each.at.astimezone():%H:%M:%S}",
            printable(each.route or NONE),
            _cut(each.model or NONE),
            _cut(end, style),
            NONE if each.input_tokens is None else f"{each.input_tokens:,}",
            NONE if each.output_tokens is None else f"{each.output_tokens:,}",
            NONE if each.cost_usd is None else _usd(each.cost_usd),
            _seconds(each.ttft_s),
            _seconds(each.total_s),
        )
        table.add_row(*(cell for name, cell in zip(columns, row, strict=True) if name in shown))
    return _fitted(table)


def _usd(value: float) -> str:
    if not value:
        return "$0"
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}" if value >= _CENT else f"${value:.6f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _p95(of: Latency | None) -> str:
    return _seconds(None if of is None else of.p95)


def _pair(of: Latency | None) -> str:
    return NONE if of is None else f"{_seconds(of.p50)}, p95 {_seconds(of.p95)}"
