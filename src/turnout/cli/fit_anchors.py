"""`turnout fit anchors`: a new model joins a fitted router from a few evaluations. Floor 7."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from turnout.evaluate.joining import Prices

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_STEPS = (20, 35, 50)
"""Evaluations after which it is told how surely quality will be known."""


@click.command("anchors")
@click.option(
    "--artifact", required=True, type=_FILE, help="Router of kind pooled (.npz, its card beside it)."
)
@click.option("--model", required=True, help="Name of the new model.")
@click.option("--prompts", type=_FILE, help="Prompts to choose from: a table with a column prompt, or .txt.")
@click.option("--n", default=50, show_default=True, type=click.IntRange(1, 1000), help="Evaluations to plan.")
@click.option(
    "--prices", metavar="IN,OUT", help="Of the new model, in USD per million tokens; tells the expected cost."
)
@click.option("--add", type=_FILE, help="Outcomes of the new model: write the router that it has joined.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --prompts: the chosen ones as JSON lines. With --add: the new artifact (.npz).",
)
def anchors(  # noqa: PLR0913  one parameter an option
    *,
    artifact: Path,
    model: str,
    prompts: Path | None,
    n: int,
    prices: str | None,
    add: Path | None,
    out: Path | None,
) -> None:
    """Say which prompts tell most about a new model, and let it join.

    First with --prompts: what the evaluations will cost and tell is printed before anything is spent, then
    the prompts, the most telling first. Evaluate the model on them (`turnout collect`), then call again with
    --add.
    """
    if (prompts is None) == (add is None):
        raise click.UsageError("give either --prompts, to plan, or --add, to let the model join")
    if add is not None:
        _add(artifact, add, model, out)
    elif prompts is not None:
        _plan(artifact, prompts, n, prices, out)


def _plan(artifact: Path, prompts: Path, n: int, prices: str | None, out: Path | None) -> None:
    import msgspec

    from turnout.evaluate.joining import plan, read_artifact, read_prompts
    from turnout.learn.anchors import plan_lines

    known = read_artifact(artifact, datetime.now(UTC))
    found = plan(known, read_prompts(prompts), n, None if prices is None else _prices(prices))
    for line in plan_lines(found.anchors, found.costs_usd, _STEPS):
        click.echo(line, err=True)
    lines = [msgspec.json.encode({"prompt": prompt}).decode() for prompt in found.prompts]
    if out is None:
        click.echo("\n".join(lines))
    else:
        out.write_text("\n".join(lines) + "\n")
        click.echo(f"{out}: {len(lines)} prompts")


def _add(artifact: Path, outcomes: Path, model: str, out: Path | None) -> None:
    from turnout.evaluate.joining import joined, read_artifact
    from turnout.learn.artifact import encode

    if out is None or out.suffix != ".npz":
        raise click.BadParameter("--add writes a new artifact: name it, ending in .npz", param_hint="--out")
    now = datetime.now(UTC)
    grown = joined(read_artifact(artifact, now), outcomes, model, now)
    npz, card = encode(grown)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(npz)
    out.with_suffix(".json").write_bytes(card)
    newest = grown.card.models[-1]
    click.echo(f"{out}: {newest.id} joined {len(grown.card.models) - 1} models")
    click.echo(f"evaluations    {newest.n_labels}, mean score {newest.mean:.3f}")
    click.echo("metrics        on the card are of the pool before it; fit again when there are labels enough")


def _prices(text: str) -> "Prices":
    from turnout.evaluate.joining import Prices

    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not IN,OUT", param_hint="--prices") from error
    if not (0 <= first < float("inf") and 0 <= second < float("inf")):
        raise click.BadParameter(f"{text!r} is below 0 or not finite", param_hint="--prices")
    return Prices(first, second)
