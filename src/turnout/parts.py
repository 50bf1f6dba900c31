"""What an engine is put together from, opened or loaded as configured. Floor 5.

`build` wires; this file knows which concrete thing a section of the configuration stands for.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import msgspec

from turnout.catalog.benchmarks import Score, read_scores
from turnout.catalog.catalog import Catalog, read_overlay
from turnout.codecs.base import Codec, Dialect
from turnout.compile import compile_snapshot, digest
from turnout.compile.guard_calls import guard_urls
from turnout.config import Config, JournalConfig, LedgerConfig
from turnout.config.stores import VALKEY
from turnout.engine.books import Books, Down
from turnout.engine.exchange import Clock
from turnout.engine.limits import Limits
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.govern.vault import Lent, lending
from turnout.registry import load
from turnout.stores.base import Journal, Rows, Store
from turnout.stores.desk.base import Desk
from turnout.stores.feedback.base import FeedbackStore
from turnout.stores.ledger.base import Ledger
from turnout.transport.base import Authorise, Transport
from turnout.transport.guard import Egress, egress_for
from turnout.transport.rotation import Rotation, Wallet
from turnout.types.address import Address
from turnout.types.deployment import Credential, Deployment
from turnout.types.limits import Budget, Quota


class Upstream(Transport, Protocol):
    """A transport whose allowed destinations follow the configuration."""

    def allow(self, egress: Egress) -> None:
        """Replace what may be dialled."""
        ...


class SharedStore(Store, Protocol):
    """A store that replicas share."""

    async def close(self) -> None:
        """Let go of every resource."""
        ...


class Parts(msgspec.Struct, frozen=True):
    """What `Built` is put together from."""

    snapshot: Snapshot
    transport: Upstream
    journal: Journal | None
    feedback: FeedbackStore | None
    clock: Clock


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


def compiled(config: Config, env: Mapping[str, str], lent: Lent, *, version: int = 1) -> Snapshot:
    """Return a configuration compiled with stored credentials beside its own. Raises `ConfigError`.

    Its digest stays that of the file.
    """
    snapshot = compile_snapshot(lending(config, lent), load_catalog(config), env, version=version)
    return msgspec.structs.replace(snapshot, digest=digest(config))


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
    """Return where the deployments live and their tokens are fetched: nothing else can be dialled.

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
        {d.url for d in deployments}
        | set(_token_endpoints(deployments))
        | {url for _, made in parts for url in guard_urls(made)},
        allow_cidrs=[net for each, _ in parts for net in each.egress.allow_cidrs],
        allow_http=[*(host for each, _ in parts for host in each.egress.allow_http), *hosts],
    )


def _token_endpoints(deployments: Iterable[Deployment]) -> Iterator[str]:
    for deployment in deployments:
        if deployment.vendor.auth == "google" and deployment.credential is not None:
            from turnout.transport.credentials_google import token_endpoint  # noqa: PLC0415

            yield token_endpoint(deployment.credential)


