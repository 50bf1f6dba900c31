"""OpenRouter presets and request bodies as a Turnout configuration. Floor 5.

```json
{"chat": {"models": ["anthropic/claude-haiku-4.5", "openai/gpt-5-mini"], "provider": {"sort": "price"}}}
```

Theory of operation.
1. A file holds one request body, several by name, or what `GET /api/v1/presets` answers. Each becomes a route
   of its name, and `@preset/name` an alias of it; `preset: name` in a body names a route anyway.
2. A model is asked at its maker where the catalogue knows it there, else through OpenRouter itself, whose
   models keep their names (`openrouter/…`). `order`, `only` and `ignore` choose among these places; a host
   that the catalogue does not list for the model is reached through OpenRouter, which then chooses it itself.
3. What a request says about itself (texts, temperatures) is not configuration: clients go on sending it.

Source: openrouter.ai/docs, "Provider Routing", "Model Routing" and "Presets", seen 2026-11.
"""

from collections.abc import Iterable
from typing import Final

from turnout.catalog.catalog import Catalog
from turnout.catalog.vendors import find_vendor
from turnout.errors import ConfigError
from turnout.importers.report import Fate, Imported, Note, Reader, settled
from turnout.types.json import Json, JsonObject

VIA: Final = "openrouter"
_ALONE: Final = "openrouter"
"""Name of the route of a file that holds one body without a name."""
_MAKERS: Final = {
    "google": "gemini",
    "mistralai": "mistral",
    "x-ai": "xai",
    "z-ai": "zai",
    "moonshotai": "moonshot",
}
"""Makers whose vendor has another name here."""
_HOSTS: Final = {
    "google-ai-studio": "gemini",
    "google-vertex": "vertex_ai",
    "amazon-bedrock": "bedrock",
    "x-ai": "xai",
    "z-ai": "zai",
}
_VARIANTS: Final[dict[str, JsonObject]] = {
    "floor": {"type": "cheapest"},
    "nitro": {"type": "pipeline", "score": [{"type": "throughput"}]},
}
_SORTS: Final[dict[str, JsonObject]] = {
    "price": _VARIANTS["floor"],
    "throughput": _VARIANTS["nitro"],
    "latency": {"type": "fastest", "measure": "ttft"},
}
_SENT: Final = "a request says it; let clients send it"
_NO_NEED: Final[tuple[Fate, str]] = ("ignored", "not needed")
_NOT_HERE: Final[tuple[Fate, str]] = ("refused", _SENT)
_UNCAPPED: Final[tuple[Fate, str]] = ("refused", "only tokens have a cap")
_OF_BODY: Final[dict[str, tuple[Fate, str]]] = {
    "messages": ("ignored", "a request's own"),
    "prompt": ("ignored", "a request's own"),
    "stream": ("ignored", "a request's own"),
    "user": ("ignored", "a request's own"),
    "usage": ("ignored", "answers always tell their usage"),
    "description": ("ignored", "routes have no descriptions"),
    "system_prompt": ("refused", "texts are not added to requests; let clients send it"),
    "tools": _NOT_HERE,
    "tool_choice": _NOT_HERE,
    "response_format": _NOT_HERE,
    "reasoning": _NOT_HERE,
    **dict.fromkeys(
        (
            *("temperature", "top_p", "top_k", "top_a", "min_p", "seed", "stop", "logit_bias", "verbosity"),
            *("max_tokens", "max_completion_tokens"),
            *("frequency_penalty", "presence_penalty", "repetition_penalty"),
        ),
        _NOT_HERE,
    ),
}
_OF_PROVIDER: Final[dict[str, tuple[Fate, str]]] = {
    "preferred_min_throughput": ("ignored", "a soft wish; sort by throughput instead"),
    "preferred_max_latency": ("ignored", "a soft wish; use a strategy with an slo"),
    "quantizations": ("refused", "how a host has rounded a model's weights is not known here"),
    "enforce_distillable_text": ("refused", "licences of models are not known here"),
}
_ENVELOPE: Final = (
    "slug",
    "name",
    "id",
    "created_at",
    "updated_at",
    "version",
    "is_public",
    "creator_user_id",
)


