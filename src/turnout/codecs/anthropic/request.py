"""Requests to an upstream that speaks the Anthropic messages format. Floor 2."""

import re
from collections.abc import Mapping
from operator import attrgetter

from turnout.codecs.anthropic.reasoning import SILENT, Spoken, speak
from turnout.codecs.anthropic.tools import write_choice, write_format, write_tools
from turnout.codecs.anthropic.turns import Block, Turns, content, has_open_calls, write_turns
from turnout.codecs.anthropic.wire import DEFAULT_MAX_TOKENS, VERSION, WIRE, Traits, traits, without, write
from turnout.codecs.base import Encoded
from turnout.codecs.notes import Notes, one_answer
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.http import Headers, HttpRequest
from turnout.types.json import Json

_ADVISORY = ("seed", "presence_penalty", "frequency_penalty", "logit_bias")
"""Fields the format has no word for; leaving them out does not change what a correct answer is."""
_advisory = attrgetter(*_ADVISORY)
_NO_ADVICE = (None,) * len(_ADVISORY)
_compound = attrgetter("output_format", "user", "thinking")
_NOT_COMPOUND = (None, None, None)
_sampling = attrgetter("temperature", "top_p", "top_k")
_NO_SAMPLING = (None, None, None)
_LEFTOVERS = frozenset({"thinking", "output_config", "metadata", "betas"})
"""Members of `extra` that are parts of a field written from elsewhere."""
_EFFORT = frozenset({"effort"})
_TYPE = (b"content-type", b"application/json")
_VERSION = (b"anthropic-version", VERSION)
_PLAIN: Headers = (_TYPE, _VERSION)
_UNSAFE = ("key", "auth", "token", "secret", "cookie", "credential", "host", "url", "proxy")
"""A header of the open `anthropic-*` prefix with one of these in its name may carry a credential or an
address and does not travel (SECURITY.md S-43)."""
_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+\.|^\+?[\d\s()-]{7,}$")
"""The API answers 400 to a `user_id` that looks like an e-mail address or a telephone number."""
_MIN_TOP_P = 0.95
"""The API refuses a smaller one while the model thinks."""


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call for a request of any origin."""
    one_answer(request)
    notes, kind = Notes(), traits(to)
    turns = write_turns(request, notes)
    tools = write_tools(request, kind, turns.messages, notes)
    limit = _limit(request, to, notes)
    thought = SILENT if request.thinking is None else _thought(request, kind, limit, turns, to, notes)
    body: Block = {"model": to.upstream_model, "max_tokens": limit or DEFAULT_MAX_TOKENS + thought.budget}
    if turns.system:
        body["system"] = content(turns.system)
    body["messages"] = turns.messages
    if tools is not None:
        body["tools"] = tools
        choice = write_choice(request)
        if choice is not None:
            body["tool_choice"] = choice
    if _sampling(request) != _NO_SAMPLING:
        _add_sampling(body, request, kind, thought, notes)
    if request.stop and (stop := _stop(request)):
        body["stop_sequences"] = stop
    if request.stream:
        body["stream"] = True
    extra = _extra(request, notes) if request.extra else NOTHING
    if extra or _compound(request) != _NOT_COMPOUND:
        _add_compound(body, request, thought, extra, notes)
        body.update(without(extra, _LEFTOVERS))
    if _advisory(request) != _NO_ADVICE or to.vendor.quirks.unsupported:
        _leave_out(body, request, to, notes)
    return notes.encoded(_http(body, to, _beta_header(extra) if extra else ()))


def _leave_out(body: Block, request: ChatRequest, to: Deployment, notes: Notes) -> None:
    """Note what the format has no word for, and take out what the host refuses."""
    for name, value in zip(_ADVISORY, _advisory(request), strict=True):
        if value is not None:
            notes.drop(name)
    for name in to.vendor.quirks.unsupported.intersection(body):
        del body[name]
        notes.drop(name)


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write the call from the client's own JSON, with the model replaced."""
    body: Block = {**wire.body, "model": to.upstream_model}
    if body.get("stream", False) is not stream:
        body["stream"] = stream
    return Encoded(_http(body, to, wire.headers))


def _stop(request: ChatRequest) -> tuple[str, ...]:
    stop = tuple(filter(None, request.stop))
    if request.wire != WIRE and not all(map(str.strip, stop)):
        # "stop_sequences: each stop sequence must contain non-whitespace", says the API.
        raise UnsupportedParameter("this format cannot stop at white space alone", param="stop")
    return stop


def _limit(request: ChatRequest, to: Deployment, notes: Notes) -> int | None:
    """Return `max_tokens`; None where neither the client nor the catalogue says one."""
    asked, most = request.max_tokens, to.model.max_output
    if asked is None:
        return most
    if most is not None and asked > most:
        notes.warn("max_tokens_clamped")
        return most
    return asked


