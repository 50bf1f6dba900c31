"""`turnout config`: versions of the configuration that lie over its file. Floor 7.

With `admin.config: desk` gateways follow the desk, so what is applied here is in force there at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.office import at_the_desk
from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.govern.office import Office
    from turnout.types.json import Json

_reason = click.option("--reason", default="", help="Why; it is put on record.")


@click.group("config")
def config() -> None:
    """Propose, compare, apply and roll back sections that lie over the configuration's file."""


@config.command("versions")
@config_option
def versions(config_path: Path | None) -> None:
    """List every version, and which is in force."""
    from turnout.server.admin import versions as kept

    async def work(office: "Office") -> "tuple[kept.InForce, tuple[kept.Version, ...]]":
        now, _ = await kept.read_in_force(office.desk)
        return now, await kept.versions(office.desk, "", 100_000)

    now, found = at_the_desk(config_path, work)
    mark = {now.current: "*"}
    click.echo(f"{mark.get(None, ' ')} file")
    for each in found:
        names = ", ".join(sorted(each.sections))
        why = f"  {each.reason}" if each.reason else ""
        click.echo(f"{mark.get(each.id, ' ')} {each.id}  {each.at[:19]}  {each.author:12}  {names}{why}")


@config.command("propose")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@config_option
@_reason
def propose(file: Path, config_path: Path | None, reason: str) -> None:
    """Keep the sections in FILE (YAML or JSON) as a version if they can be used; nothing comes into force."""
    from turnout.govern.rules import CLI
    from turnout.server.admin import versions as kept

    sections = _read(file)
    _compiled(_base(config_path), sections)
    found = at_the_desk(config_path, lambda office: kept.propose(office, CLI, sections, reason))
    click.echo(f"{found.id} proposed; `turnout config diff {found.id}` shows what it changes")


@config.command("diff")
@click.argument("version")
@config_option
def diff(version: str, config_path: Path | None) -> None:
    """Show what applying VERSION would change."""
    import msgspec

    from turnout.server.admin import versions as kept

    async def work(office: "Office") -> "tuple[Mapping[str, Json], Mapping[str, Json]]":
        _, now = await kept.sections_in_force(office.desk)
        return now, (await kept.read_version(office.desk, version)).sections

    now, wanted = at_the_desk(config_path, work)
    base = _base(config_path)
    found = kept.differences(kept.laid_over(base, now), kept.laid_over(base, wanted))
    for each in found:
        before, after = (msgspec.json.encode(value).decode() for value in (each.before, each.after))
        click.echo(f"{each.path}: {before} -> {after}")
    if not found:
        click.echo("nothing changes")


@config.command("apply")
@click.argument("version")
@config_option
@_reason
def apply(version: str, config_path: Path | None, reason: str) -> None:
    """Put VERSION in force."""
    from turnout.govern.rules import CLI
    from turnout.server.admin import versions as kept

    base = _desk_base(config_path)

    async def work(office: "Office") -> "kept.InForce":
        sections = (await kept.read_version(office.desk, version)).sections
        return await kept.put_in_force(office, CLI, version, kept.Why(_compiled(base, sections), reason))

    at_the_desk(config_path, work)
    click.echo(f"{version} is in force")


@config.command("rollback")
@config_option
@_reason
def rollback(config_path: Path | None, reason: str) -> None:
    """Put in force again what was before."""
    from turnout.govern.rules import CLI
    from turnout.server.admin import versions as kept

    base = _desk_base(config_path)

    async def work(office: "Office") -> "kept.InForce":
        name = await kept.previous(office.desk)
        sections = {} if name is None else (await kept.read_version(office.desk, name)).sections
        return await kept.put_back(office, CLI, kept.Why(_compiled(base, sections), reason))

    click.echo(f"{at_the_desk(config_path, work).current or 'the file alone'} is in force")


def put_threshold_in_force(config_path: Path | None, route: str, threshold: float, reason: str) -> str:
    """Propose and apply another threshold of a route's strategy; return the version."""
    from turnout.config import to_builtins
    from turnout.govern.rules import CLI
    from turnout.server.admin import versions as kept

    base = _desk_base(config_path)

    async def work(office: "Office") -> str:
        _, now = await kept.sections_in_force(office.desk)
        tree = to_builtins(kept.laid_over(base, now))
        routes = tree["routes"] if isinstance(tree, Mapping) else ()
        assert isinstance(routes, Sequence)
        sections: dict[str, Json] = {**now, "routes": [_moved(each, route, threshold) for each in routes]}
        digest = _compiled(base, sections)
        version = await kept.propose(office, CLI, sections, reason)
        await kept.put_in_force(office, CLI, version.id, kept.Why(digest, reason))
        return version.id

    return at_the_desk(config_path, work)


def _moved(row: "Json", route: str, threshold: float) -> "Json":
    """Return a route's row with another threshold, where it is the route meant."""
    assert isinstance(row, Mapping)
    strategy = row.get("strategy")
    if row.get("name") != route or not isinstance(strategy, Mapping):
        return row
    name: Json = [threshold] if "thresholds" in strategy else threshold
    key = "thresholds" if "thresholds" in strategy else "threshold"
    return {**row, "strategy": {**strategy, key: name}}


def _base(config_path: Path | None) -> "Config":
    return read_config(config_path)[0]


def _desk_base(config_path: Path | None) -> "Config":
    base = _base(config_path)
    if base.admin.config != "desk":
        raise click.ClickException("no gateway follows versions with this file; set admin.config: desk in it")
    return base


def _read(file: Path) -> "Mapping[str, Json]":
    import yaml

    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise click.ClickException(f"{file}: {at}{error.problem}") from None
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file}: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict) or not all(isinstance(name, str) for name in tree):
        raise click.ClickException(f"{file}: expected sections of a configuration, such as `routes:`")
    return tree


def _compiled(base: "Config", sections: "Mapping[str, Json]") -> str:
    """Compile what would be in force; return its digest. No credential is needed. Raises `ConfigError`."""
    from turnout.compile import compile_snapshot
    from turnout.parts import load_catalog
    from turnout.server.admin.versions import laid_over

    config = laid_over(base, sections)
    return compile_snapshot(config, load_catalog(config), {}, credentials=False).digest
