"""A Record for people: one line of a list, or the whole story. Floor 7."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from turnout.cli.route import near_line
from turnout.types.json import Json
from turnout.types.record import Attempt, CandidateView, Decision, Outcome, Record
from turnout.types.usage import Usage

if TYPE_CHECKING:
    from rich.console import Console

_LINE: Final = "{at:<19}  {id:<30}  {route:<14}  {model:<32}  {end:<22}  {tokens:>13}  {cost:>12}  {time:>15}"
HEADLINE: Final = _LINE.format(
    at="arrived (UTC)",
    id="request",
    route="route",
    model="model",
    end="ended",
    tokens="tokens",
    cost="cost",
    time="first / total s",
)
_NONE: Final = "-"
_BAR: Final = 32
"""Characters of the timeline."""
_PLAIN_WIDTH: Final = 160
"""Columns used when the output is no terminal, so that a pipe sees whole names."""


def line_of(record: Record) -> str:
    """Return a request as one line of a list."""
    end = record.outcome
    fallbacks = f" +{end.n_fallbacks}" if end.n_fallbacks else ""
    last = record.attempts[-1].model if record.attempts else None
    return _LINE.format(
        at=f"{record.at:%Y-%m-%d %H:%M:%S}",
        id=printable(record.request_id),
        route=_short(record.decision.route if record.decision else None, 14),
        model=_short(end.model or last, 32),
        end=_short(end.error or end.finish, 22 - len(fallbacks)) + fallbacks,
        tokens=_tokens(end.usage),
        cost=_cost(end.cost_nusd, end.cost_state),
        time=f"{_seconds(end.ttft_s)} / {_seconds(end.total_s)}",
    ).rstrip()


def printable(text: str) -> str:
    """Escape what could steer a terminal: clients and providers choose some of these texts."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def tell(record: Record) -> None:
    """Print everything a Record says, in the order in which it happened."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)
    _chapter(console, f"Request {record.request_id}", _asked(record))
    if record.decision is not None:
        _chapter(console, "Decision", _decided(record.decision))
        if record.decision.candidates:
            _candidates(console, record.decision.candidates)
        _chapter(console, "Plan", _tree(record.decision.plan))
    if record.attempts:
        _attempts(console, record)
    _chapter(console, "Outcome", _ended(record))
    if record.content is not None:
        _chapter(console, "Prompt", _text(record.content.request))
        _chapter(console, "Answer", _text(record.content.response))


def _chapter(console: "Console", title: str, lines: Iterator[str]) -> None:
    console.print(printable(title), style="bold")
    for line in lines:
        console.print(f"  {printable(line)}")


def _facts(pairs: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Yield aligned `name  value` lines for what is known."""
    for name, value in pairs:
        if value not in {None, "", ()}:
            yield f"{name:<12} {value}"


def _asked(record: Record) -> Iterator[str]:
    decision = record.decision
    yield from _facts(
        (
            ("arrived", f"{record.at:%Y-%m-%d %H:%M:%S.%f} UTC"),
            ("asked for", decision and f"{decision.asked.model} ({decision.asked.source})"),
            ("endpoint", f"{record.endpoint} in {record.dialect}" if record.dialect else record.endpoint),
            ("constraints", decision and _pairs(decision.asked.constraints)),
            ("size", decision and _size(decision)),
            ("by", ", ".join(filter(None, (record.principal, record.project, record.team)))),
            ("client's id", record.client_request_id),
            ("trace", record.trace_id),
            ("surface", record.surface),
            ("tags", ", ".join(record.tags)),
            ("metadata", _pairs(record.metadata)),
            ("dropped", ", ".join(record.dropped_params)),
            ("warnings", ", ".join(record.warnings)),
        )
    )


def _size(decision: Decision) -> str:
    size = decision.input
    parts = [f"{size.n_tokens:,} tokens ({size.n_tokens_source})"]
    parts += [_n(size.n_messages, "message")] if size.n_messages else []
    parts += [f"at most {size.max_tokens_out:,} tokens out"] if size.max_tokens_out else []
    parts += [f"{size.n_tools} tools"] if size.n_tools else []
    parts += [
        *size.modalities,
        *(["structured"] if size.structured else []),
        *(["stream"] if size.stream else []),
    ]
    return ", ".join(parts)


