"""A complete response read into our answer. Floor 2."""

from collections.abc import Sequence

import msgspec

from turnout.codecs.base import Glance
from turnout.codecs.openai_errors import unreadable
from turnout.codecs.openai_responses.errors import error_in
from turnout.codecs.openai_responses.finish import FAILED, has_calls, has_refusal, read_finish
from turnout.codecs.openai_responses.items import ITEM, read_output
from turnout.codecs.openai_responses.usage import read_usage
from turnout.codecs.openai_responses.wire import WIRE, Answer, objects, read, write
from turnout.errors import ProviderBadResponse
from turnout.types.chat import ChatResponse, Choice, Part, Text
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_answer = msgspec.json.Decoder(Answer).decode
_KEPT = frozenset({"service_tier", "conversation", "content_filters"})
"""Members that a client of this format is told when the answer is written anew."""


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete 2xx answer. Raises `ProviderBadResponse`, or the class of an error object inside it."""
    try:
        tree = read(response.body)
        answer = msgspec.convert(tree, Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    _check(answer, response)
    return read_response(tree, answer)


def read_response(tree: JsonObject, answer: Answer) -> ChatResponse:
    """Read a response object."""
    items = objects(tree.get("output"))
    reason, native = read_finish(answer, calls=has_calls(answer), refused=has_refusal(answer))
    created = answer.created_at
    return ChatResponse(
        id=answer.id or "",
        model=answer.model or "",
        choices=(
            Choice(
                parts=tuple(_unmarked(part) for part in read_output(items)),
                finish=reason,
                native_finish=native,
                logprobs=_logprobs(items),
            ),
        ),
        usage=read_usage(answer.usage),
        created=int(created) if isinstance(created, int | float) else None,
        wire=WIRE,
        extra={key: tree[key] for key in _KEPT if tree.get(key) is not None},
    )


def glance(response: HttpResponse) -> Glance:
    """Read counts, finish and names from an answer that passes through, and take a forged `turnout` out."""
    try:
        answer = _answer(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    _check(answer, response)
    body = response.body
    if answer.turnout is not msgspec.UNSET:
        body = write({key: value for key, value in read(body).items() if key != "turnout"})
    reason, _ = read_finish(answer, calls=has_calls(answer), refused=has_refusal(answer))
    return Glance(
        usage=read_usage(answer.usage), finish=reason, upstream_id=answer.id, model=answer.model, body=body
    )


def words_of(logprobs: Json) -> Json:
    """Return the probabilities of tokens in the form of chat completions, which ours is; None = none."""
    return {"content": logprobs} if isinstance(logprobs, list) and logprobs else None


def _check(answer: Answer, response: HttpResponse) -> None:
    if answer.error is not None or answer.status in FAILED:
        raise error_in(answer.error or {"message": "the response failed"}, response)
    if answer.output is None and answer.status is None:
        raise ProviderBadResponse("the provider's answer holds no output")


def _unmarked(part: Part) -> Part:
    """Return a part of an answer without the mark of its item, which is for histories."""
    if isinstance(part, Text) and ITEM in part.extra:
        rest = {key: value for key, value in part.extra.items() if key != ITEM}
        return Text(part.text, rest) if rest else Text(part.text)
    return part


def _logprobs(items: Sequence[JsonObject]) -> Json:
    found: list[Json] = []
    for item in items:
        for part in objects(item.get("content")):
            tokens = part.get("logprobs")
            found += tokens if isinstance(tokens, list) else []
    return words_of(found)
