"""What a request body says about routing: the `turnout` object and the fields of peers. Floor 2.

WIRE.md section 7. Every dialect reads these the same way: `read` takes the parsed body and returns what
was asked and which top-level keys it consumed; the dialect sends on the body `without` them.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from turnout.codecs.base import Body, EmbedBody, TaskBody
from turnout.codecs.strict import convert
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Preferences, Wire
from turnout.types.chat import NOTHING, ChatRequest
from turnout.types.compress import Wish
from turnout.types.json import Json, JsonObject
from turnout.types.usage import NanoUsd

REFUSED_NAMES = frozenset({"api_base", "base_url", "api_key", "custom_host", "extra_headers"})
"""Clients never set an address, a key or a forwarded header (SECURITY.md S-10)."""

_CONSUMED = frozenset(
    {"turnout", "models", "route", "fallbacks", "provider", "session_id", "usage", "plugins", "transforms"}
    | {"preset", "num_retries", "timeout", "cache", "guardrails"}
)
_LAYERS = ("cache", "cascade", "compress", "guardrails", "transforms")
_LOOKED_AT = _CONSUMED | REFUSED_NAMES | {"metadata", "debug"}
_NUSD_PER_USD = 10**9

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Names = Annotated[tuple[Name, ...], Meta(max_length=10)]
Globs = Annotated[tuple[Name, ...], Meta(max_length=100)]
Tags = Annotated[tuple[Name, ...], Meta(max_length=20)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Retries = Annotated[int, Meta(ge=0, le=5)]
Asked = TypeVar("Asked", Body, EmbedBody, TaskBody)


class _Constraints(Struct, frozen=True):
    max_cost_usd: Amount | None = None
    min_quality: Share | None = None
    allow: Globs = ()


class _Turnout(Struct, frozen=True):
    route: Name | None = None
    session: Name | None = None
    surface: Name | None = None
    candidates: Names = ()
    avoid: Globs = ()
    fallbacks: Names = ()
    constraints: _Constraints = _Constraints()
    weights: Mapping[str, Amount] = {}
    cache: Mapping[str, object] | None = None
    explain: Literal["none", "summary", "full"] | None = None
    tags: Tags = ()
    metadata: Annotated[Mapping[Name, str], Meta(max_length=16)] = {}
    cascade: Mapping[str, object] | None = None
    background: Mapping[str, object] | None = None
    """Read by whoever takes in jobs."""
    samples: Annotated[int, Meta(ge=1, le=16)] | None = None
    compress: Wish | None = None


class _Sort(Struct, frozen=True):
    by: Literal["price", "throughput", "latency"]


class _MaxPrice(Struct, frozen=True):
    """USD per million tokens."""

    prompt: Amount | None = None
    completion: Amount | None = None


class _Provider(Struct, frozen=True):
    """OpenRouter's `provider` object."""

    order: Names | None = None
    only: Globs | None = None
    ignore: Globs | None = None
    allow_fallbacks: bool | None = None
    sort: Literal["price", "throughput", "latency"] | _Sort | None = None
    max_price: object = None
    quantizations: object = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    require_parameters: bool | None = None
    preferred_min_throughput: object = None
    preferred_max_latency: object = None


class _Fallback(Struct, frozen=True):
    """A fallback as an object (LiteLLM, Bifrost)."""

    model: Name
    provider: Name | None = None


class _UsageAsked(Struct, frozen=True):
    include: bool | None = None


class _Peers(Struct, frozen=True):
    models: Names | None = None
    route: Literal["fallback"] | None = None
    fallbacks: Annotated[tuple[Name | _Fallback, ...], Meta(max_length=10)] | None = None
    provider: _Provider | None = None
    session_id: Name | None = None
    usage: _UsageAsked | None = None
    plugins: list[object] | None = None
    transforms: list[str] | None = None
    preset: Name | None = None
    num_retries: Retries | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None
    cache: Mapping[str, object] | None = None
    guardrails: list[object] | None = None


