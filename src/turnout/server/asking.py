"""Body and headers become one `Ask`. Floor 6.

The body's `turnout` object wins over our headers, and both over peers' fields, in body or header
(docs/design/WIRE.md sections 5 and 7).
"""

from typing import Literal, TypeVar

import msgspec

from turnout.codecs.base import Body, EmbedBody, TaskBody
from turnout.server.cache_wishes import cache_wish
from turnout.server.inbound import Inbound
from turnout.types.ask import Ask, Endpoint, Preferences
from turnout.types.principal import Principal
from turnout.types.usage import NanoUsd

Asked = Body | EmbedBody | TaskBody
T = TypeVar("T")

ROUTE_IGNORED = "route_ignored"
"""Warning: a route was named, and something that wins over it was named too (WIRE.md section 8)."""
_ROUTE = "turnout/"
_OF_CACHE = ("cache", "cache_ttl_s")
"""Fields of our headers that win over a peer's member of the body."""


def make_ask(
    request_id: str,
    inbound: Inbound,
    body: Asked,
    principal: Principal,
    dialect: str,
    *,
    hops: bytes | None = None,
) -> Ask:
    """Return the envelope of one request."""
    ask = _ask(request_id, inbound, body, principal, dialect, hops=hops)
    wished = body.extra if isinstance(body, Body) else None
    if wished and "cache" in wished and "cache" not in body.ours and not inbound.ours.isdisjoint(_OF_CACHE):
        wished = {name: value for name, value in wished.items() if name != "cache"}
    if inbound.compress is not None and isinstance(body, Body) and "compress" not in body.ours:
        wished = {**(wished or {}), "compress": inbound.compress}
    cache = cache_wish(inbound) if inbound.asks else None
    if cache is None and not wished:
        return ask
    return msgspec.structs.replace(ask, cache=cache, extra=wished or ask.extra)


def _ask(
    request_id: str,
    inbound: Inbound,
    body: Asked,
    principal: Principal,
    dialect: str,
    *,
    hops: bytes | None = None,
) -> Ask:
    prefer, warnings = body.prefer, body.warnings
    if not inbound.asks and not prefer.route:  # as nearly always: the body says it all
        return Ask(
            request_id=request_id,
            endpoint="chat" if type(body) is Body else _endpoint(body),
            dialect=dialect,
            principal=principal,
            wire=body.wire,
            prefer=prefer,
            session=body.session,
            surface=body.surface,
            tags=body.tags,
            metadata=body.metadata,
            end_user=body.request.user,
            timeout_s=body.timeout_s,
            retries=body.retries,
            explain="none" if body.explain is None else _explain(body.explain),
            hops=hops,
            warnings=warnings,
        )
    if inbound.route or prefer.route:
        prefer, ignored = _routed(body, inbound)
        warnings = (*warnings, ROUTE_IGNORED) if ignored else warnings
    if inbound.allow or inbound.max_cost_nusd is not None or inbound.min_quality is not None:
        prefer = _narrowed(prefer, inbound)
    ours, headers = body.ours, inbound.ours
    return Ask(
        request_id=request_id,
        endpoint=_endpoint(body),
        dialect=dialect,
        client_request_id=inbound.client_request_id,
        principal=principal,
        wire=body.wire,
        prefer=prefer,
        session=_first("session" in ours, "session" in headers, body.session, inbound.session),
        surface=body.surface or inbound.surface,
        tags=_first("tags" in ours, "tags" in headers, body.tags, inbound.tags),
        metadata=_first("metadata" in ours, "metadata" in headers, body.metadata, inbound.metadata),
        end_user=inbound.end_user or body.request.user,
        timeout_s=_first(False, "timeout_s" in headers, body.timeout_s, inbound.timeout_s),
        ttft_timeout_s=inbound.ttft_timeout_s,
        idle_timeout_s=inbound.idle_timeout_s,
        retries=_first(False, "retries" in headers, body.retries, inbound.retries),
        log_content=inbound.log_content,
        explain=_explain(_first("explain" in ours, "explain" in headers, body.explain, inbound.explain)),
        traceparent=inbound.traceparent,
        tracestate=inbound.tracestate,
        hops=hops,
        warnings=warnings,
    )


def _endpoint(body: Asked) -> Endpoint:
    match body:
        case TaskBody():
            return body.endpoint
        case EmbedBody():
            return "embeddings"
        case _:
            return "chat"


def _first(body_is_ours: bool, header_is_ours: bool, in_body: T, in_header: T) -> T:
    """Return the value that wins; where both are peers', the body's, which was written for this request."""
    if header_is_ours and not body_is_ours:
        return in_header
    return in_body if in_body or body_is_ours or in_body == 0 else in_header


def _routed(body: Asked, inbound: Inbound) -> tuple[Preferences, bool]:
    """Return the preferences with the route that wins among those named, and whether another one lost.

    First the body's own, then the model's name, then the header, then a peer's field in the body. What a
    concrete model makes of a route is the route station's to say.
    """
    model = body.request.model
    named = model.removeprefix(_ROUTE) if model.startswith(_ROUTE) else None
    if "route" in body.ours:
        ranked = (body.prefer.route, named, inbound.route)
    else:
        ranked = (named, inbound.route, body.prefer.route)
    given = [route for route in ranked if route]
    return msgspec.structs.replace(body.prefer, route=given[0]), any(other != given[0] for other in given)


def _narrowed(prefer: Preferences, inbound: Inbound) -> Preferences:
    return msgspec.structs.replace(
        prefer,
        allow=prefer.allow or inbound.allow,
        max_cost_nusd=_least(prefer.max_cost_nusd, inbound.max_cost_nusd),
        min_quality=prefer.min_quality if prefer.min_quality is not None else inbound.min_quality,
    )


def _least(first: NanoUsd | None, second: int | None) -> NanoUsd | None:
    caps = [cap for cap in (first, second) if cap is not None]
    return NanoUsd(min(caps)) if caps else None


def _explain(word: str | None) -> Literal["none", "summary", "full"]:
    match word:
        case "summary" | "full":
            return word
        case _:
            return "none"
