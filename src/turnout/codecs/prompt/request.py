"""A conversation written as one prompt. Floor 2.

A client of legacy completions sends a prompt: it goes on as it is. Turns of a conversation are put together
by the family's template, or go to the members that the family has for them. Tools, pictures and shapes of
answers cannot be said here.
"""

from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.notes import NATIVE_DROPPED, REASONING_DROPPED, Notes
from turnout.codecs.prompt.families import FAMILIES, Family, Template
from turnout.errors import UnsupportedParameter
from turnout.types.chat import ChatRequest, Message, Native, Reasoning, Refusal, Text
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest
from turnout.types.json import Json

WIRE = "prompt"
PROMPTS = "openai_completions"
"""Dialect whose requests hold a prompt, not a turn."""
_TYPE = (b"content-type", b"application/json")
_ROLES: Mapping[str, str] = {"user": "USER", "assistant": "CHATBOT"}
_BINDING = ("tools", "output_format", "logprobs", "top_logprobs")
_ADVISORY = ("user", "logit_bias", "thinking", "parallel_tool_calls", "extra")

_write = msgspec.json.Encoder().encode


def family_of(to: Deployment) -> Family:
    """Return the row of a deployment. Raises `UnsupportedParameter` where none is named."""
    named = FAMILIES.get(to.vendor.quirks.prompt)
    if named is not None:
        return named
    name = to.upstream_model
    fits = (each for each in FAMILIES.values() if any(f".{start}" in f".{name}" for start in each.models))
    found = next(fits, None)
    if found is None:
        raise UnsupportedParameter(
            f"{to.id}: no family of prompt formats is known for it; name one in quirks.prompt", param="model"
        )
    return found


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call. Raises `UnsupportedParameter` for what a prompt cannot say."""
    family, notes = family_of(to), Notes()
    _refuse(request, to)
    body: dict[str, Json] = {}
    if family.model:
        body[family.model] = to.upstream_model
    _write_turns(body, request, family, notes)
    numbers = _numbers(request, family, notes)
    if not family.inside:
        body |= numbers
    elif numbers:
        body[family.inside] = numbers
    if family.stream:
        body[family.stream] = request.stream
    if family.usage and request.stream:
        body["stream_options"] = {"include_usage": True}
    return notes.encoded(HttpRequest("POST", to.url + family.path, [_TYPE], _write(body)))


def _refuse(request: ChatRequest, to: Deployment) -> None:
    for name in _BINDING:
        if getattr(request, name):
            raise UnsupportedParameter(f"{to.id} takes a prompt and gives text; it has no {name}", param=name)
    if (request.n or 1) > 1:
        raise UnsupportedParameter(f"{to.id} gives one answer", param="n")


def _numbers(request: ChatRequest, family: Family, notes: Notes) -> dict[str, Json]:
    """Return everything beside the words."""
    stop = [*request.stop]
    if family.template.stop and request.wire != PROMPTS and not _is_bare(request.messages, family):
        stop.append(family.template.stop)
    values: tuple[tuple[str, Json], ...] = (
        ("max_tokens", request.max_tokens),
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("top_k", request.top_k),
        ("stop", stop or None),
        ("seed", request.seed),
        ("presence_penalty", request.presence_penalty),
        ("frequency_penalty", request.frequency_penalty),
    )
    found: dict[str, Json] = {}
    for name, value in values:
        if value is None:
            continue
        theirs: str = getattr(family, name)
        if theirs:
            found[theirs] = value
        elif name == "stop" and request.stop:
            raise UnsupportedParameter("this format has no stop sequences", param="stop")
        elif name != "stop":
            notes.drop(name)
    for name in _ADVISORY:
        if getattr(request, name):
            notes.drop(name)
    return found


def _is_bare(messages: Sequence[Message], family: Family) -> bool:
    """Tell whether a question stands alone, or its turns have members of their own."""
    turns = [turn for turn in messages if not (family.system and turn.role in ("system", "developer"))]
    return family.history != "" or (family.template.bare and len(turns) == 1 and turns[0].role == "user")


def _write_turns(body: dict[str, Json], request: ChatRequest, family: Family, notes: Notes) -> None:
    turns = [(_role(turn), _words(turn, notes)) for turn in request.messages]
    if request.wire == PROMPTS:
        body[family.prompt] = "".join(words for _, words in turns)
        return
    if family.system:
        told = [words for role, words in turns if role == "system"]
        turns = [turn for turn in turns if turn[0] != "system"]
        if told:
            body[family.system] = "\n\n".join(told)
    if family.history and len(turns) > 1:
        body[family.history] = [{"role": _ROLES[role], "message": words} for role, words in turns[:-1]]
        turns = turns[-1:]
    if family.history or _is_bare(request.messages, family):
        body[family.prompt] = "".join(words for _, words in turns)
    else:
        marks = family.template.marks
        said = [(role, _unmarked(words, marks)) for role, words in turns] if marks else turns
        body[family.prompt] = _prompt(said, family.template)


def _unmarked(words: str, marks: Sequence[str]) -> str:
    """Return words that cannot end their turn: who writes one must not write another's as well."""
    for mark in marks:
        words = words.replace(mark, f"{mark[0]} {mark[1:]}")
    return words


def _prompt(turns: Sequence[tuple[str, str]], template: Template) -> str:
    """Return turns as one text, up to where the model goes on."""
    said = [template.begin]
    told = [words for role, words in turns if role == "system"]
    ahead = ""
    if told and template.system is not None:
        before, after = template.system
        ahead = before + "\n\n".join(told) + after
    elif told:
        ahead = "\n\n".join(told) + "\n\n"
    inside = ahead != "" and (template.system is None or template.system[0].startswith(template.user[0]))
    if not inside:
        said.append(ahead)
    for role, words in turns:
        if role == "system":
            continue
        before, after = template.user if role == "user" else template.assistant
        if inside and role == "user":
            before = ahead if template.system is not None else before + ahead
            inside = False
        said.append(before + words + after)
    return "".join(said) + template.opening


def _role(turn: Message) -> str:
    if turn.role == "tool":
        raise UnsupportedParameter("this format has no results of tools", param="messages")
    return "system" if turn.role == "developer" else turn.role


def _words(turn: Message, notes: Notes) -> str:
    words: list[str] = []
    for part in turn.parts:
        match part:
            case Text() | Refusal():
                words.append(part.text)
            case Reasoning():
                notes.warn(REASONING_DROPPED)
            case Native():
                notes.warn(NATIVE_DROPPED)
            case _:
                raise UnsupportedParameter("this format takes text only", param="messages")
    return "\n".join(words)
