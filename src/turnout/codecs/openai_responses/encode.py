"""Our request written as the JSON of a responses call. Floor 2."""

from collections.abc import Mapping
from operator import attrgetter

from turnout.codecs.base import Encoded
from turnout.codecs.openai_responses.thinking import write_thinking
from turnout.codecs.openai_responses.tools import write_choice, write_known
from turnout.codecs.openai_responses.turns import Turns
from turnout.codecs.openai_responses.wire import ENCRYPTED, LOGPROBS, PATH, WIRE, write
from turnout.codecs.shared import VERBOSITY, shared, unshared
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, OutputFormat
from turnout.types.deployment import Deployment, Quirks
from turnout.types.http import Headers, HttpRequest
from turnout.types.json import Json

_HEADERS = ((b"content-type", b"application/json"),)
_NAMES = ("max_output_tokens", "parallel_tool_calls", "temperature", "top_p", "top_logprobs", "user")
_PLAIN = ("max_tokens", *_NAMES[1:])
"""Fields with the same meaning on both sides, here and there."""
_LACKING = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
"""Advisory parameters that this format has no word for."""
_plain, _lacking = attrgetter(*_PLAIN), attrgetter(*_LACKING)
_NOTHING_LACKS = (None,) * len(_LACKING)
_BINDING = frozenset({"tools", "max_output_tokens", "top_logprobs", "text"})


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write a call. Raises `UnsupportedParameter` for what the format or the host cannot say but must."""
    same = request.wire == WIRE
    quirks = to.vendor.quirks
    _check(request)
    turns = Turns(same=same, developer=quirks.developer_role or same)
    turns.write(request.messages)
    if not (turns.items or turns.instructions or same):
        raise InvalidRequest("messages hold nothing that can be answered", param="messages")
    body: dict[str, Json] = {"model": to.upstream_model, "input": turns.items}
    if turns.instructions is not None:
        body["instructions"] = turns.instructions
    _add_tools(body, request, same=same)
    for field, value in zip(_NAMES, _plain(request), strict=True):
        if value is not None:
            body[field] = value  # noqa: PERF403  # a dict to be merged costs more than all that it holds
    if request.output_format is not None:
        body["text"] = {"format": write_format(request.output_format, same=same)}
    warnings = _think(body, request, same=same)
    dropped = [*turns.dropped]
    lacking = _lacking(request)
    if lacking != _NOTHING_LACKS:
        dropped += [name for name, value in zip(_LACKING, lacking, strict=True) if value is not None]
    if same:
        _own(body, request)
    else:
        if request.extra:
            dropped += _shared(body, request, quirks)
        _foreign(body, request, to)
    if request.stream:
        body["stream"] = True
    dropped += adapt(body, quirks)
    return Encoded(post(body, to), tuple(dropped), warnings)


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write a call from the client's own JSON; only the model and what the host refuses change it."""
    body = {**wire.body, "model": to.upstream_model}
    if bool(body.get("stream")) is not stream:
        body["stream"] = stream
    dropped = adapt(body, to.vendor.quirks)
    return Encoded(post(body, to), dropped)


def post(body: Mapping[str, Json], to: Deployment) -> HttpRequest:
    """Return the call that sends `body` to the deployment."""
    quirks = to.vendor.quirks
    url = f"{to.url}{PATH}?{quirks.query}" if quirks.query else to.url + PATH
    headers: Headers = _HEADERS
    if quirks.extra_headers:
        fixed = tuple((name.lower().encode(), value.encode()) for name, value in quirks.extra_headers)
        headers = (*_HEADERS, *fixed)
    return HttpRequest("POST", url, headers, write(body))


