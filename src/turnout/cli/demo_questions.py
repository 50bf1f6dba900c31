"""What the demo asks through the official client, and what must come back. Floor 7."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from turnout.cli.demo_cast import ALIAS, LARGE, LOCAL, MEDIUM, SMALL, TRAINEE, VISITOR, Player

if TYPE_CHECKING:
    from openai import OpenAI

_SYSTEM: Final = "You are a helpful assistant. Answer in one or two short sentences."
_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather_now",
        "description": "The weather at a place at this moment",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "examples": ["Lisbon"]}},
            "required": ["city"],
        },
    },
}
_SHAPE: Final = {
    "type": "json_schema",
    "json_schema": {
        "name": "invoice",
        "schema": {
            "type": "object",
            "properties": {
                "supplier": {"type": "string", "examples": ["Nordwind GmbH"]},
                "total_eur": {"type": "number", "minimum": 118.5},
            },
            "required": ["supplier", "total_eur"],
        },
    },
}
_TOKENS_OUT: Final = 48


class Question(Struct, frozen=True, kw_only=True):
    """One request and what the rules say about its answer."""

    prompt: str
    model: str = "auto"
    by: tuple[str, ...] = ()
    """Who may answer."""
    reasons: tuple[str, ...] = ()
    """Words of the Decision that are right; empty = there need not be one."""
    stream: bool = False
    tools: bool = False
    """A tool is offered; its result is sent in a second request."""
    shape: bool = False
    """A structured answer is asked for."""
    models: tuple[str, ...] = ()
    """Candidates named in the request."""
    error: tuple[str, ...] = ()
    """Class words, one of which is the right failure; empty = it must be answered."""
    fallback: bool = False
    """A failed attempt at another model must have come first."""
    key: str = VISITOR
    """Whose it is."""
    max_tokens: int = _TOKENS_OUT


class Told(Struct, frozen=True, kw_only=True):
    """One request as the client saw it."""

    question: Question
    request_id: str = ""
    model: str = ""
    """`provider/model` that answered."""
    text: str = ""
    n_chunks: int = 0
    """Pieces of a stream that held text or a tool call."""
    n_in: int = 0
    n_out: int = 0
    tool: str = ""
    arguments: str = ""
    error: str = ""
    message: str = ""
    ttft_s: float | None = None
    """Until the client had the first piece of a stream."""
    total_s: float = 0.0


_FIRST: Final = ("highest_score",)
_NAMED: Final = ("pinned_by_caller",)


def before(*, local: bool) -> Iterator[Question]:
    """Yield what is asked while every upstream is up."""
    if local:
        yield _by_name(LOCAL, "What is a railway turnout?")
        yield _by_name(LOCAL, "Name three colours of the rainbow.", stream=True)
    yield _in_order(LARGE, "Who wrote Hamlet?")
    yield _in_order(LARGE, "Explain photosynthesis to a child.", model="turnout/assistant", stream=True)
    yield _by_name(MEDIUM, "Translate 'good morning' into Portuguese.", stream=True)
    yield Question(prompt="Is 97 a prime number?", model=ALIAS, by=(SMALL.id,), reasons=_NAMED, stream=True)
    yield Question(
        prompt="Suggest a name for a ferry.", models=(SMALL.id, MEDIUM.id), by=(SMALL.id,), reasons=_FIRST
    )
    yield _in_order(LARGE, "What is the weather in Lisbon?", model="turnout/assistant", tools=True)
    yield _by_name(MEDIUM, "Read the invoice: Nordwind GmbH, 118.50 EUR.", shape=True)
    for at, topic in enumerate(("tea", "owls", "Mars", "salt")):
        yield Question(
            prompt=f"Tell me a fact about {topic}.",
            model="turnout/spread",
            by=(*((LOCAL.id,) if local else ()), MEDIUM.id, SMALL.id),
            reasons=("weighted_draw",),
            stream=at % 2 == 1,
        )
    yield Question(prompt="Does this model exist?", model="emu-gemini/smal", error=("model_not_found",))
    yield from _on_a_budget()


def _on_a_budget() -> Iterator[Question]:
    """Yield what a key with a small budget asks: served, sent to a cheaper model, refused."""
    for prompt in ("What is a sleeper, on a railway?", "And what is ballast?"):
        yield _trainee(prompt, MEDIUM, "only_candidate")
    yield _trainee("And a frog?", SMALL, "budget_downgrade")
    yield Question(
        prompt="Write a long essay on rails.",
        model="turnout/metered",
        key=TRAINEE,
        max_tokens=4000,
        error=("budget_exceeded",),
    )


def _trainee(prompt: str, by: Player, reason: str) -> Question:
    return Question(prompt=prompt, model="turnout/metered", key=TRAINEE, by=(by.id,), reasons=(reason,))


def _by_name(player: Player, prompt: str, *, stream: bool = False, shape: bool = False) -> Question:
    return Question(
        prompt=prompt, model=player.id, by=(player.id,), reasons=_NAMED, stream=stream, shape=shape
    )


def _in_order(
    player: Player, prompt: str, *, model: str = "auto", stream: bool = False, tools: bool = False
) -> Question:
    return Question(prompt=prompt, model=model, by=(player.id,), reasons=_FIRST, stream=stream, tools=tools)


def after() -> Iterator[Question]:
    """Yield what is asked once the process behind the large model is dead."""
    prompts = (
        "How far away is the Moon?",
        "What is sourdough?",
        "Why is the sky blue?",
        "How do tides work?",
    )
    for at, prompt in enumerate(prompts[:2]):
        yield Question(
            prompt=prompt, by=(MEDIUM.id,), reasons=("fallback_error",), stream=at == 1, fallback=True
        )
    for prompt in prompts[2:]:
        yield Question(prompt=prompt, by=(MEDIUM.id,), reasons=("fallback_error", "highest_score"))
    yield Question(
        prompt="May another one answer?", model=LARGE.id, error=("provider_unreachable", "capacity_exhausted")
    )


def ask(clients: "Mapping[str, OpenAI]", question: Question) -> Iterator[Told]:
    """Ask one question; with tools, go on with the tool's result. What fails is told, not raised."""
    client = clients[question.key]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": question.prompt},
    ]
    first = _send(client, question, messages)
    yield first
    if not first.tool:
        return
    call = {
        "id": "call00001",
        "type": "function",
        "function": {"name": first.tool, "arguments": first.arguments},
    }
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00001", "content": '{"sky": "clear", "celsius": 22}'},
    ]
    yield _send(client, question, messages)


