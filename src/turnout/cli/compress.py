"""`turnout compress`: how much shorter your own conversations would get. Floor 7."""

from pathlib import Path

import click
import msgspec

from turnout.errors import ConfigError
from turnout.types.compress import CompressRule

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def compress() -> None:
    """Measure compression."""


@compress.command(name="eval")
@click.option("--data", type=FILE, required=True, help="Conversations (JSON lines), or bfcl_v1.parquet.")
@click.option(
    "--rule", default="lossless", show_default=True, help="`lossless`, or a route's `compress` as JSON."
)
@click.option(
    "--turns",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Turns of a session made of published function-calling results.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def eval_(data: Path, rule: str, turns: int, *, as_json: bool) -> None:
    """Shorten conversations and tell what that saves, by step. No model is asked.

    A line may list texts under `needed`: they are looked for in what is left.
    """
    from turnout.evaluate.compress import Readers, count, read_conversations
    from turnout.parts import load_dialect

    made = _rule(rule)
    readers = Readers(load_dialect("openai_chat"), load_dialect("anthropic"))
    found = count(read_conversations(data, readers, turns=turns), made)
    told = {"rule": msgspec.to_builtins(made), **msgspec.structs.asdict(found)}
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    for name, value in told.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        if isinstance(value, dict):
            shown = ", ".join(f"{key} {each}" for key, each in value.items()) or "–"
        click.echo(f"{name:<17}{shown}")


def _rule(text: str) -> CompressRule:
    if text == "lossless":
        return CompressRule(min_tokens=0)
    try:
        return msgspec.json.decode(text, type=CompressRule)
    except msgspec.MsgspecError as error:
        raise ConfigError((f"--rule: {error}",)) from None