def _thought(
    request: ChatRequest, kind: Traits, limit: int | None, turns: Turns, to: Deployment, notes: Notes
) -> Spoken:
    if request.wire != WIRE:
        capabilities, choice = to.model.capabilities, request.tool_choice
        is_forced = choice is not None and choice.mode in {"required", "named"} and bool(request.tools)
        assert request.thinking is not None
        if (
            (capabilities is not None and "reasoning" not in capabilities)
            # "Thinking may not be enabled when tool_choice forces tool use", says the API.
            or is_forced
            # With a budget, the turn that made the open calls must begin with its own thinking.
            or (_uses_budget(request, kind) and has_open_calls(turns.messages))
        ):
            if request.thinking.enabled is not False and request.thinking.effort != "none":
                notes.drop("reasoning_effort")
            return SILENT
    return speak(request, kind, limit, notes)


def _uses_budget(request: ChatRequest, kind: Traits) -> bool:
    given = request.thinking is not None and request.thinking.budget_tokens is not None
    return not kind.adaptive or (kind.budget and given)


def _add_sampling(body: Block, request: ChatRequest, kind: Traits, thought: Spoken, notes: Notes) -> None:
    temperature = request.temperature
    if temperature is not None and temperature > 1 and kind.sampling:
        notes.warn("temperature_clamped")
        temperature = 1.0
    asked = {"temperature": temperature, "top_p": request.top_p, "top_k": request.top_k}
    for name, value in asked.items():
        if value is None:
            continue
        if _is_refused(name, value, kind, thought) or (
            name == "top_p" and "temperature" in body and kind.one_sampler
        ):
            notes.drop(name)
        else:
            body[name] = value


def _is_refused(name: str, value: float, kind: Traits, thought: Spoken) -> bool:
    """Tell whether the model answers 400 to a sampling parameter."""
    if not kind.sampling:
        return True
    if not thought.is_on:
        return False
    return {"temperature": value != 1, "top_p": value < _MIN_TOP_P, "top_k": True}[name]


def _add_compound(
    body: Block, request: ChatRequest, thought: Spoken, extra: Mapping[str, Json], notes: Notes
) -> None:
    """Add the fields that are made of a canonical part and of what only an Anthropic client can say."""
    rest = extra.get("thinking")
    own = rest if isinstance(rest, dict) else {}
    if thought.thinking is not None or "type" in own:
        body["thinking"] = {**(thought.thinking or {}), **own}
    rest = extra.get("output_config")
    config: Block = {}
    if request.output_format is not None:
        config["format"] = write_format(request.output_format, notes, native=request.wire == WIRE)
    if thought.effort is not None:
        config["effort"] = thought.effort
    if isinstance(rest, dict):
        # A word above `xhigh` replaces it, unless the model takes none.
        config.update(rest if "effort" in config else without(rest, _EFFORT))
    if config:
        body["output_config"] = config
    rest = extra.get("metadata")
    metadata = dict(rest) if isinstance(rest, dict) else {}
    if request.user is not None:
        if request.wire != WIRE and _PERSONAL.search(request.user):
            notes.drop("user")
        else:
            metadata["user_id"] = request.user
    if metadata:
        body["metadata"] = metadata


def _extra(request: ChatRequest, notes: Notes) -> Mapping[str, Json]:
    """Return the top-level fields that have no canonical place and may go to this format."""
    if request.wire in {WIRE, ""}:
        return request.extra
    for name in request.extra:
        notes.drop(name)
    return NOTHING


def _beta_header(extra: Mapping[str, Json]) -> tuple[tuple[bytes, bytes], ...]:
    betas = extra.get("betas")
    names = [beta for beta in betas if isinstance(beta, str)] if isinstance(betas, list | tuple) else []
    return ((b"anthropic-beta", ",".join(names).encode()),) if names else ()


def _http(body: Block, to: Deployment, headers: tuple[tuple[bytes, bytes], ...]) -> HttpRequest:
    quirks = to.vendor.quirks
    sent: Headers = _PLAIN
    if headers or quirks.extra_headers:
        mine = [_TYPE]
        mine += [(name, value) for name, value in headers if travels(name)]
        if all(name != b"anthropic-version" for name, _ in headers):
            mine.append(_VERSION)
        mine += [(name.lower().encode(), value.encode()) for name, value in quirks.extra_headers]
        sent = mine
    query = f"?{quirks.query}" if quirks.query else ""
    return HttpRequest("POST", f"{to.url}/messages{query}", sent, write(body))


def travels(name: bytes) -> bool:
    """Tell whether a client's header goes on to an upstream of this format."""
    if not name.startswith(b"anthropic-"):
        return False
    text = name.decode("latin-1")
    return not any(word in text for word in _UNSAFE)
