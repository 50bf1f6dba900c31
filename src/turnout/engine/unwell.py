"""Candidates that are asked only after all others: demoted, or not yet back to their whole share. Floor 4.

They are set aside before the strategy chooses, so that every strategy heeds it, and put behind its plan as
last fallbacks. When nobody else is left they are the candidates. The deployment of an open tool loop is
never set aside: it alone can go on.

Either has a share of its calls that is drawn for: one that comes back a rising one, a demoted one a small
one, so that its recovery is seen. Whoever is drawn is a candidate like any other; the strategy may still
prefer somebody else. A request inside a tool loop tries nobody out.
"""

from collections.abc import Sequence

from turnout import plan as plans
from turnout.strategies.base import Context, Draw, in_tool_loop
from turnout.types.deployment import Candidate

Candidates = tuple[Candidate, ...]
MAX_LAST = 3
"""Candidates put behind a plan: each costs its time to fail."""


def parted(context: Context, candidates: Candidates, draw: Draw) -> tuple[Candidates, Candidates, bool]:
    """Return whom the strategy chooses among, whom to ask last, and whether that was drawn.

    Args:
        context: The request.
        candidates: What the filters left.
        draw: Decides for those that should get a share of their calls only.
    """
    if len(candidates) == 1:
        return candidates, (), False
    if not [c for c in candidates if c.stats.demoted or c.stats.share < 1]:
        return candidates, (), False
    looping = in_tool_loop(context.request)
    held = context.session.deployment if context.session and looping else None
    last, drawn = list[Candidate](), False
    for candidate in candidates:
        stats = candidate.stats
        if candidate.id == held:
            continue
        if stats.demoted and (looping or not 0 < stats.share < 1):
            last.append(candidate)
        elif stats.share < 1:
            drawn = True
            if draw.rng.random() >= stats.share:
                last.append(candidate)
    if not last or len(last) == len(candidates):
        return candidates, (), False
    ids = {candidate.id for candidate in last}
    return tuple(c for c in candidates if c.id not in ids), tuple(last), drawn


def behind(plan: plans.Plan, last: Sequence[Candidate]) -> plans.Plan:
    """Return the plan with these candidates as its last fallbacks, the demoted after the others."""
    ordered = sorted(last, key=lambda candidate: candidate.stats.demoted)
    tail = tuple(plans.Try(candidate.id) for candidate in ordered[:MAX_LAST])
    nodes = plan.nodes if isinstance(plan, plans.Sequence) else (plan,)
    return plans.Sequence((*nodes, *tail))
