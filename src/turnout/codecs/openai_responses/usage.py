"""Token counts of responses, both directions. Floor 2."""

from turnout.codecs.openai_responses.wire import Details, UsageOut
from turnout.types.json import Json
from turnout.types.usage import Usage

_NOTHING = Details()


def read_usage(raw: UsageOut | None) -> Usage:
    """Read the counts of any host: cached tokens lie inside the input, reasoning inside the output."""
    if raw is None:
        return Usage()
    n_input, n_output = _count(raw.input_tokens), _count(raw.output_tokens)
    if n_input is None and n_output is None:
        return Usage()
    n_input, n_output = n_input or 0, n_output or 0
    inside, made = raw.input_tokens_details or _NOTHING, raw.output_tokens_details or _NOTHING
    cached = _at_most(_count(inside.cached_tokens), n_input)
    heard = _at_most(_count(inside.audio_tokens), n_input - (cached or 0))
    written = _at_most(_count(inside.cache_write_tokens), n_input - (cached or 0) - (heard or 0))
    reasoning = _at_most(_count(made.reasoning_tokens), n_output)
    spoken = _at_most(_count(made.audio_tokens), n_output - (reasoning or 0))
    return Usage(
        input_uncached=n_input - (cached or 0) - (heard or 0) - (written or 0),
        cache_read=cached,
        cache_write_5m=written,
        output_text=n_output - (reasoning or 0) - (spoken or 0),
        reasoning=reasoning,
        audio_in=heard,
        audio_out=spoken,
        server_tools=_count(raw.num_server_side_tools_used),
    )


def write_usage(usage: Usage) -> dict[str, Json]:
    """Write counts as OpenAI does."""
    written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    inside: dict[str, Json] = {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": written}
    return {
        "input_tokens": usage.n_input,
        "input_tokens_details": inside,
        "output_tokens": usage.n_output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.n_input + usage.n_output,
    }


def _at_most(count: int | None, total: int) -> int | None:
    return None if count is None else min(count, total)


def _count(value: object) -> int | None:
    if type(value) is int:  # the usual case; not a bool
        return value if value >= 0 else None
    return int(value) if isinstance(value, float) and value >= 0 else None
