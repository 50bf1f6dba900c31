"""Names become pools: what a request may go to, and whose rules apply. Floor 4.

Theory of operation (docs/design/WIRE.md section 8).
1. A name is looked up as it stands: model, bare id, deployment, alias, route, `auto`. Only when nobody is
   called that is a trailing `:variant` or `@region` taken off: `llama3:8b` is a model, `gpt-x:floor` a wish.
2. A plain name without wishes means the same for everybody and is remembered. What depends on the key or
   the request's own wishes is resolved each time.
3. An order the caller wrote (`models`, `fallbacks`, `provider.order`) is kept as written. An objective it
   named (`provider.sort`, `:floor`, `:nitro`) replaces what the route scores by, and nothing else: filters,
   floors, limits and modifiers of the route stay in force.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from turnout.engine.snapshot import NO_MODEL_SERVED, Route, Snapshot
from turnout.errors import Forbidden, ModelNotFound
from turnout.strategies.base import Scorer, Strategy
from turnout.strategies.filters import Reach, reach_of
from turnout.strategies.listed import Listed
from turnout.strategies.orders.best import Best
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.latency import Latency
from turnout.strategies.scorers.throughput import Throughput
from turnout.strategies.shapes.fallback import Chain
from turnout.types.ask import Ask, Preferences
from turnout.types.deployment import Deployment
from turnout.types.principal import Principal
from turnout.types.record import Reason

By = Literal["price", "throughput", "latency"]
AUTO: Final = ("auto", "")
"""Names that leave the choice to the key's or the server's default route."""
VARIANTS: Final[dict[str, By]] = {"floor": "price", "nitro": "throughput"}
VARIANT_IGNORED: Final = "variant_ignored"
"""Warning: a variant stood inside a list, where the list's order is the order."""
_SCORERS: Final[dict[By, tuple[Scorer, Reason]]] = {
    "price": (Cost(), "cheapest_above_floor"),
    "throughput": (Throughput(), "fastest"),
    "latency": (Latency(measure="ttft"), "fastest"),
}
_LISTED: Final = Listed()


class Pool(Struct, frozen=True):
    """The deployments a request may go to, and the route whose rules apply."""

    route: Route
    deployments: tuple[Deployment, ...]
    source: str
    """Which rule of precedence chose it."""
    pinned: bool
    """The caller named one model."""
    warnings: tuple[str, ...] = ()
    reach: Reach | None = None
    """What every one of them can do; None = nobody looked."""


