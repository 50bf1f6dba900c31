"""Rankings of models behind Bedrock's InvokeModel. Floor 2.

Source: "Cohere Rerank models" and "Amazon Rerank models" of the Amazon Bedrock user guide (seen 2026-11); no
recording holds one (WIRE.md 14).
"""

from turnout.codecs import ranking
from turnout.codecs.base import Encoded
from turnout.codecs.bedrock.request import http
from turnout.codecs.bedrock.wire import WIRE
from turnout.codecs.notes import Notes
from turnout.errors import UnsupportedParameter
from turnout.types.deployment import Deployment
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.task import TaskRequest, TaskResponse

_VERSIONED = "cohere.rerank"
"""What models have in their name whose body tells a version."""
_KEPT = ("max_tokens_per_doc",)


def encode_task(request: TaskRequest, to: Deployment) -> Encoded:
    """Write a ranking. Raises `UnsupportedParameter` for other operations."""
    if request.kind != "rerank":
        raise UnsupportedParameter(f"{to.vendor.name} has no {request.path} in this format", param="model")
    notes = Notes()
    body: dict[str, Json] = {"query": request.body["query"], "documents": ranking.plain(request)}
    n_wanted = ranking.n_wanted(request)
    if n_wanted is not None:
        body["top_n"] = n_wanted
    versioned = _VERSIONED in f"{to.upstream_model} {to.model.id}"
    for name, value in request.body.items():
        if versioned and name in _KEPT:
            body[name] = value
        elif name not in body and name not in ranking.OWN:
            notes.drop(name)
    if versioned:
        body["api_version"] = 2
    return notes.encoded(http(body, to, "invoke"))


def decode_task(response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
    """Read a ranking; the provider tells no usage: a search unit per hundred documents is reckoned."""
    return ranking.decode(response.body, request, to, WIRE)
