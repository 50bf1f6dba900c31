"""`turnout collect`: prompts through models, answers scored, outcomes written. Floor 7."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.client import AsyncClient
    from turnout.evaluate.collect.compare import Compared
    from turnout.evaluate.collect.prompts import Prompt
    from turnout.evaluate.collect.run import Forecast, Options, Summary

SCORINGS = ("exact", "contains", "number", "choice", "regex", "json_schema", "code", "judge")
NANO = 1_000_000_000


class Given(Struct, frozen=True, kw_only=True):
    """The command's options."""

    config_path: Path | None
    prompts: Path
    models: tuple[str, ...]
    out: Path
    scoring: str
    judge: str | None
    judge_all: bool
    reference: str | None
    pairs: Path | None
    samples: int
    max_tokens: int
    temperature: float | None
    budget_usd: float | None
    rpm: float | None
    concurrency: int
    limit: int | None
    allow_unpriced: bool
    allow_code: bool
    drop_responses: bool
    dry_run: bool
    as_json: bool

    @property
    def options(self) -> "Options":
        """What a collection is told."""
        from turnout.evaluate.collect.run import Options

        grades = self.judge_all or self.reference is None or self.scoring == "judge"
        return msgspec.convert(
            {
                "models": list(dict.fromkeys(self.models)),
                "scoring": self.scoring,
                "samples": self.samples,
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "budget_nusd": self.budget_nusd,
                "rpm": self.rpm,
                "concurrency": self.concurrency,
                "judge": self.judge if grades else None,
                "judge_all": self.judge_all,
                "allow_unpriced": self.allow_unpriced,
                "keep_responses": not self.drop_responses,
                "allow_code": self.allow_code,
            },
            Options,
        )

    @property
    def budget_nusd(self) -> int | None:
        """The budget in the unit money is counted in."""
        return None if self.budget_usd is None else round(self.budget_usd * NANO)


class Result(Struct, frozen=True, omit_defaults=True):
    """What one call of the command did."""

    collected: "Summary"
    compared: "Compared | None" = None


