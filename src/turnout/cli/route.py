"""`turnout route`: what would happen to a request, as a table. Floor 7."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from turnout.cli.options import config_option, read_config
from turnout.types.json import Json
from turnout.types.record import CandidateView, CertificateView, Decision

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.argument("prompt", required=False)
@config_option
@click.option(
    "--model", "-m", default="auto", show_default=True, help="Model, alias, turnout/<route> or auto."
)
@click.option(
    "--request",
    "request_file",
    type=click.File("rb"),
    help="A whole chat-completions body instead of PROMPT.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the Decision as JSON.")
def route(
    prompt: str | None, config_path: Path | None, model: str, request_file: BinaryIO | None, as_json: bool
) -> None:
    """Decide for PROMPT and show why; nothing is sent, and no provider needs its key.

    Shows each candidate with the filters that dropped it, scores, predicted cost and health, and the plan.
    """
    import os

    from turnout.build import decide
    from turnout.codecs.openai_chat import OpenAIChatDialect
    from turnout.server.asking import make_ask
    from turnout.server.ids import new_request_id
    from turnout.server.inbound import Inbound
    from turnout.types.principal import ANONYMOUS

    if request_file is not None:
        raw = request_file.read()
    elif prompt is not None:
        raw = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": prompt}]})
    else:
        raise click.UsageError("give a PROMPT, or --request FILE", click.get_current_context())
    config, _ = read_config(config_path)
    body = OpenAIChatDialect().parse(raw)
    ask = make_ask(new_request_id(), Inbound(), body, ANONYMOUS, "openai_chat")
    decision = decide(config, os.environ, body.request, ask)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(decision), indent=2).decode())
        return
    show(decision)


def show(decision: Decision) -> None:
    """Print a decision for people."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    asked, size = decision.asked, decision.input
    model, route_, strategy = (
        f"[bold]{escape(name)}[/]" for name in (asked.model, decision.route, decision.strategy)
    )
    console.print(
        f"{model} ({asked.source}) → route {route_}, strategy {strategy}; about {size.n_tokens} tokens in"
    )
    console.print(_table(decision.candidates))
    console.print(f"plan    {escape(plan_line(decision.plan))}")
    console.print(f"reason  {decision.reason}")
    if decision.neighbours:
        console.print(f"near    {near_line(decision.neighbours)}")
    if decision.certificate is not None:
        console.print(f"promise {escape(promise_line(decision.certificate))}")


def _table(candidates: tuple[CandidateView, ...]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    foreseen = any(each.n_tokens_out is not None for each in candidates)
    numbers = ("utility", *(("tokens out",) if foreseen else ()), "cost (mean)")
    for name in ("candidate", "status", "why not", *numbers, "health"):
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    colours = {"chosen": "green", "filtered": "red", "cooling": "yellow"}
    for each in candidates:
        colour = colours.get(each.status, "")
        mean = each.cost_nusd.mean if each.cost_nusd else None
        table.add_row(
            escape(each.id),
            f"[{colour}]{each.status}[/]" if colour else each.status,
            ", ".join(f"{drop.filter}: {drop.reason}" for drop in each.filters),
            "" if each.utility is None else f"{each.utility:.3f}",
            *([str(each.n_tokens_out or "")] if foreseen else []),
            "unknown" if mean is None else f"${mean / 1e9:.6f}",
            each.health.state if each.health else "",
        )
    return table


def promise_line(view: CertificateView) -> str:
    """Write under which certificate was decided, and what it made of the request."""
    if view.uncertified is not None:
        return f"{view.id or 'no certificate'}: uncertified, {view.uncertified}"
    gap = "" if view.gap is None else f", smallest gap {view.gap:.4f}"
    return f"{view.id}: threshold {view.tau:.4f}{gap}"


def near_line(neighbours: Mapping[str, float]) -> str:
    """Write the training prompts that weighed most, by id, with their likeness to this one."""
    return ", ".join(f"{name} ({cosine:.2f})" for name, cosine in neighbours.items())


def plan_line(plan: Json) -> str:
    """Write a plan on one line: `a → b`, `hedge(a | b)`, `cascade(a ⇒ b)`."""
    if not isinstance(plan, dict):
        return str(plan)
    for key, sign in (("sequence", " → "), ("cascade", " ⇒ "), ("hedge", " | "), ("fanout", " + ")):
        nodes = plan.get(key)
        if isinstance(nodes, list):
            inner = sign.join(plan_line(node) for node in nodes)
            return inner if key == "sequence" else f"{key}({inner})"
    return str(plan.get("try", ""))
