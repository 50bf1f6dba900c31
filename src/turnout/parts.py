"""What an engine is put together from, opened or loaded as configured. Floor 5.

`build` wires; this file knows which concrete thing a section of the configuration stands for.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

from turnout.catalog.benchmarks import Score, read_scores
from turnout.catalog.catalog import Catalog, read_overlay
from turnout.codecs.base import Codec, Dialect
from turnout.config import Config
from turnout.engine.books import Books, Down
from turnout.engine.exchange import Clock
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.registry import load
from turnout.stores.base import Journal
from turnout.transport.base import Authorise, Transport
from turnout.transport.guard import Egress, egress_for


class Upstream(Transport, Protocol):
    """A transport whose allowed destinations follow the configuration."""

    def allow(self, egress: Egress) -> None:
        """Replace what may be dialled."""
        ...


def load_codec(name: str) -> Codec:
    """Return the codec of a wire format."""
    make = cast("Callable[[], Codec]", load("turnout.codecs", name))  # the group's protocol (registry.py)
    return make()


def load_dialect(name: str) -> Dialect:
    """Return the dialect of a wire format."""
    make = cast("Callable[[], Dialect]", load("turnout.dialects", name))  # the group's protocol (registry.py)
    return make()


def load_catalog(config: Config) -> Catalog:
    """Return the catalogue with the configured corrections. Raises `ConfigError`."""
    catalog = Catalog.load()
    if config.benchmarks.files or config.benchmarks.import_path is not None:
        catalog = catalog.with_scores(load_scores(config))
    if config.catalog.overlay is None:
        return catalog
    path = Path(config.catalog.overlay)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError((f"catalog.overlay: {path} cannot be read: {error.strerror}",)) from None
    return catalog.overlay(read_overlay(data, str(path)))


def load_scores(config: Config) -> tuple[Score, ...]:
    """Return the user's own benchmark scores. Raises `ConfigError`, one line per faulty row."""
    found: list[Score] = []
    for at, name in enumerate(config.benchmarks.files):
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise ConfigError((f"benchmarks.files[{at}]: {name} cannot be read: {error.strerror}",)) from None
        found += read_scores(data, name)
    imported = config.benchmarks.import_path
    if imported is not None and Path(imported).exists():
        try:
            found += read_scores(Path(imported).read_bytes(), imported)
        except OSError as error:
            problem = f"benchmarks.import_path: {imported} cannot be read: {error.strerror}"
            raise ConfigError((problem,)) from None
    return tuple(found)


def egress(config: Config, snapshot: Snapshot, before: tuple[Config, Snapshot] | None = None) -> Egress:
    """Return where the deployments live: nothing else can be dialled.

    Args:
        config: What is configured.
        snapshot: What was made of it.
        before: What was in force until now: requests under way go where it says, by its rules.

    Raises:
        ConfigError: An address cannot be allowed.
    """
    parts = [(config, snapshot), *([before] if before is not None else [])]
    deployments = [d for _, made in parts for d in made.deployments.values()]
    hosts = {host_of(d.url) for d in deployments if d.vendor.allow_http}
    return egress_for(
        {d.url for d in deployments},
        allow_cidrs=[net for each, _ in parts for net in each.egress.allow_cidrs],
        allow_http=[*(host for each, _ in parts for host in each.egress.allow_http), *hosts],
    )


def host_of(url: str) -> str:
    """Return the host of a base URL."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    return urlsplit(url).hostname or ""


def credentials(snapshot: Snapshot) -> Mapping[str, Authorise]:
    """Return what each deployment presents, bound to its vendor's host."""
    from turnout.transport.credentials import authorise_for  # noqa: PLC0415

    found: dict[str, Authorise] = {}
    for deployment in snapshot.deployments.values():
        if deployment.credential is not None:
            found[deployment.id] = authorise_for(
                deployment.vendor.auth, deployment.credential, (host_of(deployment.url),)
            )
    return found


def open_transport(config: Config, allowed: Egress) -> Upstream:
    """Open the network as configured."""
    if config.egress.proxy is not None or config.egress.http2:
        from turnout.transport.library import LibraryTransport  # noqa: PLC0415  an extra

        return LibraryTransport(allowed, proxy=config.egress.proxy, http2=config.egress.http2)
    from turnout.transport.http import HttpOptions, HttpTransport  # noqa: PLC0415
    from turnout.transport.pool import PoolLimits  # noqa: PLC0415

    return HttpTransport(allowed, HttpOptions(pool=PoolLimits(max_connections=config.egress.max_connections)))


def open_books(config: Config, clock: Clock) -> Books:
    """Open the configured ledger. Raises `ConfigError`."""
    from turnout.stores.ledger.memory import MemoryLedger  # noqa: PLC0415
    from turnout.stores.ledger.sqlite import SqliteLedger  # noqa: PLC0415

    row = config.ledger
    ledger = MemoryLedger() if row.store == "memory" else SqliteLedger(Path(row.path), durable=row.durable)
    down = Down(policy=row.on_down, share=row.down_share)
    return Books(ledger, clock, time.time, down, allow_unpriced=row.allow_unpriced)


def open_journal(config: Config) -> Journal:
    """Open the configured journal. Raises `ConfigError`."""
    from turnout.stores.spool.journal import SpooledJournal  # noqa: PLC0415
    from turnout.stores.sqlite import SqliteRows, spool_beside  # noqa: PLC0415

    path = Path(config.journal.path)
    return SpooledJournal(SqliteRows(path), spool_beside(path), fsync=config.journal.fsync)
