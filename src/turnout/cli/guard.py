"""`turnout guard`: how well guards do on your own texts. Floor 7."""

from pathlib import Path
from typing import get_args

import click
import msgspec

from turnout.errors import ConfigError
from turnout.guards.base import Context, Guard, Source, Stage

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def guard() -> None:
    """Measure guards."""


@guard.command(name="eval")
@click.option("--data", type=FILE, required=True, help="Labelled texts (CSV, JSONL, Parquet).")
@click.option("--text", required=True, help="Column of the texts.")
@click.option("--label", required=True, help="Column of the labels: 0, no, benign and the like are clean.")
@click.option(
    "--guard", "row", default="injection", show_default=True, help="Type of the guard, or its row as JSON."
)
@click.option(
    "--source",
    type=click.Choice(get_args(Source)),
    default="user",
    show_default=True,
    help="Who wrote the texts.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def eval_(data: Path, text: str, label: str, row: str, source: Source, *, as_json: bool) -> None:
    """Ask a guard about labelled texts: recall, false alarms, time. Nothing leaves this machine."""
    from turnout.evaluate.guards import count, read_labelled

    made = _made(row)
    stage: Stage = "out" if source == "answer" else "in"
    found = count(made, read_labelled(data, text, label), Context(stage, source))
    rates = {"recall": found.recall, "false_alarm_rate": found.false_alarm_rate, "f1": found.f1}
    told = {"guard": made.name, "source": source, **msgspec.structs.asdict(found), **rates}
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    for name, value in told.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        click.echo(f"{name:<18}{'–' if shown is None else shown}")


def _made(row: str) -> Guard:
    from turnout.strategies.rows import make

    try:
        tree = msgspec.json.decode(row) if row.lstrip().startswith("{") else {"type": row}
    except msgspec.DecodeError as error:
        raise ConfigError((f"--guard: not valid JSON: {error}",)) from None
    problems: list[str] = []
    made = make("turnout.guards", tree, "--guard", problems)
    if problems or not isinstance(made, Guard):
        raise ConfigError(tuple(problems or (f"--guard: {row!r} is no guard",)))
    return made
