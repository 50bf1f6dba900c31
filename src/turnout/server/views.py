"""How much of a Decision whoever asks may see (docs/design/WIRE.md section 10). Floor 6."""

from collections.abc import Mapping

import msgspec

from turnout.types.json import Json, JsonObject
from turnout.types.principal import Principal
from turnout.types.record import Decision

_FOREIGN = "not_allowed_for_key"
"""Reason of the filter that keeps a key to its models: what it dropped is not the caller's to know of."""
_OPERATORS_ONLY = ("rng_seed", "config_digest")


def caller_view(decision: Decision, principal: Principal) -> JsonObject:
    """Return a Decision as its caller may see it.

    A gateway without keys serves its operator, who sees all. A key sees neither the models it may not use,
    nor the seed of the draw, nor the ids that deployments have in the configuration.
    """
    tree: dict[str, Json] = msgspec.to_builtins(decision)
    if principal.key_id is None:
        return tree
    seen = [c for c in decision.candidates if all(drop.reason != _FOREIGN for drop in c.filters)]
    names = {c.id: f"c{at}" for at, c in enumerate(seen, 1)}
    shown: list[Json] = [{**msgspec.to_builtins(c), "id": names[c.id]} for c in seen]
    for key in _OPERATORS_ONLY:
        tree.pop(key, None)
    return {
        **tree,
        "candidates": shown,
        "chosen": [names[name] for name in decision.chosen if name in names],
        "plan": _renamed(decision.plan, names),
    }


def _renamed(plan: Json, names: Mapping[str, str]) -> Json:
    """Return a plan's tree with its deployments under other names."""
    match plan:
        case {"try": str() as name}:
            return {"try": names.get(name, "")}
        case dict():
            return {key: _renamed(value, names) for key, value in plan.items()}
        case list() | tuple():
            return [_renamed(node, names) for node in plan]
        case _:
            return plan
