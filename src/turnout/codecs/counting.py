"""Providers' own counters of input tokens: a request's call, turned into one that counts. Floor 2.

Which there are is told by the wire format and the host around it. A call is written by its codec as ever, and
its address and body are changed here: some counters take the body whole, others refuse what has no part in
a prompt.

Sources, all seen 2026-11: Anthropic API reference "Count tokens in a Message"; "Claude on Vertex AI"; Gemini
API reference `models.countTokens`; Vertex AI reference `countTokens`; Amazon Bedrock API reference
`CountTokens`; OpenAI API reference "Get input token counts"; recordings of each but Claude on Vertex.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from turnout.errors import ProviderBadResponse
from turnout.types.deployment import Deployment, Host
from turnout.types.http import HttpRequest, HttpResponse

_read = msgspec.json.Decoder(dict[str, Raw]).decode
_write = msgspec.json.Encoder().encode
Rewrite = Callable[[HttpRequest, Deployment], HttpRequest]

_MESSAGES: Final = frozenset(
    {"messages", "model", "system", "thinking", "tool_choice", "tools", "output_config", "cache_control"}
    | {"context_management", "mcp_servers", "speed"}
)
"""What Anthropic's counter takes; it refuses the rest."""
_RESPONSES: Final = frozenset(
    {"input", "instructions", "model", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools"}
    | {"truncation"}
)
_CONVERSE: Final = frozenset(("messages", "system", "toolConfig", "additionalModelRequestFields"))
_VERTEX: Final = frozenset(("contents", "systemInstruction", "tools", "generationConfig"))
_ANSWERS: Final[Mapping[str, str]] = {
    "anthropic": "input_tokens",
    "openai_responses": "input_tokens",
    "gemini": "totalTokens",
    "bedrock": "inputTokens",
}
"""Wire format -> member of an answer that holds the count."""


def has_counter(to: Deployment) -> bool:
    """Tell whether a deployment's host counts."""
    return (to.vendor.codec, to.vendor.host) in _COUNTERS


def counting(call: HttpRequest, to: Deployment) -> HttpRequest:
    """Return the call that counts what `call`, written for an answer in one piece, would send."""
    return _COUNTERS[to.vendor.codec, to.vendor.host](call, to)


def counted(response: HttpResponse, to: Deployment) -> int:
    """Read a 2xx answer of a counter. Raises `ProviderBadResponse`."""
    try:
        found = _read(response.body)
        name = "inputTokens" if to.vendor.host == "bedrock_invoke" else _ANSWERS[to.vendor.codec]
        n_tokens = msgspec.json.decode(found.get(name, b"null"), type=int)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderBadResponse("the provider's counter told no number of tokens") from error
    if n_tokens < 0:
        raise ProviderBadResponse("the provider counted fewer than no tokens")
    return n_tokens


def _only(body: bytes, known: frozenset[str]) -> bytes:
    return _write({name: value for name, value in _read(body).items() if name in known})


def _at(call: HttpRequest, url: str, body: bytes) -> HttpRequest:
    return HttpRequest(call.method, url, call.headers, body)


def _anthropic(call: HttpRequest, to: Deployment) -> HttpRequest:
    return _at(call, f"{to.url}/messages/count_tokens", _only(call.body, _MESSAGES))


def _claude_at_vertex(call: HttpRequest, to: Deployment) -> HttpRequest:
    body = {name: value for name, value in _read(call.body).items() if name in _MESSAGES}
    body["model"] = Raw(_write(to.upstream_model))
    body["anthropic_version"] = Raw(b'"vertex-2023-10-16"')
    return _at(call, f"{to.url}/publishers/anthropic/models/count-tokens:rawPredict", _write(body))


def _responses(call: HttpRequest, to: Deployment) -> HttpRequest:
    return _at(call, f"{to.url}/responses/input_tokens", _only(call.body, _RESPONSES))


def _gemini(call: HttpRequest, to: Deployment) -> HttpRequest:
    whole = {**_read(call.body), "model": f"models/{to.upstream_model.removeprefix('models/')}"}
    return _at(call, _verb(call.url), _write({"generateContentRequest": whole}))


def _gemini_at_vertex(call: HttpRequest, to: Deployment) -> HttpRequest:
    return _at(call, _verb(call.url), _only(call.body, _VERTEX))


def _verb(url: str) -> str:
    return url.partition("?")[0].rpartition(":")[0] + ":countTokens"


def _converse(call: HttpRequest, to: Deployment) -> HttpRequest:
    body = _write({"input": {"converse": Raw(_only(call.body, _CONVERSE))}})
    return _at(call, call.url.rpartition("/")[0] + "/count-tokens", body)


def _invoked(call: HttpRequest, to: Deployment) -> HttpRequest:
    body = _write({"input": {"invokeModel": {"body": b64encode(call.body).decode()}}})
    return _at(call, call.url.rpartition("/")[0] + "/count-tokens", body)


_COUNTERS: Final[Mapping[tuple[str, Host | None], Rewrite]] = {
    ("anthropic", None): _anthropic,
    ("anthropic", "vertex"): _claude_at_vertex,
    ("anthropic", "bedrock_invoke"): _invoked,
    ("openai_responses", None): _responses,
    ("gemini", None): _gemini,
    ("gemini", "vertex"): _gemini_at_vertex,
    ("bedrock", None): _converse,
}
"""Wire format and host -> what makes a call one that counts."""
