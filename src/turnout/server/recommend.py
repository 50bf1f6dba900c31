"""`POST /v1/recommend`: which models suit a request, best first, and nothing sent. Floor 6.

The request comes whole, in any dialect, or as numbers only, so that its words need not leave the caller.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.base import Addressed, Body, Dialect
from turnout.codecs.strict import convert, parse
from turnout.engine.engine import Engine
from turnout.engine.recommend import Wanted, described
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.server.asking import make_ask
from turnout.server.inbound import Inbound
from turnout.server.views import caller_view
from turnout.types.ask import Ask, Preferences, Wire
from turnout.types.chat import ChatRequest
from turnout.types.json import JsonObject
from turnout.types.principal import Principal
from turnout.types.recommendation import Constraints, Features, Recommendation

_DIALECTS: Mapping[str, str] = {
    "openai": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}

_NO_WIRE = Wire("", {})
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    dialect: Literal["openai", "anthropic", "gemini"] = "openai"
    model: Name | None = None
    """Beside `features`, or for a format whose model stands in the address; default `auto`."""
    request: Mapping[str, object] | None = None
    features: Features | None = None
    candidates: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    constraints: Constraints = Constraints()
    top_k: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Asking(Struct, frozen=True):
    """Who asks, with which headers, under which id."""

    inbound: Inbound
    principal: Principal
    request_id: str


async def recommend(engine: Engine, dialects: Mapping[str, Dialect], raw: bytes, asking: Asking) -> bytes:
    """Rank the models for `{dialect, request}` or `{features}` on the configuration in force; return JSON.

    Raises `InvalidRequest` for a malformed envelope, and whatever a real call would raise before it is sent.
    """
    tree = parse(raw)
    constraints = tree.get("constraints")
    if isinstance(constraints, Mapping) and constraints.get("data_policy") is not None:
        raise UnsupportedParameter(
            "constraints.data_policy cannot be promised: what providers keep is not known here",
            param="constraints.data_policy",
        )
    envelope = convert(tree, _Envelope)
    if (envelope.request is None) == (envelope.features is None):
        raise InvalidRequest("give either request or features", param="request")
    request, ask = _asked(envelope, tree, dialects, asking)
    if envelope.candidates:
        prefer = msgspec.structs.replace(ask.prefer, candidates=envelope.candidates)
        ask = msgspec.structs.replace(ask, prefer=prefer)
        request = msgspec.structs.replace(request, model="auto")
    wanted = Wanted(constraints=envelope.constraints, top_k=envelope.top_k)
    found = engine.recommend(request, await engine.sensed(request, ask), wanted)
    return msgspec.json.encode(_view(found, asking.principal))


def _asked(
    envelope: _Envelope, tree: JsonObject, dialects: Mapping[str, Dialect], asking: Asking
) -> tuple[ChatRequest, Ask]:
    name = _DIALECTS[envelope.dialect]
    if envelope.features is not None:
        request, given = described(envelope.features, envelope.model or "auto")
        body = Body(request, Preferences(), _NO_WIRE)
        ask = make_ask(asking.request_id, asking.inbound, body, asking.principal, name)
        return request, msgspec.structs.replace(ask, given=given)
    body = _body(dialects[name], tree, envelope.model)
    return body.request, make_ask(asking.request_id, asking.inbound, body, asking.principal, name)


def _body(dialect: Dialect, tree: JsonObject, model: str | None) -> Body:
    request = tree["request"]
    assert isinstance(request, Mapping)
    if isinstance(dialect, Addressed):
        return dialect.parse_call(msgspec.json.encode(request), model=model or "auto", stream=False)
    return dialect.parse(msgspec.json.encode({"model": model or "auto", **request}))


def _view(found: Recommendation, principal: Principal) -> dict[str, object]:
    """Return what the caller may see; to a key, deployments have the names they have in its Decision."""
    names = {c.id: f"c{at}" for at, c in enumerate(found.decision.candidates, 1)}
    keyed = principal.key_id is not None
    return {
        "schema": found.schema,
        "decision": caller_view(found.decision, principal),
        "ranked": [msgspec.structs.replace(r, id=names[r.id]) if keyed else r for r in found.ranked],
    }
