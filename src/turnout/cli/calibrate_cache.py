"""`turnout calibrate cache`: how alike two questions must be for one answer. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from turnout.cli.options import confidence_option, share_option

if TYPE_CHECKING:
    from turnout.evaluate.cache_pairs import Calibration
    from turnout.learn.cache_card import Of, Shown

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Given(Struct, frozen=True, kw_only=True):
    """The command's options."""

    data: Path
    first: str
    second: str
    label: str
    group: str | None
    split: str | None
    encoder: str
    max_false_hits: float
    confidence: float
    of: str
    out: Path | None
    as_json: bool


@click.command()
@click.option("--data", required=True, type=_FILE, help="Pairs of questions (CSV, JSONL, Parquet).")
@click.option("--first", default="text_a", show_default=True, help="Column of one question.")
@click.option("--second", default="text_b", show_default=True, help="Column of the other.")
@click.option("--label", default="label", show_default=True, help="Column: may one answer serve both?")
@click.option("--group", help="Column of what keeps pairs together that share a question.")
@click.option("--split", help="Column in which `train` is what it is shown on; the rest is looked at after.")
@click.option(
    "--encoder",
    type=click.Choice(["static", "blend", "hash", "minilm"]),
    default="static",
    show_default=True,
    help="Whose vectors are compared.",
)
@share_option("--max-false-hits", 0.01, "Largest rate of false hits.")
@confidence_option(0.95)
@click.option(
    "--of",
    type=click.Choice(["lookups", "hits"]),
    default="lookups",
    show_default=True,
    help="What the rate is a share of: all look-ups that find a neighbour, or what is served.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the artifact here.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def cache(**options: Any) -> None:
    """Find how alike two questions must be, with a bound on false hits. Nothing leaves this machine.

    Learn-then-test over falling thresholds that come from other pairs, with exact binomial bounds, behind the
    rules against negations, numbers, dates, names, opposites and code.
    """
    from turnout.evaluate.cache_pairs import Columns, Wanted, calibrate, data_card, read_pairs
    from turnout.signals.embed import encoder_of

    given = msgspec.convert(options, Given)
    columns = Columns(
        first=given.first, second=given.second, label=given.label, group=given.group, split=given.split
    )
    pairs = read_pairs(given.data, columns)
    of: Of = "hits" if given.of == "hits" else "lookups"
    wanted = Wanted(
        kind=given.encoder, max_false_hits=given.max_false_hits, confidence=given.confidence, of=of
    )
    found = calibrate(pairs, encoder_of(given.encoder), wanted, data_card(given.data, pairs))
    if given.out is not None:
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(found.card)) + b"\n")
    if given.as_json:
        click.echo(msgspec.json.encode(_tree(found)).decode())
    else:
        _tell(found)
    if given.out is not None:
        click.echo(f"turnout: {given.out}: threshold {found.card.threshold}", err=True)


def _tree(found: "Calibration") -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.to_builtins(found)
    for name in ("after", "without_rules"):
        shown = getattr(found, name)
        tree[name] = None if shown is None else _counts(shown)
    tree["others"] = {name: None if shown is None else _counts(shown) for name, shown in found.others.items()}
    return tree


def _counts(shown: "Shown") -> dict[str, Any]:
    return {**msgspec.structs.asdict(shown), "recall": shown.recall}


def _tell(found: "Calibration") -> None:
    card = found.card
    if card.threshold is None:
        click.echo(f"nothing is certified: no threshold keeps false hits at {card.max_false_hits:.2%}")
    else:
        click.echo(
            f"threshold {card.threshold:.4f}: recall {card.recall:.1%} at most {card.max_false_hits:.2%}"
            f" false of {card.of}, confidence {card.confidence:.0%}"
        )
        click.echo(
            f"shown on {card.n:,} pairs: {card.n_hits:,} served, {card.n_false:,} false;"
            f" bound {card.bound:.2%} of {card.of}, {card.bound_hits:.2%} of what is served"
        )
    rows = {"afterwards": found.after, "afterwards, if no rule objected": found.without_rules, **found.others}
    for name, shown in rows.items():
        if shown is None:
            click.echo(f"{name}: nothing is certified")
        else:
            click.echo(
                f"{name}: threshold {shown.threshold:.4f}, recall {shown.recall:.1%}, {shown.n_false:,}"
                f" of {shown.n_hits:,} false, bound {shown.bound:.2%} of look-ups,"
                f" {shown.bound_hits:.2%} of hits"
            )
