"""The JSON of a request before and after, value by value: what no feature accounts for. Floor 6.

The second comparison, which knows nothing of our types: every value of the body that was recorded is looked
for in the body that came back, wherever it stands there. It may stand in another spelling (a number as
`1.0`, JSON as text, base64 in its other alphabet, words with other white space), and it may be missing where
a feature that was lost says so, or where the list below does.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from turnout.types.json import Json

_SPELLING: Final = re.compile(
    r"(^|\.)(type|role|id|call_id|tool_use_id|toolUseId|tool_call_id|status|index|strict|format|mode|model"
    r"|stream|include_usage|propertyOrdering|nullable|media_type|mime_?type|responseMimeType|obfuscation)$",
    re.IGNORECASE,
)
"""Last members that say how another one is to be read, or whose meaning the features compare."""
_MEANS: Final[Mapping[str, re.Pattern[str]]] = {
    "reasoning": re.compile(
        r"thinking|reasoning|plan|signature|summary|encrypted|redacted|text$", re.IGNORECASE
    ),
    "tool_call": re.compile(r"signature", re.IGNORECASE),
    "thinking": re.compile(r"think|effort|reasoning", re.IGNORECASE),
    "block": re.compile(r"^(messages|input|contents|system)\."),
    "document": re.compile(r"file|document|source|title|inlineData", re.IGNORECASE),
    "image": re.compile(r"image|detail", re.IGNORECASE),
    "video": re.compile(r"video", re.IGNORECASE),
    "frequency_penalty": re.compile(r"penalty", re.IGNORECASE),
    "top_k": re.compile(r"top_?k$", re.IGNORECASE),
    "top_p": re.compile(r"top_?p$", re.IGNORECASE),
}
"""What stands before the dot or space of a feature -> paths whose values go with it, beside its own name."""
_PLACES: Final = re.compile(
    r"^(tool_choice|toolConfig|toolChoice|function_call|include|n|models|provider|transforms|usage|preset"
    r"|parallel_tool_calls|background|store|truncation|plugins|route|session_id|metadata|stream_options"
    r"|generationConfig\.(responseModalities|candidateCount|thinkingConfig))(\.|$)"
    r"|^(thinking|reasoning|reasoning_effort|output_config\.effort)(\.|$)"
    r"|^(inferenceConfig|additionalModelRequestFields|text\.format|output_format|response_format)(\.|$)"
    r"|^(tools|functions|toolConfig)\.|^generationConfig\.response(Json)?Schema\.|outputConfig"
)
"""Fields whose values other formats spell in words of their own: the features hold their meaning; and those
that the gateway itself reads."""
_BYTES: Final = ("data", "bytes", "url")
"""Last members under which documents stand as base64."""
_SIGNS: Final = re.compile(r"[\W_]+")


def unexplained(
    before: Mapping[str, Json], after: Mapping[str, Json], gone: Sequence[str]
) -> tuple[str, ...]:
    """Return the paths, without positions, of values that are nowhere in the second body.

    Args:
        before: A request's body.
        after: What it came back as.
        gone: Features that were lost: what goes with one of them is explained.
    """
    whole = " ".join(text for _, text in _leaves(after, ""))
    found = dict.fromkeys(path for path, text in _leaves(before, "") if text and text not in whole)
    return tuple(
        path
        for path in found
        if not (_SPELLING.search(path) or _PLACES.search(path) or any(_explains(name, path) for name in gone))
    )


def _explains(name: str, path: str) -> bool:
    head = re.split(r"[. ]", name, maxsplit=1)[0]
    means = _MEANS.get(head)
    return (
        head in path
        or path.endswith(name.rpartition(".")[2])
        or (means is not None and means.search(path) is not None)
    )


def _leaves(value: Json, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, f"{path}.{key}" if path else key)
        case list():
            for inner in value:
                yield from _leaves(inner, path)
        case str() if value[:1] in ("{", "["):
            yield path, _SIGNS.sub("", value).lower()
            try:
                yield from ((path, text) for _, text in _leaves(msgspec.json.decode(value), ""))
            except (msgspec.DecodeError, RecursionError):
                return
        case "auto" | "5m":
            pass  # what an absent value means
        case str():
            yield path, _SIGNS.sub("", _decoded(value.partition(";base64,")[2] or value, path)).lower()
        case int() | float() if not isinstance(value, bool):
            yield path, format(value, "g").replace(".", "")
        case _:
            pass


def _decoded(text: str, path: str) -> str:
    """Return the words of a document that stands there as base64; any other text as it is."""
    if not path.endswith(_BYTES):
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text
