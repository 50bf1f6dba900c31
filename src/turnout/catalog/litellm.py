"""Read the price map that the litellm package publishes. Floor 1.

Theory of operation. The map is one JSON object: a key per model, a flat row of some 60 optional numbers and
flags. It becomes `Model`s by these rules, in this order:

1. The vendor is the row's `litellm_provider`, by name or alias in vendors.toml, or one of `WITHOUT_VENDOR`.
   Rows of other providers, of kinds that are not served here, and keys that name no single model
   (fine-tuning bases, size and quality classes, commitments) are left out.
2. The id is `vendor/model`; a region in the key moves behind an `@` (`azure/eu/gpt-4o` -> `azure/gpt-4o@eu`).
3. Prices are converted exactly or the row is refused. *Zero is not a price*: the map writes 0 for "free
   tier", "unknown" and "not applicable" alike, so a zero is "not known", save on one's own machine.
4. A flag that is absent says "no" for what a host must offer explicitly (tools, JSON schema, reasoning,
   prompt cache, web search) and "yes" for what nearly every host offers (system messages, streaming, JSON
   object; tool choice and parallel tools where there are tools; logprobs where there is no reasoning). A row
   without any flag says nothing: its capabilities are not known.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Struct

from turnout.catalog.prices import InexactPriceError, pico
from turnout.catalog.vendors import find_vendor, is_free
from turnout.errors import ConfigError
from turnout.types.deployment import Model, ModelKind
from turnout.types.task import KINDS, TaskKind
from turnout.types.usage import PicoUsd, Price, Tier

Row = Mapping[str, object]

SOURCE: Final = "litellm"
WITHOUT_VENDOR: Final = {"bedrock": "bedrock", "bedrock_converse": "bedrock", "vertex_ai": "vertex_ai"}
"""Hosts that are catalogued but speak a wire format of their own."""
SPLIT_WINDOWS: Final = {(272_000, 128_000): 400_000, (922_000, 128_000): 1_050_000}
"""(input limit, output limit) -> window of models whose limits add up to it: OpenAI's GPT-5 and later.

Source: https://developers.openai.com/api/docs/models, genai-prices `context_window`; seen 2026-11-22.
"""
_ID: Final = re.compile(r"[\w./:@+-]+")
_REGION: Final = re.compile(r"us|eu|apac|global|global-standard|us-gov|[a-z]{2}(-gov|-iso)?-[a-z]+-\d")
_NOT_A_MODEL: Final = re.compile(
    r"ft:|sample_spec|fallback_|(fireworks|together)-ai-|.*/container|.*\*|.*-commitment/"
    r"|bedrock/(claude_platform|invoke)/"
)
_SHORTHAND: Final = re.compile(r"fireworks_ai/[^/]+")
"""Names of litellm's own making; the host knows only `accounts/…`."""
_CLASS: Final = re.compile(r"(?:.*/)?(?:\d+-x-\d+|max-x-max|\d+-steps|low|medium|high|hd|standard)/.*")
"""Prices of one model by the size or quality of a picture: none of them is the model's."""
_Task = Literal["rerank", "image", "speech", "transcription", "moderation"]
_TASKS: Final[Mapping[str, _Task]] = {
    "rerank": "rerank",
    "image_generation": "image",
    "image_edit": "image",
    "audio_speech": "speech",
    "audio_transcription": "transcription",
    "moderation": "moderation",
}
"""The map's word -> ours."""
_HEARS: Final = frozenset({"audio"})
_MAKES: Final[Mapping[TaskKind, frozenset[str]]] = {
    "image": frozenset({"image"}),
    "speech": frozenset({"audio"}),
}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIER: Final = re.compile(
    r"(input_cost_per_token|output_cost_per_token|cache_read_input_token_cost"
    r"|cache_creation_input_token_cost(?:_above_1hr)?|output_cost_per_reasoning_token)_above_(\d+)k_tokens"
)
_EXPLICIT: Final = {
    "supports_function_calling": "tools",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
    "supports_prompt_caching": "prompt_cache",
    "supports_web_search": "web_search",
}
_IMPLIED: Final = {
    "supports_system_messages": "system",
    "supports_native_streaming": "streaming",
    "supports_json_object": "json_object",
}
_IMPLIED_BY_TOOLS: Final = {
    "supports_tool_choice": "tool_choice",
    "supports_parallel_function_calling": "parallel_tools",
}
_INPUTS: Final = {
    "supports_vision": "image",
    "supports_pdf_input": "document",
    "supports_audio_input": "audio",
    "supports_video_input": "video",
}


