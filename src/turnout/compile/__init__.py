"""From a `Config` to a `Snapshot`: providers, deployments and routes made of rows. Floor 5.

Pure apart from reading the environment given: nothing is opened or started here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec

from turnout.catalog.benchmarks import NO_SCORES
from turnout.catalog.catalog import Catalog
from turnout.catalog.prices import InexactPriceError
from turnout.catalog.vendors import vendors
from turnout.compile.caches import make_rules
from turnout.compile.checks import problems_of
from turnout.compile.compress import make_compress, make_marked
from turnout.compile.floors import floor_problems
from turnout.compile.guards import make_posting
from turnout.compile.providers import Provider, is_complete, make_provider
from turnout.compile.quality import make_listening
from turnout.compile.retire import make_retiring
from turnout.compile.routes import SAFETY, direct_route, make_route, make_surfaces
from turnout.config import Config, ModelConfig, ProviderConfig, TimeoutsConfig, to_builtins
from turnout.config.admin import problems as admin_problems
from turnout.config.alerts import problems as alerts_problems
from turnout.config.desk import problems as desk_problems
from turnout.config.limits import problems as limit_problems
from turnout.engine.limits import Limits as Ceilings
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.types.deployment import Credential, Deployment, Limits, Model, Probe
from turnout.types.http import Timeouts
from turnout.types.slot import Slot
from turnout.types.usage import Price

Env = Mapping[str, str]


def compile_snapshot(
    config: Config, catalog: Catalog, env: Env, *, version: int = 1, credentials: bool = True
) -> Snapshot:
    """Make everything a request is served with.

    Args:
        config: What is configured.
        catalog: Facts about models.
        env: Where vendors' keys are looked up.
        version: Number of the snapshot.
        credentials: Whether a provider without its credential is a problem; False for recommending only.

    Raises:
        ConfigError: One line per problem.
    """
    problems: list[str] = []
    providers = _providers(config, env, problems)
    deployments = _deployments(Making(config, catalog, providers, credentials, problems))
    models = _by_model(deployments)
    routes = {
        route.name: make_route(route, f"routes[{at}]", config, deployments, catalog.scores, problems)
        for at, route in enumerate(config.routes)
    }
    surfaces = make_surfaces(config, deployments, catalog.scores, problems) if config.surfaces else {}
    problems.extend(floor_problems(surfaces, routes))
    aliases = _aliases(config, models, routes, problems)
    guards = make_posting(config, deployments, problems)
    caches = make_rules(config, deployments, problems)
    compress = make_compress(config, deployments, problems)
    listening = make_listening(config, deployments, routes, problems)
    problems.extend(problems_of(config, {d.id: d for d in deployments}, routes))
    problems.extend(limit_problems(config.budgets, config.quotas, frozenset(routes)))
    problems.extend(desk_problems(config.desk))
    problems.extend(admin_problems(config.admin, has_desk=config.desk is not None))
    problems.extend(alerts_problems(config.alerts, config.egress.allow_cidrs, config.egress.allow_http))
    if config.default_route is not None and config.default_route not in routes:
        hint = did_you_mean(config.default_route, routes)
        problems.append(f"default_route: no route {config.default_route!r}{hint}")
    if problems:
        raise ConfigError(tuple(problems))
    retiring = make_retiring(deployments, models, catalog)
    stand_ins = {d.id: d for row in retiring.values() for d in row.successors}
    default = config.default_route or (next(iter(routes)) if len(routes) == 1 else None)
    return Snapshot(
        version=version,
        digest=digest(config),
        deployments={**stand_ins, **{d.id: d for d in deployments}},
        models=models,
        routes=routes,
        aliases=aliases,
        default_route=default,
        surfaces=surfaces,
        retiring=retiring,
        direct=direct_route(config, deployments, catalog.scores if config.surfaces else NO_SCORES),
        bare=_bare(models),
        guards=guards,
        caches=caches,
        compress=compress,
        prompt_cached=make_marked(config),
        listening=listening,
        signal_deadline_s=config.signals.deadline_s,
        limits=Ceilings([each.budget for each in config.budgets], [each.quota for each in config.quotas]),
    )


def digest(config: Config) -> str:
    """Return the digest that identifies a configuration, secrets left out."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(to_builtins(config), order="sorted")).hexdigest()


