"""Why recorded calls are in no format that is spoken here. Floor 6.

The same list stands in docs/design/WIRE.md section 15; a call that no reason fits is a finding.
"""

import re
from typing import Final

BINARY: Final = "bytes where this endpoint answers with text"
UNKNOWN: Final = "nobody has looked at this yet"
_REASONS: Final[tuple[tuple[str, str], ...]] = (
    (
        r" /v1/(assistants|threads)",
        "assistants and threads: state at one provider, retired there; passthrough",
    ),
    (r" /v1/vector_stores", "vector stores: a search of one provider's own; passthrough"),
    (r" /v1/traces", "traces of an agent library: not a call of a model"),
    (
        r" .*/realtime/(calls|client_secrets)",
        "realtime by WebRTC: sound would not pass here; WebSocket is served",
    ),
    (r"GET /v1/responses/", "a kept answer streamed again: it is kept as it ended"),
    (r" /v1/responses/compact", "compaction by one provider: it passes as it came, and its items are opaque"),
    (
        r" .*fileSearchStores|/upload/v1beta/",
        "Gemini's files and file search: a store of one provider's own; passthrough",
    ),
    (
        r" .*cachedContents",
        "explicit caches: named in the address of one provider; prompt caching is marked instead",
    ),
    (r" /v1beta/interactions", "Gemini's interactions: newer than its documentation here"),
    (r"anthropic .* /v1/files", "Anthropic's files: kept here for every provider, never at Anthropic"),
    (r"anthropic .* /v1/complete", "Anthropic's text completions: retired"),
    (
        r"mistral .* /v1/(batch|files)",
        "Mistral's batch jobs: batches are taken in OpenAI's, Anthropic's and Gemini's shape",
    ),
    (r"xai .* /v1/batches", "xAI's batches: batches are taken in OpenAI's, Anthropic's and Gemini's shape"),
    (
        r"xai .* /v1/videos|replicate .* /v1/",
        "pictures and films as jobs that are polled: no operation here lasts",
    ),
    (r"xai .* /v1/stt", "xAI's transcription: the recording lost its form, so that nothing can be compared"),
    (r" /v1/ocr", "documents read by Mistral: no operation for it; passthrough"),
    (r" .*/count-tokens", "Bedrock's counter: asked where it is configured, and no format of clients"),
    (
        r" .*amazon.nova-2-multimodal-embeddings",
        "vectors by task, some of them jobs; Titan's and Cohere's are spoken",
    ),
    (r" .*/model/arn", "a model behind an ARN: the address does not say which format it speaks"),
    (
        r" .*/model/does-not-exist/|together/v1/chat|nova-micro-v1%3A0/converse$",
        "the recording has no readable request",
    ),
    (r"cohere .* /v1/tokenize", "tokens of a text by Cohere: not a call of a model"),
    (r"ollama .* /api/embeddings", "Ollama's older vectors: superseded by /api/embed, which is spoken"),
    (r"writer .* /v1/completions", "Writer's first streams: retired; its chat is spoken"),
    (r"^(alephalpha|watsonx|sagemaker|heroku) ", "a provider that is not in the vendor table"),
    (
        r" /api/models/|/(graphql|nodes|meta|objects|schema)(/|$)",
        "not a call of a model: a registry, a database",
    ),
)
_COMPILED: Final = tuple((re.compile(pattern), reason) for pattern, reason in _REASONS)
REASONS: Final = tuple(reason for _, reason in _REASONS)


def reason_for(provider: str, method: str, path: str) -> str:
    """Return why a call is not spoken."""
    call = f"{provider} {method} {path}"
    return next((reason for pattern, reason in _COMPILED if pattern.search(call)), UNKNOWN)
