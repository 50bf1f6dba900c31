"""What is shortened and what is marked, made of rows. Floor 5."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from turnout.config import Config
from turnout.config.compress import CompressMode
from turnout.types.compress import CompressRule
from turnout.types.deployment import Deployment

DIRECT: Final = "direct"
"""Route of requests that name a model."""


def make_compress(
    config: Config, deployments: Iterable[Deployment], problems: list[str]
) -> Mapping[str, CompressRule]:
    """Return how each route shortens; routes that do not are missing. What is wrong goes to `problems`."""
    known = tuple(deployments)
    rows: list[tuple[str, str, CompressMode | CompressRule | None]] = [(DIRECT, "compress", config.compress)]
    for at, row in enumerate(config.routes):
        own = row.compress is not None
        rows.append((row.name, f"routes[{at}].compress", row.compress if own else config.compress))
    found: dict[str, CompressRule] = {}
    for name, path, said in rows:
        if said is None or said == "off":
            continue
        rule = CompressRule() if isinstance(said, str) else said
        found[name] = _with_writer(rule, path, known, problems)
    return found


def make_marked(config: Config) -> frozenset[str]:
    """Return the routes whose prompts are marked for providers' caches."""
    routes = {row.name: row.prompt_cache or config.prompt_cache for row in config.routes}
    return frozenset(name for name, how in {DIRECT: config.prompt_cache, **routes}.items() if how == "auto")


def _with_writer(
    rule: CompressRule, path: str, deployments: tuple[Deployment, ...], problems: list[str]
) -> CompressRule:
    """Return the rule with the deployment that writes summaries in place of its model."""
    compact = rule.compact
    if compact is None or compact.by == "extract":
        return rule
    writer = next((d for d in deployments if compact.by in (d.id, d.model.id)), None)
    if writer is None:
        problems.append(f"{path}.compact.by: no model {compact.by!r}; list it under models, or say extract")
        return rule
    return replace(rule, compact=replace(compact, by=writer.id))
