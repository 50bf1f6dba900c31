"""Compares this codec with recorded Ollama traffic. Floor 2.

The raw side is read with plain look-ups, never with the decoder under test. What may differ between a
recorded request and the one written from its canonical form is listed in `_normal` and nowhere else.
"""

from urllib.parse import urlsplit

import msgspec

from turnout.codecs.gather import Told, of_choice, of_events
from turnout.codecs.ollama.dialect import OllamaDialect
from turnout.codecs.ollama.request import encode
from turnout.codecs.ollama.response import OllamaDecoder, decode
from turnout.codecs.ollama.wire import WIRE, error_of
from turnout.codecs.verify import Comparison, Exchange, checking, lines
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.json import Json, JsonObject

_HOST = Vendor(name="recorded", base_url="https://recorded.invalid", codec=WIRE)


def speaks(method: str, url: str, request_body: JsonObject) -> bool:
    """Tell whether a call is in this format."""
    return method == "POST" and urlsplit(url).path.endswith("/api/chat") and "messages" in request_body


@checking
def check(found: Comparison, record: Exchange) -> None:
    """Decode the exchange both ways and compare it with the raw record."""
    http = record.answer
    if record.status // 100 != 2:
        word = error_of(http).row.word
        known = {401: "provider_auth", 404: "provider_model_unavailable"}.get(record.status, word)
        found.equal("error", "class", known, word)
        return
    raw = msgspec.json.decode(record.request_body)
    request = OllamaDialect().parse(record.request_body).request
    name = request.model
    to = Deployment(id=name, vendor=_HOST, model=Model(id=name), upstream_model=name)
    found.equal("request", "body", _normal(raw), _normal(msgspec.json.decode(encode(request, to).http.body)))
    said = [msgspec.json.decode(line) for line in record.response_body.splitlines() if line.strip()]
    if request.stream:
        decoder = OllamaDecoder()
        got = of_events([*decoder.feed(record.response_body), *decoder.end()])
    else:
        answer = decode(http)
        got = of_choice(answer.choices[0], answer.usage)
    _compare(found, said, got)


def compare(record: Exchange) -> list[str]:
    """Return the mismatches of `check` as lines; empty = equal."""
    return lines(check(record))


def _normal(body: JsonObject) -> JsonObject:
    """Bring a request to the form in which equal meaning is equal JSON.

    Allowed: an empty value or null in place of nothing; nothing in place of `stream: true`, the default.
    """
    out = {name: value for name, value in body.items() if value not in ({}, [], "", None)}
    if out.get("stream") is True:
        del out["stream"]
    return out


def _compare(found: Comparison, said: list[dict[str, Json]], got: Told) -> None:
    text, thought = "", ""
    calls: list[Json] = []
    for line in said:
        message = line["message"]
        assert isinstance(message, dict)
        text += message["content"]
        thought += message.get("thinking") or ""
        calls += [
            [call.get("id") or "", call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls") or ()
        ]
    last = said[-1]
    word = last["done_reason"]
    finish = "length" if word == "length" else "tool_calls" if calls else "stop"
    found.equal("finish", "done_reason", [word, finish], [got.native, got.finish])
    found.equal("text", "content", text, got.text)
    found.equal("reasoning", "thinking", thought, got.reasoning)
    mine = [[call_id, name, msgspec.json.decode(arguments)] for call_id, name, arguments in got.calls]
    found.equal("tool_calls", "tool_calls", calls, mine)
    found.equal("usage", "prompt_eval_count", last["prompt_eval_count"], got.usage.n_input)
    found.equal("usage", "eval_count", last["eval_count"], got.usage.n_output)