def import_openrouter(tree: Json, catalog: Catalog) -> Imported:
    """Turn a parsed file into a configuration and a report.

    Raises:
        ConfigError: It holds no request body and no preset; each problem names its path.
    """
    notes: list[Note] = []
    routes = [
        route
        for name, body in _bodies(tree, notes)
        if (route := _Body(name, body, catalog).route()) is not None
    ]
    if not routes:
        raise ConfigError(("no preset with a model; expected {name: {model: …, provider: …}}",))
    names = [str(route["name"]) for route in routes]
    config: dict[str, Json] = {
        "version": 1,
        "routes": list[Json](routes),
        "aliases": {f"@preset/{name}": f"turnout/{name}" for name in names},
    }
    if len(routes) == 1:
        config["default_route"] = names[0]
    return Imported(config, settled(notes))


def _bodies(tree: Json, notes: list[Note]) -> Iterable[tuple[str, Reader]]:
    """Yield each request body of a file with its name."""
    top = Reader({"data": tree} if isinstance(tree, list) else tree, "", notes)
    if "data" in top:
        listed = isinstance(top.peek("data"), list)
        for row in top.rows("data") if listed else (top.inner("data"),):
            name = str(row.peek("slug") or row.peek("name") or _ALONE)
            row.table(dict.fromkeys(_ENVELOPE, _NO_NEED))
            inner = row.inner("designated_version") if "designated_version" in row else row
            inner.table(dict.fromkeys(_ENVELOPE, _NO_NEED))
            yield name, _config_of(inner)
            row.rest()
    elif "model" in top or "models" in top:
        yield _ALONE, top
    else:
        for name in top.left():
            yield name, _config_of(top.inner(name))


def _config_of(row: Reader) -> Reader:
    """Return the body a preset keeps, which lies beside its system prompt."""
    if "config" not in row:
        return row
    row.table({"system_prompt": _OF_BODY["system_prompt"]})
    return row.inner("config")


