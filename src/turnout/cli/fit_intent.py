"""`turnout fit intent`: intents from labelled utterances. Floor 7."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from turnout.errors import ConfigError
from turnout.types.json import Json

if TYPE_CHECKING:
    from turnout.evaluate.intent import Utterances
    from turnout.learn.intent import CardHead, IntentModel, Report

_METHODS = ("top", "max", "centroid", "logistic")


@click.command()
@click.option(
    "--data",
    "paths",
    required=True,
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="File or folder: CSV, JSON, JSON lines or Parquet with text, intent and perhaps split; or YAML with "
    "a list of utterances for each intent. Utterances of the intent `none` are what no route is for.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Arrays (.npz); the card is written beside it (.json).",
)
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    default=("hash",),
    show_default=True,
    help="What makes vectors: hash, static, minilm or an installed one. Repeat it for a chain: the next one "
    "serves while the one before has no vector.",
)
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    help="How utterances are scored. Default: logistic where every intent has 10 of them or more, else top.",
)
@click.option(
    "--margin",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Lead over the runner-up that an intent needs.",
)
@click.option(
    "--none-recall",
    default=0.85,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of utterances of none to turn away, as far as it costs few others. 0 = what F1 alone gives.",
)
@click.option(
    "--drop-conflicts", is_flag=True, help="Leave out rows that contradict each other, and tell which."
)
def intent(*, paths: tuple[Path, ...], out: Path, drop_conflicts: bool, **scoring: Any) -> None:
    """Fit intents on labelled utterances, and report how they do.

    Rows whose split is `train`, or which have none, are fitted; the others are only measured.
    """
    try:
        from turnout.evaluate.intent import Settings, fit_intents, read_utterances
        from turnout.learn.intent import encode
    except ModuleNotFoundError as error:
        raise ConfigError((f"turnout fit needs {error.name}; run: pip install 'turnout[learn]'",)) from None
    if out.suffix != ".npz":
        raise ConfigError((f"--out {out}: expected a name that ends in .npz",))
    settings = msgspec.convert(scoring, Settings)
    if len(set(settings.encoders)) < len(settings.encoders):
        raise ConfigError((f"--encoder {' '.join(settings.encoders)}: one is named twice",))
    found = read_utterances(paths, yaml=_yaml, drop=drop_conflicts)
    model = fit_intents(found, settings, datetime.now(UTC).replace(microsecond=0))
    arrays, card = encode(model)
    out.write_bytes(arrays)
    out.with_suffix(".json").write_bytes(card)
    _tell(found, model, out)


def _yaml(content: bytes, where: str) -> Json:
    import yaml

    try:
        return cast("Json", yaml.safe_load(content))
    except yaml.YAMLError as error:
        raise ConfigError((f"{where}: not YAML: {error}",)) from None


def _tell(found: "Utterances", model: "IntentModel", out: Path) -> None:
    for line in found.dropped:
        click.echo(f"left out: {line}")
    if found.n_repeated:
        click.echo(f"left out: {found.n_repeated} rows that say what an earlier one says")
    card = model.card
    utterances = sum(card.utterances)
    click.echo(f"{len(card.labels)} intents, {utterances} utterances, {card.negatives} of none")
    if not card.negatives:
        click.echo("no utterance of none: thresholds know only what the intents are mistaken for")
    for head in card.heads:
        _tell_head(head)
    click.echo(f"written: {out} and {out.with_suffix('.json')}")


def _tell_head(head: "CardHead") -> None:
    click.echo(f"\n{head.encoder.name} ({head.encoder.id}), {head.method}")
    reports = [("cross-validated", head.fitted)]
    if head.held_out is not None:
        reports.append(("held out", head.held_out))
    width = max(len(name) for name, _ in reports)
    for name, report in reports:
        click.echo(f"  {name:<{width}}  {_line(report)}")


def _line(report: "Report") -> str:
    shown: Sequence[tuple[str, float | None]] = (
        ("accuracy", report.accuracy),
        ("after thresholds", report.accuracy_routed),
        ("none turned away", report.none_recall),
        ("AUROC of none", report.none_auroc),
        ("macro-F1", report.macro_f1),
    )
    told = ", ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
    return f"n={report.n}+{report.n_none}: {told}"
