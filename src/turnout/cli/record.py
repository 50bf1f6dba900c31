"""`turnout record`: write down provider traffic, and check our wire formats against it. Floor 7."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click
import msgspec

from turnout.cli.translate import translate

if TYPE_CHECKING:
    import uvicorn
    from rich.table import Table

    from turnout.evaluate.verify import Report, Row
    from turnout.transport.base import Transport
    from turnout.transport.recording import Recorded

_HOST: Final = "127.0.0.1"
_SHOWN: Final = 20
"""Differences printed unless more are asked for."""
_SLOW: Final = 300
"""Records from which on reading them takes long enough for a progress bar."""


@click.group("record")
def record() -> None:
    """Record traffic with providers, and verify our wire formats against recordings.

    A recording is a file with one exchange per line: request and answer as they went over the wire, with
    credentials left out. Prompts and answers are in it.
    """


record.add_command(translate)


@record.command("proxy")
@click.option("--to", metavar="BASE_URL", required=True, help="The provider, such as https://host/v1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=4010, show_default=True, help="0 = any free one."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="File to append exchanges to; only its owner may read it.",
)
@click.option("--allow-http", is_flag=True, help="Let BASE_URL be plain HTTP beyond this machine.")
@click.option("--allow-cidr", multiple=True, metavar="CIDR", help="A private network BASE_URL may be in.")
def proxy(to: str, port: int, out: Path, *, allow_http: bool, allow_cidr: tuple[str, ...]) -> None:
    """Serve on 127.0.0.1, pass every call on to BASE_URL, and write it down.

    Point a client's base URL at the proxy and use it as always. Keys pass through and are not written: only a
    short list of harmless headers is kept, and keys in the query are replaced.

    \b
    Example:
      turnout record proxy --to https://api.example.com/v1 --out calls.jsonl
      turnout record verify calls.jsonl
    """  # noqa: D301 (click reads the control character as "do not wrap")
    from turnout.server.bind import bind
    from turnout.transport.guard import egress_for, parse_url
    from turnout.transport.http import HttpTransport
    from turnout.transport.replay import RecordingTransport

    origin, _ = parse_url(to)
    egress = egress_for([to], allow_cidrs=allow_cidr, allow_http=[origin.host] if allow_http else [])
    sock = bind(_HOST, port)
    click.echo(f"turnout: use http://{_HOST}:{sock.getsockname()[1]} as the base URL for {to}", err=True)
    with _private(out) as file:
        written = _Written(file)

        async def run() -> None:
            transport = RecordingTransport(HttpTransport(egress), written)
            try:
                await _server(to, transport).serve(sockets=[sock])
            finally:
                await transport.close()

        with suppress(KeyboardInterrupt):
            asyncio.run(run())
    click.echo(
        f"turnout: {written.n} exchanges in {out}; `turnout record verify {out}` checks them", err=True
    )


def _private(out: Path) -> BinaryIO:
    """Open a file for appending that only its owner may read: prompts go into it."""
    try:
        return os.fdopen(os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
    except OSError as error:
        raise click.ClickException(f"{out}: {error.strerror}") from None


class _Written:
    """Takes exchanges as lines: to the file at once, and one short line each to the terminal."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.n = 0

    def __call__(self, line: bytes) -> None:
        from turnout.transport.recording import Recorded

        self._file.write(line)
        self._file.flush()
        self.n += 1
        it = msgspec.json.decode(line, type=Recorded)
        cut = " (cut)" if it.cut else ""
        size = f"{len(it.sent):,} → {len(it.received):,} bytes"
        click.echo(f"{it.status} {it.method} {it.url.partition('?')[0]} {size}{cut}", err=True)


def _server(to: str, transport: "Transport") -> "uvicorn.Server":
    import uvicorn

    from turnout.evaluate.capture import Capture

    return uvicorn.Server(
        uvicorn.Config(
            Capture(to, transport),
            http="httptools",
            loop="none",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            server_header=False,
            date_header=False,
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=2,
        )
    )


