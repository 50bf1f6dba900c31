"""`turnout cache`: what is kept of answers, in a file or in Valkey. Floor 7.

What a gateway keeps in its own memory it tells and lets go of through its admin API.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from turnout.cli.options import config_option, read_config
from turnout.errors import ConfigError

if TYPE_CHECKING:
    from turnout.stores.cache.base import CacheStore, Selector

T = TypeVar("T")
_HEX = frozenset("0123456789abcdef")


@click.group()
def cache() -> None:
    """Look at the answers that are kept, and let go of them."""


def _at_the_store(config_path: Path | None, work: "Callable[[CacheStore], Awaitable[T]]") -> T:
    from turnout.compile.shelves import open_cache

    config, _ = read_config(config_path)
    if config.cache.where.scheme == "memory":
        ask = "ask GET /admin/v1/cache, clear with DELETE /admin/v1/cache"
        raise ConfigError((f"cache.store: memory is each gateway's own: {ask}",))
    row = msgspec.structs.replace(config.cache, timeout_s=10)

    async def run() -> T:
        store = open_cache(row)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


_WHOSE = (
    click.option("--route", help="Of this route."),
    click.option("--organisation", help="Of this organisation."),
    click.option("--project", help="Of this project."),
    click.option("--key", help="Of this key, by its id."),
    click.option("--prefix", default="", help="First digits of `x-turnout-cache-key`."),
)


def _whose(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which answers it is about, as one `which`."""

    @wraps(command)
    def run(
        *,
        route: str | None,
        organisation: str | None,
        project: str | None,
        key: str | None,
        prefix: str,
        **rest: Any,
    ) -> None:
        from turnout.stores.cache.base import Selector

        if not _HEX.issuperset(prefix):
            raise ConfigError((f"--prefix: {prefix!r}; expected hexadecimal digits",))
        which = Selector(route=route, organisation=organisation, project=project, key_id=key, prefix=prefix)
        command(which=which, **rest)

    for option in reversed(_WHOSE):
        run = option(run)
    return run


@cache.command()
@config_option
@_whose
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stats(config_path: Path | None, *, as_json: bool, which: "Selector") -> None:
    """Count the answers that are kept, and their bytes."""
    import time

    held = _at_the_store(config_path, lambda store: store.held(which, time.time()))
    if as_json:
        click.echo(msgspec.json.encode({"answers": held.n, "bytes": held.n_bytes}).decode())
    else:
        click.echo(f"{held.n:,} answers, {held.n_bytes:,} bytes")


@cache.command()
@config_option
@_whose
@click.option("--all", "everything", is_flag=True, help="Every answer.")
def clear(config_path: Path | None, *, everything: bool, which: "Selector") -> None:
    """Let go of answers."""
    from turnout.stores.cache.base import ALL

    if (which == ALL) != everything:
        raise ConfigError(
            ("name whose answers: --route, --organisation, --project, --key, --prefix or --all",)
        )
    click.echo(f"{_at_the_store(config_path, lambda store: store.clear(which)):,} answers cleared")
