"""A route as configured for production, run over a table instead of upstreams. Floor 6.

Theory of operation.

1. The deployments of the route are matched to the table's models by id, model id, upstream name or alias. The
   router chooses for each item exactly as it does for a request: same filters, signals and strategy objects.
   `simulate` then plays the plan.
2. Live numbers are what the training items recorded; there are no sessions, load or clock readings. A
   deployment without a price has one fitted to the training items.
3. The price of money, λ, is swept by replacing it wherever the strategy holds it. A strategy that only adds
   up scores and takes the best is swept as a `Matrix`; tests hold this path to the other one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from time import perf_counter

import msgspec
import numpy as np
from msgspec import Struct

from turnout.engine.exchange import Exchange
from turnout.engine.pool import Pool
from turnout.engine.route import Router
from turnout.engine.routed import Routed
from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import ConfigError, TurnoutError
from turnout.evaluate.baselines import Fold, Run
from turnout.evaluate.metrics import Floats
from turnout.evaluate.scoreboard_measure import Columns, Sweep
from turnout.evaluate.simulate import Played, Recorded, simulate
from turnout.evaluate.simulate_table import Asked, Bench, fitted_prices, observed
from turnout.plan import to_json
from turnout.strategies.base import EPOCH, Uncertain, expected_nusd
from turnout.strategies.orders.best import EXACT, Best
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.scored import scored
from turnout.strategies.shapes.fallback import Chain, Single
from turnout.types.ask import Ask
from turnout.types.deployment import Candidate, Deployment, Stats
from turnout.types.json import Json

NAN = float("nan")
SETTINGS = 13
"""Prices of a sweep that has to play every plan anew."""


class Setup(Struct, frozen=True, kw_only=True):
    """A route with the table's models in the place of its deployments."""

    snapshot: Snapshot
    route: Route
    deployments: tuple[Deployment, ...]
    """One a column of the bench."""
    stats: Mapping[str, Stats] = {}


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided for one item, without its words."""

    item: str
    prompt_id: str
    plan: Json
    reason: str
    quality: Mapping[str, float]
    utility: Mapping[str, float]
    answered_by: str | None
    score: float | None
    cost_nusd: int | None


class Matrix(Struct, frozen=True, eq=False, kw_only=True):
    """What a strategy that only adds up scores makes of the items: a column a model."""

    base: Floats
    """Utility without the price of money; -inf: dropped."""
    charges: Floats
    """Expected USD."""
    quality: Floats | None
    sd: Floats | None
    tie_band: float

    def choose(self, price: float) -> Columns:
        """Return whom `best` puts first at a price of money: of those tied the cheaper, then the first."""
        utility = self.base - price * self.charges
        rows = np.arange(utility.shape[0])
        top = utility.argmax(axis=1)
        limit = np.full(utility.shape, EXACT)
        if self.sd is not None:
            limit += self.tie_band * np.hypot(self.sd[rows, top][:, None], self.sd)
        tied = utility[rows, top][:, None] - utility <= limit
        tied[rows, top] = True
        return np.asarray(np.where(tied, self.charges, np.inf).argmin(axis=1))


class Simulated(Struct, frozen=True, eq=False, kw_only=True):
    """A route on the test items of a fold."""

    run: Run
    """NaN where an item is unevaluable."""
    low: Floats
    high: Floats
    played: tuple[Played, ...]
    decisions: tuple[Decision, ...]
    seconds: Floats
    """Time of each decision on this machine; never part of a result."""
    matrix: Matrix | None = None
    """None: the strategy does more than add up scores."""
    price: float | None = None
    """λ as configured; None: the strategy has none."""


def setup(snapshot: Snapshot, name: str, fold: Fold, aliases: Mapping[str, str] | None = None) -> Setup:
    """Match a route's deployments to the models of a fold.

    Raises:
        ConfigError: There is no such route, or none of its models is in the table.
    """
    route = snapshot.routes.get(name)
    if route is None:
        raise ConfigError((f"no route {name!r}; known: {', '.join(snapshot.routes)}",))
    columns = matched(route.deployments, fold.test.models, aliases or snapshot.aliases)
    if absent := [d.id for d in route.deployments if d.id not in columns.values()]:
        raise ConfigError((f"route {name}: the table has no outcomes of {', '.join(absent)}",))
    prices, own = fitted_prices(fold.train), {d.id: d for d in route.deployments}
    deployments = []
    for model in fold.test.models:
        deployment = own[columns[model]]
        if deployment.model.price is None and model in prices:
            priced = msgspec.structs.replace(deployment.model, price=prices[model])
            deployment = msgspec.structs.replace(deployment, model=priced)
        deployments.append(deployment)
    seen = observed(fold.train)
    stats = {columns[model]: seen[model] for model in fold.test.models if model in seen}
    return Setup(snapshot=snapshot, route=route, deployments=tuple(deployments), stats=stats)


def pool_of(route: Route, models: Sequence[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Return the models of a table that a route's deployments are, in the route's order."""
    names = {at: name for name, at in matched(route.deployments, models, aliases).items()}
    return tuple(names[d.id] for d in route.deployments if d.id in names)


