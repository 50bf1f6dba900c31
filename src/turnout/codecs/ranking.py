"""Rankings: read from whoever answered, written for whoever asked. Floor 2.

Upstreams differ in two names (`results` or `data`) and in what they count; a ranking is places and scores.
Documents are never asked back: who wants them gets those of its own request.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.failures import unreadable
from turnout.types.deployment import Deployment
from turnout.types.json import Json
from turnout.types.task import Ranked, TaskRequest, TaskResponse, texts
from turnout.types.usage import Usage

OWN: Final = frozenset({"return_documents", "top_n", "top_k"})
"""Members that are written anew for each upstream."""
_write = msgspec.json.Encoder().encode


class _Version(Struct, frozen=True):
    version: str = ""


class _Billed(Struct, frozen=True):
    search_units: float | None = None
    input_tokens: float | None = None


class _Meta(Struct, frozen=True):
    billed_units: _Billed = _Billed()


class _Counted(Struct, frozen=True):
    total_tokens: int | None = None
    prompt_tokens: int | None = None


class _Answer(Struct, frozen=True):
    results: list[Ranked] | None = None
    data: list[Ranked] | None = None
    id: str | None = None
    meta: _Meta | None = None
    usage: _Counted | None = None


_read = msgspec.json.Decoder(_Answer).decode


def n_wanted(request: TaskRequest) -> int | None:
    """Return how many documents the client wants; None = all."""
    given = request.body.get("top_n", request.body.get("top_k"))
    return given if isinstance(given, int) else None


def plain(request: TaskRequest) -> list[Json]:
    """Return the documents as texts, for upstreams that take nothing else."""
    found: list[Json] = []
    documents = request.body.get("documents")
    for each in documents if isinstance(documents, list) else ():
        found += texts(each)[:1]
    return found


def decode(body: bytes, request: TaskRequest, to: Deployment, wire: str) -> TaskResponse:
    """Read an upstream's ranking and write it for the client. Raises `ProviderBadResponse`."""
    try:
        answer = _read(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), body, wire) from error
    ranked = answer.results if answer.results is not None else answer.data
    if ranked is None:
        raise unreadable("it has no ranking", body, wire)
    places = [each.index for each in ranked]
    if len(set(places)) != len(places) or not all(0 <= place < request.n for place in places):
        raise unreadable("it ranks documents that were not sent", body, wire)
    usage = _usage(answer)
    written = _write(_written(ranked[: n_wanted(request)], request, usage, answer.id, to.model.id))
    return TaskResponse(body=written, usage=usage, upstream_id=answer.id)


def _usage(answer: _Answer) -> Usage:
    billed = _Billed() if answer.meta is None else answer.meta.billed_units
    counted = answer.usage or _Counted()
    n_tokens = counted.total_tokens if counted.total_tokens is not None else counted.prompt_tokens
    if n_tokens is None and billed.input_tokens is not None:
        n_tokens = int(billed.input_tokens)
    units = billed.search_units
    return Usage(input_uncached=n_tokens, search_units=None if units is None else int(units))


def _written(
    ranked: Sequence[Ranked], request: TaskRequest, usage: Usage, upstream_id: str | None, model: str
) -> Mapping[str, Json]:
    documents = request.body.get("documents")
    given = documents if request.body.get("return_documents") and isinstance(documents, list) else None
    rows: list[Json] = [_row(each, given) for each in ranked]
    counted: dict[str, Json] = {"total_tokens": usage.n_input}
    if "top_k" in request.body:  # as Voyage answers
        return {"object": "list", "data": rows, "model": model, "usage": counted}
    billed: dict[str, Json] = {}
    if usage.search_units is not None:
        billed["search_units"] = usage.search_units
    if usage.input_uncached is not None:
        billed["input_tokens"] = usage.input_uncached
    meta: dict[str, Json] = {"api_version": {"version": "2"}, "billed_units": billed}
    answer: dict[str, Json] = {"id": upstream_id or "", "results": rows, "meta": meta, "model": model}
    return answer if usage.input_uncached is None else {**answer, "usage": counted}


def _row(ranked: Ranked, documents: Sequence[Json] | None) -> Json:
    row: dict[str, Json] = {"index": ranked.index, "relevance_score": ranked.relevance_score}
    if documents is not None:
        document = documents[ranked.index]
        row["document"] = {"text": document} if isinstance(document, str) else document
    return row
