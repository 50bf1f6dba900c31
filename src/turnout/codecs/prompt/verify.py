"""Compares this codec with recorded traffic of prompt formats. Floor 2.

The raw side is read with plain look-ups, never with the decoder under test. A prompt goes out as it came, so
that a request written again must be the recorded one; what may differ is listed in `_normal`.
"""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from turnout.codecs.gather import Told, of_choice, of_events
from turnout.codecs.prompt.families import FAMILIES, Family
from turnout.codecs.prompt.request import PROMPTS, WIRE, encode, family_of
from turnout.codecs.prompt.response import PromptDecoder, decode
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.json import Json, JsonObject

_PATHS: Mapping[str, str] = {
    "/v1/completions": "openai",
    "/api/generate": "ollama",
    "/v1/chat": "cohere_chat",
    "/v1/generate": "cohere_generate",
}
_INVOKES = ("/invoke", "/invoke-with-response-stream")
_NUMBERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)
_LENGTHS = frozenset({"length", "LENGTH", "MAX_TOKENS"})
_IGNORED = frozenset({"n", "logit_bias", "stream_options", "raw", "keep_alive"})
"""Members that say what goes without saying, in the recordings."""


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in one of these formats."""
    return method == "POST" and _family(url, request_body) is not None


@checking
def check(found: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    raw: JsonObject = msgspec.json.decode(record.request_body)
    name = _family(record.url, raw)
    assert name is not None
    row = FAMILIES[name]
    asked = _request(raw, row)
    written = msgspec.json.decode(encode(asked, _to(str(raw.get("model") or "m"), name)).http.body)
    by_address = urlsplit(record.url).path.endswith(_INVOKES)
    found.equal("request", "body", _normal(raw), _normal(written, without_model=by_address))
    if record.response_body.lstrip().startswith(b"{") and b"\n{" not in record.response_body:
        answer = decode(record.answer)
        _compare(found, _seen(record.response_body, name), of_choice(answer.choices[0], answer.usage))
        return
    decoder = PromptDecoder()
    told = of_events([*decoder.feed(record.response_body), *decoder.end()])
    _compare(found, _folded(record.response_body, name), told)


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


def _family(url: str, body: JsonObject) -> str | None:
    path = urlsplit(url).path
    if urlsplit(url).hostname == "api.writer.com":
        return None  # its streams are of a format of their own
    name = next((name for end, name in _PATHS.items() if path.endswith(end)), None)
    if name is None and path.endswith(_INVOKES):
        name = _carried(unquote(path.split("/")[2]))
    return name if name is not None and _prompt(body.get(FAMILIES[name].prompt)) is not None else None


def _prompt(given: Json) -> str | None:
    """Return a prompt; one alone in a list is one."""
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    return given if isinstance(given, str) else None


def _carried(model: str) -> str | None:
    try:
        row = family_of(_to(model, ""))
    except TurnoutError:
        return None
    return next(name for name, each in FAMILIES.items() if each is row)


def _to(model: str, family: str) -> Deployment:
    host = Vendor(
        name="recorded", base_url="https://recorded.invalid", codec=WIRE, quirks=Quirks(prompt=family)
    )
    return Deployment(id=model, vendor=host, model=Model(id=model), upstream_model=model)


def _request(raw: JsonObject, row: Family) -> ChatRequest:
    """Read a recorded request as a client of completions would have sent it."""
    inner = raw.get(row.inside) if row.inside else raw
    assert isinstance(inner, dict | None)
    numbers = {name: (inner or {}).get(getattr(row, name)) for name in _NUMBERS if getattr(row, name)}
    stop = numbers.pop("stop", None)
    given = {name: value for name, value in numbers.items() if value is not None}
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else ()
    told = Message("user", (Text(_prompt(raw[row.prompt]) or ""),))
    asked = ChatRequest(model="m", messages=(told,), stream=raw.get("stream") is True, wire=PROMPTS)
    return msgspec.structs.replace(asked, stop=stops, **given)


def _normal(body: JsonObject, *, without_model: bool = False) -> JsonObject:
    """Bring a request to the form in which equal meaning is equal JSON.

    Allowed: an empty value, false or null in place of nothing; one stop sequence, or prompt, alone in place
    of a list.
    """
    out: dict[str, Json] = {}
    for name, value in body.items():
        if name in _IGNORED or value in (None, False, "", [], {}) or (without_model and name == "model"):
            continue
        out[name] = [value] if name == "stop" and isinstance(value, str) else value
    if isinstance(out.get("prompt"), list):
        out["prompt"] = _prompt(out["prompt"])
    return out


_Path = tuple[str | int, ...]
_COUNTS: tuple[_Path, _Path] = (("usage", "prompt_tokens"), ("usage", "completion_tokens"))
_BILLED: tuple[_Path, _Path] = (
    ("meta", "billed_units", "input_tokens"),
    ("meta", "billed_units", "output_tokens"),
)
_METRICS = "amazon-bedrock-invocationMetrics"
_LLAMA: tuple[_Path, ...] = (
    ("generation",),
    ("stop_reason",),
    ("prompt_token_count",),
    ("generation_token_count",),
)
_WHOLE: Mapping[str, tuple[_Path, ...]] = {
    "openai": (("choices", 0, "text"), ("choices", 0, "finish_reason"), *_COUNTS),
    "ollama": (("response",), ("done_reason",), ("prompt_eval_count",), ("eval_count",)),
    "cohere_chat": (("text",), ("finish_reason",), *_BILLED),
    "cohere_generate": (("generations", 0, "text"), ("generations", 0, "finish_reason"), *_BILLED),
    "titan": (
        ("results", 0, "outputText"),
        ("results", 0, "completionReason"),
        ("inputTextTokenCount",),
        ("results", 0, "tokenCount"),
    ),
    "llama2": _LLAMA,
    "llama3": _LLAMA,
    "llama4": _LLAMA,
    "mistral": (("outputs", 0, "text"), ("outputs", 0, "stop_reason"), ("-",), ("-",)),
    "jurassic": (
        ("completions", 0, "data", "text"),
        ("completions", 0, "finishReason", "reason"),
        ("prompt", "tokens"),
        ("completions", 0, "data", "tokens"),
    ),
}
"""Family -> where text, word and counters stand in a whole answer; of a list of tokens, its length counts."""
_PIECES: Mapping[str, tuple[_Path, ...]] = {
    "cohere_chat": (("text",), ("finish_reason",), *((("response", *path)) for path in _BILLED)),
    "openai": _WHOLE["openai"],
    "ollama": _WHOLE["ollama"],
    "titan": (
        ("outputText",),
        ("completionReason",),
        (_METRICS, "inputTokenCount"),
        (_METRICS, "outputTokenCount"),
    ),
}
_BLOCKED: Mapping[str, tuple[_Path, _Path]] = {
    "titan": (("inputTextTokenCount",), ("totalOutputTextTokenCount",))
}
"""Where the counters stand in a stream whose last piece has none."""
_Saw = tuple[str, Json, Json, Json]
"""Text, word for why it ended, tokens in and out."""


def _look(tree: Json, path: _Path) -> Json:
    for name in path:
        if isinstance(tree, Mapping) and isinstance(name, str):
            tree = tree.get(name)
        elif isinstance(tree, list) and isinstance(name, int) and name < len(tree):
            tree = tree[name]
        else:
            return None
    return len(tree) if isinstance(tree, list) else tree


def _seen(body: bytes, name: str) -> _Saw:
    tree = msgspec.json.decode(body)
    text, word, n_in, n_out = (_look(tree, path) for path in _WHOLE[name])
    return str(text), word, n_in, n_out


def _folded(body: bytes, name: str) -> _Saw:
    """Put the pieces of a stream together, look-up by look-up."""
    text = ""
    rest: list[Json] = [None, None, None]
    for line in body.splitlines():
        data = line.removeprefix(b"data:").strip()
        if not data.startswith(b"{"):
            continue
        more, *found = (_look(msgspec.json.decode(data), path) for path in _PIECES[name])
        text += str(more or "")
        for at, path in enumerate(_BLOCKED.get(name, ())):
            found[at + 1] = _look(msgspec.json.decode(data), path) if found[at + 1] is None else found[at + 1]
        rest = [was if now is None else now for was, now in zip(rest, found, strict=True)]
    return text, rest[0], rest[1], rest[2]


def _compare(found: Comparison, saw: _Saw, got: Told) -> None:
    text, word, n_in, n_out = saw
    finish = "length" if word in _LENGTHS else "stop"
    if word is None and got.native == "INTERVENED":
        word, finish = "INTERVENED", "content_filter"  # a guardrail answered, and says so beside the text
    found.equal("finish", "word", [word, finish], [got.native, got.finish])
    found.equal("text", "text", text, got.text)
    found.equal("usage", "input", n_in, got.usage.input_uncached)
    found.equal("usage", "output", n_out, got.usage.output_text)
