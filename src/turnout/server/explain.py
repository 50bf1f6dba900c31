"""`POST /v1/explain`: the decision a request would get, and nothing sent. Floor 6."""

from collections.abc import Mapping

import msgspec

from turnout.codecs.base import Addressed, Body, Dialect, EmbedBody, Embeds, TaskBody
from turnout.codecs.strict import parse
from turnout.codecs.tasks import OPERATIONS
from turnout.codecs.tasks import parse as parse_task
from turnout.engine.engine import Engine
from turnout.errors import InvalidRequest
from turnout.server.asking import make_ask
from turnout.server.inbound import Inbound
from turnout.server.views import caller_view
from turnout.types.json import JsonObject
from turnout.types.principal import Principal

_DIALECTS = {
    "chat": "openai_chat",
    "completions": "openai_completions",
    "responses": "openai_responses",
    "embeddings": "openai_chat",
    **{path[1:]: "openai_chat" for path, operation in OPERATIONS.items() if operation.json},
    "messages": "anthropic",
    "generate_content": "gemini",
}
_MEMBERS = ("endpoint", "request", "model", "stream")


async def explain(
    engine: Engine,
    dialects: Mapping[str, Dialect],
    raw: bytes,
    inbound: Inbound,
    principal: Principal,
    request_id: str,
) -> bytes:
    """Decide for `{"endpoint": …, "request": {…}}` on the configuration in force; return the Decision.

    For a format whose model and verb stand in the address, `model` and `stream` stand beside `request`.

    Raises `InvalidRequest` for a malformed envelope, and whatever a real call would raise before it is sent.
    """
    tree = parse(raw)
    endpoint = tree.get("endpoint", "chat")
    if not isinstance(endpoint, str) or endpoint not in _DIALECTS:
        raise InvalidRequest(f"endpoint: expected one of {', '.join(_DIALECTS)}", param="endpoint")
    for key in tree:
        if key not in _MEMBERS:
            raise InvalidRequest(f"{key[:64]} is not known; expected {', '.join(_MEMBERS)}", param=key[:64])
    name = _DIALECTS[endpoint]
    body = _body(dialects[name], endpoint, tree)
    ask = make_ask(request_id, inbound, body, principal, name)
    ask = await engine.sensed(body.request, ask)
    return msgspec.json.encode(caller_view(engine.select(body.request, ask), principal))


def _body(dialect: Dialect, endpoint: str, tree: JsonObject) -> Body | EmbedBody | TaskBody:
    request, model, stream = tree.get("request"), tree.get("model"), tree.get("stream", False)
    if not isinstance(request, Mapping):
        raise InvalidRequest("request: expected the body of the call to explain", param="request")
    body = msgspec.json.encode(request)
    if endpoint == "embeddings":
        assert isinstance(dialect, Embeds)
        return dialect.parse_embed(body)
    if f"/{endpoint}" in OPERATIONS:
        return parse_task(OPERATIONS[f"/{endpoint}"], body)
    if isinstance(dialect, Addressed):
        if not isinstance(model, str) or not isinstance(stream, bool):
            raise InvalidRequest("model: expected the model of the call's address", param="model")
        return dialect.parse_call(body, model=model, stream=stream)
    return dialect.parse(body)
