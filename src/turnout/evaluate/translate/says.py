"""What each chat format can say beside words and tools, and how a loss is told. Floor 6.

Sources: the table of WIRE.md 12.3 and the providers' reference pages; a feature that is missing here is one
that the format has no word for.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_TALK: Final = frozenset(
    {"text", "system", "tool", "tool.description", "tool.schema", "tool_call", "tool_result", "order"}
    | {"tool_result.call", "max_tokens", "temperature", "top_p", "stream", "text.parts", "tool.others"}
)
_SAMPLING: Final = frozenset({"top_k", "seed", "presence_penalty", "frequency_penalty", "stop"})
_SHAPE_OUT: Final = frozenset({"response_format.schema", "response_format.json_object"})
_CHOICE: Final = frozenset({"tool_choice", "tool_choice.allowed"})
_OPENAI: Final = (
    _TALK
    | _SHAPE_OUT
    | _CHOICE
    | {"response_format.name", "response_format.strict", "response_format.description", "system.place"}
    | {"image", "image.type", "image.url", "image.detail", "document", "document.type", "document.name"}
    | {"tool.strict", "tool_call.custom", "parallel_tool_calls", "logprobs", "top_logprobs", "user"}
    | {
        "thinking.on",
        "thinking.off",
        "thinking.effort",
        "refusal",
        "service_tier",
        "metadata",
        "prompt_cache_key",
    }
    | {"prompt_cache_retention", "safety_identifier", "verbosity", "text.verbosity"}
    | {"text.prompt_cache_breakpoint"}
)
_CACHE: Final = frozenset({"cache_control", "tool.cache_control"})
CAN: Final[Mapping[str, frozenset[str]]] = {
    "openai_chat": _OPENAI
    | (_SAMPLING - {"top_k"})
    | {"n", "logit_bias", "audio", "audio.type", "message.name"},
    "openai_responses": _OPENAI | {"document.url", "thinking.summary", "thinking.shown"},
    "anthropic": _TALK
    | _CACHE
    | _CHOICE
    | {
        "image",
        "image.type",
        "image.url",
        "document",
        "document.type",
        "document.url",
        "response_format.schema",
    }
    | {
        "document.name",
        "tool.strict",
        "parallel_tool_calls",
        "top_k",
        "stop",
        "user",
        "thinking.on",
        "thinking.off",
    }
    | {"thinking.effort", "thinking.budget_tokens", "thinking.shown", "tool_result.is_error"},
    "gemini": _TALK
    | _SAMPLING
    | _SHAPE_OUT
    | _CHOICE
    | {f"{kind}{more}" for kind in ("image", "audio", "video", "document") for more in ("", ".type", ".url")}
    | {
        "n",
        "logprobs",
        "top_logprobs",
        "thinking.on",
        "thinking.off",
        "thinking.effort",
        "thinking.budget_tokens",
    }
    | {"thinking.shown", "tool_result.value"},
    "bedrock": _TALK
    | _CACHE
    | _CHOICE
    | {"response_format.schema", "response_format.name", "response_format.description", "stop", "top_k"}
    | {"image", "image.type", "video", "video.type", "document", "document.type", "document.name"}
    | {"tool.strict", "thinking.on", "thinking.off", "thinking.effort", "thinking.budget_tokens"}
    | {"tool_result.is_error", "tool_result.value"},
    "cohere": _TALK
    | _SAMPLING
    | _SHAPE_OUT
    | _CHOICE
    | {"image", "image.type", "image.url", "image.detail", "tool.strict", "thinking.on", "thinking.off"}
    | {"thinking.budget_tokens"},
    "ollama": _TALK | _SAMPLING | _SHAPE_OUT | {"image", "thinking.on", "thinking.off"},
}
"""Format -> features it has a word for."""

_ALL: Final = frozenset(CAN)
_OPENAIS: Final = frozenset({"openai_chat", "openai_responses"})
_SHOWS: Final = frozenset({"anthropic", "bedrock", "cohere", "ollama"})
_SCHEMED: Final = frozenset({"anthropic", "gemini", "bedrock", "cohere", "ollama"})
RESHAPED: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "order": (_ALL, "Words, calls and results stand in another order, or instructions in another place."),
    "text.parts": (_ALL, "Parts are joined with white space: every word is there."),
    "tool_result.media": (_ALL, "What a tool showed stands in a turn of the user behind its answer."),
    "tool_result.value": (_ALL, "A structured result travels as the text of its JSON."),
    "tool.others": (_ALL, "Tools that could not be called are left out: the same as naming the others."),
    "response_format.name": (_SCHEMED, "A label: no answer depends on it."),
    "response_format.strict": (_SCHEMED, "The format keeps to every schema; it has no other way."),
    "thinking.shown": (_SHOWS, "Thoughts come back whenever the model thinks."),
    "thinking.off": (frozenset({"anthropic", "bedrock"}), "The model does not think unless it is asked to."),
    "thinking.on": (
        frozenset({"openai_chat", "openai_responses", "gemini"}),
        "Models that can think do so by themselves, as much as they find right.",
    ),
    "image.type": (frozenset({"ollama"}), "The type of a picture is read from how its bytes begin."),
}
"""Feature -> formats in which it may come back in another shape without a notice, and why nothing is lost."""

LIMITS: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "cache_control": (
        frozenset({"bedrock"}),
        "An hour cannot be asked for: the mark stays, its life does not.",
    ),
    "document": (
        frozenset({"openai_chat", "anthropic"}),
        "Not every type: OpenAI takes no text by content, Anthropic takes PDF and text.",
    ),
    "document.url": (_ALL, "Hosts that spell it in words of their own take it; OpenAI takes content."),
    "response_format.schema": (
        frozenset({"anthropic", "bedrock", "cohere"}),
        "Keywords that the API refuses are taken out, and open objects closed, as it demands.",
    ),
    "service_tier": (_OPENAIS, "Anthropic's words name other prices than OpenAI's."),
    "system": (
        frozenset({"anthropic", "bedrock"}),
        "A conversation of instructions alone becomes a turn of the user.",
    ),
    "temperature": (frozenset({"anthropic"}), "A model that thinks takes 1 alone, and none takes more."),
    "text.prompt_cache_breakpoint": (_OPENAIS, "Not carried from one of OpenAI's formats to the other yet."),
    "thinking.budget_tokens": (
        _ALL,
        "Below or above what the model takes, or in a request that forbids thinking.",
    ),
    "thinking.effort": (
        _ALL,
        "A level the model has not becomes the nearest; a forced call forbids thinking.",
    ),
    "thinking.off": (_ALL, "Not every model can be told not to think: the least it can is asked for."),
    "thinking.on": (_ALL, "A forced call, or a limit too small to think within, forbids it."),
    "tool.strict": (frozenset({"cohere"}), "All tools are strict or none: of some alone it cannot be said."),
    "top_k": (frozenset({"anthropic"}), "A model that thinks refuses it."),
    "top_p": (frozenset({"anthropic"}), "Newer models take either this or the temperature."),
}
"""Feature -> formats that can say it, and in which values or company they cannot; it is told then."""

_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "cache_control": frozenset({"cache_control.ttl"}),
    "thinking": frozenset({"reasoning_approximated", "reasoning_effort", "thinking"}),
    "reasoning": frozenset({"reasoning_dropped"}),
    "response_format": frozenset({"schema_adapted"}),
    "block": frozenset({"native_block_dropped", "tool_media_dropped", "messages"}),
    "image": frozenset({"tool_media_dropped"}),
    "document": frozenset({"tool_media_dropped"}),
    "message": frozenset({"messages.name"}),
    "temperature": frozenset({"temperature_clamped"}),
    "max_tokens": frozenset({"max_tokens_clamped"}),
    "tool.strict": frozenset({"tool_strict_dropped"}),
    "tool.schema": frozenset({"schema_adapted"}),
    "tool_choice": frozenset({"tool_choice_approximated"}),
    "tool_call": frozenset({"tool_arguments_wrapped"}),
    "tool_call.signature": frozenset({"reasoning_dropped"}),
    "system.place": frozenset({"system_folded"}),
    "system": frozenset({"system_as_user"}),
    "document.text": frozenset({"documents"}),
    "document.name": frozenset({"documents"}),
    "thinking.hidden": frozenset({"thinking.include"}),
    "thinking.shown": frozenset({"thinking.include"}),
    "image.detail": frozenset({"image_url.detail"}),
}
"""Feature, or what stands before its dot -> the closed words that tell its loss, beside its own name."""
_MEDIA: Final = re.compile(r"\b(image|audio|video|document)s?\b")
_WAYS: Final = ("", ".url", ".id", ".text")


def is_reshaped(name: str, writer: str) -> bool:
    """Tell whether a format says a feature in another shape that means the same."""
    formats, _ = RESHAPED.get(name, (frozenset(), ""))
    return writer in formats


def is_limited(name: str, writer: str) -> bool:
    """Tell whether a format that has a word for a feature may be short of it, and says so."""
    formats, _ = LIMITS.get(name, (frozenset(), ""))
    return writer in formats


def is_told(name: str, notices: Iterable[str]) -> bool:
    """Tell whether a loss was told: by the feature's own name, its field's, or a word that means it."""
    head, _, tail = name.partition(".")
    head = head.partition(" ")[0]
    words = (
        {name, head, tail, f"messages.{tail}"} | _WORDS.get(name, frozenset()) | _WORDS.get(head, frozenset())
    )
    if head == "block":
        words.add("messages." + name.partition(" ")[2])
    return not words.isdisjoint(notices)


def causes(features: Iterable[str], param: str, message: str) -> tuple[str, ...]:
    """Return the features for whose sake a request was refused."""
    found = tuple(features)
    media = _MEDIA.search(message)
    if param == "tools":
        return tuple(name for name in found if name.startswith("server tool"))
    if media is not None:
        way = (
            ".url"
            if "address" in message or "URL" in message
            else ".id"
            if "stored" in message or "file id" in message
            else ""
        )
        exact = tuple(name for name in found if way and name == media[1] + way)
        return exact or tuple(name for name in found if name in {media[1] + each for each in _WAYS})
    return tuple(name for name in found if param and name.partition(".")[0] == param)
