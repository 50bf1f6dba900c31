"""Past the day of its retirement a model's successors are asked in its place. Floor 4."""

from collections.abc import Mapping

import msgspec

from turnout.engine.pool import Pool
from turnout.engine.snapshot import Retiring
from turnout.types.deployment import Deployment

MODEL_RETIRED = "model_retired"
"""Warning: the provider has retired a model that was meant; it was replaced, if anybody could stand in."""


def in_service(pool: Pool, retiring: Mapping[str, Retiring], today: str) -> Pool:
    """Return the pool with retired models replaced where they stood.

    Args:
        pool: What a request may go to.
        retiring: By deployment id.
        today: ISO date.
    """
    if not any(d.id in retiring and retiring[d.id].on <= today for d in pool.deployments):
        return pool
    found: dict[str, Deployment] = {}
    for deployment in pool.deployments:
        _replaced(deployment, retiring, today, found)
    warnings = (*pool.warnings, MODEL_RETIRED)
    # What those before could do says nothing of these.
    return msgspec.structs.replace(pool, deployments=tuple(found.values()), warnings=warnings, reach=None)


def _replaced(
    deployment: Deployment, retiring: Mapping[str, Retiring], today: str, found: dict[str, Deployment]
) -> None:
    """Add the deployment, or those that stand in for it; itself again where nobody does."""
    seen, queue, n_standing = {deployment.id}, [deployment], 0
    while queue:
        each = queue.pop(0)
        row = retiring.get(each.id)
        if row is None or row.on > today:
            found.setdefault(each.id, each)
            n_standing += 1
            continue
        queue += [successor for successor in row.successors if successor.id not in seen]
        seen.update(successor.id for successor in row.successors)
    if not n_standing:
        found.setdefault(deployment.id, deployment)
