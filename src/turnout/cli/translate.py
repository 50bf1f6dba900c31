"""`turnout record translate`: recorded calls in every other chat format and back. Floor 7."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid

    from turnout.evaluate.translate.report import Table
    from turnout.transport.recording import Recorded

_SLOW: Final = 300
"""Records from which on translating them takes long enough for a progress bar."""
_SHOWN: Final = 20
"""Defects printed; `--json` has all."""


@click.command("translate")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print every count, and every defect, as JSON.")
def translate(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Translate recorded chats to every other format and back, and tell what was lost.

    Each request is written for an upstream of every other chat format, read there, written back and compared,
    feature by feature and value by value; each answer is told to a client of every other format and read by
    it. What a format has no word for must be told by a notice, or the request refused. Exit status 1 when
    something was lost in silence, or though both formats can say it.
    """
    from turnout.evaluate.translate.report import Translation

    translation = Translation()
    for recorded in _read(files, quiet=as_json):
        translation.add(recorded)
    table = translation.table()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(table), indent=2).decode())
    else:
        _show(table)
    sys.exit(1 if table.defects else 0)


def _read(files: tuple[Path, ...], *, quiet: bool) -> Iterator["Recorded"]:
    """Read every file before the first translation: a bad line is told at once. Raises `ConfigError`."""
    from rich.console import Console
    from rich.progress import track

    from turnout.transport.recording import read_recordings

    records = [recorded for file in files for recorded in read_recordings(file)]
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal or len(records) < _SLOW
    return iter(track(records, "translating", console=console, disable=hidden, transient=True))


def _show(table: "Table") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(_pairs(table))
    _losses(console, table)
    for defect in table.defects[:_SHOWN]:
        place = f"{defect.id} {defect.origin} → {defect.other}"
        console.print(f"[red]{defect.verdict}[/] {place}: {defect.feature}")
    hidden = len(table.defects) - _SHOWN
    if hidden > 0:
        console.print(f"… and {hidden:,} more; --json shows all")
    console.print(_verdict(table))


def _pairs(table: "Table") -> "Grid":
    from rich.table import Table as Grid

    grid = Grid(box=None, header_style="bold", pad_edge=False)
    grid.add_column("from")
    grid.add_column("to")
    verdicts = ("kept", "reshaped", "told", "refused", "silent", "lost")
    for name in ("requests", *verdicts):
        grid.add_column(name, justify="right")
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for cell in table.cells:
        count = counts.setdefault((cell.origin, cell.other), dict.fromkeys(verdicts, 0))
        for verdict in verdicts:
            count[verdict] += getattr(cell, verdict)
    for (origin, other), count in counts.items():
        numbers = [table.requests[origin], *count.values()]
        style = "red" if count["silent"] or count["lost"] else ""
        grid.add_row(origin, other, *(f"{n:,}" if n else "" for n in numbers), style=style)
    return grid


def _losses(console: "Console", table: "Table") -> None:
    """Print what was left out of requests, most often first, and why."""
    from turnout.evaluate.translate.why import why

    missing: dict[str, int] = {}
    for cell in table.cells:
        n = cell.told + cell.refused
        if n:
            missing[cell.feature] = missing.get(cell.feature, 0) + n
    for name, n in sorted(missing.items(), key=lambda item: (-item[1], item[0])):
        console.print(f"{n:>6,}  [bold]{name}[/]  {why(name) or 'nobody has said why'}")


def _verdict(table: "Table") -> str:
    answers = sum(table.answers.values()) + sum(table.streams.values())
    if not table.requests:
        return "nothing to translate: no record is a chat in a format that is spoken here"
    done = f"{sum(table.requests.values()):,} requests and {answers:,} answers in every other format"
    if table.defects:
        return f"{done}: [red]{len(table.defects):,} losses that should not be[/]"
    return f"{done}: [green]nothing lost that both formats can say, and nothing in silence[/]"