def _n(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _decided(decision: Decision) -> Iterator[str]:
    objective = decision.objective
    yield from _facts(
        (
            ("route", decision.route),
            ("strategy", f"{decision.strategy}, seed {decision.rng_seed}"),
            ("chosen", f"{decision.chosen[0] if decision.chosen else _NONE} because {decision.reason}"),
            ("then", ", ".join(decision.chosen[1:])),
            ("propensity", decision.propensity),
            ("explored", "yes" if decision.explored else None),
            ("abstained", decision.abstained),
            ("near", near_line(decision.neighbours)),
            ("binding", ", ".join(objective.binding)),
            ("relaxed", ", ".join(objective.relaxed)),
            ("config", decision.config_digest),
        )
    )
    for name, signal in decision.signals.items():
        sure = "" if signal.confidence is None else f" ({signal.confidence:.2f} sure)"
        yield f"signal       {name} = {f'absent: {signal.error}' if signal.error else signal.value}{sure}"


def _candidates(console: "Console", candidates: Sequence[CandidateView]) -> None:
    from rich.table import Table

    table = Table(title="Candidates", title_justify="left", title_style="bold", box=None, pad_edge=True)
    for name in ("candidate", "status", "why not", "utility", "scores", "cost", "first s", "health"):
        table.add_column(name, overflow="fold", justify="right" if name in {"utility", "cost"} else "left")
    for one in candidates:
        cost, health = one.cost_nusd, one.health
        cells = (
            one.id,
            one.status,
            ", ".join(f"{drop.filter}: {drop.reason}" for drop in one.filters),
            "" if one.utility is None else f"{one.utility:.4g}",
            " ".join(f"{name} {score:.4g}" for name, score in one.scores.items()),
            "" if cost is None else _cost(cost.mean, "estimated"),
            _seconds(one.ttft_s.p50) if one.ttft_s else "",
            "" if health is None else health.state,
        )
        table.add_row(*map(printable, cells))
    console.print(table)


def _tree(plan: Json, depth: int = 0) -> Iterator[str]:
    """Yield a plan, one node per line, indented by its depth."""
    indent = "  " * depth
    if not isinstance(plan, Mapping):
        yield f"{indent}{plan}"
    elif "try" in plan:
        yield f"{indent}{plan['try']}"
    else:
        notes = "".join(f", {name} {value}" for name, value in plan.items() if not isinstance(value, list))
        for name, nodes in plan.items():
            if isinstance(nodes, list):
                yield f"{indent}{name}{notes}"
                for node in nodes:
                    yield from _tree(node, depth + 1)


def _attempts(console: "Console", record: Record) -> None:
    from rich.table import Table

    table = Table(title="Attempts", title_justify="left", title_style="bold", box=None, pad_edge=True)
    for name in ("n", "deployment", "when", "start s", "first s", "took s", "outcome", "tokens", "cost"):
        table.add_column(name, overflow="fold", justify="right" if name.endswith(" s") else "left")
    whole_s = max(record.outcome.total_s, *(one.start_s + one.duration_s for one in record.attempts), 1e-9)
    for one in record.attempts:
        cells = (
            str(one.n) if one.retry_of is None else f"{one.n} (retry of {one.retry_of})",
            one.deployment,
            _bar(one, whole_s),
            _seconds(one.start_s),
            _seconds(one.ttft_s),
            _seconds(one.duration_s),
            " ".join(filter(None, (one.outcome, one.error, one.verdict, str(one.status or "")))),
            _tokens(one.usage),
            _cost(one.cost_nusd, one.cost_state),
        )
        table.add_row(*map(printable, cells))
    console.print(table)


def _bar(one: Attempt, whole_s: float) -> str:
    """Draw when an attempt ran: dots until its first content, then a line."""
    start = int(one.start_s / whole_s * _BAR)
    first = start + int((one.duration_s if one.ttft_s is None else one.ttft_s) / whole_s * _BAR)
    end = max(start + 1, round((one.start_s + one.duration_s) / whole_s * _BAR))
    return " " * start + "·" * min(first - start, end - start) + "━" * (end - max(first, start))


def _ended(record: Record) -> Iterator[str]:
    end: Outcome = record.outcome
    yield from _facts(
        (
            ("ended", f"failed: {end.error}" if end.error else f"served: {end.finish or _NONE}"),
            ("model", end.model and f"{end.model} at {end.provider or _NONE}"),
            ("tokens", end.usage and f"{_tokens(end.usage)} ({end.usage_source})"),
            ("cost", f"{_cost(end.cost_nusd, end.cost_state)} ({end.cost_state})"),
            ("cache", end.cache),
            ("first token", end.ttft_s and f"{_seconds(end.ttft_s)} s"),
            (
                "total",
                f"{_seconds(end.total_s)} s, {_seconds(end.overhead_s)} s of it not waiting for upstreams",
            ),
            ("attempts", f"{end.n_attempts}, {_n(end.n_fallbacks, 'fallback')}"),
        )
    )


def _text(text: str | None) -> Iterator[str]:
    yield from (text or _NONE).splitlines()


def _pairs(mapping: Mapping[str, Json]) -> str:
    return ", ".join(f"{name}={value}" for name, value in mapping.items())


def _short(text: str | None, width: int) -> str:
    clean = printable(text or _NONE)
    return clean if len(clean) <= width else f"{clean[: width - 1]}…"


def _tokens(usage: Usage | None) -> str:
    return _NONE if usage is None else f"{usage.n_input:,} → {usage.n_output:,}"


def _cost(nusd: int | None, state: str) -> str:
    if nusd is None:
        return _NONE
    return f"{'~' if state == 'estimated' else ''}${nusd / 1e9:.6f}"


def _seconds(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{seconds:.3f}"
