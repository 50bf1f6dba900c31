"""Requests for operations, as clients of OpenAI's API write them, read strictly. Floor 2.

A table of operations says what each must have. What it may have beside that is not looked at: it goes to an
upstream of the same format as it came. Rankings come in the words of Cohere's v2, which others share; `top_k`
instead of `top_n` is Voyage's, and is answered in Voyage's form (`codecs.ranking`).
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, form, strict
from turnout.codecs.base import TaskBody
from turnout.errors import InvalidRequest
from turnout.types.ask import Endpoint, Wire
from turnout.types.chat import Facts
from turnout.types.json import Json, JsonObject
from turnout.types.task import TEXTS, Form, TaskKind, TaskRequest, texts

Name = Annotated[str, Meta(min_length=1, max_length=512)]
Said = Annotated[str, Meta(min_length=1, max_length=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1000)]
MAX_PICTURES: Final = 10
WIRE: Final = "openai_chat"
_AUTO: Final = "auto"
_MODERATION: Final = "omni-moderation-latest"
"""What OpenAI takes where none is named (API reference "Create moderation", seen 2026-11)."""


class _Any(Struct, frozen=True):
    model: Name | None = None
    stream: bool | None = None
    response_format: str | None = None
    user: str | None = None


class _Picture(_Any, frozen=True):
    n: Annotated[int, Meta(ge=1, le=MAX_PICTURES)] | None = None


class _Drawn(_Picture, frozen=True, kw_only=True):
    prompt: Said


class _Spoken(_Any, frozen=True, kw_only=True):
    input: Said
    voice: Name | dict[str, Json]
    stream_format: str | None = None


class _Judged(_Any, frozen=True, kw_only=True):
    input: Said | Annotated[list[str | dict[str, Json]], Meta(min_length=1)]


class _Ranking(_Any, frozen=True, kw_only=True):
    query: Said
    documents: Annotated[list[str | dict[str, Json]], Meta(min_length=1, max_length=10_000)]
    top_n: Count | None = None
    top_k: Count | None = None
    return_documents: bool | None = None


class Operation(Struct, frozen=True):
    """One operation: what it is, how keys are allowed it, and what it must have."""

    path: str
    kind: TaskKind
    endpoint: Endpoint
    fields: type[_Any]
    """Members it must have, and those that are looked at."""
    file: str = ""
    """File that a form of it must have."""
    json: bool = True
    """Whether it may come as JSON."""


OPERATIONS: Final[Mapping[str, Operation]] = {
    each.path: each
    for each in (
        Operation("/rerank", "rerank", "rerank", _Ranking),
        Operation("/images/generations", "image", "images", _Drawn),
        Operation("/images/edits", "image", "images", _Drawn, file="image"),
        Operation("/images/variations", "image", "images", _Picture, file="image", json=False),
        Operation("/audio/speech", "speech", "audio", _Spoken),
        Operation("/audio/transcriptions", "transcription", "audio", _Any, file="file", json=False),
        Operation("/audio/translations", "transcription", "audio", _Any, file="file", json=False),
        Operation("/moderations", "moderation", "moderations", _Judged),
    )
}
"""Path beneath a base address -> operation."""


def parse(operation: Operation, body: bytes) -> TaskBody:
    """Read a request that is JSON. Raises `InvalidRequest` with the path of the offending field."""
    if not operation.json:
        raise InvalidRequest("content-type must be multipart/form-data", param="content-type")
    tree = strict.parse(body)
    wishes = extras.read(tree)
    tree = extras.without(tree, wishes)
    asked = strict.convert(tree, operation.fields)
    if isinstance(asked, _Ranking):
        tree = _ranking(tree, asked)
    members = {name: value for name, value in tree.items() if name != "model"}
    request = TaskRequest(
        kind=operation.kind,
        path=operation.path,
        model=asked.model or _default(operation.kind),
        body=members,
        stream=bool(asked.stream) or (isinstance(asked, _Spoken) and asked.stream_format == "sse"),
        n=_n(asked),
        response_format=asked.response_format,
        user=asked.user,
        facts=_facts(operation.kind, members),
    )
    return wishes.onto(TaskBody(request=request, endpoint=operation.endpoint, wire=Wire(WIRE, tree)))


def parse_form(operation: Operation, given: Form) -> TaskBody:
    """Read a request that is a form. A field `turnout` holds the object of that name as JSON.

    Raises:
        InvalidRequest: Naming the offending field.
    """
    fields = form.fields(given)
    if not operation.file:
        raise InvalidRequest("content-type must be application/json", param="content-type")
    files = [part for part in given.parts if part.filename is not None]
    if not any(part.name in (operation.file, f"{operation.file}[]") for part in files):
        raise InvalidRequest(
            f"{operation.file} is missing; it must be a file",
            param=operation.file,
            code="missing_required_parameter",
        )
    extras.refuse(dict.fromkeys(fields), "")
    wishes = extras.read(_wishes(fields))
    try:
        asked = msgspec.convert(fields, operation.fields, strict=False)
    except msgspec.ValidationError as error:
        raise strict.refusal(error) from error
    request = TaskRequest(
        kind=operation.kind,
        path=operation.path,
        model=asked.model or _default(operation.kind),
        form=Form(given.boundary, tuple(part for part in given.parts if part.name != "turnout")),
        stream=bool(asked.stream),
        n=_n(asked),
        n_bytes=sum(len(part.value) for part in files),
        response_format=asked.response_format,
        user=asked.user,
        facts=_facts(operation.kind, fields),
    )
    return wishes.onto(TaskBody(request=request, endpoint=operation.endpoint, wire=Wire(WIRE, {})))


def _wishes(fields: Mapping[str, str]) -> JsonObject:
    tree: dict[str, Json] = {name: fields[name] for name in ("user",) if name in fields}
    if "turnout" in fields:
        tree["turnout"] = strict.parse(fields["turnout"].encode())
    return tree


def _ranking(tree: JsonObject, asked: _Ranking) -> JsonObject:
    if asked.top_n is not None and asked.top_k is not None:
        raise InvalidRequest("top_n and top_k mean the same; send one", param="top_k")
    for at, document in enumerate(asked.documents):
        if isinstance(document, dict) and not isinstance(document.get("text"), str):
            where = f"documents[{at}].text"
            raise InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
    return tree


def _n(asked: _Any) -> int:
    if isinstance(asked, _Ranking):
        return len(asked.documents)
    return asked.n or 1 if isinstance(asked, _Picture) else 1


def _default(kind: TaskKind) -> str:
    return _MODERATION if kind == "moderation" else _AUTO


def _facts(kind: TaskKind, members: Mapping[str, Json]) -> Facts:
    said = [text for name in TEXTS[kind] for text in texts(members.get(name))]
    return Facts(n_chars=sum(map(len, said)), n_messages=1)
