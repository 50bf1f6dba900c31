"""Words, counters and limits of the Anthropic messages format. Floor 2.

Sources: Anthropic Messages API reference, "Extended thinking", "Adaptive thinking", "Effort", "Stop reasons"
(platform.claude.com, seen 2025-11 to 2026-08), checked against recorded traffic.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import Struct

from turnout.types.chat import Effort, FinishReason, Reasoning
from turnout.types.deployment import Deployment
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

WIRE = "anthropic"
VERSION = b"2023-06-01"
"""Sent where the client named no `anthropic-version`."""

DEFAULT_MAX_TOKENS = 4096
"""`max_tokens` is required; this is sent where neither the client nor the catalogue knows a limit."""
MIN_BUDGET = 1024
"""The API refuses smaller `budget_tokens`."""
BUDGETS: Mapping[Effort, int] = {
    "none": 0, "minimal": 0, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768,
}  # fmt: skip
"""WIRE.md 12.3. `minimal` would be 512, which the API refuses."""

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASON: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "error": "end_turn",
}
is_good_id = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
_TOKEN = "tn1:"  # noqa: S105 - a prefix, not a credential
_VERSION_AFTER = re.compile(r"claude-(?:[a-z]+-)+(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_VERSION_BEFORE = re.compile(r"claude-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")

write = msgspec.json.Encoder().encode
read = msgspec.json.Decoder().decode


class Traits(Struct, frozen=True):
    """What the generation of a model changes about a request. Other families have the first generation's."""

    known: bool = False
    """The name told the generation."""
    adaptive: bool = False
    """Understands `thinking: adaptive`."""
    budget: bool = True
    """Understands `thinking: enabled` with `budget_tokens`."""
    effort: bool = False
    """Understands `output_config.effort`, with or without thinking."""
    xhigh: bool = False
    """Understands effort `xhigh`; where it does not, `max` is the word above `high`."""
    sampling: bool = True
    """Takes `temperature`, `top_p` and `top_k`."""
    one_sampler: bool = False
    """Refuses `temperature` and `top_p` together."""
    strict_tools: bool = False
    """Understands `strict` on tools."""


_FIRST = Traits()


def traits(to: Deployment) -> Traits:
    """Read the generation from the model's name, as hosts spell it."""
    return _traits(to.upstream_model)


@lru_cache(maxsize=1024)  # models are few, and patterns cost more than all else about them
def _traits(model: str) -> Traits:
    name = model.lower()
    found = _VERSION_AFTER.search(name) or _VERSION_BEFORE.search(name)
    if found is None:
        return _FIRST
    version = (int(found[1]), int(found[2] or 0))
    return Traits(
        known=True,
        effort=version >= (4, 5),
        adaptive=version >= (4, 6),
        budget=version < (4, 7),
        xhigh=version >= (4, 7),
        sampling=version < (4, 7),
        one_sampler=version >= (4, 1),
        strict_tools=version >= (4, 5),
    )


class Finished(NamedTuple):
    """How an answer ended."""

    reason: FinishReason
    native: str | None


def finished(word: str | None, *, has_calls: bool) -> Finished:
    """Translate a stop reason. Tool calls with a natural or unknown stop mean `tool_calls` (WIRE.md 12.2)."""
    reason = _FINISH.get(word or "", "stop")
    if reason == "stop" and has_calls and word != "pause_turn":
        reason = "tool_calls"
    return Finished(reason, word)


def stop_reason(reason: FinishReason, native: str | None, stop_sequence: str | None) -> str:
    """Return the stop reason for an Anthropic client; a word of this format is kept if it means the same."""
    if native is not None and _FINISH.get(native) == reason:
        return native
    if reason == "stop" and stop_sequence is not None:
        return "stop_sequence"
    return _STOP_REASON[reason]


