"""`turnout journal`: what happened to each request. Floor 7."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from turnout.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from turnout.stores.base import Query
    from turnout.stores.postgres.rows import PostgresRows
    from turnout.stores.sqlite import SqliteRows
    from turnout.types.address import Address
    from turnout.types.record import Record

_POLL_S: Final = 0.5
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class _Journal(click.ParamType):  # type: ignore[type-arg]  # generic in some releases of click only
    """A file, or the address of a database."""

    name = "file or url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Read an option."""
        from turnout.types.address import Address

        if not isinstance(value, str):
            return value
        return Address(value) if "://" in value else Path(value)


JOURNAL: Final = _Journal()
_DB: Final = click.option(
    "--db",
    type=JOURNAL,
    default=Path(".turnout/journal.db"),
    show_default=True,
    help="The journal: its file (journal.path), or postgres://… (journal.store).",
)


class JournalError(click.ClickException):
    """A failure shown as one line; the hint says what to do."""


def instant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Read an option: ISO 8601 (without a zone: UTC), or how long ago, such as 90s, 15m, 2h, 7d, 1w."""
    if value is None:
        return None
    if ago := re.fullmatch(r"(\d{1,6})([smhdw])", value):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no instant: write 2026-01-31, 2026-01-31T12:00:00Z or 2h"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@click.group("journal")
def journal() -> None:
    """Read the journal: one Record of every request.

    The journal lies in one file, with a spool folder beside it that holds what has not reached the file yet.
    Reading is safe while a gateway runs. Records that a killed gateway left in the spool are taken over
    before anything is shown.
    """


@journal.command("tail")
@_DB
@click.option("-n", "count", type=click.IntRange(0, 100_000), default=20, show_default=True, help="How many.")
@click.option(
    "-f", "--follow", "follows", is_flag=True, help="Go on with requests as they end; Ctrl-C stops."
)
@click.option("--model", metavar="NAME", help="Only requests this model answered, or failed at last.")
@click.option("--route", metavar="NAME", help="Only requests of this route.")
@click.option("--error", metavar="WORD", help="Only failures of this class, such as timeout_ttft; any: all.")
@click.option("--json", "machine", is_flag=True, help="Print whole Records, one JSON object per line.")
def tail(  # noqa: PLR0913 (a command has as many as it has options)
    db: "Path | Address",
    count: int,
    *,
    follows: bool,
    model: str | None,
    route: str | None,
    error: str | None,
    machine: bool,
) -> None:
    """Show the latest requests, oldest first.

    \b
    Examples:
      turnout journal tail -n 50 --error any
      turnout journal tail -f --route assistant
      turnout journal tail -n 1000 --json | jq .outcome.cost_nusd
    """  # noqa: D301 (click reads the control character as "do not wrap")
    from turnout.cli.journal_story import HEADLINE, line_of
    from turnout.stores.base import Query, as_json

    query = Query(model=model, route=route, error=error, limit=count)
    with opened(db) as rows:
        if not machine:
            click.echo(HEADLINE)
        for record in _latest_then_new(rows, query, follows=follows):
            click.echo(as_json(record) if machine else line_of(record))


def _latest_then_new(
    rows: "SqliteRows | PostgresRows", query: "Query", *, follows: bool
) -> Iterator["Record"]:
    latest = rows.query(query).entries
    for entry in reversed(latest):
        yield entry.record
    if follows:
        # Everything stored later has a greater number, also a request that began before these.
        seq = max((entry.cursor.seq for entry in latest), default=0)
        yield from follow(rows, query, seq, time.sleep)


def follow(
    rows: "SqliteRows | PostgresRows", query: "Query", seq: int, sleep: Callable[[float], None]
) -> Iterator["Record"]:
    """Yield what is stored after row `seq` and matches, until interrupted while waiting."""
    from msgspec.structs import replace

    from turnout.stores.base import Cursor

    query = replace(query, order="stored", limit=1000, after=Cursor(0, seq))
    while True:
        page = rows.query(query)
        yield from page.records
        if page.entries:
            query = replace(query, after=page.entries[-1].cursor)
        if page.more:
            continue
        sys.stdout.flush()
        try:
            sleep(_POLL_S)
        except KeyboardInterrupt:
            return


@journal.command("show")
@click.argument("request_id", metavar="[ID]", required=False)
@_DB
@click.option("--json", "machine", is_flag=True, help="Print the Record as JSON.")
def show(request_id: str | None, db: "Path | Address", *, machine: bool) -> None:
    """Tell the story of one request: what was asked, who could have answered, what was tried, how it ended.

    ID is the value of the answer's x-turnout-request-id header. Default: the latest request.
    """
    import msgspec

    from turnout.cli.journal_story import tell
    from turnout.stores.base import Query, as_json

    with opened(db) as rows:
        if request_id is None:
            latest = rows.query(Query(limit=1)).entries
            record = latest[0].record if latest else None
        else:
            record = rows.get(request_id)
    if record is None and request_id is None:
        raise JournalError(f"{db} holds no request yet")
    if record is None:
        raise JournalError(f"{db} has no request {request_id}; `turnout journal tail` lists the latest ones")
    if machine:
        click.echo(msgspec.json.format(as_json(record)))
    else:
        tell(record)


@journal.command("export")
@_DB
@click.option(
    "--format", "form", type=click.Choice(["parquet", "jsonl"]), required=True, help="Kind of file."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    required=True,
    help="The file to write, in place of one that is there. With jsonl, - is the standard output.",
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=instant,
    help="Only requests that arrived at or after: 2026-01-31, 2h, 7d.",
)
@click.option("--until", metavar="WHEN", callback=instant, help="Only requests that arrived before.")
def export(
    db: "Path | Address",
    form: Literal["parquet", "jsonl"],
    out: Path,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write Records to a file, in order of arrival.

    jsonl holds one Record per line. parquet holds the facts that are summed and searched as columns, and
    the whole Record as JSON in the column `record`; it needs pyarrow (`pip install "turnout[parquet]"`).
    The file appears under its name only when it is complete.
    """
    from turnout.cli.journal_export import export_records
    from turnout.stores.base import Query

    if str(out) == "-" and form == "parquet":
        raise JournalError("parquet cannot be written to the standard output; name a file")
    with opened(db) as rows:
        try:
            n = export_records(rows, Query(since=since, until=until), form, out)
        except OSError as failure:
            raise JournalError(f"cannot write {out}: {failure.strerror or failure}") from failure
    click.echo(f"{n:,} records written{'' if str(out) == '-' else f' to {out}'}", err=True)


