"""`turnout fit learned`: from outcome tables to a router. Floor 7."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from turnout.evaluate.fit import Fitted
    from turnout.types.json import Json

KINDS = ("pooled", "knn", "kmeans", "mf", "sw_bt", "head")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    artifact: str
    card: str
    npz_sha256: str
    kind: str
    encoder: str
    models: tuple[str, ...]
    rows: int
    prompts: int
    excluded_overlap: int
    train_s: float
    encode_s: float
    gap_auc: float | None
    apgr: float | None
    aiq: float | None
    quality: float | None
    best_single: float | None
    vs_best_single: tuple[float, float] | None
    vs_knn: tuple[float, float] | None
    source_weights: Mapping[str, float]
    leave_domain_out: float | None
    worst_domain: str | None
    worst_domain_gain: float | None
    abstain_reason: str | None
    expires: str
    warnings: tuple[str, ...]


@click.command()
@click.option("--data", type=FILE, multiple=True, required=True, help="Outcome table; may be repeated.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where to write the arrays; the card goes beside them, as .json.",
)
@click.option(
    "--encoder",
    default="hash",
    show_default=True,
    help="What turns prompts into vectors: hash, static, blend (of both), minilm.",
)
@click.option(
    "--kind", default="pooled", show_default=True, help=f"Method: {', '.join(KINDS)}, or an installed one."
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the method.")
@click.option("--pairs", type=FILE, help="Comparisons of the same models, weighed on held-out outcomes.")
@click.option("--votes", type=FILE, help="Thumbs on answers: prompt, model, up, user; weighed likewise.")
@click.option(
    "--lambda",
    "price",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Quality that one USD is worth in the route: whether to abstain is judged at it.",
)
@click.option("--split", "splits", multiple=True, help="Only rows of this split; may be repeated.")
@click.option(
    "--exclude-overlap",
    "excluding",
    type=FILE,
    multiple=True,
    help="Table to be reported on: its prompts and their near-copies are left out.",
)
@click.option("--seed", default=0, show_default=True, help="Of folds and cells; same seed, same artifact.")
@click.option("--valid-days", default=90, show_default=True, help="After which the artifact expires.")
@click.option(
    "--leave-domain-out/--no-leave-domain-out", default=True, help="Ask what a new domain would get."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def learned(  # noqa: PLR0913  one parameter an option
    *,
    data: tuple[Path, ...],
    out: Path,
    encoder: str,
    kind: str,
    settings: tuple[str, ...],
    pairs: Path | None,
    votes: Path | None,
    price: float,
    splits: tuple[str, ...],
    excluding: tuple[Path, ...],
    seed: int,
    valid_days: int,
    leave_domain_out: bool,
    as_json: bool,
) -> None:
    """Fit a router on outcome tables and write it with its card.

    A table has one row for each prompt and model: prompt, model, score in 0-1; CSV, JSON lines or Parquet.
    Figures on the card come from prompts that the fit did not see. RouterArena's data is refused.
    """
    from turnout import __version__
    from turnout.evaluate.fit import Setting, fit_artifact
    from turnout.learn.artifact import encode

    if out.suffix != ".npz":
        raise click.BadParameter(f"{out} does not end in .npz", param_hint="--out")
    setting = Setting(
        data=data,
        encoder=encoder,
        kind=kind,
        settings=_settings(settings),
        pairs=pairs,
        votes=votes,
        price=price,
        split=splits or None,
        excluding=excluding,
        seed=seed,
        valid_days=valid_days,
        leave_domain_out=leave_domain_out,
    )
    tell = (lambda _: None) if as_json else (lambda line: click.echo(f"· {line}", err=True))
    fitted = fit_artifact(setting, now=datetime.now(UTC), version=__version__, tell=tell)
    npz, card = encode(fitted.artifact)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(npz)
    beside = out.with_suffix(".json")
    beside.write_bytes(card)
    report = _report(fitted, out, beside, npz)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print(report)


def _settings(pairs: tuple[str, ...]) -> dict[str, "Json"]:
    found: dict[str, Json] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        found[name] = value
    return found


def _report(fitted: "Fitted", out: Path, card_path: Path, npz: bytes) -> Report:
    import hashlib

    card = fitted.artifact.card
    metrics = card.metrics
    return Report(
        artifact=str(out),
        card=str(card_path),
        npz_sha256=hashlib.sha256(npz).hexdigest(),
        kind=card.kind,
        encoder=card.encoder.id,
        models=card.pool,
        rows=sum(each.rows for each in card.data),
        prompts=sum(each.prompts for each in card.data),
        excluded_overlap=sum(each.excluded_overlap for each in card.data),
        train_s=round(fitted.train_s, 3),
        encode_s=round(fitted.encode_s, 3),
        gap_auc=metrics.gap_auc,
        apgr=metrics.apgr,
        aiq=metrics.aiq,
        quality=metrics.quality,
        best_single=metrics.best_single,
        vs_best_single=metrics.vs_best_single,
        vs_knn=metrics.vs_knn,
        source_weights=card.source_weights,
        leave_domain_out=metrics.leave_domain_out,
        worst_domain=metrics.worst_domain,
        worst_domain_gain=metrics.worst_domain_gain,
        abstain_reason=card.abstain_reason,
        expires=f"{card.expires:%Y-%m-%d}",
        warnings=fitted.warnings,
    )


def _print(report: Report) -> None:
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    if report.worst_domain is not None:
        gain = f"{report.worst_domain_gain:+.3f} against the best single model"
        click.echo(f"worst domain   {report.worst_domain}: {gain}")
    click.echo(f"fitted         {report.kind} with {report.encoder} in {report.train_s:.2f} s")
    click.echo(f"on             {report.rows} rows, {report.prompts} prompts, {len(report.models)} models")
    if report.excluded_overlap:
        click.echo(f"left out       {report.excluded_overlap} prompts that a table to report on has too")
    click.echo(f"held out       quality {report.quality:.4f}, best single model {report.best_single:.4f}")
    for name, words in _figures(report):
        click.echo(f"{name:14} {words}")
    click.echo(f"written        {report.artifact}, {report.card}; expires {report.expires}")
    if report.abstain_reason is not None:
        click.echo(f"abstains       {report.abstain_reason}")


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    """Return what was measured, as far as it was."""
    for name, interval in (("difference", report.vs_best_single), ("against kNN", report.vs_knn)):
        if interval is not None:
            yield name, f"95 % between {interval[0]:+.4f} and {interval[1]:+.4f}"
    for source, weight in report.source_weights.items():
        yield "weight", f"{weight:g} of {source}"
    if report.gap_auc is not None:
        yield "gap-AUC", f"{report.gap_auc:.3f}"
    if report.apgr is not None:
        yield "APGR", f"{report.apgr:.3f} (in-distribution, held out)"
    if report.aiq is not None:
        yield "AIQ", f"{report.aiq:.3f} over the costs of the single models (in-distribution, held out)"
    if report.leave_domain_out is not None:
        yield "new domain", f"{report.leave_domain_out:+.4f} against the best single model"
