"""What the demo prints: who answered each question and why, what it cost, and what was checked. Floor 7."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from turnout.cli.demo_cast import ALIAS, LARGE, LOCAL, Player
from turnout.cli.demo_checks import Check, complaints
from turnout.cli.demo_exam import STRONG_RPM, Exam, Result
from turnout.cli.demo_questions import Told
from turnout.types.record import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PROMPT: Final = 26
"""Characters of a prompt that are shown."""
_WHY: Final = 20
_WIDE: Final = 124
"""Columns from which on every fact has its own."""
_PLAIN_WIDTH: Final = 130
"""Columns used when the output is no terminal, so that a pipe sees whole rows."""
_WORDS: Final[Mapping[str, str]] = {
    "pinned_by_caller": "you named it",
    "highest_score": "first in order",
    "only_candidate": "the only one",
    "budget_downgrade": "budget half spent",
    "weighted_draw": "drawn by weight",
    "fallback_rate_limited": "rate limited",
    "fallback_timeout": "too slow",
    "fallback_error": "failed",
}


def console_for(width: int = _PLAIN_WIDTH) -> "Console":
    """Return a console that a pipe can read too."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=width)


def decisions(
    told: Sequence[Told], records: Mapping[str, Record], killed_at: int, width: int, *, missing: str
) -> "Table":
    """Return the table of all requests.

    Args:
        told: The requests, in order.
        records: Request id -> its Record.
        killed_at: Number of the first request after the kill.
        width: Columns there are; below `_WIDE`, two facts share a cell.
        missing: Why the real model takes no part; "" = it does.
    """
    from rich.markup import escape

    wide = width >= _WIDE
    table = _table("What was decided")
    table.add_column(
        "prompt" if wide else "prompt, asked for", overflow="ellipsis", no_wrap=True, max_width=_PROMPT
    )
    if wide:
        table.add_column("asked for", overflow="ellipsis", no_wrap=True)
    table.add_column("answered by" if wide else "answered by, why", overflow="fold", min_width=_WHY)
    if wide:
        table.add_column("why", overflow="fold", min_width=_WHY)
    for name, least in (("tokens", 9), ("µ$", 7), ("TTFT", 6)):
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    if missing:
        row = ("[yellow]not asked[/]", f"[yellow]{LOCAL.id}[/]", "[yellow]left out[/]", escape(missing))
        table.add_row(*_folded(row, wide=wide))
    for at, each in enumerate(told):
        if at == killed_at:
            table.add_section()
            table.add_row(*_folded(("[red]SIGKILL to the process of[/]", f"[red]{LARGE.id}[/]"), wide=wide))
            table.add_section()
        follows = at > 0 and told[at - 1].tool != ""
        table.add_row(*_folded(_cells(each, records.get(each.request_id), follows=follows), wide=wide))
    table.add_section()
    table.add_row(*_folded(_totals(told, records), wide=wide), style="bold")
    return table


def _folded(cells: tuple[str, ...], *, wide: bool) -> tuple[str, ...]:
    """Put prompt and asked for, and answered by and why, into one cell each, where columns are few."""
    if wide:
        return cells
    pairs = (cells[0:2], cells[2:4])
    return (
        *("\n".join((pair[0], f"[dim]{pair[1]}[/]")) if len(pair) > 1 else "" for pair in pairs),
        *cells[4:],
    )


def _table(title: str) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="bold",
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )


def _cells(told: Told, record: Record | None, *, follows: bool) -> tuple[str, ...]:
    """Return one row; `follows`: it is the second turn, with the result of a tool."""
    from rich.markup import escape

    question = told.question
    prompt = "↳ the tool's result" if follows else question.prompt
    asked = f"{len(question.models)} models by name" if question.models else question.model
    asked = f"{asked} (alias)" if asked == ALIAS else asked
    asked += " ~" if question.stream else ""
    if record is None or told.error:
        return escape(prompt), escape(asked), f"[yellow]{told.error}[/]", escape(_refusal(told)), "", "", ""
    outcome = record.outcome
    called = f", called {told.tool}" if told.tool else ""
    return (
        escape(prompt),
        escape(asked),
        f"[green]{told.model}[/]" if told.model == LOCAL.id else told.model,
        escape(_why(record) + called),
        "" if outcome.usage is None else f"{outcome.usage.n_input} + {outcome.usage.n_output}",
        _micro(outcome.cost_nusd),
        _ms(outcome.ttft_s),
    )