def _send(client: "OpenAI", question: Question, messages: Sequence[Mapping[str, Any]]) -> Told:
    import openai

    body: dict[str, Any] = {"model": question.model, "messages": messages, "max_tokens": question.max_tokens}
    if question.tools:
        body["tools"] = [_WEATHER]
    if question.shape:
        body["response_format"] = _SHAPE
    if question.models:
        body["extra_body"] = {"models": list(question.models)}
    if question.model == LOCAL.id:
        body |= {"temperature": 0.0, "seed": 1}
    started = time.perf_counter()
    try:
        told = (_streamed if question.stream else _whole)(client, question, body, started)
    except openai.APIStatusError as error:
        told = Told(
            question=question,
            request_id=error.response.headers.get("x-turnout-request-id", ""),
            error=error.response.headers.get("x-turnout-error-class", str(error.status_code)),
            message=_message(error.response.content),
        )
    except openai.APIError as error:  # no answer at all, or a stream that broke
        told = Told(question=question, error=type(error).__name__, message=str(error))
    return msgspec.structs.replace(told, total_s=time.perf_counter() - started)


def _whole(client: "OpenAI", question: Question, body: dict[str, Any], started: float) -> Told:
    create: Any = client.chat.completions.with_raw_response.create  # its overloads are for literals
    raw = create(**body)
    answer = raw.parse()
    message = answer.choices[0].message
    call = message.tool_calls[0] if message.tool_calls else None
    return Told(
        question=question,
        request_id=raw.headers["x-turnout-request-id"],
        model=raw.headers["x-turnout-model"],
        text=message.content or "",
        n_in=answer.usage.prompt_tokens if answer.usage else 0,
        n_out=answer.usage.completion_tokens if answer.usage else 0,
        tool=call.function.name if call else "",
        arguments=call.function.arguments if call else "",
    )


def _streamed(client: "OpenAI", question: Question, body: dict[str, Any], started: float) -> Told:
    create: Any = client.chat.completions.with_raw_response.create
    raw = create(**body, stream=True, stream_options={"include_usage": True})
    pieces: list[str] = []
    usage, ttft_s = None, None
    for chunk in raw.parse():
        usage = chunk.usage or usage
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            ttft_s = time.perf_counter() - started if ttft_s is None else ttft_s
            pieces.append(text)
    return Told(
        question=question,
        request_id=raw.headers["x-turnout-request-id"],
        model=raw.headers["x-turnout-model"],
        text="".join(pieces),
        n_chunks=len(pieces),
        n_in=usage.prompt_tokens if usage else 0,
        n_out=usage.completion_tokens if usage else 0,
        ttft_s=ttft_s,
    )


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.MsgspecError, LookupError, TypeError):
        return body[:200].decode(errors="replace")
