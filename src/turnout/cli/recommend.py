"""`turnout recommend`: which models suit a request, without a key and without sending it. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.types.recommendation import Ranked, Recommendation


@click.command()
@click.argument("prompt", required=False)
@config_option
@click.option("--model", "-m", default="auto", show_default=True, help="Route, alias, model or auto.")
@click.option("--candidate", "-k", "candidates", multiple=True, help="A model to choose among; repeatable.")
@click.option(
    "--features", "features_file", type=click.File("rb"), help="JSON with token counts instead of PROMPT."
)
@click.option("--max-cost-usd", type=click.FloatRange(0), help="Worst case of one call.")
@click.option("--max-ttft-ms", type=click.FloatRange(0, min_open=True), help="95th percentile.")
@click.option("--min-quality", type=click.FloatRange(0, 1), help="Least predicted quality.")
@click.option("--top-k", type=click.IntRange(1), help="How many models to name. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="Print the Recommendation as JSON.")
def recommend(  # noqa: PLR0913, PLR0917  a parameter per option
    prompt: str | None,
    config_path: Path | None,
    model: str,
    candidates: tuple[str, ...],
    features_file: click.File | None,
    max_cost_usd: float | None,
    max_ttft_ms: float | None,
    min_quality: float | None,
    top_k: int | None,
    as_json: bool,
) -> None:
    """Rank models for PROMPT from local computation alone; no key is needed and nothing is sent.

    \b
    turnout recommend "Sort these invoices" -k openai/gpt-5-mini -k anthropic/claude-haiku-4-5
    echo '{"tokens_in": 4000, "tokens_out": 300}' | turnout recommend --features -
    """  # noqa: D301 (click reads the control character as "do not wrap")
    from turnout.client import AsyncClient
    from turnout.errors import InvalidRequest
    from turnout.types.recommendation import Constraints, Features

    if (prompt is None) == (features_file is None):
        raise click.UsageError("give either a PROMPT or --features FILE")
    features = None
    if features_file is not None:
        try:
            features = msgspec.json.decode(features_file.read(), type=Features)  # type: ignore[attr-defined]  # click opens it
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"--features: {error}") from None
    config, _ = read_config(config_path)
    found = AsyncClient(config).recommend(
        prompt or "",
        features=features,
        constraints=Constraints(max_cost_usd=max_cost_usd, max_ttft_ms=max_ttft_ms, min_quality=min_quality),
        top_k=top_k,
        model=model,
        models=candidates,
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        show(found)


def show(found: "Recommendation") -> None:
    """Print a recommendation for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    decision = found.decision
    console.print(
        f"route [bold]{decision.route}[/], strategy [bold]{decision.strategy}[/]; "
        f"about {decision.input.n_tokens} tokens in"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("#", "model", "quality", "cost", "first content", "why"):
        right = name not in ("model", "why")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for each in found.ranked:
        table.add_row(*_row(each))
    console.print(table)
    for candidate in decision.candidates:
        if candidate.filters:
            why = ", ".join(f"{drop.filter}: {drop.reason}" for drop in candidate.filters)
            console.print(f"left out {candidate.id}: {why}", style="dim")


def _row(each: "Ranked") -> tuple[str, ...]:
    mean, p50 = each.cost_nusd.mean, each.ttft_s.p50
    sd = "" if each.sd is None else f" ± {each.sd:.2f}"
    return (
        str(each.rank),
        each.id,
        "unknown" if each.q is None else f"{each.q:.2f}{sd}",
        "unknown" if mean is None else f"${mean / 1e9:.6f}",
        "unknown" if p50 is None else f"{p50:.2f} s",
        ", ".join(each.reasons),
    )
