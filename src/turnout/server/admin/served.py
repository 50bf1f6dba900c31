"""Endpoints of what is served: providers, deployments, models, routes, health. Floor 6.

Read views hold no secret and no address of a credential: they are built field by field.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from turnout.catalog.prices import usd_price
from turnout.codecs.strict import convert
from turnout.errors import NotFound
from turnout.server.admin.audit import noted
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.types.deployment import Deployment, Model, Stats
from turnout.types.json import Json


class Reset(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which breaker to close."""

    deployment: str


def _listed(rows: list[Json]) -> Given:
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


async def _providers(call: Call) -> Given:
    found: dict[str, list[Deployment]] = {}
    for each in call.built.engine.snapshot.deployments.values():
        found.setdefault(each.vendor.name, []).append(each)
    return _listed(
        [
            {
                "object": "provider",
                "id": name,
                "wire_format": each[0].vendor.codec,
                "auth": each[0].vendor.auth,
                "has_credential": any(one.credential is not None for one in each),
                "deployments": sorted(one.id for one in each),
            }
            for name, each in sorted(found.items())
        ]
    )


async def _deployments(call: Call) -> Given:
    engine = call.built.engine
    now = engine.clock()
    return _listed(
        [
            _deployment(each, engine.fleet.stats(each.id, now))
            for _, each in sorted(engine.snapshot.deployments.items())
        ]
    )


def _deployment(of: Deployment, stats: Stats) -> Json:
    live: Json = msgspec.to_builtins(stats)
    return {
        "object": "deployment",
        "id": of.id,
        "model": of.model.id,
        "provider": of.vendor.name,
        "upstream_model": of.upstream_model,
        "region": of.region,
        "weight": of.weight,
        "priority": of.priority,
        "tags": sorted(of.tags),
        "has_credential": of.credential is not None,
        "live": live,
    }


async def _models(call: Call) -> Given:
    models = call.built.engine.snapshot.models
    return _listed([_model(served[0].model, len(served)) for _, served in sorted(models.items())])


def _model(of: Model, n_deployments: int) -> Json:
    price: Json = None
    if of.price is not None:
        price = msgspec.to_builtins(usd_price(of.price), enc_hook=str)
    return {
        "object": "model",
        "id": of.id,
        "kind": of.kind,
        "context_window": of.context_window,
        "max_output": of.max_output,
        "capabilities": None if of.capabilities is None else sorted(of.capabilities),
        "price": price,
        "retires_on": of.retires_on,
        "benchmarks": dict(of.benchmarks),
        "deployments": n_deployments,
    }


async def _routes(call: Call) -> Given:
    snapshot = call.built.engine.snapshot
    strategies = {each.name: each.strategy for each in call.built.config.routes}
    return _listed(
        [
            {
                "object": "route",
                "id": name,
                "deployments": [each.id for each in route.deployments],
                "strategy": (strategies.get(name) or {}).get("type"),
                "is_default": name == snapshot.default_route,
                "aliases": sorted(a for a, t in snapshot.aliases.items() if t == f"turnout/{name}"),
            }
            for name, route in sorted(snapshot.routes.items())
        ]
    )


async def _health(call: Call) -> Given:
    engine, journal = call.built.engine, call.built.journal
    now = engine.clock()
    states: dict[str, list[Json]] = {"closed": [], "open": [], "half_open": []}
    for name in sorted(engine.snapshot.deployments):
        states[engine.fleet.stats(name, now).state].append(name)
    kept: Json = None if journal is None else msgspec.to_builtins(journal.stats())
    return Given(
        body={
            "object": "health",
            "config_version": engine.snapshot.version,
            "config_digest": engine.snapshot.digest,
            "breakers": dict(states),
            "journal": kept,
        }
    )


async def _reset(call: Call) -> Given:
    name = convert(call.fields, Reset).deployment
    if name not in call.built.engine.snapshot.deployments:
        raise NotFound(f"there is no deployment {name[:64]!r}", param="deployment")
    await noted(call, f"deployment/{name}", {})
    call.built.engine.fleet.of(name).breaker.reset()
    return Given(body={"object": "breaker", "deployment": name, "state": "closed"})


def drains(set_ready: Callable[[bool], None]) -> tuple[Endpoint, ...]:
    """Return the endpoints that take this process out of its load balancer, and put it back."""

    async def drain(call: Call) -> Given:
        await noted(call, "gateway", {})
        set_ready(False)
        return Given(body={"object": "gateway", "ready": False})

    async def resume(call: Call) -> Given:
        await noted(call, "gateway", {})
        set_ready(True)
        return Given(body={"object": "gateway", "ready": True})

    return (
        Endpoint(
            method="POST",
            path="/drain",
            serve=drain,
            summary="Answer 503 at /readyz, so that load balancers turn away; serve what still comes",
        ),
        Endpoint(method="DELETE", path="/drain", serve=resume, summary="Answer 200 at /readyz again"),
    )


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/providers", serve=_providers, summary="Who is asked"),
    Endpoint(
        method="GET",
        path="/deployments",
        serve=_deployments,
        summary="Models at providers, with live numbers",
    ),
    Endpoint(method="GET", path="/models", serve=_models, summary="Models, with facts and prices"),
    Endpoint(method="GET", path="/routes", serve=_routes, summary="Routes and who is in them"),
    Endpoint(
        method="GET", path="/health", serve=_health, summary="Breakers, journal, configuration in force"
    ),
    Endpoint(
        method="POST",
        path="/breakers/reset",
        serve=_reset,
        summary="Close a breaker, whatever was seen",
        takes=Reset,
    ),
)