class _Body:
    """One request body, read into a route."""

    __slots__ = ("_body", "_catalog", "_name", "_provider", "_strategy")

    def __init__(self, name: str, body: Reader, catalog: Catalog) -> None:
        self._name = name
        self._body = body
        self._catalog = catalog
        self._provider = body.inner("provider")
        self._strategy: JsonObject = {"type": "priority"}

    def route(self) -> JsonObject | None:
        """Return the route; None where it names no model that can be asked."""
        order, only, ignore = (self._hosts(key) for key in ("order", "only", "ignore"))
        allowed = self._provider.take("allow_fallbacks")
        only = only or (order if allowed is False else ())
        models: list[str] = []
        slugs = self._slugs()
        for slug in slugs:
            places = self._places(slug, (*only, *order))
            kept = [place for place in places if _vendor(place) not in ignore]
            if only:
                kept = [place for place in kept if _vendor(place) in only] or kept[-1:]
            first = [place for host in order for place in kept if _vendor(place) == host]
            models += [*first, *(place for place in kept if place not in first)]
        self._sorted()
        if len(slugs) > 1 and self._strategy["type"] != "priority":
            self._body.note("models", "approximated", "sorted all together, not model by model")
        route: dict[str, Json] = {
            "name": self._name,
            "models": list[Json](dict.fromkeys(models)),
            "strategy": self._strategy,
        }
        if self._provider.take("require_parameters") is True:
            route["unsupported_params"] = "reject"
        self._rest(route)
        return route if models else None

    def _slugs(self) -> list[str]:
        body, found = self._body, list[str]()
        word = body.text("model")
        more = body.take("models")
        names = [word] if word else []
        names += [str(each) for each in more] if isinstance(more, list) else []
        how = body.text("route")
        if how not in {None, "fallback"}:
            body.note("route", "ignored", "models are asked in their order")
        for name in dict.fromkeys(names):
            slug, _, variant = name.partition(":")
            if variant in _VARIANTS:
                self._strategy = _VARIANTS[variant]
            elif variant in {"online", "extended"}:
                body.note("model", "refused", f"{name}: variant {variant!r} is not known here")
            if slug in {"openrouter/auto", "openrouter/free"}:
                body.note("model", "refused", f"{slug} names no model; list those to choose among")
            else:
                found.append(f"{slug}:{variant}" if variant in {"free", "thinking", "exacto"} else slug)
        return found

    def _places(self, slug: str, hosts: Iterable[str]) -> list[str]:
        """Return where a model can be asked: its maker and named hosts, where known, then OpenRouter."""
        maker, _, name = slug.partition("/")
        found: list[str] = []
        if ":" not in slug:
            for vendor in dict.fromkeys((_MAKERS.get(maker, maker), *hosts)):
                known = self._known(vendor, slug, name)
                if known is not None:
                    found.append(known)
        missing = [host for host in hosts if host not in {_vendor(place) for place in found}]
        if missing:
            self._provider.note(
                "only" if "only" in self._provider else "order",
                "approximated",
                f"{slug} at {', '.join(dict.fromkeys(missing))}: through OpenRouter, which chooses the host",
            )
        return [*found, f"{VIA}/{slug}"]

    def _known(self, vendor: str, slug: str, name: str) -> str | None:
        for words in (name, name.replace(".", "-"), slug):
            found = self._catalog.resolve(f"{vendor}/{words}")
            if found is not None and _vendor(found.id) == vendor:
                return found.id
        return None

    def _hosts(self, key: str) -> tuple[str, ...]:
        """Return the vendors a list of provider names means; those nobody knows are told."""
        value = self._provider.take(key)
        found: list[str] = []
        for word in value if isinstance(value, list) else ():
            slug = str(word).lower().partition("/")[0].replace(" ", "-")
            vendor = find_vendor(_HOSTS.get(slug, slug)) or find_vendor(slug.replace("-", "_"))
            if vendor is None:
                fate: Fate = "ignored" if key == "ignore" else "approximated"
                self._provider.note(key, fate, f"{word!r} is no provider that is known here")
            else:
                found.append(vendor.name)
        return tuple(found)

    def _sorted(self) -> None:
        value = self._provider.take("sort")
        word = value.get("by") if isinstance(value, dict) else value
        if word is None:
            return
        strategy = _SORTS.get(str(word))
        if strategy is None:
            self._provider.note("sort", "refused", f"{word!r} is no order that is known here")
        else:
            self._strategy = strategy

    def _rest(self, route: dict[str, Json]) -> None:
        provider, body = self._provider, self._body
        cap = provider.inner("max_price")
        limits = [
            limit for key in ("prompt", "completion") if (limit := cap.number(key, "approximated", _MIX))
        ]
        cap.table(dict.fromkeys(("image", "request", "audio"), _UNCAPPED))
        cap.rest()
        if limits:
            route["filter"] = [
                *({"type": name} for name in ("allowed", "capable", "fits", "healthy")),
                {"type": "priced", "max_cost_per_1k": max(limits) / 1000},
            ]
        for key, free in (("data_collection", "allow"), ("zdr", False)):
            value = provider.take(key)
            if value not in {None, free}:
                provider.note(
                    key, "refused", "what hosts keep is not known here; name those you trust in `only`"
                )
        provider.table(_OF_PROVIDER)
        provider.rest()
        transforms = body.take("transforms")
        if transforms:
            body.note(
                "transforms", "refused", "nothing is cut out of prompts; add a model with a larger window"
            )
        plugins = body.take("plugins")
        if plugins:
            body.note("plugins", "refused", "plugins run at OpenRouter; let clients ask for them")
        body.table(_OF_BODY)
        body.rest()


_MIX: Final = "one cap for the request's mix of tokens: the higher of both"


def _vendor(place: str) -> str:
    return place.partition("/")[0]
