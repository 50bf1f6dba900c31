"""Rankings in Cohere's v2 format. Floor 2.

Source: Cohere API reference "Rerank v2" (docs.cohere.com, seen 2026-11), checked against recorded traffic.
"""

from turnout.codecs import ranking
from turnout.codecs.base import Encoded
from turnout.codecs.cohere.request import http
from turnout.codecs.cohere.wire import WIRE
from turnout.codecs.notes import Notes
from turnout.errors import UnsupportedParameter
from turnout.types.deployment import Deployment
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.task import TaskRequest, TaskResponse

_OWN = ("max_tokens_per_doc", "priority")


def encode_task(request: TaskRequest, to: Deployment) -> Encoded:
    """Write a ranking. Raises `UnsupportedParameter` for other operations: the format has none here."""
    if request.kind != "rerank":
        raise UnsupportedParameter(f"{to.vendor.name} has no {request.path} in this format", param="model")
    notes = Notes()
    body: dict[str, Json] = {
        "model": to.upstream_model,
        "query": request.body["query"],
        "documents": ranking.plain(request),
    }
    n_wanted = ranking.n_wanted(request)
    if n_wanted is not None:
        body["top_n"] = n_wanted
    for name, value in request.body.items():
        if name in _OWN:
            body[name] = value
        elif name not in body and name not in ranking.OWN:
            notes.drop(name)
    return notes.encoded(http(body, to, "rerank"))


def decode_task(response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
    """Read a ranking. Raises `ProviderBadResponse`."""
    return ranking.decode(response.body, request, to, WIRE)