class Extras(Struct, frozen=True, kw_only=True):
    """What one request asked of routing, whoever's fields it used."""

    prefer: Preferences = Preferences()
    session: str | None = None
    surface: str | None = None
    explain: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    timeout_s: float | None = None
    retries: int | None = None
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, Json] = NOTHING
    """`cache`, `cascade`, `compress`, `guardrails`, `transforms`: read by the layers they are meant for."""
    consumed: frozenset[str] = frozenset()
    """Top-level keys that must not travel upstream."""
    ours: frozenset[str] = frozenset()
    """Members of the `turnout` object that were given: they win over headers."""

    def body(self, request: ChatRequest, wire: Wire) -> Body:
        """Put the parsed request into its envelope."""
        return self.onto(Body(request, self.prefer, wire, self.extra))

    def onto(self, body: Asked) -> Asked:
        """Return a parsed request with these wishes."""
        if self is NONE:
            return body
        return replace(
            body,
            prefer=self.prefer,
            tags=self.tags,
            metadata=self.metadata,
            session=self.session,
            route=self.prefer.route,
            explain=self.explain,
            timeout_s=self.timeout_s,
            retries=self.retries,
            warnings=self.warnings,
            ours=self.ours,
            surface=self.surface,
        )


NONE = Extras()


def read(tree: JsonObject) -> Extras:
    """Read the routing wishes of a parsed body. Raises `InvalidRequest` for bad or refused ones."""
    names = "\n" + "\n".join(tree)
    if "\ntensorzero::" in names or "\nmock_" in names:
        refuse({key: None for key in tree if key.startswith(("tensorzero::", "mock_"))}, "")
    if _LOOKED_AT.isdisjoint(tree):
        session = tree.get("user") or tree.get("prompt_cache_key")
        return Extras(session=session) if isinstance(session, str) else NONE
    return _read(tree)


def without(tree: JsonObject, extras: Extras) -> JsonObject:
    """Return the body without the keys that were meant for us; the same object when there were none."""
    if not extras.consumed:
        return tree
    return {key: value for key, value in tree.items() if key not in extras.consumed}


def refuse(value: Json, at: str) -> None:
    """Raise `InvalidRequest` if a refused name stands anywhere in `value`, which came from the path `at`.

    Dialects call it on top-level fields they do not know.
    """
    if isinstance(value, Mapping):
        for key, child in value.items():
            where = f"{at}.{key}" if at else key
            if key in REFUSED_NAMES or key.startswith(("tensorzero::", "mock_")):
                _refused(where)
            refuse(child, where)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for i, child in enumerate(value):
            refuse(child, f"{at}[{i}]")


def _refused(where: str) -> NoReturn:
    raise InvalidRequest(
        f"{where} is refused: it is for the operator to set", param=where, code="refused_field"
    )


def _read(tree: JsonObject) -> Extras:
    asked = {key: value for key, value in tree.items() if key in _LOOKED_AT}
    metadata = asked.pop("metadata", None)
    tags: tuple[str, ...] = ()
    notes: Mapping[str, str] = {}
    if isinstance(metadata, Mapping) and isinstance(metadata.get("tags"), list):
        asked["metadata"] = metadata
        tags = convert(metadata["tags"], Tags, "metadata.tags")
        notes = {key: value for key, value in metadata.items() if isinstance(value, str)}
    refuse(asked, "")
    if asked.get("debug") is not None:
        _refused("debug")
    ours = _turnout(asked["turnout"]) if asked.get("turnout") is not None else _Turnout()
    peers = convert({key: value for key, value in asked.items() if key in _CONSUMED}, _Peers)
    return Extras(
        prefer=_preferences(ours, peers),
        session=ours.session or peers.session_id or _text(tree, "user") or _text(tree, "prompt_cache_key"),
        surface=ours.surface,
        explain=ours.explain or ("summary" if peers.usage and peers.usage.include else None),
        tags=ours.tags or tags,
        metadata=ours.metadata or notes,
        timeout_s=peers.timeout,
        retries=peers.num_retries,
        warnings=_warnings(peers),
        extra=_for_layers(asked),
        consumed=frozenset(asked),
        ours=_given(asked.get("turnout")),
    )


