"""Routes and surfaces made of rows. Floor 5."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from turnout.catalog.benchmarks import Scores
from turnout.compile.certificates import certified
from turnout.compile.pacing import pacing_problems
from turnout.compile.senses import RouteFiles, senses_of
from turnout.compile.verdicts import verdict_senses
from turnout.config import Config, ModelConfig, RouteConfig, SurfaceConfig
from turnout.engine.beside import is_slow
from turnout.engine.exchange import Policy
from turnout.engine.snapshot import Place, Route
from turnout.strategies.base import Filter, Setting, Strategy, Surface
from turnout.strategies.filters import STANDARD, Allowed, Priced, Safe
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.guarded import Guarded
from turnout.strategies.priority import Priority
from turnout.strategies.rows import make_all, ready
from turnout.types.deployment import Deployment

SAFETY = "safety"
"""Benchmark that a surface's safety floor looks at."""


def make_route(
    row: RouteConfig,
    path: str,
    config: Config,
    deployments: Iterable[Deployment],
    scores: Scores,
    problems: list[str],
) -> Route:
    """Return the route of a row; what is wrong goes to `problems`."""
    pool = _pool(row, deployments)
    if not row.models:
        problems.append(f"{path}.models: a route needs at least one model")
    filters: tuple[Filter, ...] = STANDARD
    if row.filter is not None:
        made = make_all("turnout.filters", row.filter, f"{path}.filter", problems)
        filters = tuple(each for each in made if isinstance(each, Filter))
    if not any(isinstance(each, Allowed) for each in filters):
        filters = (Allowed(), *filters)  # what a key may use is policy: no route leaves it out (WIRE.md 8)
    files = RouteFiles()
    setting = Setting(pool=pool, scores=scores, today=datetime.now(UTC).date(), files=files)
    strategy = ready(row.strategy, f"{path}.strategy", setting, problems) if pool else None
    strategy = Priority() if strategy is None else strategy
    problems += pacing_problems(strategy, pool, f"{path}.strategy")
    strategy = certified(strategy, row, path, pool, problems)
    guarded: Strategy | None = None
    if isinstance(strategy, Pipeline):
        filters = _merged(filters, strategy.filter)
        strategy = msgspec.structs.replace(strategy, filter=())
    else:
        guarded = Guarded(inner=strategy).bind(setting)
    senses = senses_of(strategy, f"{path}.strategy", config, files, problems)
    senses = (*senses, *verdict_senses(strategy))
    return Route(
        name=row.name,
        deployments=pool,
        strategy=strategy,
        filters=filters,
        senses=senses,
        slow=is_slow(senses),
        policy=make_policy(row, config),
        guarded=guarded,
    )


def direct_route(config: Config, deployments: Iterable[Deployment], scores: Scores) -> Route:
    """Return the route of requests that name a model or list candidates: as listed."""
    setting = Setting(pool=tuple(deployments), scores=scores, today=datetime.now(UTC).date())
    strategy = Priority(spread_vendors=True)
    return Route(
        name="direct",
        deployments=(),
        strategy=strategy,
        filters=STANDARD,
        policy=make_policy(None, config),
        guarded=Guarded(inner=strategy).bind(setting) if config.surfaces else Guarded(inner=strategy),
    )


def _pool(row: RouteConfig, deployments: Iterable[Deployment]) -> tuple[Deployment, ...]:
    pool: dict[str, Deployment] = {}
    for name in row.models:
        for deployment in deployments:
            if name in (deployment.id, deployment.model.id) or (
                "*" in name and fnmatchcase(deployment.id, name)
            ):
                pool[deployment.id] = deployment
    return tuple(pool.values())


def _merged(filters: Iterable[Filter], own: Iterable[Filter]) -> tuple[Filter, ...]:
    """Return the route's filters with the strategy's own in place of those of the same kind."""
    found = {each.name: each for each in filters}
    found.update((each.name, each) for each in own)
    return tuple(found.values())


def make_policy(row: RouteConfig | None, config: Config) -> Policy:
    """Return the rules of failure, time and storage of a route; None = of the direct one."""
    if row is None:
        return Policy(
            total_s=config.timeouts.total_s,
            max_retries=config.max_retries,
            store_content=config.journal.content,
        )
    return Policy(
        total_s=config.timeouts.total_s if row.total_s is None else row.total_s,
        max_retries=config.max_retries if row.max_retries is None else row.max_retries,
        fallback_on=frozenset(row.fallback_on),
        stream_recovery=row.stream_recovery,
        reject_unsupported=row.unsupported_params == "reject",
        echo_model=row.response_model == "requested",
        store_content=row.store_content or config.journal.content,
        structured=row.structured,
    )


def make_surfaces(
    config: Config, deployments: Iterable[Deployment], scores: Scores, problems: list[str]
) -> Mapping[str, Place]:
    """Return the configured surfaces with the filters each puts before every route."""
    models = {d.model.id for d in deployments}
    rows = (row for row in config.models if isinstance(row, ModelConfig))
    graded = {row.model: row.safety for row in rows if row.safety is not None}
    found: dict[str, Place] = {}
    for name, row in config.surfaces.items():
        path = f"surfaces.{name}"
        before = len(problems)
        _check_surface(row, path, problems)
        safety = {m: s.score for m in models if (s := scores.get(SAFETY, m)) is not None} | graded
        if row.safety_floor is not None and not safety:
            problems.append(
                f"{path}.safety_floor: no model has a score on the benchmark {SAFETY!r}; import one first"
            )
        if len(problems) == before:
            found[name] = Place(_surface(name, row), _surface_filters(row, safety))
    return found


def _surface(name: str, row: SurfaceConfig) -> Surface:
    return Surface(
        name=name,
        q_floor=row.q_floor,
        safety_floor=row.safety_floor,
        ttft_s=row.slo.ttft_s,
        total_s=row.slo.total_s,
        eta=row.slo.eta,
        max_cost_usd=row.max_cost_usd,
        visibility=row.visibility,
        allow=row.allow,
    )


def _surface_filters(row: SurfaceConfig, safety: Mapping[str, float]) -> tuple[Filter, ...]:
    filters: list[Filter] = []
    if row.allow:
        filters.append(Allowed(allow=row.allow))
    if row.safety_floor is not None:
        filters.append(Safe(row.safety_floor, safety))
    if row.max_cost_usd is not None:
        filters.append(Priced(max_cost_usd=row.max_cost_usd))
    return tuple(filters)


def _check_surface(row: SurfaceConfig, path: str, problems: list[str]) -> None:
    for name, floor in (("q_floor", row.q_floor), ("safety_floor", row.safety_floor)):
        if floor is not None and not 0 <= floor <= 1:
            problems.append(f"{path}.{name} is {floor}; expected between 0 and 1")
    if row.max_cost_usd is not None and not 0 <= row.max_cost_usd < float("inf"):
        problems.append(f"{path}.max_cost_usd is {row.max_cost_usd}; expected at least 0")
