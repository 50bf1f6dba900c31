"""Whether a budget can be paced as it is written. Floor 5.

The pacer moves λ, the price of money. That has an effect only where the order goes by utility and a price is
known, and a route has one budget.
"""

from collections.abc import Iterator, Sequence

from turnout.strategies.base import Strategy
from turnout.strategies.modifiers import Paced
from turnout.strategies.orders.balance import LeastBusy, RoundRobin, TwoChoices
from turnout.strategies.orders.draw import WeightedDraw
from turnout.strategies.pipeline.parts import pipelines
from turnout.types.deployment import Deployment


def pacing_problems(strategy: Strategy, pool: Sequence[Deployment], path: str) -> Iterator[str]:
    """Yield why the modifier `paced` cannot work in a strategy made ready for its pool."""
    found: list[Paced] = []
    for pipeline in pipelines(strategy):
        rules = [part for part in pipeline.modify if isinstance(part, Paced)]
        found += rules
        order = pipeline.order
        if rules and (
            isinstance(order, LeastBusy | RoundRobin | TwoChoices)
            or (isinstance(order, WeightedDraw) and order.by == "weight")
        ):
            where = f"paced has no effect in {pipeline.name}"
            yield f"{path}: {where}: its order {order.name} does not go by cost"
    if any(each != found[0] for each in found):
        yield f"{path}: paced stands here with different budgets; write the same one everywhere"
    if found and pool and all(deployment.model.price is None for deployment in pool):
        yield f"{path}: paced needs prices, and no model has one; write price: under models"
