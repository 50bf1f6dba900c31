"""What deserves a look where models vote: a panel that is not expected to beat its best member. Floor 5."""

from collections.abc import Iterator
from random import Random

from turnout import plan as plans
from turnout.engine.snapshot import Route
from turnout.errors import NoEligibleModel
from turnout.strategies.base import Context
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.parts import pipelines
from turnout.strategies.reduce.choose import Majority
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate

_CONTEXT = Context(
    request=ChatRequest(model="", messages=()),
    ask=Ask(request_id=""),
    n_tokens_in=1000,
    n_tokens_out=500,
    max_tokens_out=500,
)


class _Draw:
    """Nothing is drawn twice: one look at one plan."""

    rng = Random(0)  # noqa: S311  repeatable, not secret


def panel_doubts(route: Route) -> Iterator[str]:
    """Yield a line for each vote of a route that is foretold to be right no more often than one member."""
    for pipeline in pipelines(route.strategy):
        line = _doubt(pipeline, tuple(Candidate(d) for d in route.deployments))
        if line is not None:
            yield f"route {route.name}: {line}"


def _doubt(pipeline: Pipeline, candidates: tuple[Candidate, ...]) -> str | None:
    vote = getattr(pipeline.shape, "reduce", None)
    if not isinstance(vote, Majority):
        return None
    try:
        plan = pipeline.choose(_CONTEXT, candidates, _Draw()).plan
    except NoEligibleModel:
        return None
    if not isinstance(plan, plans.Fanout):
        return None
    known = _qualities(pipeline, candidates)
    members = [node.deployment for node in plan.nodes if isinstance(node, plans.Try)]
    if not all(member in known for member in members):
        return None
    worth = vote.foretell([known[member] for member in members])
    best = max(members, key=known.__getitem__)
    if worth is None or worth > known[best]:
        return None
    return (
        f"a vote of {len(members)} is foretold {worth:.3f} (correlation {vote.correlation:g}, "
        f"alike {vote.alike:g}), {best} alone {known[best]:.3f}; ask it alone, or write what you measured"
    )


def _qualities(pipeline: Pipeline, candidates: tuple[Candidate, ...]) -> dict[str, float]:
    """Return the qualities that are known before any request, by deployment id."""
    parts = [part for part in pipeline.score if part.role == "quality"]
    parts = parts or ([pipeline.gauge] if pipeline.gauge is not None else [])
    if len(parts) != 1 or parts[0].needs:
        return {}
    found = parts[0].score(_CONTEXT, candidates)
    return {c.id: q for c, q in zip(candidates, found, strict=True) if 0 <= q <= 1}