def matched(
    deployments: Sequence[Deployment], models: Sequence[str], aliases: Mapping[str, str]
) -> dict[str, str]:
    """Return for each model of a table the id of the deployment it is, where there is one."""
    found: dict[str, str] = {}
    for names in (
        lambda d: (d.id,),
        lambda d: (d.model.id, d.upstream_model),
        lambda d: tuple(alias for alias, target in aliases.items() if target in (d.id, d.model.id)),
    ):
        for deployment in deployments:
            for name in names(deployment):
                if name in models and name not in found and deployment.id not in found.values():
                    found[name] = deployment.id
    return found


class Table:
    """Plays plans of a route over the items of a bench."""

    __slots__ = ("_columns", "_names", "_pool", "_router", "bench", "setup")

    def __init__(self, setup: Setup, bench: Bench) -> None:
        self.setup, self.bench = setup, bench
        ids = [deployment.id for deployment in setup.deployments]
        self._names = dict(zip(bench.models, ids, strict=True))
        judges = {row.judge for rows in bench.rows for row in rows if row.judge} if bench.judged else set()
        everyone = tuple(setup.snapshot.deployments.values())
        self._names.update(matched(everyone, sorted(judges), setup.snapshot.aliases))
        self._columns = {name: at for at, name in enumerate(bench.models)}
        self._router = Router(setup.snapshot, lambda name: setup.stats.get(name, Stats()))
        self._pool = Pool(setup.route, setup.deployments, "route", pinned=False)

    def with_price(self, price: float) -> "Table":
        """Return the same with another λ; the strategy must hold one (`price_of`)."""
        strategy = _priced(self.setup.route.strategy, price)
        route = msgspec.structs.replace(self.setup.route, strategy=strategy)
        return Table(msgspec.structs.replace(self.setup, route=route), self.bench)

    def decide(self, item: Asked) -> Routed:
        """Choose for an item. Raises a `TurnoutError` when no candidate is left."""
        seed = int(hashlib.sha256(f"{item.prompt_id}|{item.item_id}".encode()).hexdigest()[:16], 16)
        ask = Ask(request_id="req_00000000000000000000000000")
        exchange = Exchange(item.request, ask, started=0.0, at=EPOCH, seed=seed)
        exchange.explain_only = True
        return self._router.choose(exchange, self._pool)

    def recorded(self, i: int) -> Recorded:
        """Return what was recorded of an item, by deployment."""
        found = self.bench.recorded(i)
        names = self._names
        return Recorded(
            {names[name]: answers for name, answers in found.answers.items() if name in names},
            {(names.get(j, j), model, at): row for (j, model, at), row in found.readings.items()},
        )

    def run(self, name: str, *, with_matrix: bool = True, samples: int = 0) -> Simulated:
        """Decide and play every item."""
        bench = self.bench
        played: list[Played] = []
        decisions: list[Decision] = []
        routeds: list[Routed | None] = []
        seconds = np.empty(bench.n)
        for i, item in enumerate(bench.items):
            started = perf_counter()
            try:
                routed = self.decide(item)
            except TurnoutError as error:
                routed, reason = None, error.row.word  # nobody is left: an answer of no worth
            seconds[i] = perf_counter() - started
            routeds.append(routed)
            if routed is None:
                played.append(Played(score=0.0, high=0.0, cost_nusd=0, missing=reason))
                continue
            plan = routed.choice.plan
            played.append(simulate(plan, self.recorded(i), item.request))
            if len(decisions) < samples:
                decisions.append(_decision(item, routed, played[-1]))
        return Simulated(
            run=self._run(name, played),
            low=np.array([each.low for each in played]),
            high=np.array([each.high for each in played]),
            played=tuple(played),
            decisions=tuple(decisions),
            seconds=seconds,
            matrix=self._matrix(routeds) if with_matrix else None,
            price=price_of(self.setup.route.strategy),
        )

    def _run(self, name: str, played: Sequence[Played]) -> Run:
        return Run(
            name=name,
            scores=np.array([NAN if each.score is None else each.score for each in played]),
            costs=np.array([NAN if each.cost_nusd is None else each.cost_nusd * 1e-9 for each in played]),
            latency=np.array([NAN if each.latency_s is None else each.latency_s for each in played]),
            chosen=np.array(
                [self._columns.get(each.answered_by or "", -1) for each in played], dtype=np.intp
            ),
        )

    def _matrix(self, routeds: Sequence[Routed | None]) -> Matrix | None:
        strategy = self.setup.route.strategy
        failed = any(row.error for rows in self.bench.rows for row in rows)
        if failed or not is_plain(strategy) or not isinstance(strategy, Pipeline):
            return None
        n, m = len(routeds), len(self.setup.deployments)
        base, charges = np.full((n, m), -np.inf), np.full((n, m), np.nan)
        quality, sd = np.full((n, m), np.nan), np.full((n, m), np.nan)
        at = {deployment.id: column for column, deployment in enumerate(self.setup.deployments)}
        for i, routed in enumerate(routeds):
            if routed is None:
                return None
            kept = [c for c in routed.candidates if c.id not in routed.dropped]
            columns = [at[c.id] for c in kept]
            made = scored(strategy.score, (), routed.context, kept)
            paid = [column for name, column in made.columns if name == "cost"]
            total = np.array(made.utilities) - (np.sum(paid, axis=0) if paid else 0.0)
            base[i, columns] = np.where(np.isnan(total), -np.inf, total)
            costs = [expected_nusd(routed.context, c.deployment) for c in kept]
            charges[i, columns] = [NAN if cost is None else cost * 1e-9 for cost in costs]
            if made.quality is not None:
                quality[i, columns] = made.quality
                spread = _spread(strategy, routed, kept)
                if spread:
                    sd[i, columns] = spread
        order = strategy.order
        assert isinstance(order, Best)
        return Matrix(
            base=base,
            charges=np.where(np.isnan(charges), 0.0, charges) if not np.isnan(charges).all() else charges * 0,
            quality=None if np.isnan(quality).any() else quality,
            sd=None if np.isnan(sd).any() else sd,
            tie_band=order.tie_band,
        )

    def sweep(self, name: str, prices: Sequence[float]) -> Sweep | None:
        """Return the route at each price, every plan played anew; None: it holds no price."""
        if price_of(self.setup.route.strategy) is None:
            return None
        runs = [self.with_price(price).run(name, with_matrix=False).run for price in prices]
        return Sweep(name, np.array([run.scores for run in runs]), np.array([run.costs for run in runs]))


