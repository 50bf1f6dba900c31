"""Portkey gateway configurations as a Turnout configuration. Floor 5.

```json
{"chat": {"strategy": {"mode": "fallback"}, "retry": {"attempts": 3},
          "targets": [{"provider": "openai", "override_params": {"model": "gpt-5.4"}}, …]}}
```

A file holds one configuration, or several under their names; each becomes a route of its name, so that
`x-portkey-config: chat` goes on working. Keys stay where they are: a provider reads its own variable.

Source: Portkey's documentation of gateway configs (portkey.ai/docs, "Gateway Config Object"), seen 2026-11.
"""

from typing import Final

from turnout.catalog.catalog import Catalog
from turnout.catalog.vendors import find_vendor
from turnout.errors import ConfigError
from turnout.importers.report import Fate, Imported, Note, Reader, settled
from turnout.types.deployment import Vendor
from turnout.types.json import Json, JsonObject

_ALONE: Final = "portkey"
"""Name of the route of a file that holds one configuration without a name."""
_MOST_RETRIES: Final = 5
_KEYS: Final[dict[str, tuple[Fate, str]]] = {
    "api_key": ("ignored", "set the provider's variable; a key in a file reaches whoever reads it"),
    "virtual_key": ("ignored", "its key is at Portkey; set the provider's variable"),
    "custom_host": ("refused", "give the provider a base_url by hand"),
    "forward_headers": ("refused", "client headers are never sent on"),
}
_NESTED: Final[dict[str, tuple[Fate, str]]] = {
    "name": ("ignored", "targets have no names here"),
    "retry": ("ignored", "retries are set for the route"),
    "request_timeout": ("ignored", "time limits are set for the route"),
    "strategy": ("refused", "a strategy inside a target; make it a route of its own"),
    "targets": ("refused", "targets inside a target; make them a route of their own"),
}
_OF_CONFIG: Final[dict[str, tuple[Fate, str]]] = {
    "cache": ("ignored", "answers are the same without it"),
    "input_guardrails": ("refused", "write them as guards"),
    "output_guardrails": ("refused", "write them as guards"),
    "before_request_hooks": ("refused", "write them as guards"),
    "after_request_hooks": ("refused", "write them as guards"),
}


def import_portkey(tree: Json, catalog: Catalog) -> Imported:
    """Turn a parsed file into a configuration and a report.

    Raises:
        ConfigError: It holds no configuration; each problem names its path.
    """
    notes: list[Note] = []
    top = Reader(tree, "", notes)
    alone = any(key in top for key in ("targets", "provider", "virtual_key"))
    found = {_ALONE: top} if alone else {name: top.inner(name) for name in top.left()}
    if not found:
        raise ConfigError(("no configuration; expected {strategy: …, targets: […]}, or several by name",))
    routes = [route for name, config in found.items() if (route := _route(name, config, catalog))]
    config: dict[str, Json] = {"version": 1, "routes": list[Json](routes)}
    if len(routes) == 1:
        config["default_route"] = routes[0]["name"]
    return Imported(config, settled(notes))


def _route(name: str, config: Reader, catalog: Catalog) -> JsonObject | None:
    targets = list(config.rows("targets")) if "targets" in config else [config]
    drawn = [(model, row.number("weight")) for row in targets if (model := _model(row, catalog))]
    for row in targets:
        row.table(_KEYS)
        if row is not config:
            row.table(_NESTED)
            row.rest()
    strategy = _strategy(config, drawn)
    attempts = config.inner("retry") if "retry" in config else None
    route: dict[str, Json] = {
        "name": name,
        "models": list[Json](dict.fromkeys(model for model, _ in drawn)),
        "strategy": strategy,
    }
    if attempts is not None:
        wanted = int(attempts.number("attempts") or 0)
        if wanted > _MOST_RETRIES:
            attempts.note("attempts", "approximated", f"{_MOST_RETRIES} at most")
        route["max_retries"] = min(wanted, _MOST_RETRIES)
        attempts.take("on_status_codes", "ignored", "the class of a failure says whether it is retried")
        attempts.rest()
    limit_ms = config.number("request_timeout")
    if limit_ms:
        route["total_s"] = limit_ms / 1000
    config.table(_OF_CONFIG)
    config.rest()
    return route if drawn else None


def _strategy(config: Reader, drawn: list[tuple[str, float | None]]) -> JsonObject:
    inner = config.inner("strategy")
    mode = inner.text("mode") or "single"
    inner.take("on_status_codes", "ignored", "the class of a failure says who is asked next")
    if mode == "conditional":
        inner.note("mode", "refused", "write the conditions as a route of type rules")
        inner.table({"conditions": ("refused", "see mode"), "default": ("refused", "see mode")})
    inner.rest()
    if mode != "loadbalance":
        return {"type": "priority"}
    weights: dict[str, float] = {}
    for model, weight in drawn:
        weights[model] = weights.get(model, 0) + (1 if weight is None else weight)
    return {"type": "weighted", "weights": dict[str, Json](weights)}


def _model(target: Reader, catalog: Catalog) -> str | None:
    """Return the `provider/model` of a target; None where it names none that is served."""
    word = target.text("provider")
    params = target.inner("override_params")
    name = params.text("model")
    for key in params.left():
        params.take(key, "refused", "parameters are not overridden; let clients send them")
    if name is None:
        target.note("override_params.model", "refused", "missing: the target is left out")
        return None
    if word is None:
        known = catalog.resolve(name)
        if known is None:
            params.note("model", "refused", f"{name!r} is no model of the catalogue{catalog.suggest(name)}")
        return None if known is None else known.id
    vendor = _vendor(word.removeprefix("@"))
    if vendor is None:
        target.note("provider", "refused", f"{word!r} is no provider that is known here")
        return None
    return f"{vendor.name}/{name}"


def _vendor(word: str) -> Vendor | None:
    """Return the vendor Portkey means: its words have hyphens, and often end in `-ai`."""
    return find_vendor(word) or find_vendor(word.replace("-", "_")) or find_vendor(word.removesuffix("-ai"))
