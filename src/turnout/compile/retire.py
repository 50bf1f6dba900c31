"""Models with a day of retirement, and who takes over. Floor 5."""

from collections.abc import Iterable, Mapping

import msgspec

from turnout.catalog.catalog import Catalog
from turnout.engine.snapshot import Retiring
from turnout.types.deployment import Deployment


def make_retiring(
    deployments: Iterable[Deployment], models: Mapping[str, tuple[Deployment, ...]], catalog: Catalog
) -> dict[str, Retiring]:
    """Return, by deployment id, when its model retires and which deployments stand in.

    A successor that is configured stands in as configured. One of the same provider that is not is asked
    with the retired one's credential and address: it is where the model itself would have been called.
    """
    found: dict[str, Retiring] = {}
    queue = list(deployments)
    while queue:
        deployment = queue.pop()
        day = deployment.model.retires_on
        if day is None or deployment.id in found:
            continue
        successors: list[Deployment] = []
        for name in deployment.model.successors:
            standing_in = models.get(name) or _beside(deployment, name, catalog)
            successors += standing_in
            queue += standing_in
        found[deployment.id] = Retiring(day, tuple(successors))
    return found


def _beside(deployment: Deployment, name: str, catalog: Catalog) -> tuple[Deployment, ...]:
    provider, _, upstream = name.partition("/")
    model = catalog.get(name)
    if model is None or provider != deployment.model.id.partition("/")[0]:
        return ()
    changes = {"id": name, "model": model, "upstream_model": upstream}
    return (msgspec.structs.replace(deployment, **changes),)
