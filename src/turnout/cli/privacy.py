"""`turnout privacy`: what is known of a customer, and forgetting it. Floor 7."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.server.admin.erasing import Erased

_customer = click.option("--customer", required=True, metavar="ID", help="Whose data.")
_organisation = click.option("--organisation", metavar="ID", help="Only what this organisation has of it.")


@click.group("privacy")
def privacy() -> None:
    """Export what is kept of one customer, or forget it."""


@privacy.command("export")
@_customer
@_organisation
@config_option
def export(customer: str, organisation: str | None, config_path: Path | None) -> None:
    """Print all Records of a customer, with stored text, as JSON lines, oldest first."""
    from turnout.parts import open_journal
    from turnout.server.admin.erasing import known

    config, _ = read_config(config_path)

    async def run() -> None:
        journal = open_journal(config)
        try:
            await journal.flush()
            async for piece in known(journal, customer, organisation):
                click.echo(piece, nl=False)
        finally:
            await journal.close()

    asyncio.run(run())


@privacy.command("delete")
@_customer
@_organisation
@config_option
@click.confirmation_option(prompt="This cannot be undone. Go on?")
def delete(customer: str, organisation: str | None, config_path: Path | None) -> None:
    """Forget a customer: its Records become nobody's, its conversations and background jobs are deleted.

    Money stays right: sums and Records go on under a random name that nothing links to the customer.
    """
    config, _ = read_config(config_path)
    found = asyncio.run(_erased(config, customer, organisation))
    click.echo(f"{found.records:,} records made nobody's")
    click.echo(f"{found.conversations:,} conversations and {found.jobs:,} background jobs deleted")
    click.echo(f"{found.files:,} files and batches deleted")


async def _erased(config: "Config", customer: str, organisation: str | None) -> "Erased":
    from datetime import UTC, datetime

    from msgspec.structs import replace

    from turnout.govern.erasures import announce
    from turnout.govern.open import desk_config, is_made, open_desk
    from turnout.parts import open_feedback, open_journal
    from turnout.server.admin.erasing import counts, erase, keys_of
    from turnout.types.account import Act

    row = desk_config(config)
    desk = open_desk(row) if is_made(row) else None
    journal, words = open_journal(config), open_feedback(config.journal)
    try:
        await journal.flush()
        keys = [] if desk is None else await keys_of(desk, customer, organisation)
        found = await erase(journal, config, customer, organisation, keys, words)
        if desk is not None:
            await announce(desk, keys, datetime.now(UTC))
            about = f"customer/{customer}"
            act = Act(at=datetime.now(UTC), actor="cli", role="owner", action="customer.erase", object=about)
            await desk.note(replace(act, organisation=organisation, facts=counts(found)))
        return found
    finally:
        await journal.close()
        await words.close()
        if desk is not None:
            await desk.close()
