"""Reads clients' `:batchEmbedContents` and `:embedContent` calls and writes their answers. Floor 2."""

from turnout.codecs import extras, strict
from turnout.codecs.base import EmbedBody, Summary
from turnout.codecs.gemini.fields import entries, members, refusal, take_int
from turnout.codecs.gemini.wire import WIRE, write
from turnout.codecs.strict import kind
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import Facts
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.json import Json, JsonObject


def parse_embed_call(body: bytes, *, model: str, alone: bool) -> EmbedBody:
    """Read the texts of a call to `model`; `alone`: of the form that holds one text.

    Raises:
        InvalidRequest: A field is not what it must be.
        UnsupportedParameter: A part is not text, or the texts are not all to be embedded alike.
    """
    tree = strict.parse(body)
    wishes = extras.read(tree)
    content = extras.without(tree, wishes)
    calls = [(content, "content")] if alone else _calls(content)
    settings = [_settings(call) for call, _ in calls]
    if any(each != settings[0] for each in settings):
        raise UnsupportedParameter("requests[] differ in more than their content", param="requests")
    texts = tuple(_text(call.get("content"), at) for call, at in calls)
    dimensions = take_int(settings[0], "outputDimensionality", "body")
    request = EmbedRequest(
        model=model,
        input=texts,
        dimensions=dimensions,
        wire=WIRE,
        extra=settings[0],
        facts=Facts(n_chars=sum(map(len, texts)), n_messages=len(texts)),
        alone=alone,
    )
    return wishes.onto(EmbedBody(request=request, wire=Wire(WIRE, content)))


def _calls(content: JsonObject) -> list[tuple[JsonObject, str]]:
    """Return the calls of a batch, each with the path of its content."""
    calls = [
        members(call, f"requests[{i}]") for i, call in enumerate(entries(content.get("requests"), "requests"))
    ]
    if not calls:
        raise refusal("requests", "is empty")
    return [(call, f"requests[{i}].content") for i, call in enumerate(calls)]


def _settings(call: JsonObject) -> dict[str, Json]:
    """Return what a call says beside its model, which its address names, and its content."""
    return {key: value for key, value in members(call, "").items() if key not in ("model", "content")}


def _text(content: Json, at: str) -> str:
    """Return the text of a content: a string, or parts that are all text."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for i, part in enumerate(entries(members(content, at).get("parts"), f"{at}.parts")):
        text = members(part, f"{at}.parts[{i}]").get("text")
        if not isinstance(text, str):
            what = f"{at}.parts[{i}] is {kind(text)} where text is expected"
            raise UnsupportedParameter(what, param=f"{at}.parts[{i}]")
        texts.append(text)
    return "\n".join(texts)


def render_embed(response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
    """Write vectors in the form the call was made in."""
    vectors: list[Json] = [{"values": list(vector)} for vector in response.vectors]
    body: dict[str, Json] = {"embedding": vectors[0]} if request.alone else {"embeddings": vectors}
    body["usageMetadata"] = {"promptTokenCount": response.usage.n_input}
    if summary.show:
        body["turnout"] = summary.told()
    return write(body)