def _why(record: Record) -> str:
    decision = record.decision
    if decision is None:
        return ""
    if decision.reason.startswith("fallback_"):
        failed = [each for each in record.attempts if each.outcome != "ok"]
        word = (failed[-1].error or "failed").removeprefix("provider_")
        return f"fallback: {word} in {len(failed)} attempts" if len(failed) > 1 else f"fallback: {word}"
    cooling = [each.id for each in decision.candidates if each.status == "cooling"]
    if cooling:
        return f"{', '.join(cooling)} is cooling down"
    if decision.asked.source == "body.models":
        return "first of those named"
    return _WORDS.get(decision.reason, decision.reason)


def _refusal(told: Told) -> str:
    before, sign, hint = told.message.partition("did you mean ")
    return f"did you mean {hint}" if sign else before.partition(":")[0]


def _totals(told: Sequence[Told], records: Mapping[str, Record]) -> tuple[str, ...]:
    known = [records[each.request_id].outcome for each in told if each.request_id in records]
    n_in = sum(each.usage.n_input for each in known if each.usage)
    n_out = sum(each.usage.n_output for each in known if each.usage)
    n_refused = sum(bool(each.error) for each in told)
    n_fallbacks = sum(each.n_fallbacks for each in known)
    return (
        f"{len(told)} requests",
        f"{sum(each.question.stream for each in told)} streamed",
        f"{len(told) - n_refused} answered",
        f"{n_refused} refused, {n_fallbacks} fallbacks",
        f"{n_in:,} + {n_out:,}",
        _micro(sum(each.cost_nusd or 0 for each in known)),
        "",
    )


def exam(paper: Exam, results: Sequence[Result]) -> "Table":
    """Return the table of strategies over recorded answers."""
    n = len(paper.items)
    table = _table(f"Recorded answers of two real models to {n} of {paper.of:,} questions (GSM8K test set)")
    table.add_column("strategy")
    for name in ("asked the strong one", "accuracy", "cost", "cost per right answer"):
        table.add_column(name, justify="right")
    for result in results:
        right = result.accuracy * n
        table.add_row(
            result.strategy,
            f"{result.share_of(paper.strong):.0%}",
            f"{result.accuracy:.1%} ± {result.error:.1%}",
            f"${result.cost_usd:.4f}",
            f"${result.cost_usd / right:.5f}" if right else "–",
        )
    return table


def small_print(paper: Exam) -> str:
    """Return what the reader must know to read the second table rightly."""
    strong, weak = (
        f"{each.model} at ${_plain(each.input_usd)} in / ${_plain(each.output_usd)} out"
        for each in paper.players
    )
    return (
        f"Strong: {strong}. Weak: {weak}. Per million tokens, list prices of 2024.\n"
        "The emulator repeats word for word what the models said; right or wrong is as recorded in"
        " RouteLLM's table. Tokens are counted as four bytes each. ± is one standard error for"
        f" {len(paper.items)} questions.\n"
        f"In the last row the strong model takes {STRONG_RPM} calls a minute; the rest falls back."
    )


def _plain(number: str) -> str:
    return f"{float(number):g}"


def strategies(paper: Exam) -> tuple[tuple[str, str], ...]:
    """Return the exam's strategies: what they are called, and what is asked for."""
    return (
        ("always strong", paper.strong.id),
        ("always weak", paper.weak.id),
        ("weighted, half and half", "turnout/half"),
        ("priority: strong, weak when it is limited", "turnout/strong-first"),
    )


def checks(console: "Console", found: Sequence[Check]) -> None:
    """Print what was checked."""
    from rich.markup import escape

    console.print("[bold]What was checked[/]")
    for each in found:
        if each.wrong:
            console.print(f"  [red]✗ {each.claim}[/]: {escape(complaints(each))}")
        else:
            console.print(f"  [green]✓[/] {each.claim}")
    console.print()


def legend(players: Sequence[Player]) -> str:
    """Return what the reader must know to read the first table rightly."""
    words = (
        "~ streamed. µ$: millionths of a US dollar. TTFT: time to the first token, or to the whole answer"
        " where it was not streamed, as the gateway measured it.\n"
        "emu-: played by the bundled emulator. The wire formats are real, the answers are not, and the"
        " prices are made up for this demo."
    )
    if LOCAL in players:
        words += f"\n{LOCAL.id}: a real language model on this machine, free, and too small to rely on."
    return words


def _micro(nano_usd: int | None) -> str:
    return "unknown" if nano_usd is None else f"{nano_usd / 1000:,.1f}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.0f} ms"