class Converted(Struct, frozen=True):
    """What a map holds that Turnout can use."""

    models: Mapping[str, Model]
    refused: tuple[str, ...]
    """One line per row that should have been usable and is not."""


def read_map(data: bytes) -> Mapping[str, Row]:
    """Parse a map, keeping every number exact.

    Raises:
        ConfigError: It is no JSON object of objects.
    """
    decoder = msgspec.json.Decoder(dict[str, dict[str, object]], float_hook=Decimal)
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError((f"not a price map of litellm: {error}",)) from error


def convert(rows: Mapping[str, Row]) -> Converted:
    """Convert every usable row. Where two keys name one model, the key with the provider in it wins."""
    models: dict[str, Model] = {}
    refused = []
    for key in sorted(rows, key=lambda key: ("/" in key, key)):
        row = rows[key]
        ident, kind = _ident(key, row), _kind(row)
        if ident is None or kind is None:
            continue
        try:
            models[ident] = _model(ident, kind, row)
        except InexactPriceError as error:
            refused.append(f"{key}: {error}")
    return Converted(models, tuple(refused))


def _ident(key: str, row: Row) -> str | None:
    provider = row.get("litellm_provider")
    if not isinstance(provider, str) or any(each.fullmatch(key) for each in (_CLASS, _SHORTHAND)):
        return None
    if _NOT_A_MODEL.match(key):
        return None
    vendor = _vendor_name(provider)
    if vendor is None:
        return None
    head, _, rest = key.partition("/")
    name = rest if rest and _vendor_name(head) == vendor else key
    region, _, inner = name.partition("/")
    if inner and _REGION.fullmatch(region):
        name = f"{inner}@{region}"
    return f"{vendor}/{name}" if _ID.fullmatch(name) else None


def _vendor_name(provider: str) -> str | None:
    family = provider.partition("-")[0]  # vertex_ai-anthropic_models, fireworks_ai-embedding-models
    for name in (provider, family):
        if name in WITHOUT_VENDOR:
            return WITHOUT_VENDOR[name]
        if found := find_vendor(name):
            return found.name
    return None


def _kind(row: Row) -> ModelKind | None:
    mode = row.get("mode")
    if mode == "embedding":
        return "embedding"
    if isinstance(mode, str) and mode in _TASKS:
        return "chat" if "/v1/chat/completions" in _endpoints(row) else _TASKS[mode]
    if mode not in {"chat", "responses"}:
        return None
    endpoints = _endpoints(row)
    if endpoints:
        return "chat" if "/v1/chat/completions" in endpoints else "other"
    return "chat" if mode == "chat" else "other"


def _endpoints(row: Row) -> list[object]:
    found = row.get("supported_endpoints")
    return found if isinstance(found, list) else []


