"""`turnout calibrate feedback`: a threshold from what was said of live answers. Floor 7."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from turnout.cli.options import config_option, read_config, share_option

if TYPE_CHECKING:
    from turnout.config import Config, RouteConfig
    from turnout.evaluate.corrections import Bin, Gauge, Suggestion
    from turnout.types.feedback import Feedback
    from turnout.types.record import Record

_OUT = click.Path(dir_okay=False, path_type=Path)
_WIDE = 30


class Given(Struct, frozen=True, kw_only=True):
    """The command's options."""

    config_path: Path | None
    route: str
    days: int
    max_rate: float
    limit: int
    svg: Path | None
    out: Path | None
    votes: Path | None
    applies: bool
    as_json: bool


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` prints, and the dashboard shows."""

    route: str
    of: str
    """What the route goes by."""
    threshold: float | None
    max_rate: float
    n: int
    words: int
    bins: "tuple[Bin, ...]"
    suggestion: "Suggestion"
    schema: str = "turnout.feedback-calibration/1"


@click.command()
@config_option
@click.option("--route", required=True, help="Whose threshold.")
@click.option("--days", type=click.IntRange(1), default=30, show_default=True, help="Of requests read.")
@share_option("--max-rate", 0.05, "Largest rate of corrections, at the upper end of its interval.")
@click.option(
    "--limit", type=click.IntRange(1), default=50_000, show_default=True, help="Latest requests read."
)
@click.option("--svg", type=_OUT, help="Write the plot of need against corrections here.")
@click.option("--out", type=_OUT, help="Write the report as JSON here, as in `evaluate.reports`.")
@click.option("--votes", type=_OUT, help="Write what was said, for `turnout fit learned --votes`, here.")
@click.option("--apply", "applies", is_flag=True, help="Put it in force, where the route says so.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def feedback(**options: Any) -> None:
    """Suggest a threshold from the journal and what was said of its answers; it is put nowhere by itself."""
    from turnout.evaluate.feedback_data import votes_of

    given = Given(**options)
    config, _ = read_config(given.config_path)
    row = next((each for each in config.routes if each.name == given.route), None)
    if row is None:
        raise click.BadParameter(f"no route {given.route!r}", param_hint="--route")
    records, words = asyncio.run(_read(config, given))
    gauge = _gauge(row)
    report = _report(config, (given.route, gauge, given.max_rate), records, words)
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    if given.out is not None:
        given.out.write_bytes(text + b"\n")
    if given.svg is not None:
        given.svg.write_text(_plot(report), encoding="utf-8")
    if given.votes is not None:
        lines = [msgspec.json.encode(each) + b"\n" for each in votes_of(records, words)]
        given.votes.write_bytes(b"".join(lines))
    if given.as_json:
        click.echo(text.decode())
    else:
        _print(report)
    if given.applies:
        _apply(given.config_path, row, gauge, report)


async def _read(config: "Config", given: Given) -> "tuple[list[Record], list[Feedback]]":
    from datetime import UTC, datetime, timedelta

    from turnout.evaluate.feedback_data import records_of, words_of
    from turnout.parts import open_records
    from turnout.stores.base import Query
    from turnout.stores.feedback import FeedbackQuery

    journal, store = open_records(config)
    if journal is None or store is None:
        raise click.ClickException("no journal is kept with this file; set journal.enabled: true in it")
    now = datetime.now(UTC)
    since = now - timedelta(days=given.days)
    try:
        await journal.flush()
        records = await records_of(journal, Query(route=given.route, since=since), given.limit)
        query = FeedbackQuery(route=given.route, since=since)
        return records, await words_of(store, query, now, config.feedback.quarantine_h)
    finally:
        await journal.close()
        await store.close()


def _gauge(row: "RouteConfig") -> "Gauge":
    from turnout.errors import ConfigError
    from turnout.evaluate.corrections import gauge_of
    from turnout.learn.certificate import read

    if row.certificate is None or row.certificate.file is None:
        return gauge_of(row, None)
    try:
        found = read(Path(row.certificate.file).read_bytes())
    except (OSError, ConfigError) as error:
        raise click.ClickException(f"{row.certificate.file}: {error}") from None
    return gauge_of(row, (found.tau, found.reference))


def _report(
    config: "Config", about: "tuple[str, Gauge, float]", records: "list[Record]", words: "list[Feedback]"
) -> Report:
    from turnout.evaluate.corrections import bins, points, suggest

    route, gauge, max_rate = about
    found = points(records, words, gauge, config.feedback.max_share)
    return Report(
        route=route,
        of=gauge.name or gauge.kind,
        threshold=gauge.threshold,
        max_rate=max_rate,
        n=len(found),
        words=len(words),
        bins=bins(found),
        suggestion=suggest(found, gauge, max_rate),
    )


def _plot(report: Report) -> str:
    from turnout.evaluate.plots import Chart, Series, draw, standalone

    known = [(each, each.rate) for each in report.bins if each.rate is not None]
    points = tuple(((each.low + each.high) / 2, rate.mean) for each, rate in known)
    band = tuple(((each.low + each.high) / 2, rate.low, rate.high) for each, rate in known)
    series = [Series(name="corrected", points=points, band=band)]
    for name, at in (("in force", report.threshold), ("suggested", report.suggestion.threshold)):
        if at is not None:
            series.append(Series(name=name, points=((at, 0.0), (at, 1.0))))
    chart = Chart(
        title=f"How often cheap answers of {report.route} were corrected",
        about="The share of judged cheap answers that were corrected, by the need of the strong model.",
        x=report.of,
        y="rate of corrections",
        series=tuple(series),
    )
    return standalone(draw(chart))


def _print(report: Report) -> None:
    click.echo(f"read           {report.n:,} decided requests, {report.words:,} words on answers")
    for line in _lines(report.bins):
        click.echo(line)
    in_force = "none" if report.threshold is None else f"{report.threshold:g}"
    click.echo(f"in force       {report.of} below {in_force} goes to the cheap model")
    found = report.suggestion
    if found.threshold is None or found.rate is None:
        click.echo(f"suggested      none: {found.reason}")
        return
    click.echo(
        f"suggested      {found.threshold:.4g}: {found.weak_share or 0:.1%} of requests to the cheap model"
    )
    rate = found.rate
    click.echo(
        f"evidence       {found.n_rated} judged cheap answers below it, {rate.mean:.1%} corrected "
        f"(95 % between {rate.low:.1%} and {rate.high:.1%})"
    )
    if found.cost_nusd and found.new_cost_nusd is not None:
        change = found.new_cost_nusd / found.cost_nusd - 1
        click.echo(f"cost           {change:+.1%} of what these requests were predicted to cost")


def _lines(of: "Sequence[Bin]") -> list[str]:
    most = max((each.n for each in of), default=1)
    found = []
    for each in of:
        bar = "█" * round(_WIDE * each.n / most)
        rate = "" if each.rate is None else f"{each.rate.mean:6.1%} of {each.n_rated} corrected"
        signs = f", {each.signs} signs" if each.signs else ""
        found.append(f"{each.low:9.3f} – {each.high:9.3f}  {bar:{_WIDE}} {each.n:>6,}  {rate}{signs}")
    return found


def _apply(config_path: Path | None, row: "RouteConfig", gauge: "Gauge", report: Report) -> None:
    if row.calibration != "apply":
        raise click.ClickException(
            f"the route {row.name!r} does not let a calibration change it; set calibration: apply in it"
        )
    threshold = report.suggestion.threshold
    if threshold is None:
        raise click.ClickException(f"nothing to apply: {report.suggestion.reason}")
    if gauge.kind == "gap":
        raise click.ClickException("a certificate's threshold is changed by a new certificate only")
    from turnout.cli.versions import put_threshold_in_force

    version = put_threshold_in_force(config_path, row.name, threshold, _because(report))
    click.echo(f"{version} is in force")


def _because(report: Report) -> str:
    rate = report.suggestion.rate
    shown = "" if rate is None else f", {rate.low:.1%} to {rate.high:.1%} corrected"
    return f"calibrated on feedback: {report.suggestion.n_rated} judged answers{shown}"