def host_of(url: str) -> str:
    """Return the host of a base URL."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    return urlsplit(url).hostname or ""


def credentials(snapshot: Snapshot, wallet: Wallet | None = None) -> Mapping[str, Authorise]:
    """Return what each deployment presents, bound to its vendor's host.

    Args:
        snapshot: Whose deployments.
        wallet: How credentials stand that take turns; None = nothing is sent, they are only checked.

    Raises:
        ConfigError: One cannot be used.
    """
    wallet = wallet or Wallet(time.monotonic)
    tokens: dict[tuple[Credential, str], Authorise] = {}
    found: dict[str, Authorise] = {}
    for deployment in snapshot.deployments.values():
        credential = deployment.credential
        if credential is None:
            continue
        # Deployments of one login share its token, and keys are read once.
        key = (credential, deployment.vendor.auth + host_of(deployment.url) + deployment.vendor.region)
        if key not in tokens:
            tokens[key] = _authorise(deployment, credential)
        found[deployment.id] = tokens[key]
        if deployment.spare:
            members = [(each, _authorise(deployment, each)) for each in (credential, *deployment.spare)]
            found[deployment.id] = Rotation(members, wallet)
    return found


def _authorise(deployment: Deployment, credential: Credential) -> Authorise:
    hosts, vendor = (host_of(deployment.url),), deployment.vendor
    if vendor.auth == "sigv4":
        from turnout.transport.credentials_aws import sign_for  # noqa: PLC0415

        return sign_for(credential, hosts, region=vendor.region)
    if vendor.auth == "google":
        from turnout.transport.credentials_google import GoogleTokens  # noqa: PLC0415

        return GoogleTokens(credential, hosts)
    from turnout.transport.credentials import authorise_for  # noqa: PLC0415

    return authorise_for(vendor.auth, credential, hosts)


def open_transport(config: Config, allowed: Egress) -> Upstream:
    """Open the network as configured."""
    if config.egress.proxy is not None or config.egress.http2:
        from turnout.transport.library import LibraryTransport  # noqa: PLC0415  an extra

        return LibraryTransport(allowed, proxy=config.egress.proxy, http2=config.egress.http2)
    from turnout.transport.http import HttpOptions, HttpTransport  # noqa: PLC0415
    from turnout.transport.pool import PoolLimits  # noqa: PLC0415

    return HttpTransport(allowed, HttpOptions(pool=PoolLimits(max_connections=config.egress.max_connections)))


def limits_of(config: Config, budgets: Sequence[Budget] = (), quotas: Sequence[Quota] = ()) -> Limits:
    """Return the configured limits and others beside them; of equal ids the configured holds."""
    own_budgets, own_quotas = [each.budget for each in config.budgets], [each.quota for each in config.quotas]
    taken = {each.id for each in own_budgets}, {each.id for each in own_quotas}
    return Limits(
        [*own_budgets, *(_heeded(each, config) for each in budgets if each.id not in taken[0])],
        [*own_quotas, *(each for each in quotas if each.id not in taken[1])],
    )


def _heeded(budget: Budget, config: Config) -> Budget:
    """Return a budget without thresholds that send requests to a route which is not configured any more."""
    routes = {route.name for route in config.routes}
    kept = tuple(each for each in budget.thresholds if each.route is None or each.route in routes)
    return msgspec.structs.replace(budget, thresholds=kept)


def open_books(config: Config, clock: Clock) -> Books:
    """Open the configured ledger. Raises `ConfigError`."""
    row = config.ledger
    down = Down(policy=row.on_down, share=row.down_share)
    local = not row.where.is_url
    ledger = open_ledger(row)
    return Books(ledger, clock, time.time, down, allow_unpriced=row.allow_unpriced, local=local)


def open_ledger(row: LedgerConfig) -> Ledger:
    """Open a ledger. Raises `ConfigError`."""
    if row.where.scheme == "memory":
        from turnout.stores.ledger.memory import MemoryLedger  # noqa: PLC0415

        return MemoryLedger()
    if not row.where.is_url:
        from turnout.stores.ledger.file import FileLedger  # noqa: PLC0415

        return FileLedger(Path(row.path), durable=row.durable)
    url = row.where.reveal()
    with _extra(row.where):
        if row.where.scheme in VALKEY:
            from turnout.stores.valkey.client import TIMEOUT_S  # noqa: PLC0415
            from turnout.stores.valkey.ledger import ValkeyLedger  # noqa: PLC0415

            return ValkeyLedger(url, timeout_s=row.timeout_s or TIMEOUT_S)
        from turnout.stores.postgres import connect, ledger, migrate  # noqa: PLC0415

        migrate.check_steps(url)
        return ledger.PostgresLedger(url, timeout_s=row.timeout_s or connect.TIMEOUT_S)


def open_store(config: Config) -> SharedStore | None:
    """Open what replicas share of small state; None = they share none. Raises `ConfigError`."""
    store = config.ledger.where
    if not store.is_url or store.scheme not in VALKEY:
        return None
    with _extra(store):
        from turnout.stores.valkey.store import ValkeyStore  # noqa: PLC0415

        return ValkeyStore(store.reveal())


def open_journal(config: Config) -> Journal:
    """Open the configured journal. Raises `ConfigError`."""
    from turnout.stores.spool.journal import SpooledJournal  # noqa: PLC0415
    from turnout.stores.sqlite import spool_beside  # noqa: PLC0415

    row = config.journal
    return SpooledJournal(open_rows(row), spool_beside(Path(row.path)), fsync=row.fsync)


def open_rows(row: JournalConfig) -> Rows:
    """Open the database behind a journal. Raises `ConfigError`."""
    if not row.where.is_url:
        from turnout.stores.sqlite import SqliteRows  # noqa: PLC0415

        return SqliteRows(Path(row.path))
    with _extra(row.where):
        from turnout.stores.postgres.rows import PostgresRows  # noqa: PLC0415

        return PostgresRows(row.where.reveal())


def open_records(config: Config, given: Journal | None = None) -> tuple[Journal | None, FeedbackStore | None]:
    """Open what is kept of requests and of what is said of them, beside a journal that was given.

    Raises `ConfigError`.
    """
    if given is not None:
        from turnout.stores.feedback.memory import MemoryFeedback  # noqa: PLC0415

        return given, MemoryFeedback()
    if not config.journal.enabled:
        return None, None
    return open_journal(config), open_feedback(config.journal)


def open_feedback(row: JournalConfig) -> FeedbackStore:
    """Open what is kept beside a journal of what was said of answers. Raises `ConfigError`."""
    if not row.where.is_url:
        from turnout.stores.feedback.sqlite import SqliteFeedback  # noqa: PLC0415

        return SqliteFeedback(Path(row.path))
    with _extra(row.where):
        from turnout.stores.postgres.feedback import PostgresFeedback  # noqa: PLC0415

        return PostgresFeedback(row.where.reveal())


def open_shared_desk(where: Address) -> Desk:
    """Open a desk in a database. Raises `ConfigError`."""
    with _extra(where):
        from turnout.stores.postgres import desk, migrate  # noqa: PLC0415

        migrate.check_steps(where.reveal())
        return desk.PostgresDesk(where.reveal())


@contextmanager
def _extra(store: Address) -> Iterator[None]:
    """Say which extra is missing. Raises `ConfigError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = "valkey" if store.scheme in VALKEY else "postgres"
        raise ConfigError((f'{store}: needs {error.name}: pip install "turnout[{extra}]"',)) from None