def _model(ident: str, kind: ModelKind, row: Row) -> Model:
    if kind in KINDS:
        return _performer(ident, kind, row)
    max_input, max_output = _count(row, "max_input_tokens"), _count(row, "max_output_tokens")
    window = SPLIT_WINDOWS.get((max_input or 0, max_output or 0))
    retires = row.get("deprecation_date")
    is_embedding = kind == "embedding"
    return Model(
        id=ident,
        context_window=window or max_input,
        max_input=max_input if window else None,
        max_output=None if is_embedding else max_output,
        price=_price(ident, row, is_embedding=is_embedding),
        modalities_in=_modalities(row, "supported_modalities", _INPUTS),
        modalities_out=frozenset({"embedding"}) if is_embedding else _outputs(row),
        capabilities=frozenset({"embeddings"}) if is_embedding else _capabilities(row),
        kind=kind,
        retires_on=retires if isinstance(retires, str) and _DATE.fullmatch(retires) else None,
        embedding_dimensions=_count(row, "output_vector_size"),
        source=SOURCE,
    )


def _performer(ident: str, kind: ModelKind, row: Row) -> Model:
    """Return a model that is made for one operation."""
    task = _TASKS[str(row["mode"])]
    heard = _HEARS if task == "transcription" else frozenset()
    return Model(
        id=ident,
        max_input=None if task == "transcription" else _count(row, "max_input_tokens"),
        price=_task_price(ident, task, row),
        modalities_in=heard or _modalities(row, "supported_modalities", _INPUTS),
        modalities_out=_MAKES.get(task, frozenset({"text"})),
        capabilities=frozenset({task}),
        kind=kind,
        source=SOURCE,
    )


def _task_price(ident: str, task: TaskKind, row: Row) -> Price | None:
    """Return the price of an operation: by the token where there is one, else by its unit.

    The map gives a price by the second or the piece beside one by the token as an equivalent: charged for
    twice, it would be wrong.
    """
    free = PicoUsd(0)
    if is_free(ident):
        return Price(input=free, output=free, source=SOURCE)
    by_token = Price(
        input=_usd(row, "input_cost_per_token") or free,
        output=_usd(row, "output_cost_per_token") or free,
        audio_in=_usd(row, "input_cost_per_audio_token"),
        audio_out=_usd(row, "output_cost_per_audio_token"),
        image_in=_usd(row, "input_cost_per_image_token"),
        image_out=_usd(row, "output_cost_per_image_token"),
        source=SOURCE,
    )
    if by_token.image_out or (by_token.input and (task in {"rerank", "moderation"} or by_token.output)):
        return by_token
    if by_token.input and by_token.audio_out:
        return by_token
    by_unit = Price(
        input=free,
        output=free,
        per_search=_usd(row, "input_cost_per_query") if task == "rerank" else None,
        per_image=(_usd(row, "output_cost_per_image") or _usd(row, "input_cost_per_image"))
        if task == "image"
        else None,
        per_character=_usd(row, "input_cost_per_character") if task == "speech" else None,
        per_second=(_usd(row, "input_cost_per_second") or _usd(row, "output_cost_per_second"))
        if task == "transcription"
        else None,
        source=SOURCE,
    )
    units = (by_unit.per_search, by_unit.per_image, by_unit.per_character, by_unit.per_second)
    return by_unit if any(units) else None


def _price(ident: str, row: Row, *, is_embedding: bool) -> Price | None:
    if is_free(ident):
        return Price(input=PicoUsd(0), output=PicoUsd(0), source=SOURCE)
    base, tiers = _steps(row)
    price_in, price_out = _usd(base, "input_cost_per_token"), _usd(base, "output_cost_per_token")
    if is_embedding and price_out is None:
        price_out = PicoUsd(0)
    if price_in is None or price_out is None:
        return None
    return Price(
        input=price_in,
        output=price_out,
        cache_read=_usd(base, "cache_read_input_token_cost"),
        cache_write_5m=_usd(base, "cache_creation_input_token_cost"),
        cache_write_1h=_usd(base, "cache_creation_input_token_cost_above_1hr"),
        reasoning=_usd(base, "output_cost_per_reasoning_token"),
        audio_in=_usd(row, "input_cost_per_audio_token"),
        audio_out=_usd(row, "output_cost_per_audio_token"),
        image_out=_usd(row, "output_cost_per_image_token"),
        per_image=None if _usd(row, "output_cost_per_image_token") else _usd(row, "output_cost_per_image"),
        per_request=_usd(row, "input_cost_per_request"),
        per_search=_usd(_nested(row, "search_context_cost_per_query"), "search_context_size_medium"),
        batch_share=_batch_share(row),
        tiers=tuple(_tier(above, tiers[above], price_in, price_out) for above in sorted(tiers)),
        source=SOURCE,
    )


