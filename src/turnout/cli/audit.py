"""`turnout audit`: who changed what, and whether that is still all of it. Floor 7."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.office import at_the_desk, json_option
from turnout.cli.options import config_option, tell_none

if TYPE_CHECKING:
    from turnout.govern.audit import Checkpoint, Verdict
    from turnout.govern.office import Office
    from turnout.types.account import AuditEntry


@click.group("audit")
def audit() -> None:
    """Read the log of administrative acts, and prove that it is whole."""


@audit.command("list")
@config_option
@click.option("--org", default="", help="Organisation whose acts. Default: those of the installation.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many."
)
@json_option
def list_(config_path: Path | None, org: str, limit: int, as_json: bool) -> None:
    """List the latest acts, oldest first."""

    async def work(office: "Office") -> "list[AuditEntry]":
        await _expect(office, org)
        return await _entries(office, org)

    found = at_the_desk(config_path, work)[-limit:]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for entry in found:
        act = entry.act
        why = f"  {act.reason}" if act.reason else ""
        result = "" if act.result == "done" else f"  {act.result}"
        when = f"{entry.seq:6}  {act.at:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{when}  {act.actor:26}  {act.action:16}  {act.object}{result}{why}")
    if not found:
        tell_none("acts")


@audit.command("export")
@config_option
@click.option("--org", default="", help="Organisation whose acts. Default: those of the installation.")
def export(config_path: Path | None, org: str) -> None:
    """Print every act with its place in the chain as JSON lines; that it was exported is logged too."""
    from turnout.govern.rules import CLI

    async def work(office: "Office") -> "list[AuditEntry]":
        from turnout.types.account import Act

        await _expect(office, org)
        act = Act(
            at=office.now(), actor=CLI.id, role=CLI.role, action="audit.export", organisation=org or None
        )
        await office.desk.note(act)
        return await _entries(office, org)

    for entry in at_the_desk(config_path, work):
        click.echo(msgspec.json.encode(entry).decode())


@audit.command("checkpoint")
@config_option
def checkpoint(config_path: Path | None) -> None:
    """Print the signed head of every chain: append it to a file on another machine.

    Gateways write one to their log every hour.
    """

    async def work(office: "Office") -> "Checkpoint":
        from turnout.govern.audit import checkpoint as signed

        return await signed(office.desk, office.peppers, office.now())

    click.echo(msgspec.json.encode(at_the_desk(config_path, work)).decode())


@audit.command("verify")
@config_option
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lines of `turnout audit checkpoint`: with them a chain that was cut or written anew is found too.",
)
@json_option
def verify(config_path: Path | None, checkpoints: Path | None, as_json: bool) -> None:
    """Check every chain; the first broken entry of each is named. Exit status 1 when there is one."""

    async def work(office: "Office") -> "Verdict":
        from turnout.govern.audit import read_checkpoints
        from turnout.govern.audit import verify as verified

        try:
            known = () if checkpoints is None else read_checkpoints(checkpoints.read_bytes())  # noqa: ASYNC240
        except msgspec.DecodeError as error:
            raise click.BadParameter(f"{checkpoints}: {error}") from None
        return await verified(office.desk, office.peppers, known)

    verdict = at_the_desk(config_path, work)
    if as_json:
        click.echo(msgspec.json.encode(verdict).decode())
    else:
        for fault in verdict.faults:
            click.echo(f"broken: {_name(fault.chain)}: entry {fault.seq} {fault.why}")
        n_entries = sum(head.seq for head in verdict.heads.values())
        broken = f", {len(verdict.faults)} broken" if verdict.faults else ", whole"
        click.echo(f"{len(verdict.heads)} chains, {n_entries} entries{broken}")
    if verdict.faults:
        sys.exit(1)


async def _expect(office: "Office", org: str) -> None:
    """Refuse a name that no organisation has or had: what is noted about it would begin a chain."""
    from turnout.govern.audit import chains

    if not org:
        return
    known = await chains(office.desk)
    if org not in known:
        names = ", ".join(name for name in known if name) or "none; leave --org out for the installation"
        raise click.BadParameter(f"--org: there is no organisation {org!r}; there are: {names}")


async def _entries(office: "Office", org: str) -> "list[AuditEntry]":
    from turnout.govern.audit import entries

    return [entry async for entry in entries(office.desk, org)]


def _name(chain: str) -> str:
    return f"organisation {chain}" if chain else "the installation"
