"""`turnout background`: the jobs of the queue, whoever handed them in. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.options import config_option, read_config, tell_none
from turnout.errors import ConfigError

if TYPE_CHECKING:
    from turnout.stores.queue import Job, SqliteQueue

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("background")
def background() -> None:
    """Look at background jobs, and cancel them.

    Reads the file of background.path, so it works while gateways run and while none does.
    """


@background.command("list")
@config_option
@click.option("--state", help="Only jobs in this state: queued, running, done, failed, cancelled, expired.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Jobs listed at most."
)
@_json_option
def list_(config_path: Path | None, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    queue = _open(config_path)
    try:
        found = queue.jobs(None, limit) if state is None else _in_state(queue, state, limit)
    finally:
        queue.close()
    if as_json:
        click.echo(msgspec.json.encode([_tree(job) for job in found]).decode())
        return
    for job in found:
        booking = job.booking
        where = f"{booking.model or '?'}{f' in {booking.slot}' if booking.slot else ''}"
        click.echo(
            f"{job.id}  {job.state:9}  {job.created_at:%Y-%m-%d %H:%M}  due {job.deadline_at:%Y-%m-%d %H:%M}"
            f"  runs {job.n_runs}  {where}  {job.owner or '-'}{f'  {job.error}' if job.error else ''}"
        )
    if not found:
        tell_none("jobs" if state is None else f"{state} jobs")


@background.command("show")
@click.argument("job_id")
@config_option
def show(job_id: str, config_path: Path | None) -> None:
    """Show one job with its plan, without its request and answer, which are its owner's."""
    queue = _open(config_path)
    try:
        job = _found(queue.get(job_id, None), job_id)
    finally:
        queue.close()
    click.echo(msgspec.json.format(msgspec.json.encode(_tree(job)), indent=2).decode())


@background.command("cancel")
@click.argument("job_ids", nargs=-1, required=True)
@config_option
def cancel(job_ids: tuple[str, ...], config_path: Path | None) -> None:
    """Cancel jobs that have not ended. A running one is broken off within a third of background.lease_s."""
    from datetime import UTC, datetime

    queue = _open(config_path)
    try:
        for job_id in job_ids:
            job = _found(queue.cancel(job_id, None, datetime.now(UTC)), job_id)
            click.echo(f"{job.id}  {job.state}")
    finally:
        queue.close()


def _open(config_path: Path | None) -> "SqliteQueue":
    from turnout.stores.queue import SqliteQueue

    config, _ = read_config(config_path)
    path = config.background.path
    if path is None:
        raise ConfigError(("background.path: is not set: there is no queue",))
    if not Path(path).exists():
        raise ConfigError((f"background.path: {path}: no such file; no gateway has opened it yet",))
    return SqliteQueue(Path(path))


def _in_state(queue: "SqliteQueue", state: str, limit: int) -> "list[Job]":
    found: list[Job] = []
    after: str | None = None
    while len(found) < limit and (page := queue.jobs(None, 1000, after)):
        found += [job for job in page if job.state == state]
        after = page[-1].id
    return found[:limit]


def _found(job: "Job | None", job_id: str) -> "Job":
    if job is None:
        raise click.ClickException(f"no background job {job_id!r}")
    return job


def _tree(job: "Job") -> dict[str, object]:
    from turnout.server.background import view
    from turnout.types.principal import ANONYMOUS

    return {**view(job, ANONYMOUS), "owner": job.owner}