def _spread(strategy: Pipeline, routed: Routed, kept: Sequence[Candidate]) -> Sequence[float]:
    """Return the deviations that `best` ties by: those of the one scorer of quality, where it knows them."""
    parts = [part for part in strategy.score if part.role == "quality"]
    if len(parts) != 1 or not isinstance(parts[0], Uncertain):
        return ()
    return parts[0].spread(routed.context, kept)


def _decision(item: Asked, routed: Routed, played: Played) -> Decision:
    choice = routed.choice
    return Decision(
        item=item.item_id,
        prompt_id=item.prompt_id,
        plan=to_json(choice.plan),
        reason=choice.reason,
        quality={name: round(q, 6) for name, q in choice.quality.items()},
        utility={name: round(u, 6) for name, u in choice.utilities.items()},
        answered_by=played.answered_by,
        score=played.score,
        cost_nusd=played.cost_nusd,
    )


def is_plain(strategy: object) -> bool:
    """Tell whether a strategy adds up scores, takes the best and asks it: nothing a matrix cannot do."""
    if not isinstance(strategy, Pipeline) or strategy.modify or strategy.filter:
        return False
    bounds = (strategy.q_floor, strategy.q_slack, strategy.slo)
    plain_order = isinstance(strategy.order, Best) and not strategy.order.epsilon
    return plain_order and isinstance(strategy.shape, Single | Chain) and all(b is None for b in bounds)


def price_of(strategy: object) -> float | None:
    """Return the first λ that a strategy holds; None where it holds none."""
    own = getattr(strategy, "lambda_", None)
    if isinstance(own, float | int):
        return float(own)
    if isinstance(strategy, Pipeline):
        parts: tuple[object, ...] = (*strategy.score, strategy.shape)
    else:
        fields = msgspec.structs.fields(type(strategy)) if isinstance(strategy, Struct) else ()
        parts = tuple(getattr(strategy, field.name) for field in fields)
    for part in parts:
        if isinstance(part, Struct) and (found := price_of(part)) is not None:
            return found
    return None


def _priced(part: object, price: float) -> object:
    """Return a part with every λ in it replaced; a pipeline without one gets a cost scorer."""
    if isinstance(part, tuple):
        return tuple(_priced(each, price) for each in part)
    if not isinstance(part, Struct):
        return part
    changes: dict[str, object] = {}
    for field in msgspec.structs.fields(type(part)):
        value = getattr(part, field.name)
        if field.name == "lambda_":
            changes[field.name] = price
        elif isinstance(value, Struct | tuple) and (new := _priced(value, price)) != value:
            changes[field.name] = new
    return msgspec.structs.replace(part, **changes) if changes else part
