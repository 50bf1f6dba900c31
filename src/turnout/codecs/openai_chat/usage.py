"""Token counts of OpenAI-style answers, both directions. Floor 2.

Hosts agree on `prompt_tokens` and `completion_tokens`, not on what these contain. Their sums tell:
`total_tokens` beyond both is audio (Mistral) or reasoning (xAI, Gemini's OpenAI endpoint) counted apart.
"""

from turnout.codecs.openai_chat.wire import TokenDetails, UsageOut, XGroq
from turnout.types.json import Json
from turnout.types.usage import Usage

_NOTHING = TokenDetails()
_NO_COUNTS = UsageOut()


def read_usage(raw: UsageOut) -> Usage:
    """Read the counts of any OpenAI-style host."""
    p, c, both = raw.prompt_tokens, raw.completion_tokens, raw.total_tokens
    if type(p) is int and type(c) is int and p >= 0 <= c and both == p + c and raw == UsageOut(p, c, both):
        return Usage(input_uncached=p, output_text=c)  # the plain case, at a fifth of the price
    prompt, completion = _count(p), _count(c)
    if prompt is None and completion is None:
        return Usage()
    prompt, completion = prompt or 0, completion or 0
    inside, made = raw.prompt_tokens_details or _NOTHING, raw.completion_tokens_details or _NOTHING
    cached = _count(inside.cached_tokens)
    if cached is None:
        cached = _cached(raw)
    written = _first(inside.cache_write_tokens, inside.cache_creation_tokens)
    heard = _first(inside.audio_tokens, raw.audio_prompt_tokens)
    reasoning, spoken = _count(made.reasoning_tokens), _count(made.audio_tokens)
    apart = (_count(raw.total_tokens) or 0) - prompt - completion
    if apart > 0 and heard == apart:
        prompt += apart
    elif apart > 0:
        completion += apart
        reasoning = apart if reasoning is None else reasoning
    uncached, cached, heard, written = _split(prompt, cached, heard, written)
    words, reasoning, spoken, _ = _split(completion, reasoning, spoken, None)
    tools = raw.server_tool_use_details
    return Usage(
        input_uncached=uncached,
        cache_read=cached,
        cache_write_5m=written,
        output_text=words,
        reasoning=reasoning,
        audio_in=heard,
        audio_out=spoken,
        search_units=_count(raw.num_search_queries),
        server_tools=None if tools is None else _count(tools.web_search_requests),
    )


def usage_in(usage: UsageOut | None, x_groq: XGroq | None) -> Usage | None:
    """Return the usage an answer or chunk carries, also where Groq keeps it; None if it has none."""
    if usage is None:
        usage = None if x_groq is None else x_groq.usage
    return None if usage is None or usage == _NO_COUNTS else read_usage(usage)


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


def _split(
    total: int, first: int | None, second: int | None, third: int | None
) -> tuple[int, int | None, int | None, int | None]:
    """Take shares off a total, each cut to what is left: some hosts count one token in two of them."""
    if first:
        first = min(first, total)
        total -= first
    if second:
        second = min(second, total)
        total -= second
    if third:
        third = min(third, total)
        total -= third
    return total, first, second, third


def _cached(raw: UsageOut) -> int | None:
    """Read the cached count where hosts without `prompt_tokens_details` keep it."""
    return _first(
        raw.prompt_cache_hit_tokens, raw.cached_tokens, raw.num_cached_tokens, raw.cache_read_input_tokens
    )


def _first(*values: object) -> int | None:
    for value in values:
        count = _count(value)
        if count is not None:
            return count
    return None


def _count(value: object) -> int | None:
    if type(value) is int:  # the usual case; not a bool
        return value if value >= 0 else None
    return int(value) if isinstance(value, float) and value >= 0 else None