class Pools:
    """Resolves names under one snapshot of the configuration."""

    __slots__ = ("_by_name", "_snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._by_name: dict[str, Pool] = {}
        """Plain names resolved before: bounded by the configured names, as unknown ones raise."""

    def pool(self, model: str, ask: Ask) -> Pool:
        """Resolve what a request names, by precedence. Raises `ModelNotFound`, `Forbidden`."""
        if ask.diverted is not None:
            return msgspec.structs.replace(self._by_route(ask.diverted), source="guard")
        if ask.downgrade is not None:
            return msgspec.structs.replace(self._by_route(ask.downgrade), source="budget")
        pool = self._resolved(model, ask)
        if ask.principal.routes:
            _check_route(pool, ask.principal, self._snapshot)
        return pool

    def _resolved(self, model: str, ask: Ask) -> Pool:
        if (model in AUTO and ask.principal.default_route) or _wishes(ask.prefer):
            return self._preferred(model, ask)
        pool = self._by_name.get(model)
        if pool is None:
            pool = self._named(model, ask)
            pool = self._by_name[model] = msgspec.structs.replace(pool, reach=reach_of(pool.deployments))
        return pool

    def _preferred(self, model: str, ask: Ask) -> Pool:
        prefer = ask.prefer
        pool = self._unordered(model, ask)
        if prefer.order_providers:
            ordered = sorted(pool.deployments, key=lambda d: _rank(prefer.order_providers, d.vendor.name))
            return _in_order(pool, ordered)
        return _sorted_by(pool, prefer.sort) if prefer.sort else pool

    def _unordered(self, model: str, ask: Ask) -> Pool:
        prefer = ask.prefer
        concrete = self._endpoints(model, prefer)
        if concrete or (prefer.candidates and model not in AUTO):
            names = [model, *prefer.candidates, *prefer.fallbacks]
            if len(names) == 1:
                return Pool(self._snapshot.direct, concrete, "body.model", pinned=True)
            source = "body.models" if prefer.candidates else "body.model"
            return self._listed(names, source, ask, pinned=bool(concrete) and not prefer.candidates)
        if prefer.candidates:
            return self._listed([*prefer.candidates, *prefer.fallbacks], "body.models", ask, pinned=False)
        base = self._by_route(prefer.route) if prefer.route else self._named(model, ask)
        if not prefer.fallbacks:
            return base
        extra = self._listed(list(prefer.fallbacks), base.source, ask, pinned=False)
        both = _unique((*base.deployments, *extra.deployments))
        return Pool(base.route, both, base.source, pinned=False, warnings=extra.warnings)

    def _listed(self, names: list[str], source: str, ask: Ask, *, pinned: bool) -> Pool:
        found: list[Deployment] = []
        warnings: tuple[str, ...] = ()
        for name in names:
            deployments = self._endpoints(name, ask.prefer)
            if not deployments:
                pool = self._named(name, ask)
                deployments = pool.deployments
                if name.rpartition(":")[2] in VARIANTS:
                    warnings = (VARIANT_IGNORED,)
            found += deployments
        route = self._snapshot.direct
        return _in_order(Pool(route, (), source, pinned, warnings), found)

    def _named(self, model: str, ask: Ask) -> Pool:
        snapshot = self._snapshot
        concrete = self._deployments(model)
        if concrete:
            return Pool(snapshot.direct, concrete, "body.model", pinned=True)
        if model.startswith("turnout/") and model[8:] in snapshot.routes:
            return self._by_route(model[8:])
        alias = snapshot.aliases.get(model)
        if alias is not None:
            return msgspec.structs.replace(self._named(alias, ask), source="alias")
        if model in AUTO:
            name = ask.principal.default_route or snapshot.default_route
            if name is not None:
                return msgspec.structs.replace(self._by_route(name), source="auto")
        return self._varied(model, ask)

    def _varied(self, model: str, ask: Ask) -> Pool:
        """Resolve a name that ends in a variant. Raises `ModelNotFound` for any other."""
        base, _, variant = model.rpartition(":")
        by = VARIANTS.get(variant)
        if by is None or not base:
            raise self._unknown(model)
        every = self._same_id(base)
        pool = Pool(self._snapshot.direct, every, "body.model", pinned=True) if every else None
        return _sorted_by(pool or self._named(base, ask), by)

    def _by_route(self, name: str) -> Pool:
        route = self._snapshot.routes.get(name)
        if route is None:
            raise self._unknown(f"turnout/{name}")
        return Pool(route, route.deployments, "body.route", pinned=False)

    def _endpoints(self, name: str, prefer: Preferences) -> tuple[Deployment, ...]:
        """Return who serves a model; with providers named, those that serve one of the same id as well."""
        found = self._deployments(name)
        wanted = (*prefer.order_providers, *prefer.only_providers)
        if not wanted:
            return found
        bare = found[0].model.id.partition("/")[2] if found else name
        others = [d for d in self._same_id(bare) if d.vendor.name in wanted]
        return _unique((*found, *others))

    def _same_id(self, bare: str) -> tuple[Deployment, ...]:
        """Return everybody who serves a model of this id, whoever's name stands before it."""
        models = self._snapshot.models.items()
        return tuple(d for name, group in models if name.partition("/")[2] == bare for d in group)

    def _deployments(self, name: str) -> tuple[Deployment, ...]:
        snapshot = self._snapshot
        name = name.removesuffix("[1m]")
        found = snapshot.models.get(name)
        if found is None and name in snapshot.bare:
            found = snapshot.models.get(snapshot.bare[name])
        if found is None and name in snapshot.deployments:
            found = (snapshot.deployments[name],)
        if found is None and "@" in name:
            base, _, region = name.rpartition("@")
            found = tuple(d for d in self._deployments(base) if d.region == region) if base else None
        return found or ()

    def _unknown(self, name: str) -> ModelNotFound:
        snapshot = self._snapshot
        names = [*snapshot.models, *snapshot.aliases, *(f"turnout/{route}" for route in snapshot.routes)]
        near = difflib.get_close_matches(name[:200], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; GET /v1/models lists what is served"
        if not names:
            hint = f"; {NO_MODEL_SERVED}"
        return ModelNotFound(f"the model {name[:200]!r} is not served here{hint}", param="model")


def _check_route(pool: Pool, principal: Principal, snapshot: Snapshot) -> None:
    """Raise `Forbidden` for what is not a route of the key: another one, or a model by its own name."""
    name = pool.route.name
    route = snapshot.routes.get(name) if name in principal.routes else None
    # A fallback named beside the route must not lead out of it either.
    if route is not None and {d.id for d in pool.deployments} <= {d.id for d in route.deployments}:
        return
    listed = ", ".join(f"turnout/{route}" for route in principal.routes)
    raise Forbidden(f"this key may use only {listed}", param="model")


def _wishes(prefer: Preferences) -> bool:
    return bool(
        prefer.candidates
        or prefer.fallbacks
        or prefer.route
        or prefer.order_providers
        or prefer.only_providers
        or prefer.sort
    )


def _in_order(pool: Pool, deployments: Iterable[Deployment]) -> Pool:
    """Return the pool with these deployments, asked in this order."""
    route = msgspec.structs.replace(pool.route, strategy=_LISTED, senses=())
    return msgspec.structs.replace(pool, route=route, deployments=_unique(deployments))


def _sorted_by(pool: Pool, by: By) -> Pool:
    """Return the pool with one objective in place of what its route scores by."""
    route = pool.route
    route = msgspec.structs.replace(route, strategy=_objective(route.strategy, by), guarded=None)
    return msgspec.structs.replace(pool, route=route)


def _objective(strategy: Strategy, by: By) -> Strategy:
    scorer, because = _SCORERS[by]
    # No band of equality: what the caller sorts by is not measured in quality.
    order, shape = Best(tie_band=0.0), Chain(vendor_first=False)
    if not isinstance(strategy, Pipeline):
        return Pipeline(score=(scorer,), order=order, shape=shape, label=by, because=because)
    gauge = next((part for part in strategy.score if part.role == "quality"), strategy.gauge)
    return msgspec.structs.replace(
        strategy, score=(scorer,), order=order, shape=shape, label=by, because=because, gauge=gauge
    )


def _rank(order: Sequence[str], vendor: str) -> int:
    return order.index(vendor) if vendor in order else len(order)


def _unique(deployments: Iterable[Deployment]) -> tuple[Deployment, ...]:
    return tuple({d.id: d for d in deployments}.values())
