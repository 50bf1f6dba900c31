"""Compares our Gemini codec with recorded traffic. Floor 2.

The raw side is read with plain JSON look-ups. A request must come back equal in meaning; `meaning` lists what
may differ: spelling of field names and of enum words, one object for a list, the ignored role of a system
instruction, how function declarations are grouped, the alphabet of base64, and empty settings.
"""

import re
from collections.abc import Mapping

import msgspec

from turnout.codecs.gemini.codec import Gemini
from turnout.codecs.gemini.dialect import GeminiDialect
from turnout.codecs.gemini.wire import BROKEN_OUTPUT, FILTERED, FINISH_NUMBERS, MINTED, NO_ANSWER
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.errors import TAXONOMY, TurnoutError
from turnout.types.chat import ChatResponse, Reasoning, Text, ToolCall
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.embed import EmbedRequest
from turnout.types.event import Event, Finish, ReasoningDelta, TextDelta, ToolDelta, UsageUpdate
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_PATH = re.compile(
    r"/([^/:]+):(generateContent|streamGenerateContent|batchEmbedContents|embedContent)(?:\?|$)"
)
_STANDARD = str.maketrans("-_", "+/")
"""Base64 for URLs and the usual one are the same bytes."""
_SNAKE = re.compile(r"_([a-z0-9])")
_OPAQUE = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"}
)
"""Fields that hold the caller's own JSON: their names are not Gemini's to respell."""

_VENDOR = Vendor(name="gemini", base_url="https://gemini.invalid/v1beta", codec="gemini")

