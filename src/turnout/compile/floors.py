"""Floors of surfaces that nobody can reach: every request there would only see its floor relaxed. Floor 5."""

from collections.abc import Iterator, Mapping

from turnout.engine.snapshot import Place, Route
from turnout.strategies.base import Context, Scorer
from turnout.strategies.filters import Allowed, Safe
from turnout.strategies.pipeline import Pipeline
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Deployment

_ASKED = Context(
    request=ChatRequest(model="", messages=()),
    ask=Ask(request_id=""),
    n_tokens_in=0,
    n_tokens_out=0,
    max_tokens_out=0,
)


def floor_problems(surfaces: Mapping[str, Place], routes: Mapping[str, Route]) -> Iterator[str]:
    """Yield surfaces whose quality floor is above every model of every route.

    A route whose quality is predicted for each request, or of which nothing is known, may reach any floor.
    """
    for name, place in surfaces.items():
        floor = place.surface.q_floor
        if floor is None or not routes:
            continue
        best = [_best(route, place) for route in routes.values()]
        known = [each for each in best if each is not None]
        if len(known) == len(best) and max(known) < floor:
            yield (
                f"surfaces.{name}.q_floor is {floor}; the best model of any route that may serve it reaches "
                f"{max(known):.3g}: lower it, or add a better model"
            )


def _best(route: Route, place: Place) -> float | None:
    """Return the quality that a route's models reach at a place; None = nobody can say."""
    gauge = _gauge(route)
    known = getattr(gauge, "known", None)
    if not isinstance(known, Mapping) or not known:
        return None
    let_in = [each for each in route.deployments if _may_serve(each, place)]
    if any(each.id not in known for each in let_in):
        return None
    sure = getattr(gauge, "highest", None)
    spread = max(known.values()) - sure if isinstance(sure, float) else 0.0
    return max((float(known[each.id]) - spread for each in let_in), default=0.0)


def _gauge(route: Route) -> Scorer | None:
    strategy = route.strategy
    if not isinstance(strategy, Pipeline):
        return getattr(route.guarded, "gauge", None)
    parts = [part for part in strategy.score if part.role == "quality"]
    return parts[0] if len(parts) == 1 else strategy.gauge if not parts else None


def _may_serve(deployment: Deployment, place: Place) -> bool:
    standing = (each for each in place.filters if isinstance(each, Allowed | Safe))
    return all(each.drop(_ASKED, Candidate(deployment)) is None for each in standing)