@journal.command("check")
@_DB
def check(db: "Path | Address") -> None:
    """Verify the file and its spool; exit with status 1 when something is broken.

    Reads every Record: seconds per million. Takes nothing over and changes nothing.
    """
    from turnout.stores.spool.segments import survey
    from turnout.stores.sqlite import spool_beside

    if not isinstance(db, Path):
        raise JournalError("a database is checked by `turnout db check`")
    with opened_file(db, adopts=False) as rows:
        # The spool first: what the gateway carries over meanwhile is then found in the rows.
        spool = survey(spool_beside(db))
        ids, foreign = _ids(spool.payloads)
        state = rows.check()
        missing = len(ids) - rows.has(ids) if state.intact else len(ids)
    click.echo(f"file    {db}: {'intact' if state.intact else f'BROKEN, {state.problem}'}")
    click.echo(f"        {state.records:,} records, {state.undecodable} of them not readable by this version")
    click.echo(f"        {state.unreadable} frames set aside because they hold no record")
    click.echo(f"spool   {spool.live} segments of running gateways, {spool.left} of ended ones")
    click.echo(f"        {len(ids):,} records, {missing:,} of them not in the file yet")
    click.echo(f"        {spool.damaged} torn ends of killed gateways, {foreign} frames that hold no record")
    if not state.intact or state.undecodable or state.unreadable or foreign:
        raise JournalError("the journal is not in order; nothing was changed")


def _ids(payloads: tuple[bytes, ...]) -> tuple[list[str], int]:
    """Return the request ids in frames, and how many frames hold none."""
    from turnout.stores.base import read_columns

    ids: dict[str, None] = {}
    foreign = 0
    for payload in payloads:
        try:
            ids[read_columns(payload).request_id] = None
        except ValueError:
            foreign += 1
    return list(ids), foreign


@contextmanager
def opened(db: "Path | Address") -> Iterator["SqliteRows | PostgresRows"]:
    """Open a journal that is there; failures become one line."""
    if isinstance(db, Path):
        with opened_file(db) as rows:
            yield rows
        return
    from turnout.config import JournalConfig
    from turnout.parts import open_rows
    from turnout.stores.postgres.rows import PostgresRows

    try:
        found = open_rows(JournalConfig(store=db))
        assert isinstance(found, PostgresRows)
        try:
            yield found
        finally:
            found.close()
    except (ConfigError, StoreUnavailable) as failure:
        raise JournalError(str(failure)) from failure


@contextmanager
def opened_file(db: Path, *, adopts: bool = True) -> Iterator["SqliteRows"]:
    """Open a file that is there; failures become one line."""
    from turnout.stores.spool.segments import adopt
    from turnout.stores.sqlite import SqliteRows, spool_beside

    if not db.exists():
        raise JournalError(f"there is no journal at {db}; `turnout serve` writes one, --db names another")
    try:
        rows = SqliteRows(db)
        try:
            if adopts:
                adopt(spool_beside(db), rows.insert)
            yield rows
        finally:
            rows.close()
    except (ConfigError, StoreUnavailable) as failure:
        raise JournalError(str(failure)) from failure
    except OSError as failure:
        raise JournalError(f"{failure.filename or db}: {failure.strerror or failure}") from failure