def _given(turnout: Json) -> frozenset[str]:
    if not isinstance(turnout, Mapping):
        return frozenset()
    return frozenset(key for key, value in turnout.items() if value is not None)


def _for_layers(asked: JsonObject) -> JsonObject:
    ours = asked.get("turnout")
    wishes = {**asked, **ours} if isinstance(ours, Mapping) else asked
    return {key: wishes[key] for key in _LAYERS if wishes.get(key) is not None}


def _turnout(value: Json) -> _Turnout:
    if isinstance(value, Mapping):
        _known(value, _Turnout, "turnout")
        constraints = value.get("constraints")
        if isinstance(constraints, Mapping):
            _known(constraints, _Constraints, "turnout.constraints")
    return convert(value, _Turnout, "turnout")


def _known(value: JsonObject, struct: type[Struct], at: str) -> None:
    fields = struct.__struct_fields__
    for key in value:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(fields)}"
            raise InvalidRequest(
                f"{at}.{key} is not known; {hint}", param=f"{at}.{key}", code="unknown_field"
            )


def _preferences(ours: _Turnout, peers: _Peers) -> Preferences:
    provider = peers.provider or _Provider()
    if provider.data_collection == "deny" or provider.zdr:
        raise UnsupportedParameter(
            "provider.data_collection and provider.zdr cannot be promised: what providers keep "
            "is not known here; name those you trust in provider.only",
            param="provider.zdr" if provider.zdr else "provider.data_collection",
        )
    limits = ours.constraints
    price = _max_price(provider.max_price)
    sort = provider.sort.by if isinstance(provider.sort, _Sort) else provider.sort
    return Preferences(
        route=ours.route or peers.preset,
        candidates=ours.candidates or peers.models or (),
        fallbacks=ours.fallbacks or tuple(_name(fallback) for fallback in peers.fallbacks or ()),
        avoid=ours.avoid + (provider.ignore or ()),
        allow=limits.allow,
        only_providers=provider.only or (),
        order_providers=provider.order or (),
        allow_fallbacks=provider.allow_fallbacks is not False,
        sort=sort or "",
        max_cost_nusd=None if limits.max_cost_usd is None else NanoUsd(_nusd(limits.max_cost_usd)),
        max_price_input_nusd_per_mtok=None if price.prompt is None else _nusd(price.prompt),
        max_price_output_nusd_per_mtok=None if price.completion is None else _nusd(price.completion),
        min_quality=limits.min_quality,
        weights=ours.weights,
        samples=ours.samples,
    )


def _max_price(value: object) -> _MaxPrice:
    # OpenRouter documents these numbers as "number or string".
    try:
        return _MaxPrice() if value is None else msgspec.convert(value, _MaxPrice, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"provider.max_price holds USD per million tokens: {error}", param="provider.max_price"
        ) from error


def _nusd(usd: float) -> int:
    return round(usd * _NUSD_PER_USD)


def _name(fallback: str | _Fallback) -> str:
    if isinstance(fallback, str):
        return fallback
    return f"{fallback.provider}/{fallback.model}" if fallback.provider else fallback.model


def _warnings(peers: _Peers) -> tuple[str, ...]:
    provider = peers.provider or _Provider()
    return tuple(
        word
        for word, given in (
            ("plugins_ignored", peers.plugins),
            ("transforms_ignored", peers.transforms),
            ("quantizations_ignored", provider.quantizations),
            ("require_parameters_ignored", provider.require_parameters),
            (
                "provider_preferences_ignored",
                provider.preferred_min_throughput or provider.preferred_max_latency,
            ),
        )
        if given
    )


def _text(tree: JsonObject, key: str) -> str | None:
    value = tree.get(key)
    return value if isinstance(value, str) else None