def _steps(row: Row) -> tuple[Row, dict[int, Row]]:
    """Return the base prices, and further ones by the input size above which they apply, equally named."""
    listed = row.get("tiered_pricing")
    if isinstance(listed, list) and listed:
        steps: dict[int, Row] = {_lower_bound(step): step for step in listed if isinstance(step, dict)}
        base = steps.pop(0, {})
        return {**base, **{name: value for name, value in row.items() if name not in base}}, steps
    tiers: dict[int, dict[str, object]] = {}
    for name, value in row.items():
        if found := _TIER.fullmatch(name):
            tiers.setdefault(int(found[2]) * 1000, {})[found[1]] = value
    return row, dict(tiers)


def _lower_bound(step: Row) -> int:
    bounds = step.get("range")
    low = bounds[0] if isinstance(bounds, list) and bounds else 0
    return int(low) if isinstance(low, (int, Decimal)) else 0


def _tier(above: int, row: Row, price_in: PicoUsd, price_out: PicoUsd) -> Tier:
    tier_in, tier_out = _usd(row, "input_cost_per_token"), _usd(row, "output_cost_per_token")
    return Tier(
        above_input_tokens=above,
        input=price_in if tier_in is None else tier_in,
        output=price_out if tier_out is None else tier_out,
        cache_read=_usd(row, "cache_read_input_token_cost"),
        cache_write=_usd(row, "cache_creation_input_token_cost"),
        cache_write_1h=_usd(row, "cache_creation_input_token_cost_above_1hr"),
        reasoning=_usd(row, "output_cost_per_reasoning_token"),
    )


def _batch_share(row: Row) -> float | None:
    """Return the larger of the shares of input and output, so that an estimate is never too low."""
    shares = []
    for name in ("input_cost_per_token", "output_cost_per_token"):
        full, batch = _usd(row, name), _usd(row, f"{name}_batches")
        if full and batch:
            shares.append(Decimal(batch) / Decimal(full))
    return float(round(max(shares), 4)) if shares else None


def _modalities(row: Row, listed: str, flags: Mapping[str, str]) -> frozenset[str]:
    words = row.get(listed)
    named = {word for word in words if isinstance(word, str)} if isinstance(words, list) else set()
    flagged = {word for flag, word in flags.items() if row.get(flag) is True}
    return frozenset({"text"} | flagged | (named & {"image", "audio", "video"}))


def _outputs(row: Row) -> frozenset[str]:
    listed = _modalities(row, "supported_output_modalities", {"supports_audio_output": "audio"})
    return listed | {"image"} if row.get("mode") == "image_generation" else listed


def _capabilities(row: Row) -> frozenset[str] | None:
    flags = {name: value for name, value in row.items() if name.startswith("supports_")}
    if not flags:
        return None
    found = {word for flag, word in _EXPLICIT.items() if flags.get(flag) is True}
    implied = {**_IMPLIED, **(_IMPLIED_BY_TOOLS if "tools" in found else {})}
    if "reasoning" not in found:
        implied["supports_logprobs"] = "logprobs"
    return frozenset(found | {word for flag, word in implied.items() if flags.get(flag) is not False})


def _usd(row: Row, name: str) -> PicoUsd | None:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or value == 0:
        return None
    return pico(Decimal(value))


def _nested(row: Row, name: str) -> Row:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _count(row: Row, name: str) -> int | None:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or value <= 0:
        return None
    return int(value)
