"""`turnout scores`: benchmark scores, the public ones and your own. Floor 7."""

from pathlib import Path

import click

from turnout.cli.options import config_option, read_config
from turnout.errors import ConfigError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("scores")
def scores() -> None:
    """Look at benchmark scores of models, and check files of your own."""


@scores.command("check")
@click.argument("files", nargs=-1, required=True, type=_FILE)
def check(files: tuple[Path, ...]) -> None:
    """Check FILES of own scores: CSV with a header, or JSON lines.

    Columns: model, benchmark, score, n, stderr, higher_is_better, date, source. A file with a faulty row is
    not taken at all; every faulty row is told. Exit status 2 then. Files that are good belong into the
    configuration under benchmarks.files.
    """
    from turnout.catalog.benchmarks import read_scores

    problems: list[str] = []
    for path in files:
        try:
            rows = read_scores(path.read_bytes(), str(path))
        except ConfigError as error:
            problems += error.problems
            continue
        models, names = {row.model for row in rows}, sorted({row.benchmark for row in rows})
        click.echo(f"{path}: good; {len(rows)} scores of {len(models)} models on {', '.join(names)}")
    if problems:
        raise ConfigError(tuple(problems))


@scores.command("show")
@click.argument("benchmark", required=False)
@config_option
def show(benchmark: str | None, config_path: Path | None) -> None:
    """List the benchmarks that are known, or the scores of one BENCHMARK, best first, with their sources."""
    from turnout.catalog.benchmarks import unknown_benchmark
    from turnout.parts import load_catalog

    known = load_catalog(read_config(config_path)[0]).scores
    if benchmark is None:
        for name in known.benchmarks:
            rows = known.models(name)
            newest = max(row.date for row in rows)
            own = sum(row.origin == "own" for row in rows)
            click.echo(f"{name:28} {len(rows):>4} models, {own} own, newest {newest}")
        return
    if benchmark not in known.benchmarks:
        raise click.ClickException(unknown_benchmark(benchmark, known.benchmarks))
    ranked = sorted(known.models(benchmark), key=lambda row: row.score, reverse=True)
    for row in ranked if ranked[0].higher_is_better else reversed(ranked):
        n = f"n={row.n}" if row.n else ""
        click.echo(f"{row.model:44} {row.score:>9.2f}  {row.origin:6}  {row.date}  {n:6} {row.source}")
