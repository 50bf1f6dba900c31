"""Token counts of OpenAI-style answers, both directions. Floor 2.

Hosts agree on `prompt_tokens` and `completion_tokens`, not on what these contain. Their sums tell:
`total_tokens` beyond both is audio (Mistral) or reasoning (xAI, Gemini's OpenAI endpoint) counted apart.
"""

from collections.abc import Mapping

from turnout.types.json import Json
from turnout.types.usage import Usage

_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens")
"""Where hosts without `prompt_tokens_details.cached_tokens` keep the count."""


def read_usage(raw: Mapping[str, object]) -> Usage:
    """Read a raw usage object of any OpenAI-style host."""
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    if prompt is None and completion is None:
        return Usage()
    prompt, completion = prompt or 0, completion or 0
    details, made = _object(raw, "prompt_tokens_details"), _object(raw, "completion_tokens_details")
    cached = _first(details, "cached_tokens")
    if cached is None:
        cached = _first(raw, *_CACHED)
    written = _first(details, "cache_write_tokens", "cache_creation_tokens")
    heard = _first(details, "audio_tokens") or _first(raw, "audio_prompt_tokens")
    reasoning = _first(made, "reasoning_tokens")
    spoken = _first(made, "audio_tokens")
    apart = max(0, (_count(raw, "total_tokens") or 0) - prompt - completion)
    if apart and heard == apart:
        prompt += apart
    elif apart:
        completion += apart
        reasoning = apart if reasoning is None else reasoning
    uncached, (cached, heard, written) = _split(prompt, cached, heard, written)
    words, (reasoning, spoken) = _split(completion, reasoning, spoken)
    return Usage(
        input_uncached=uncached,
        cache_read=cached,
        cache_write_5m=written,
        output_text=words,
        reasoning=reasoning,
        audio_in=heard,
        audio_out=spoken,
        search_units=_first(raw, "num_search_queries"),
        server_tools=_first(_object(raw, "server_tool_use_details"), "web_search_requests"),
    )


def usage_in(usage: Mapping[str, object] | None, x_groq: object) -> Usage | None:
    """Return the usage an answer or chunk carries, also where Groq keeps it; None if it has none."""
    if not usage and isinstance(x_groq, Mapping):
        usage = _object(x_groq, "usage")
    return read_usage(usage) if usage else None


def write_usage(usage: Usage, cost_usd: str | None = None) -> dict[str, Json]:
    """Write counts as OpenAI does; `cost_usd` is added for clients that asked for it."""
    prompt: dict[str, Json] = {"cached_tokens": usage.cache_read or 0, "audio_tokens": usage.audio_in or 0}
    written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    if written:
        prompt["cache_write_tokens"] = written
    out: dict[str, Json] = {
        "prompt_tokens": usage.n_input,
        "completion_tokens": usage.n_output,
        "total_tokens": usage.n_input + usage.n_output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning or 0,
            "audio_tokens": usage.audio_out or 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if cost_usd is not None:
        out["cost"] = float(cost_usd)
    return out


def _split(total: int, *shares: int | None) -> tuple[int, tuple[int | None, ...]]:
    """Take shares off a total, each cut to what is left: some hosts count one token in two of them."""
    cut: list[int | None] = []
    for share in shares:
        cut.append(None if share is None else min(share, total))
        total -= cut[-1] or 0
    return total, tuple(cut)


def _object(raw: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _count(raw: Mapping[str, object], key: str) -> int | None:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return int(value)


def _first(raw: Mapping[str, object], *keys: str) -> int | None:
    return next((count for key in keys if (count := _count(raw, key)) is not None), None)