_codec = Gemini()
_dialect = GeminiDialect()


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in this format."""
    named = {"contents", "requests", "content"} & request_body.keys()
    return method == "POST" and bool(named) and _PATH.search(url) is not None


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


@checking
def check(comparison: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    found = _PATH.search(record.url)
    if found is None:
        return
    if "mbed" in found[2]:
        _embeddings(record, found[1], comparison)
    else:
        _request(record, found[1], found[2], comparison)
        _answer(record, found[2], comparison)


def _to(model: str) -> Deployment:
    return Deployment(id="recorded", vendor=_VENDOR, model=Model(id=f"gemini/{model}"), upstream_model=model)


def _request(record: Exchange, model: str, method: str, comparison: Comparison) -> None:
    stream = method == "streamGenerateContent"
    try:
        body = _dialect.parse_call(record.request_body, model=model, stream=stream)
    except TurnoutError as failure:
        if record.status == 400:  # refused by the provider as well
            comparison.equal("request", "refused", True, failure.row.status == 400)
        else:
            comparison.fail("request", "parse", "a request", str(failure))
        return
    encoded = _codec.encode(body.request, _to(model))
    sent = msgspec.json.decode(encoded.http.body)
    comparison.equal("request", "body", meaning(msgspec.json.decode(record.request_body)), meaning(sent))
    comparison.equal("request", "dropped", [], list(encoded.dropped))
    forwarded = _codec.forward(body.wire, _to(model), stream=stream)
    comparison.equal(
        "request",
        "forwarded",
        msgspec.json.decode(record.request_body),
        msgspec.json.decode(forwarded.http.body),
    )


def meaning(value: Json) -> Json:
    """Return a request with what means the same spelled the same."""
    tree = _camel(value)
    if not isinstance(tree, dict):
        return tree
    for name in ("model", "stream"):
        tree.pop(name, None)
    system = tree.get("systemInstruction")
    if isinstance(system, dict):
        system.pop("role", None)
        system["parts"] = _listed(system.get("parts"))
    contents = _listed(tree.get("contents"))
    for content in contents:
        if isinstance(content, dict):
            content.setdefault("role", "user")
            content["parts"] = _listed(content.get("parts"))
    tree["contents"] = contents
    if "tools" in tree:
        tree["tools"] = _grouped(_listed(tree["tools"]))
    _upper(tree, ("toolConfig", "functionCallingConfig"), "mode")
    _upper(tree, ("generationConfig", "thinkingConfig"), "thinkingLevel")
    return {name: each for name, each in tree.items() if each not in ({}, [])}


def _camel(value: Json) -> Json:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    out: dict[str, Json] = {}
    for name, each in value.items():
        spelled = _SNAKE.sub(lambda found: found[1].upper(), name)
        out[spelled] = each if spelled in _OPAQUE else _camel(each)
    if isinstance(blob := out.get("inlineData"), dict) and isinstance(data := blob.get("data"), str):
        blob["data"] = data.translate(_STANDARD)
    return out


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _grouped(tools: list[Json]) -> Json:
    declared: list[Json] = []
    served: dict[str, Json] = {}
    for tool in tools:
        for name, value in tool.items() if isinstance(tool, dict) else ():
            if name == "functionDeclarations":
                declared += _listed(value)
            else:
                served[name] = value
    return {"functionDeclarations": declared, **served}


def _upper(tree: dict[str, Json], path: tuple[str, str], name: str) -> None:
    outer = tree.get(path[0])
    inner = outer.get(path[1]) if isinstance(outer, dict) else None
    if not isinstance(inner, dict):
        return
    if isinstance(inner.get(name), str):
        inner[name] = str(inner[name]).upper()
    if inner.get("allowedFunctionNames") == []:
        del inner["allowedFunctionNames"]


def _answer(record: Exchange, method: str, comparison: Comparison) -> None:
    http = record.answer
    if record.status != 200:
        failure = _codec.error(http)
        known = TAXONOMY.get(failure.row.word) is type(failure)
        comparison.equal("error", "known class", True, known and failure.row.word != "provider_bad_response")
        upstream = failure.upstream
        comparison.equal("error", "status", record.status, upstream.status if upstream is not None else None)
        return
    raw = _Raw(record.response_body)
    try:
        if method == "streamGenerateContent":
            decoded = _streamed(record.response_body)
            _tapped(record.response_body, raw, comparison)
        else:
            decoded = _Decoded.of(_codec.decode(http))
            glance = _codec.glance(http)
            comparison.equal("finish", "glance", raw.finish, glance.finish)
            comparison.equal("usage", "glance", raw.usage, _counted(glance.usage))
    except TurnoutError as failure:
        comparison.equal("error", "class", raw.failure or "none", failure.row.word)
        return
    comparison.equal("error", "class", raw.failure or "none", "none")
    comparison.equal("text", "text", raw.text, decoded.text)
    comparison.equal("finish", "finish", raw.finish, decoded.finish)
    comparison.equal("usage", "usage", raw.usage, _counted(decoded.usage))
    if raw.thought:
        comparison.equal("reasoning", "thought", raw.thought, decoded.thought)
    if raw.calls:
        comparison.equal("tool_calls", "calls", raw.calls, decoded.calls)


class _Raw:
    """The first candidate of an answer, read with plain look-ups."""

    def __init__(self, body: bytes) -> None:
        self.text = self.thought = ""
        self.calls: list[Json] = []
        self.usage = _raw_usage({})
        word: Json = None
        for frame in _frames(body):
            counted = frame.get("usageMetadata")
            if isinstance(counted, dict):
                self.usage = _raw_usage(counted)
            candidates = frame.get("candidates")
            first = candidates[0] if isinstance(candidates, list) and candidates else {}
            word = first.get("finishReason") or word
            for part in first.get("content", {}).get("parts", []):
                self._part(part)
        if isinstance(word, int):
            word = FINISH_NUMBERS[word]
        self.failure = ""
        if word in BROKEN_OUTPUT:
            self.failure = "invalid_model_output"
        elif word in NO_ANSWER:
            self.failure = "provider_error"
        self.finish = _finish(word, has_calls=bool(self.calls))

    def _part(self, part: Mapping[str, Json]) -> None:
        text, call = part.get("text"), part.get("functionCall")
        if isinstance(text, str):
            if part.get("thought"):
                self.thought += text
            else:
                self.text += text
        if isinstance(call, dict):
            signature = part.get("thoughtSignature")
            self.calls.append(
                {
                    "id": call.get("id"),
                    "name": call.get("name"),
                    "args": call.get("args", {}),
                    "signature": signature,
                }
            )


def _finish(word: Json, *, has_calls: bool) -> str:
    if word == "MAX_TOKENS":
        return "length"
    if word in FILTERED:
        return "content_filter"
    return "tool_calls" if has_calls else "stop"


def _frames(body: bytes) -> list[dict[str, Json]]:
    if body.lstrip()[:5] == b"data:":
        rows = body.replace(b"\r\n", b"\n").split(b"\n")
        return [msgspec.json.decode(row[5:]) for row in rows if row[:5] == b"data:"]
    tree = msgspec.json.decode(body)
    return tree if isinstance(tree, list) else [tree]


def _raw_usage(counted: Mapping[str, Json]) -> dict[str, Json]:
    def count(name: str) -> int:
        value = counted.get(name)
        return value if isinstance(value, int) else 0

    return {
        "input": count("promptTokenCount") + count("toolUsePromptTokenCount"),
        "cached": count("cachedContentTokenCount"),
        "output": count("candidatesTokenCount") + count("thoughtsTokenCount"),
        "reasoning": count("thoughtsTokenCount"),
    }


def _counted(usage: Usage | None) -> dict[str, Json]:
    known = usage or Usage()
    return {
        "input": known.n_input,
        "cached": known.cache_read or 0,
        "output": known.n_output,
        "reasoning": known.reasoning or 0,
    }


class _Decoded:
    """The first choice of a decoded answer."""

    def __init__(self) -> None:
        self.text = self.thought = self.finish = ""
        self.calls: list[Json] = []
        self.usage: Usage | None = None

    def call(self, call: ToolCall | ToolDelta) -> None:
        minted = (call.id or "").startswith(MINTED)
        self.calls.append(
            {
                "id": None if minted else call.id,
                "name": call.name,
                "args": msgspec.json.decode(call.arguments),
                "signature": call.signature,
            }
        )

    @classmethod
    def of(cls, response: ChatResponse) -> "_Decoded":
        first, out = response.choices[0], cls()
        out.text = "".join(part.text for part in first.parts if isinstance(part, Text))
        out.thought = "".join(part.text for part in first.parts if isinstance(part, Reasoning))
        for part in first.parts:
            if isinstance(part, ToolCall):
                out.call(part)
        out.finish, out.usage = first.finish, response.usage
        return out


def _streamed(body: bytes) -> _Decoded:
    decoder, out = _codec.decoder(), _Decoded()
    for event in (*decoder.feed(body), *decoder.end()):
        _take(event, out)
    return out


def _take(event: Event, out: _Decoded) -> None:
    match event:
        case TextDelta(choice=0):
            out.text += event.text
        case ReasoningDelta(choice=0):
            out.thought += event.text
        case ToolDelta(choice=0):
            out.call(event)
        case UsageUpdate():
            out.usage = event.usage
        case Finish(choice=0):
            out.finish = event.reason


def _tapped(body: bytes, raw: _Raw, comparison: Comparison) -> None:
    if body.lstrip()[:1] == b"[":
        return
    tap = _codec.tap(strip_usage=False)
    passed = tap.feed(body) + tap.end()
    comparison.equal("decode", "tap bytes", True, passed == body)
    comparison.equal("finish", "tap", raw.finish, tap.finish)
    comparison.equal("usage", "tap", raw.usage, _counted(tap.usage))


def _embeddings(record: Exchange, model: str, comparison: Comparison) -> None:
    http = record.answer
    if record.status != 200:
        _answer(record, "", comparison)
        return
    decoded = _codec.decode_embed(http)
    tree = msgspec.json.decode(record.response_body)
    vectors = tree.get("embeddings") or [tree["embedding"]]
    comparison.equal(
        "vectors", "values", [each["values"] for each in vectors], [list(each) for each in decoded.vectors]
    )
    counted = tree.get("usageMetadata", {})
    comparison.equal("usage", "prompt", counted.get("promptTokenCount"), decoded.usage.input_uncached)
    sent = msgspec.json.decode(record.request_body)
    texts = [_one_text(each) for each in sent.get("requests", [sent])]
    if None in texts or "requests" not in sent:
        return
    request = EmbedRequest(model=model, input=[text for text in texts if text is not None])
    encoded = msgspec.json.decode(_codec.encode_embed(request, _to(model)).http.body)
    comparison.equal("request", "texts", texts, [_one_text(each) for each in encoded["requests"]])


def _one_text(request: Mapping[str, Json]) -> str | None:
    content = request.get("content")
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        return None
    text = parts[0].get("text")
    return text if isinstance(text, str) else None