def usage_of(raw: JsonObject) -> Usage:
    """Read counters. The total of cache writes leads; its breakdown only says how much of it lives 1 h."""
    written = integer(raw, "cache_creation_input_tokens")
    by_life = raw.get("cache_creation")
    write_1h = integer(by_life, "ephemeral_1h_input_tokens") if isinstance(by_life, dict) else None
    if written is None and isinstance(by_life, dict):
        write_5m = integer(by_life, "ephemeral_5m_input_tokens")
    else:
        write_5m = None if written is None else max(0, written - (write_1h or 0))
    output = integer(raw, "output_tokens")
    details = raw.get("output_tokens_details")
    thought = integer(details, "thinking_tokens") if isinstance(details, dict) else None
    served = raw.get("server_tool_use")
    searches = n_served = None
    if isinstance(served, dict):
        searches = integer(served, "web_search_requests")
        n_served = sum(integer(served, name) or 0 for name in served)
    return Usage(
        input_uncached=integer(raw, "input_tokens"),
        cache_read=integer(raw, "cache_read_input_tokens"),
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output_text=None if output is None else max(0, output - (thought or 0)),
        reasoning=thought,
        search_units=searches,
        server_tools=n_served,
    )


def add_counters(known: dict[str, Json], later: JsonObject | None) -> None:
    """Take the counters of a later frame: each replaces its elder, none takes it away."""
    if later:
        known.update((name, value) for name, value in later.items() if value is not None)


def usage_object(usage: Usage) -> dict[str, Json]:
    """Write counters: the four that every client reads, and the finer ones where they are known."""
    write_1h = usage.cache_write_1h or 0
    written = (usage.cache_write_5m or 0) + write_1h
    out: dict[str, Json] = {
        "input_tokens": (usage.input_uncached or 0) + (usage.audio_in or 0) + (usage.image_in or 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": usage.n_output,
    }
    if usage.cache_write_1h is not None:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": written - write_1h,
            "ephemeral_1h_input_tokens": write_1h,
        }
    if usage.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.server_tools is not None:
        searches = usage.search_units or 0
        out["server_tool_use"] = {
            "web_search_requests": searches,
            "web_fetch_requests": usage.server_tools - searches,
        }
    return out


def integer(raw: JsonObject, key: str) -> int | None:
    """Return a counter; None where it is missing or no whole number."""
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def string(raw: JsonObject, key: str) -> str:
    """Return a text; "" where it is missing or none."""
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def without(raw: JsonObject, keys: frozenset[str]) -> dict[str, Json]:
    """Return the members that are not named: what a format's own field keeps in `extra`."""
    return {key: value for key, value in raw.items() if key not in keys}


def tool_id(given: str) -> str:
    """Return a tool call id the API accepts: the same where it may be kept, else a stable stand-in."""
    if is_good_id(given):
        return given
    return "toolu_" + blake2b(given.encode(), digest_size=12).hexdigest()


def sealed(thought: Reasoning) -> str:
    """Return the `signature` that carries another format's reasoning through an Anthropic client.

    Such a block must come back with the next turn (so it needs a signature), must reach only the
    provider that made it, and must never reach Anthropic: `unsealed` tells on the way back whose it is.
    """
    kind, payload = ("r", thought.redacted) if thought.redacted is not None else ("s", thought.signature)
    name = thought.id if thought.id and ":" not in thought.id else ""
    return f"{_TOKEN}{thought.wire}:{kind}:{name}:{payload or ''}"


def is_sealed(signature: str) -> bool:
    """Tell whether a signature is ours and not Anthropic's; an empty one is nobody's."""
    return not signature or signature.startswith(_TOKEN)


def unsealed(text: str, signature: str) -> Reasoning:
    """Read a signature that `is_sealed`."""
    if signature.count(":") < 4:
        return Reasoning(text=text)
    _, wire, kind, name, payload = signature.split(":", 4)
    if kind == "r":
        return Reasoning(text=text, redacted=payload or None, id=name or None, wire=wire)
    return Reasoning(text=text, signature=payload or None, id=name or None, wire=wire)
