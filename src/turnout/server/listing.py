"""What is served here: `/v1/models`, `/v1/explain` and `/readyz`, answered from memory. Floor 6."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from turnout.engine.engine import Engine
from turnout.engine.snapshot import Snapshot
from turnout.errors import ModelNotFound
from turnout.server.paths import ANTHROPIC, GEMINI, OLLAMA
from turnout.types.deployment import Deployment, Model
from turnout.types.json import Json
from turnout.types.principal import Principal


class Listed(Struct, frozen=True):
    """One name a client may send as `model`."""

    id: str
    kind: str
    """`model`, `alias` or `route`."""
    owner: str
    facts: Model | None = None


class Listing:
    """Lists names, narrowed to what the caller may use, so that nothing can be enumerated."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self, principal: Principal, dialect: str) -> bytes:
        """Return the model list in OpenAI's, Anthropic's or Gemini's shape."""
        listed = list(_names(self._engine.snapshot, principal))
        if dialect == GEMINI:
            return msgspec.json.encode({"models": [_gemini(item) for item in listed]})
        if dialect == OLLAMA:
            return msgspec.json.encode({"models": [_ollama(item) for item in listed]})
        if dialect == ANTHROPIC:
            data: list[Json] = [_anthropic(item) for item in listed]
            ids = [item.id for item in listed]
            first, last = (ids[0], ids[-1]) if ids else (None, None)
            return msgspec.json.encode({"data": data, "has_more": False, "first_id": first, "last_id": last})
        return msgspec.json.encode({"object": "list", "data": [openai_row(item) for item in listed]})

    def model(self, name: str, principal: Principal, dialect: str) -> bytes:
        """Return one model. Raises `ModelNotFound` also for what the caller may not use."""
        for item in _names(self._engine.snapshot, principal):
            if item.id == name:
                return msgspec.json.encode(_SHAPES.get(dialect, openai_row)(item))
        raise ModelNotFound(f"the model {name[:200]!r} is not served here", param="model")

    def ready(self, *, ready: bool, detail: bool) -> bytes:
        """Return the readiness document; in detail, it tells the configuration in force."""
        snapshot = self._engine.snapshot
        told: dict[str, Json] = {"status": "ok" if ready else "draining"}
        if detail:
            told |= {"config_version": snapshot.version, "config_digest": snapshot.digest}
        return msgspec.json.encode(told)


def _names(snapshot: Snapshot, principal: Principal) -> Iterator[Listed]:
    for name, deployments in () if principal.routes else snapshot.models.items():
        if any(_may_use(principal, d) for d in deployments):
            yield Listed(name, "model", deployments[0].vendor.name, deployments[0].model)
    for alias, target in snapshot.aliases.items():
        targets = snapshot.models.get(target, ())
        if principal.routes and target.removeprefix("turnout/") not in principal.routes:
            continue
        if not targets or any(_may_use(principal, d) for d in targets):
            yield Listed(alias, "alias", "turnout", targets[0].model if targets else None)
    for route in snapshot.routes.values():
        if principal.routes and route.name not in principal.routes:
            continue
        if any(_may_use(principal, d) for d in route.deployments):
            yield Listed(f"turnout/{route.name}", "route", "turnout")


def _may_use(principal: Principal, deployment: Deployment) -> bool:
    names = (deployment.model.id, deployment.vendor.name)
    return not principal.allow or any(fnmatchcase(name, glob) for glob in principal.allow for name in names)


def openai_row(item: Listed) -> dict[str, Json]:
    """Return a name as OpenAI's clients read it."""
    return {
        "id": item.id,
        "object": "model",
        "created": 0,
        "owned_by": item.owner,
        "type": "base",  # Mistral's client reads no model without this and `capabilities`
        "capabilities": {},
        "turnout": _ours(item),
    }


def _anthropic(item: Listed) -> Json:
    return {
        "type": "model",
        "id": item.id,
        "display_name": item.id,
        "created_at": "1970-01-01T00:00:00Z",
        "max_input_tokens": None if item.facts is None else item.facts.context_window,
        "max_tokens": None if item.facts is None else item.facts.max_output,
        "capabilities": None,
    }


def _gemini(item: Listed) -> Json:
    shown: dict[str, Json] = {
        "name": f"models/{item.id}",
        "displayName": item.id,
        "version": "",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
    if item.facts is not None and item.facts.context_window is not None:
        shown["inputTokenLimit"] = item.facts.context_window
    if item.facts is not None and item.facts.max_output is not None:
        shown["outputTokenLimit"] = item.facts.max_output
    return shown


def _ollama(item: Listed) -> Json:
    details: Json = {"format": "", "family": item.owner, "parameter_size": "", "quantization_level": ""}
    return {
        "name": item.id,
        "model": item.id,
        "modified_at": "1970-01-01T00:00:00Z",
        "size": 0,
        "digest": "",
        "details": details,
    }


_SHAPES = {ANTHROPIC: _anthropic, GEMINI: _gemini}


def _ours(item: Listed) -> Json:
    model = item.facts
    if model is None:
        return {"kind": item.kind}
    price: Json = None
    if model.price is not None:
        price = {
            "input_usd_per_mtok": model.price.input / 1e6,
            "output_usd_per_mtok": model.price.output / 1e6,
            "as_of": model.price.as_of,
        }
    return {
        "kind": item.kind,
        "context_window": model.context_window,
        "max_output": model.max_output,
        "modalities": sorted(model.modalities_in),
        "features": None if model.capabilities is None else sorted(model.capabilities),
        "price": price,
        "deprecated_on": model.retires_on,
    }