@click.command()
@config_option
@click.option(
    "--prompts",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV, JSON lines or Parquet with a column `prompt` (or `messages`), or a journal that holds text.",
)
@click.option("--model", "models", multiple=True, required=True, help="A model to ask; several times.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Outcome table (.jsonl). What it holds already is not asked again.",
)
@click.option(
    "--score",
    "scoring",
    type=click.Choice(SCORINGS),
    default="exact",
    show_default=True,
    help="How answers are scored where the prompt's column `scoring` does not say.",
)
@click.option("--judge", help="Model that grades answers, or compares them with --reference.")
@click.option("--judge-all", is_flag=True, help="Also grade answers scored otherwise: calibrates the judge.")
@click.option("--reference", help="Compare each answer with this model's, in both orders.")
@click.option(
    "--pairs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where comparisons go. Default: OUT with `.pairs.jsonl`.",
)
@click.option(
    "--samples", type=click.IntRange(1, 16), default=1, show_default=True, help="Answers to each question."
)
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Of each answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="Default: as the model has it.")
@click.option("--budget-usd", type=click.FloatRange(0), help="No call starts that could exceed it.")
@click.option("--rpm", type=click.FloatRange(0, min_open=True), help="Requests a minute and model.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Calls under way at once.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first prompts.")
@click.option("--allow-unpriced", is_flag=True, help="Ask models without a known price despite a budget.")
@click.option(
    "--allow-code", is_flag=True, help="Run code from answers against tests, with the rights of this command."
)
@click.option("--drop-responses", is_flag=True, help="Do not write the answers' text.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def collect(context: click.Context, /, **options: Any) -> None:
    """Ask models a set of prompts and write how well each answered. Can be stopped and started again."""
    from turnout.client import AsyncClient
    from turnout.evaluate.collect.prompts import load_prompts

    given = Given(**options)
    _check(given)
    config, _ = read_config(given.config_path)
    prompts = load_prompts(given.prompts).rows[: given.limit]
    found = asyncio.run(_go(given, prompts, AsyncClient(config)))
    if given.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        show(found, given)
    failed = isinstance(found, Result) and found.collected.n_asked > 0 and found.collected.n_scored == 0
    context.exit(1 if failed else 0)


def _check(given: Given) -> None:
    from turnout.errors import ConfigError

    problems = []
    if given.out.suffix.lower() != ".jsonl":
        problems.append(f"--out {given.out}: expected a name that ends in .jsonl")
    if given.reference is not None and given.judge is None:
        problems.append("--reference compares by a judge; name one with --judge")
    if given.reference is not None and given.reference not in given.models:
        problems.append(f"--reference {given.reference}: is none of the models asked")
    if given.reference is not None and given.drop_responses:
        problems.append(
            "--reference: there is nothing to compare without the answers; leave out --drop-responses"
        )
    if problems:
        raise ConfigError(tuple(problems))


async def _go(given: Given, prompts: "tuple[Prompt, ...]", client: "AsyncClient") -> "Forecast | Result":
    from turnout.evaluate.collect.calibration import calibrate_judge
    from turnout.evaluate.collect.compare import Comparison
    from turnout.evaluate.collect.rows import Sheet, finish, read
    from turnout.evaluate.collect.run import Collection

    async with client:
        with _bar(quiet=given.dry_run or given.as_json) as (begin, advance):
            collection = Collection(client, prompts, given.options, lambda _: advance())
            forecast = collection.forecast(read(given.out))
            if given.dry_run:
                return forecast
            begin(forecast.n_calls)
            sheet = Sheet(given.out)
            try:
                summary = await collection.run(sheet)
            finally:
                sheet.close()
        rows = finish(given.out)
        if given.judge is not None and (found := calibrate_judge(rows, given.judge)) is not None:
            rows = finish(given.out, found.scores)
            summary = msgspec.structs.replace(summary, judge=found.told)
        if given.reference is None or given.judge is None:
            return Result(summary)
        left = None if given.budget_nusd is None else max(given.budget_nusd - summary.spent_nusd, 0)
        pairs = given.pairs or given.out.with_suffix(".pairs.jsonl")
        compared = await Comparison(client, given.judge, given.reference, left).run(rows, pairs)
        return Result(summary, compared)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Show progress on the terminal; yields what sets the total and what counts one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("asking", total=None)
        yield lambda total: progress.update(task, total=total), lambda: progress.advance(task)


def show(found: "Forecast | Result", given: Given) -> None:
    """Print what was done, or would be."""
    from turnout.evaluate.collect.run import Forecast

    if isinstance(found, Forecast):
        click.echo(f"{found.n_calls:,} calls to make, {found.n_already:,} answers there already")
        click.echo(f"expected {_usd(found.expected_nusd)}, at most {_usd(found.worst_nusd)}, judge included")
        for model in found.unpriced:
            click.echo(f"{model}: no price is known", err=True)
        return
    done = found.collected
    click.echo(f"{done.n_scored:,} of {done.n_asked:,} answers scored, {done.n_already:,} there already")
    click.echo(f"spent {_usd(done.spent_nusd)} in all; outcomes in {given.out}")
    for word, n in sorted(done.errors.items()):
        click.echo(f"{n:,} failed: {word}", err=True)
    for model in done.left_alone:
        click.echo(f"{model}: failed too often in a row and was left alone", err=True)
    if done.stopped is not None:
        click.echo(f"stopped early: {done.stopped}; run the command again to go on", err=True)
    if done.judge is not None:
        click.echo(f"judge {given.judge}: {done.judge}")
    if found.compared is not None:
        _show_compared(found.compared, given)


def _show_compared(compared: "Compared", given: Given) -> None:
    for model in given.models:
        if model == given.reference:
            continue
        won, tied, lost = (each.get(model, 0) for each in (compared.wins, compared.ties, compared.losses))
        click.echo(f"{model} against {given.reference}: {won} won, {tied} tied, {lost} lost")
    if compared.n_unreadable or compared.n_failed:
        click.echo(f"{compared.n_unreadable} comparisons not in form, {compared.n_failed} failed", err=True)
    if compared.stopped is not None:
        click.echo(f"stopped early: {compared.stopped}", err=True)


def _usd(nano: int) -> str:
    return f"${nano / NANO:,.4f}"
