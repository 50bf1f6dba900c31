"""Body and headers become one `Ask`. Floor 6.

The body's `turnout` object wins over headers, and both over peers' fields (WIRE.md sections 5 and 7).
"""

from typing import Literal

import msgspec

from turnout.codecs.base import Body, EmbedBody
from turnout.server.inbound import Inbound
from turnout.types.ask import Ask, Wire
from turnout.types.principal import Principal
from turnout.types.usage import NanoUsd


def make_ask(
    request_id: str, inbound: Inbound, body: Body | EmbedBody, principal: Principal, dialect: str
) -> Ask:
    """Return the envelope of one request."""
    prefer = body.prefer
    if inbound.route or inbound.allow or inbound.max_cost_nusd is not None or inbound.min_quality is not None:
        prefer = msgspec.structs.replace(
            prefer,
            route=prefer.route or body.route or inbound.route,
            allow=prefer.allow + inbound.allow,
            max_cost_nusd=_least(prefer.max_cost_nusd, inbound.max_cost_nusd),
            min_quality=prefer.min_quality if prefer.min_quality is not None else inbound.min_quality,
        )
    wire = body.wire
    if inbound.dialect_headers:
        wire = Wire(wire.format, wire.body, inbound.dialect_headers)
    return Ask(
        request_id=request_id,
        endpoint="chat" if isinstance(body, Body) else "embeddings",
        dialect=dialect,
        client_request_id=inbound.client_request_id,
        principal=principal,
        wire=wire,
        prefer=prefer,
        session=body.session or inbound.session,
        tags=body.tags or inbound.tags,
        metadata=body.metadata or inbound.metadata,
        end_user=inbound.end_user or body.request.user,
        timeout_s=body.timeout_s if body.timeout_s is not None else inbound.timeout_s,
        ttft_timeout_s=inbound.ttft_timeout_s,
        idle_timeout_s=inbound.idle_timeout_s,
        retries=body.retries if body.retries is not None else inbound.retries,
        log_content=inbound.log_content,
        explain=_explain(body.explain or inbound.explain),
        traceparent=inbound.traceparent,
        tracestate=inbound.tracestate,
        warnings=body.warnings,
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
