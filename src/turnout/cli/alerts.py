"""`turnout alerts`: what is wrong, what each rule says now, and whether a receiver can be told. Floor 7."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from turnout.cli.options import config_option, read_config
from turnout.errors import ConfigError

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.jobs.alerts.base import Alert, Checked, State

T = TypeVar("T")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("alerts")
def alerts() -> None:
    """Look at alerts, ask the rules, try receivers.

    Gateways watch by themselves once the section `alerts` names a receiver.
    """


@alerts.command("list")
@config_option
@click.option("--history", is_flag=True, help="Also what is over.")
@_json_option
def list_(config_path: Path | None, *, history: bool, as_json: bool) -> None:
    """List what is firing, worst first, as the gateways of this configuration keep it."""
    from turnout.govern.open import desk_config
    from turnout.jobs.alerts.base import EMPTY, told

    config = read_config(config_path)[0]
    shared = desk_config(config).where.is_url
    state = _run(_state(config)) if shared or Path(config.alerts.path).exists() else EMPTY
    found = [each for each in state.alerts if each.state == "firing"]
    found += state.history if history else ()
    if as_json:
        click.echo(msgspec.json.encode([told(each) for each in found]).decode())
        return
    for each in found:
        click.echo(_line(each))
    if not found:
        click.echo("Nothing is firing." if state.checked_at else "Nothing was watched yet.")


@alerts.command("check")
@config_option
@_json_option
def check(config_path: Path | None, *, as_json: bool) -> None:
    """Ask every rule once, from this process, and tell nobody.

    What only a running gateway knows (its circuits, its spool) is not seen. Exits with 1 where one says yes.
    """
    checked = _run(_asked(read_config(config_path)[0]))
    if as_json:
        click.echo(msgspec.json.encode(checked).decode())
    else:
        for each in checked:
            if each.problem is not None:
                click.echo(f"{'?':8} {each.rule:16} {each.problem}")
            for reading in each.readings:
                word = {True: "alert", False: "good", None: "unknown"}[reading.breach]
                click.echo(f"{word:8} {each.rule:16} {reading.text}")
    if any(reading.breach for each in checked for reading in each.readings):
        raise click.exceptions.Exit(1)


@alerts.command("test")
@click.argument("receiver")
@config_option
def test(receiver: str, config_path: Path | None) -> None:
    """Tell RECEIVER of an alert that is none, and that it is over."""
    problem = _run(_tested(read_config(config_path)[0], receiver))
    if problem is not None:
        raise click.ClickException(f"{receiver} was not told: {problem}")
    click.echo(f"{receiver} was told.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _line(alert: "Alert") -> str:
    state = alert.state if alert.ended_at is None else f"over since {alert.ended_at:%Y-%m-%d %H:%M}"
    return (
        f"{alert.id}  {alert.severity:8}  {alert.since:%Y-%m-%d %H:%M}  {state}  {alert.rule}: {alert.text}"
    )


async def _state(config: "Config") -> "State":
    from turnout.jobs.alerts.keep import Kept
    from turnout.server.alerting import open_kept

    kept = Kept(open_kept(config))
    try:
        return (await kept.read())[1]
    finally:
        await kept.close()


async def _asked(config: "Config") -> "tuple[Checked, ...]":
    from datetime import UTC, datetime

    from turnout.build import build
    from turnout.govern.office import Office
    from turnout.govern.open import desk_config, is_made, open_desk, peppers_for
    from turnout.jobs.alerts.ask import Asker
    from turnout.server.alerting import world_of

    row = desk_config(config)
    desk = open_desk(row) if is_made(row) else None
    try:
        office = None if desk is None else Office(desk, peppers_for(row))
        built = await build(config)
        try:
            return await Asker(world_of(built, lambda: office)).ask(config.alerts.in_force, datetime.now(UTC))
        finally:
            await built.close()
    finally:
        if desk is not None:
            await desk.close()


async def _tested(config: "Config", receiver: str) -> str | None:
    from turnout.config.alerts import problems
    from turnout.server.alerting import tell_test

    if found := problems(config.alerts, config.egress.allow_cidrs, config.egress.allow_http):
        raise ConfigError(found)
    return await tell_test(config, receiver)
