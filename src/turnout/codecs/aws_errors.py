"""Failures of Amazon Bedrock, whatever format stands inside. Floor 2.

Sources: the error lists of Converse, ConverseStream and InvokeModel in the Bedrock API reference, and
"Common errors" (docs.aws.amazon.com, seen 2026-11), checked against recorded answers.
"""

from collections.abc import Mapping

from turnout.codecs.eventstream import EventFrame
from turnout.codecs.failures import Class, Said, failure, text_in, tree_of
from turnout.errors import (
    InvalidModelOutput,
    ProviderAuth,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    TimeoutTtft,
    TurnoutError,
)
from turnout.types.http import HttpResponse

_WORDS: Mapping[str, Class] = {
    "accessdenied": ProviderAuth,
    "expiredtoken": ProviderAuth,
    "incompletesignature": ProviderAuth,
    "internalserver": ProviderFailed,
    "invalidsignature": ProviderAuth,
    "malformedmodeloutput": InvalidModelOutput,
    "malformedtooluse": InvalidModelOutput,
    "missingauthenticationtoken": ProviderAuth,
    "modelerror": ProviderFailed,
    "modelnotready": ProviderOverloaded,
    "modelstreamerror": ProviderFailed,
    "modeltimeout": TimeoutTtft,
    "resourcenotfound": ProviderModelUnavailable,
    "servicequotaexceeded": ProviderQuotaExhausted,
    "serviceunavailable": ProviderOverloaded,
    "throttling": ProviderRateLimited,
    "unrecognizedclient": ProviderAuth,
    "validation": ProviderRejected,
}
"""Name of an exception, in lower case and without the word itself."""
_STATUS: Mapping[str, int] = {
    "accessdenied": 403,
    "internalserver": 500,
    "modelstreamerror": 424,
    "modeltimeout": 408,
    "resourcenotfound": 404,
    "serviceunavailable": 503,
    "throttling": 429,
    "validation": 400,
}
"""Status that goes with an exception inside a stream."""


def of_response(response: HttpResponse, wire: str) -> TurnoutError:
    """Map a failed answer to one class. Never raises."""
    tree = tree_of(response.body)
    name = response.headers.get("x-amzn-errortype") or text_in(tree, "__type")
    # "ValidationException:http://…", or with a namespace before a "#".
    word = _word(name.partition(":")[0].rpartition("#")[2])
    return failure(Said(word, text_in(tree, "message", "Message")), response, wire, _WORDS)


def of_frame(frame: EventFrame, wire: str) -> TurnoutError:
    """Map an exception or error frame of a stream to one class. Never raises."""
    word = _word(frame.name)
    message = text_in(tree_of(frame.payload), "message") or frame.headers.get(":error-message", "")
    response = HttpResponse(_STATUS.get(word, 500), {}, frame.payload)
    return failure(Said(word, message), response, wire, _WORDS)


def of_stop(word: str, body: bytes, wire: str) -> TurnoutError:
    """Return the failure that a stop reason stands for (`malformed_model_output`, `malformed_tool_use`)."""
    return failure(Said(_word(word.replace("_", ""))), HttpResponse(200, {}, body), wire, _WORDS)


def _word(name: str) -> str:
    return name.lower().removesuffix("exception")
