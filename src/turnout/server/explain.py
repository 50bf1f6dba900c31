"""`POST /v1/explain`: the decision a request would get, and nothing sent. Floor 6."""

from collections.abc import Mapping

import msgspec

from turnout.codecs.base import Dialect
from turnout.codecs.strict import parse
from turnout.engine.engine import Engine
from turnout.errors import InvalidRequest
from turnout.server.asking import make_ask
from turnout.server.inbound import Inbound
from turnout.types.principal import Principal

_DIALECTS = {"chat": "openai_chat", "messages": "anthropic", "generate_content": "gemini"}


def explain(
    engine: Engine,
    dialects: Mapping[str, Dialect],
    raw: bytes,
    inbound: Inbound,
    principal: Principal,
    request_id: str,
) -> bytes:
    """Decide for `{"endpoint": …, "request": {…}}` on the configuration in force; return the Decision as JSON.

    Raises `InvalidRequest` for a malformed envelope, and whatever a real call would raise before it is sent.
    """
    tree = parse(raw)
    endpoint = tree.get("endpoint", "chat")
    request = tree.get("request")
    if not isinstance(endpoint, str) or endpoint not in _DIALECTS:
        raise InvalidRequest(f"endpoint: expected one of {', '.join(_DIALECTS)}", param="endpoint")
    if not isinstance(request, Mapping):
        raise InvalidRequest("request: expected the body of the call to explain", param="request")
    name = _DIALECTS[endpoint]
    body = dialects[name].parse(msgspec.json.encode(request))
    ask = make_ask(request_id, inbound, body, principal, name)
    return msgspec.json.encode(engine.select(body.request, ask))