def write_format(asked: OutputFormat, *, same: bool) -> Json:
    """Write the shape the answer must have: `text.format`."""
    if asked.kind == "json_object":
        return {"type": "json_object"}
    shape: dict[str, Json] = {"type": "json_schema"}
    if asked.name is not None or not same:  # OpenAI demands a name; other formats have none
        shape["name"] = asked.name or "answer"
    if asked.description is not None:
        shape["description"] = asked.description
    if asked.schema is not None:
        shape["schema"] = asked.schema
    if asked.strict is not None:
        shape["strict"] = asked.strict
    return shape


def adapt(body: dict[str, Json], quirks: Quirks) -> tuple[str, ...]:
    """Take out what the host refuses; return the names. Raises `UnsupportedParameter` for a binding one."""
    if not quirks.json_schema:
        _check_schema(body)
    if quirks.unsupported.isdisjoint(body):
        return ()
    dropped = []
    for name in [name for name in body if name in quirks.unsupported]:
        value = body[name]
        if value not in (None, []) and (
            name in _BINDING or (name == "tool_choice" and value not in ("auto", "none"))
        ):
            raise UnsupportedParameter(f"{name} is not supported by this model's provider", param=name)
        del body[name]
        if value is not None:
            dropped.append(name)
    return tuple(dropped)


def _check_schema(body: Mapping[str, Json]) -> None:
    match body.get("text"):
        case {"format": {"type": "json_schema"}}:
            raise UnsupportedParameter(
                "text.format of type json_schema is not supported by this model's provider", param="text"
            )


def _check(request: ChatRequest) -> None:
    if request.stop:
        raise UnsupportedParameter("the responses format has no stop sequences", param="stop")
    if request.n is not None and request.n > 1:
        raise UnsupportedParameter("the responses format gives one answer", param="n")


def _add_tools(body: dict[str, Json], request: ChatRequest, *, same: bool) -> None:
    tools = write_known(request.tools, same=same)
    if tools is not None:
        body["tools"] = tools
    if request.tool_choice is not None and (same or tools is not None):
        body["tool_choice"] = write_choice(request.tool_choice, request.tools)


def _think(body: dict[str, Json], request: ChatRequest, *, same: bool) -> tuple[str, ...]:
    thinking = request.thinking
    if thinking is None:
        return ()
    if same and thinking.extra:
        body |= thinking.extra
        return ()
    asked, approximated = write_thinking(thinking)
    if asked:
        body["reasoning"] = asked
    return ("reasoning_approximated",) if approximated else ()


def _own(body: dict[str, Json], request: ChatRequest) -> None:
    """Add what a client of this format said that has no field of ours."""
    own = {**request.kept, **request.extra}
    text, shaped = own.pop("text", None), body.get("text")
    if isinstance(text, Mapping):
        body["text"] = {**text, **shaped} if isinstance(shaped, Mapping) else text
    body |= own


def _shared(body: dict[str, Json], request: ChatRequest, quirks: Quirks) -> list[str]:
    """Add what a client of chat completions says in this format's own words; return what is left out."""
    taken = shared(request, quirks)
    body |= {name: value for name, value in taken.items() if name != VERBOSITY}
    if VERBOSITY in taken:
        text = body.get("text")
        body["text"] = {**(text if isinstance(text, Mapping) else {}), VERBOSITY: taken[VERBOSITY]}
    return unshared(request, taken)


def _foreign(body: dict[str, Json], request: ChatRequest, to: Deployment) -> None:
    """Add what a client of another format cannot say: nothing is kept upstream, so thoughts come sealed."""
    body["store"] = False
    include: list[Json] = [ENCRYPTED] if _reasons(request, to) else []
    if request.logprobs:
        include.append(LOGPROBS)
    if include:
        body["include"] = include


def _reasons(request: ChatRequest, to: Deployment) -> bool:
    """Tell whether the model is known to reason: others refuse to be asked for encrypted thoughts."""
    can, thinking = to.model.capabilities, request.thinking
    if can is not None:
        return "reasoning" in can
    return thinking is not None and thinking.enabled is not False and thinking.effort != "none"