def _providers(config: Config, env: Env, problems: list[str]) -> dict[str, Provider]:
    found: dict[str, Provider] = {}
    for name, row in config.providers.items():
        provider = make_provider(name, row, env, problems)
        if provider is not None:
            found[name] = provider
    for name in _named_providers(config) if config.models or config.routes else _keyed(env):
        if name not in found and name not in config.providers:
            provider = make_provider(name, ProviderConfig(), env, problems)
            if provider is not None:
                found[name] = provider
    return found


def _keyed(env: Env) -> Iterable[str]:
    """Return the vendors whose key is in the environment: what is served without a configuration file."""
    rows = vendors().values()
    return [row.name for row in rows if any(map(env.get, row.env)) and is_complete(row, env)]


def _named_providers(config: Config) -> Iterable[str]:
    for item in config.models:
        row = item if isinstance(item, ModelConfig) else ModelConfig(model=item)
        yield row.provider or row.model.partition("/")[0]
    known = {item.id for item in config.models if isinstance(item, ModelConfig)}
    for route in config.routes:
        for name in route.models:
            if name not in known and "/" in name:
                yield name.partition("/")[0]


class Making(msgspec.Struct, frozen=True):
    """What deployments are made from."""

    config: Config
    catalog: Catalog
    providers: Mapping[str, Provider]
    credentials: bool
    problems: list[str]


def _deployments(making: Making) -> tuple[Deployment, ...]:
    config, found = making.config, dict[str, Deployment]()
    for at, item in enumerate(config.models):
        row = item if isinstance(item, ModelConfig) else ModelConfig(model=item)
        for each in _expand(row, making.catalog):
            deployment = _deployment(each, f"models[{at}]", making)
            if deployment is None:
                continue
            if deployment.id in found:
                making.problems.append(
                    f"models[{at}].id: {deployment.id!r} stands twice; give one of them another id"
                )
            found[deployment.id] = deployment
    for at, route in enumerate(config.routes):
        for name in route.models:
            if name not in found and not _serves(found, name) and "*" not in name:
                made = _deployment(ModelConfig(model=name), f"routes[{at}].models", making)
                if made is not None:
                    found[made.id] = made
    if not config.models and not config.routes:
        found = _everything(making)
    return tuple(found.values())


def _serves(found: Mapping[str, Deployment], model: str) -> bool:
    return any(d.model.id == model for d in found.values())


def _expand(row: ModelConfig, catalog: Catalog) -> Iterable[ModelConfig]:
    if not row.model.endswith("/*"):
        return (row,)
    names = [name for name in catalog.names() if fnmatchcase(name, row.model)]
    return [msgspec.structs.replace(row, model=name) for name in names if catalog.kind(name) != "other"]


def _everything(making: Making) -> dict[str, Deployment]:
    """Return every model the catalogue knows at the providers that have a credential."""
    found: dict[str, Deployment] = {}
    for name, provider in making.providers.items():
        if provider.secret is None and provider.vendor.auth != "none":
            continue
        for row in _expand(ModelConfig(model=f"{name}/*"), making.catalog):
            deployment = _deployment(row, "models", making)
            if deployment is not None:
                found[deployment.id] = deployment
    return found


def _deployment(row: ModelConfig, path: str, making: Making) -> Deployment | None:
    prefix, slash, rest = row.model.partition("/")
    if not slash or not rest:
        making.problems.append(f"{path}.model: {row.model!r} is not of the form provider/model")
        return None
    name = row.provider or prefix
    provider = making.providers.get(name)
    if provider is None:
        _no_provider(name, path, making)
        return None
    try:
        price = None if row.price is None else row.price.exact()
    except InexactPriceError as error:
        making.problems.append(f"{path}.price: {error}")
        return None
    secret = row.secret or provider.secret
    if secret is None and provider.vendor.auth != "none" and making.credentials:
        keys = " or ".join(provider.vendor.env) or "its key"
        making.problems.append(f"providers.{name}: no credential; set {keys}, or providers.{name}.secret")
        return None
    return Deployment(
        id=row.id or row.model,
        vendor=provider.vendor,
        model=_model(row, making.catalog, price),
        upstream_model=row.upstream_model or rest,
        credential=Credential(name, secret) if secret is not None else None,
        spare=() if row.secret is not None else _spare(name, making.config),
        base_url=row.base_url.rstrip("/") if row.base_url else None,
        region=row.region,
        weight=row.weight,
        priority=row.priority,
        tags=row.tags,
        limits=Limits(max_concurrency=row.limits.max_concurrency, max_queue=row.limits.max_queue),
        ttft_slo_s=row.ttft_slo_s,
        probe=_probe(row, name, making.config),
        slots=_slots(making.config, (row.id or row.model, row.model, name)),
        timeouts=_timeouts(row.timeouts or making.config.timeouts),
    )