@record.command("verify")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE…",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--provider", metavar="NAME", help="Only records of this provider.")
@click.option(
    "-n", "shown", type=click.IntRange(0), default=_SHOWN, show_default=True, help="Differences to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print counts and every difference as JSON.")
def verify(files: tuple[Path, ...], provider: str | None, shown: int, *, as_json: bool) -> None:
    """Decode recorded exchanges with our wire formats and compare with the raw records.

    Compared are usage, finish, text, reasoning, tool calls, vectors and the class of an error; and the
    request, which is read, written again and must mean the same. Exit status 1 when anything differs.
    """
    from turnout.evaluate.verify import Verification

    verification = Verification()
    for file, recorded in _progress(_records(files, provider), quiet=as_json):
        verification.add(file, recorded)
    report = verification.report()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_summary(report)), indent=2).decode())
    else:
        _show(report, shown)
    sys.exit(1 if report.findings else 0)


def _records(files: tuple[Path, ...], provider: str | None) -> list[tuple[str, "Recorded"]]:
    """Read every file before the first comparison: a bad line is told at once. Raises `ConfigError`."""
    from turnout.transport.recording import read_recordings

    return [
        (file.name, recorded)
        for file in files
        for recorded in read_recordings(file)
        if provider in {None, recorded.provider}
    ]


def _progress(records: list[tuple[str, "Recorded"]], *, quiet: bool) -> Iterator[tuple[str, "Recorded"]]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal or len(records) < _SLOW
    return iter(track(records, "comparing", console=console, disable=hidden, transient=True))


def _summary(report: "Report") -> dict[str, object]:
    return {
        "records": report.records,
        "checked": report.checked,
        "equal": report.equal,
        "different": report.checked - report.equal,
        "not_spoken": report.records - report.checked,
        "rows": report.rows,
        "unspoken": report.unspoken,
        "differences": report.findings,
    }


def _show(report: "Report", shown: int) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(_table(report))
    for finding in report.findings[:shown]:
        place = f"{finding.file} {finding.id} ({finding.provider}, {finding.format})"
        console.print(f"[bold]{place}[/] {finding.aspect} ", end="")
        console.print(f"{finding.field}: expected {finding.expected}, got {finding.got}", markup=False)
    hidden = len(report.findings) - shown
    if hidden > 0:
        console.print(f"… and {hidden} more; -n {len(report.findings)} or --json shows all")
    for reason, n in report.unspoken.items():
        console.print(f"[dim]not spoken: {n:,} × {reason}[/]")
    console.print(_verdict(report))


def _table(report: "Report") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, show_footer=True, footer_style="bold")
    columns: tuple[tuple[str, Callable[[Row], int]], ...] = (
        ("records", lambda row: row.records),
        ("checked", lambda row: row.records if row.format else 0),
        ("equal", lambda row: row.equal),
        ("different", lambda row: row.different),
        ("not spoken", lambda row: 0 if row.format else row.records),
    )
    table.add_column("provider", footer="all")
    table.add_column("format")
    for name, value in columns:
        table.add_column(name, justify="right", footer=f"{sum(value(row) for row in report.rows):,}")
    for row in report.rows:
        style = "red" if row.different else "" if row.format else "dim"
        cells = [f"{n:,}" if (n := value(row)) else "" for _, value in columns]
        table.add_row(row.provider, row.format or "–", *cells, style=style)
    return table


def _verdict(report: "Report") -> str:
    n = sum(sum(row.compared.values()) for row in report.rows)
    if not report.checked:
        return "nothing to compare: no record is in a format that is spoken here"
    if report.findings:
        n_records = report.checked - report.equal
        return (
            f"[red]{n_records:,} of {report.checked:,} records differ[/], in {len(report.findings):,} places"
        )
    return f"[green]{report.checked:,} records equal[/] in {n:,} comparisons"
