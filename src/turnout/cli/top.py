"""`turnout top`: live traffic, health and spend in a terminal. Floor 7.

Theory of operation.

1. A frame is asked for, drawn, and a key is waited for until the next one is due: one thread, no lock.
2. A frame that cannot be had leaves the last one standing and says why; the first one must come.
3. Keys are read one by one where there is a terminal on both sides; it is given back as it was found,
   whatever happens. Without one, or with `--once`, a single frame is printed, as wide as names need.
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from turnout.cli.journal import JOURNAL, opened
from turnout.cli.options import config_option, read_config
from turnout.cli.top_frame import SORTS, Frame, Sort, drawn
from turnout.cli.top_source import Gateway, Kept, Source, TopError

if TYPE_CHECKING:
    from turnout.types.address import Address

_HELP: Final = "q quit · p pause · s sort"
_PIPE_WIDTH: Final = 160
_ROWS_BESIDE: Final = 22
"""Lines that everything but the latest requests takes."""
_FEWEST, _MOST = 5, 100


@click.command()
@config_option
@click.option("--url", help="The gateway whose admin API is asked. Default: where the file has it listen.")
@click.option("--key", envvar="TURNOUT_ADMIN_KEY", show_envvar=True, help="A viewer's key, or more.")
@click.option("--journal", type=JOURNAL, help="Read this journal instead: its file, or postgres://….")
@click.option("--minutes", type=click.IntRange(1, 1440), default=60, show_default=True, help="How far back.")
@click.option("--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds.")
@click.option("--sort", type=click.Choice(SORTS), default="cost", show_default=True, help="Models by what.")
@click.option("--once", is_flag=True, help="Print one frame and end; so it does without a terminal.")
def top(
    config_path: Path | None,
    url: str | None,
    key: str | None,
    journal: "Path | Address | None",
    **given: object,
) -> None:
    """Watch traffic, health and spend. Keys: q quits, p pauses, s sorts by the next column.

    \b
    Examples:
      turnout top --url https://gateway.example --every 5
      turnout top --journal .turnout/journal.db --once
    """  # noqa: D301 (click reads the control character as "do not wrap")
    minutes, every, sort = given["minutes"], given["every"], given["sort"]
    assert isinstance(minutes, int)
    assert isinstance(every, float)
    span, by = timedelta(minutes=minutes), next(each for each in SORTS if each == sort)
    try:
        if url is None and journal is None:
            url = _listening(config_path)
        with _source(url or "", key, journal) as source:
            if given["once"] or not (sys.stdin.isatty() and sys.stdout.isatty()):
                _print(source.frame(span, _FEWEST * 3), by)
            else:
                Screen(source, span, by).run(every)
    except TopError as error:
        raise click.ClickException(str(error)) from error


def _listening(config_path: Path | None) -> str:
    """Return where a gateway of this configuration serves its admin API, as seen from this machine."""
    from turnout.errors import ConfigError
    from turnout.server.bind import EVERYWHERE

    try:
        config, _ = read_config(config_path)
    except ConfigError as error:
        raise TopError(f"{error.problems[0]}; --url names a gateway without the file") from error
    at = config.admin.listen or config.server
    host = at.host if at.host not in EVERYWHERE else "::1" if ":" in at.host else "127.0.0.1"
    scheme = "http" if config.server.tls is None else "https"
    return f"{scheme}://[{host}]:{at.port}" if ":" in host else f"{scheme}://{host}:{at.port}"


@contextmanager
def _source(url: str, key: str | None, journal: "Path | Address | None") -> Iterator[Source]:
    if journal is None:
        yield Gateway(url, key)
        return
    with opened(journal) as rows:
        yield Kept(rows, journal.name if isinstance(journal, Path) else "journal")


def _print(frame: Frame, by: Sort) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH)
    console.print(drawn(frame, by, width=console.width))


class Screen:
    """A terminal that shows frame after frame.

    Args:
        source: Where frames come from.
        span: How far back they look.
        by: How models are ordered at first.
    """

    def __init__(self, source: Source, span: timedelta, by: Sort) -> None:
        self._source, self._span, self._by = source, span, by
        self._is_paused = False

    def run(self, every_s: float) -> None:
        """Show frames until `q`, Ctrl-C or the end of input. Raises `TopError` for the first."""
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False, markup=False, emoji=False)
        frame, note = self._source.frame(self._span, self._n(console.height)), _HELP
        with _keys() as key, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(drawn(frame, self._by, note=note, width=console.width), refresh=True)
                pressed = key(every_s)
                if pressed in ("q", "\x03", "\x04", None):
                    return
                self._take(pressed)
                note = f"{_HELP} · paused" if self._is_paused else _HELP
                if pressed or self._is_paused:
                    continue
                try:
                    frame = self._source.frame(self._span, self._n(console.height))
                except TopError as error:
                    note = str(error)

    @staticmethod
    def _n(height: int) -> int:
        return max(_FEWEST, min(_MOST, height - _ROWS_BESIDE))

    def _take(self, pressed: str) -> None:
        if pressed == "p":
            self._is_paused = not self._is_paused
        elif pressed == "s":
            self._by = SORTS[(SORTS.index(self._by) + 1) % len(SORTS)]


class _Keys:
    """Returns the key that is pressed within a time; "" = none was, None = there are no more."""

    def __init__(self, source: int) -> None:
        self._source = source

    def __call__(self, wait_s: float) -> str | None:
        ready, _, _ = select.select([self._source], [], [], wait_s)
        if not ready:
            return ""
        found = os.read(self._source, 1)
        return found.decode("latin-1") if found else None


@contextmanager
def _keys() -> Iterator[_Keys]:
    """Read keys one by one, without showing them."""
    import termios
    import tty

    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)
    try:
        tty.setcbreak(source)
        yield _Keys(source)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