def _spare(name: str, config: Config) -> tuple[Credential, ...]:
    """Return a provider's further credentials, numbered as they stand in the file."""
    row = config.providers.get(name)
    if row is None:
        return ()
    further = row.secrets if row.secret is not None else row.secrets[1:]
    return tuple(Credential(f"{name}#{n}", secret) for n, secret in enumerate(further, 2))


def _slots(config: Config, names: tuple[str, ...]) -> tuple[Slot, ...]:
    """Return the slots in which a deployment of these names is cheaper."""
    return tuple(
        slot
        for slot in config.background.slots
        if not slot.models or any(fnmatchcase(name, glob) for name in names for glob in slot.models)
    )


def _probe(row: ModelConfig, provider: str, config: Config) -> Probe | None:
    """Return how the deployment is asked after: its own rule, its provider's, or everybody's."""
    written = config.providers.get(provider)
    probe = row.probe or (written.probe if written is not None else None) or config.health.probe
    return probe if probe.enabled else None


def _no_provider(name: str, path: str, making: Making) -> None:
    told = any(problem.startswith(f"providers.{name}:") for problem in making.problems)
    if name not in making.config.providers and not told:
        hint = did_you_mean(name, making.providers)
        making.problems.append(f"{path}: no provider {name!r}{hint}; add it under providers:")


def _timeouts(row: TimeoutsConfig) -> Timeouts:
    return Timeouts(row.connect_s, row.first_byte_s, row.idle_s, row.total_s)


def _model(row: ModelConfig, catalog: Catalog, price: Price | None) -> Model:
    model, graded = catalog.facts(row.model), catalog.scores.get(SAFETY, row.model)
    changes: dict[str, object] = {
        "price": price or model.price,
        "context_window": row.context_window or model.context_window,
        "max_output": row.max_output or model.max_output,
        "capabilities": model.capabilities if row.capabilities is None else row.capabilities,
        "modalities_in": row.modalities or model.modalities_in,
        "safety": row.safety if row.safety is not None else graded.score if graded is not None else None,
    }
    return msgspec.structs.replace(model, **changes)


def _by_model(deployments: Iterable[Deployment]) -> dict[str, tuple[Deployment, ...]]:
    found: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        found.setdefault(deployment.model.id, []).append(deployment)
    return {name: tuple(sorted(items, key=lambda d: d.priority)) for name, items in found.items()}


def _bare(models: Iterable[str]) -> dict[str, str]:
    """Return ids without their provider, where only one model has that id."""
    found: dict[str, list[str]] = {}
    for name in models:
        found.setdefault(name.partition("/")[2], []).append(name)
    return {bare: names[0] for bare, names in found.items() if len(names) == 1}


def _aliases(
    config: Config, models: Mapping[str, object], routes: Mapping[str, object], problems: list[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in config.aliases:
        seen, target = [name], config.aliases[name]
        while target in config.aliases and target not in seen:
            seen.append(target)
            target = config.aliases[target]
        if target in seen:
            problems.append(f"aliases.{name}: goes round in a circle: {' → '.join([*seen, target])}")
        elif target not in models and target.removeprefix("turnout/") not in routes:
            hint = did_you_mean(target, [*models, *(f"turnout/{route}" for route in routes)])
            problems.append(f"aliases.{name}: {target!r} is neither a model nor turnout/<route>{hint}")
        else:
            found[name] = target
    return found
