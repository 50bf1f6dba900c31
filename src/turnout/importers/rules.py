"""A map of `routing_rules` (primary, fallback, caps) as a Turnout configuration. Floor 5.

```json
{"routing_rules": {"code": {"primary": "gpt-4o", "fallback": ["claude-…"],
                            "max_cost_per_1k": 0.01, "max_latency_ms": 2000}}}
```

Each rule becomes a route of its name that keeps the order written; the caps become a price filter and a
latency limit. A rule called `default` is what `auto` means.
"""

from collections.abc import Sequence
from typing import Final

from turnout.catalog.catalog import Catalog
from turnout.errors import ConfigError
from turnout.importers.report import Imported, Note, Reader, settled
from turnout.types.json import Json, JsonObject

_DEFAULTS: Final = ("default", "*", "fallback")


def import_rules(tree: Json, catalog: Catalog) -> Imported:
    """Turn a parsed file into a configuration and a report.

    Raises:
        ConfigError: It holds no rules; each problem names its path.
    """
    notes: list[Note] = []
    top = Reader(tree, "", notes)
    rules = top.inner("routing_rules") if "routing_rules" in top else Reader(tree, "", notes)
    names = rules.left()
    if not names:
        raise ConfigError(("routing_rules: no rule; expected name: {primary: …}",))
    routes: list[Json] = []
    aliases: dict[str, Json] = {}
    default: str | None = None
    for name in names:
        route = _route(name, rules.inner(name), catalog)
        if route is None:
            continue
        routes.append(route)
        default = name if name in _DEFAULTS and default is None else default
        aliases[name] = f"turnout/{name}"
    if top is not rules:
        top.rest()
    config: dict[str, Json] = {"version": 1, "routes": routes, "aliases": aliases}
    if default is not None:
        config["default_route"] = default
    return Imported(config, settled(notes))


def _route(name: str, rule: Reader, catalog: Catalog) -> JsonObject | None:
    primary = rule.text("primary")
    if primary is None:
        rule.note("primary", "refused", "missing; the rule is left out")
        return None
    models = [model for model in _models(rule, primary, catalog) if model is not None]
    if not models:
        return None
    strategy: dict[str, Json] = {
        "type": "pipeline",
        "score": [{"type": "rank"}],
        "shape": {"type": "sequence", "vendor_first": False},
    }
    cap = rule.number("max_cost_per_1k")
    if cap is not None:
        strategy["filter"] = [{"type": "priced", "max_cost_per_1k": cap}]
    limit = rule.number(
        "max_latency_ms",
        "approximated",
        "at most 5 % may be later: to the first content, or the whole answer",
    )
    if limit is not None:
        strategy["slo"] = {"ttft_s": limit / 1000, "total_s": limit / 1000}
    rule.rest()
    return {"name": name, "models": list[Json](dict.fromkeys(models)), "strategy": strategy}


def _models(rule: Reader, primary: str, catalog: Catalog) -> Sequence[str | None]:
    found = [_model(rule, "primary", primary, catalog)]
    for key in ("fallback", "fallbacks"):
        value = rule.take(key)
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found += [_model(rule, key, str(name), catalog) for name in names]
    return found


def _model(rule: Reader, key: str, name: str, catalog: Catalog) -> str | None:
    """Return the `provider/model` that a name means."""
    known = catalog.resolve(name)
    if known is not None:
        return known.id
    if "/" in name:
        return name
    rule.note(key, "refused", f"{name!r} is no model of the catalogue{catalog.suggest(name)}")
    return None
