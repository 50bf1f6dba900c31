"""`turnout bench`: what a request costs here, beside plain proxies. Floor 7.

The suite is the folder `benchmarks` of the sources: it holds C programs and drives other gateways, which has
no place in an installed package. The command finds it and hands its words on.
"""

import subprocess
import sys
from pathlib import Path

import click

from turnout.errors import ConfigError

MODULES = {
    "suite": "benchmarks",
    "growth": "benchmarks.growth",
    "scale": "benchmarks.scale",
    "soak": "benchmarks.soak",
    "capacity": "benchmarks.capacity",
}


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
    add_help_option=True,
)
@click.option(
    "--sources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds `benchmarks`. Default: this one, or the checkout that Turnout runs from.",
)
@click.argument("what", type=click.Choice(list(MODULES)), default="suite")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def bench(sources: Path | None, what: str, words: tuple[str, ...]) -> None:
    """Measure the gateway next to plain proxies, in the same rounds.

    `suite` is CPU, latency, memory and start-up; `growth`, `scale` and `soak` take longer; `capacity` reckons
    what a rate of requests needs. Further words go to it.

    \b
    turnout bench suite --quick --profiles "turnout; turnout, production"
    turnout bench growth --only keys,routes --plots charts
    turnout bench soak --minutes 30
    turnout bench capacity --rps 100,10000
    """  # noqa: D301 (click reads the control character as "do not wrap")
    folder = _folder(sources)
    command = [sys.executable, "-m", MODULES[what], *words]
    done = subprocess.run(command, cwd=folder, check=False)  # noqa: S603  a module of our own
    raise click.exceptions.Exit(done.returncode)


def _folder(sources: Path | None) -> Path:
    """Return the folder above `benchmarks`. Raises `ConfigError`."""
    checkout = Path(__file__).resolve().parents[3]
    for folder in (Path.cwd(), checkout) if sources is None else (sources.resolve(),):
        if (folder / "benchmarks" / "__main__.py").is_file():
            return folder
    problem = (
        "bench: the benchmarks are not here; they come with the sources, not with the package: "
        "run this in a checkout of Turnout, or name one with --sources"
    )
    raise ConfigError((problem,))
