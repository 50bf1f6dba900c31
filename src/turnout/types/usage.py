"""What a call consumed and what it costs. Floor 0.

Money is `int` nano-USD. Prices are kept finer (pico-USD per unit) so that a price of 0.0375 USD per
million tokens is exact, and a sum is rounded up once, at its end.
"""

from typing import NewType

from msgspec import Struct

NanoUsd = NewType("NanoUsd", int)
PicoUsd = NewType("PicoUsd", int)
"""10⁻¹² USD. 1 USD per million tokens = 1,000,000 pico-USD per token."""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counted consumption of one call. None = not reported, which is not zero."""

    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output_text: int | None = None
    """Output tokens without reasoning and audio."""
    reasoning: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    image_in: int | None = None
    """Input tokens of pictures, where they are counted apart."""
    image_out: int | None = None
    """Output tokens of pictures, likewise."""
    images: int | None = None
    """Pictures made, where they are sold by the piece."""
    characters: int | None = None
    """Characters spoken."""
    audio_s: int | None = None
    """Seconds of sound heard, rounded up."""
    search_units: int | None = None
    server_tools: int | None = None

    @property
    def n_input(self) -> int:
        """All input tokens: uncached, read from and written to a cache, audio and pictures."""
        return (
            (self.input_uncached or 0)
            + (self.cache_read or 0)
            + (self.cache_write_5m or 0)
            + (self.cache_write_1h or 0)
            + (self.audio_in or 0)
            + (self.image_in or 0)
        )

    @property
    def n_output(self) -> int:
        """All output tokens: text, reasoning, audio and pictures."""
        return (self.output_text or 0) + (self.reasoning or 0) + (self.audio_out or 0) + (self.image_out or 0)


class Tier(Struct, frozen=True):
    """Prices that apply to the whole call once its input exceeds a size."""

    above_input_tokens: int
    input: PicoUsd
    output: PicoUsd
    cache_read: PicoUsd | None = None
    cache_write: PicoUsd | None = None
    cache_write_1h: PicoUsd | None = None
    reasoning: PicoUsd | None = None


class Price(Struct, frozen=True, kw_only=True):
    """Pico-USD per token (or per unit, where named). None = falls back as each field says."""

    input: PicoUsd
    output: PicoUsd
    cache_read: PicoUsd | None = None
    """None = the input price: a provider without a discount."""
    cache_write_5m: PicoUsd | None = None
    """None = the input price."""
    cache_write_1h: PicoUsd | None = None
    """None = the 5-minute price."""
    reasoning: PicoUsd | None = None
    """None = the output price."""
    audio_in: PicoUsd | None = None
    audio_out: PicoUsd | None = None
    image_in: PicoUsd | None = None
    """None = the input price."""
    image_out: PicoUsd | None = None
    """None = the output price."""
    per_image: PicoUsd | None = None
    per_request: PicoUsd | None = None
    per_search: PicoUsd | None = None
    per_character: PicoUsd | None = None
    """Of text that is spoken."""
    per_second: PicoUsd | None = None
    """Of sound that is heard."""
    batch_share: float | None = None
    """Price of a batch call as a share of this price; None = no batch price known."""
    tiers: tuple[Tier, ...] = ()
    """Rising by `above_input_tokens`."""
    source: str = ""
    """Where the price was read."""
    as_of: str = ""
    """ISO date on which it was read."""


def cost(usage: Usage, price: Price) -> NanoUsd:
    """Price a call exactly; nano-USD, rounded up once."""
    p = _tiered(price, usage.n_input) if price.tiers else price
    n_in, n_out = usage.input_uncached or 0, usage.output_text or 0
    total = n_in * p.input + n_out * p.output + (p.per_request or 0)
    if usage != Usage(input_uncached=usage.input_uncached, output_text=usage.output_text):
        total += _beyond_text(usage, p)
    return NanoUsd(-(-total // 1000))


def _beyond_text(usage: Usage, p: Price) -> int:
    """Return what everything but plain text costs, in pico-USD: most calls have none of it."""
    write_5m = p.input if p.cache_write_5m is None else p.cache_write_5m
    return (
        (usage.cache_read or 0) * (p.input if p.cache_read is None else p.cache_read)
        + (usage.cache_write_5m or 0) * write_5m
        + (usage.cache_write_1h or 0) * (write_5m if p.cache_write_1h is None else p.cache_write_1h)
        + (usage.reasoning or 0) * (p.output if p.reasoning is None else p.reasoning)
        + (usage.audio_in or 0) * (p.input if p.audio_in is None else p.audio_in)
        + (usage.audio_out or 0) * (p.output if p.audio_out is None else p.audio_out)
        + (usage.image_in or 0) * (p.input if p.image_in is None else p.image_in)
        + (usage.image_out or 0) * (p.output if p.image_out is None else p.image_out)
        + (usage.images or 0) * (p.per_image or 0)
        + (usage.search_units or 0) * (p.per_search or 0)
        + (usage.characters or 0) * (p.per_character or 0)
        + (usage.audio_s or 0) * (p.per_second or 0)
    )


def text_cost(price: Price, n_in: int, n_out: int) -> NanoUsd:
    """Price tokens of text, nothing cached: `cost` of the plain case, which each candidate asks for."""
    if price.tiers:
        return cost(Usage(input_uncached=n_in, output_text=n_out), price)
    return NanoUsd(-(-(n_in * price.input + n_out * price.output + (price.per_request or 0)) // 1000))


def cache_saved(usage: Usage, price: Price) -> NanoUsd:
    """Return what a provider's prompt cache saved: reads at their price, less what writing cost more."""
    p = _tiered(price, usage.n_input) if price.tiers else price
    write_5m = p.input if p.cache_write_5m is None else p.cache_write_5m
    write_1h = write_5m if p.cache_write_1h is None else p.cache_write_1h
    saved = (
        (usage.cache_read or 0) * (p.input - (p.input if p.cache_read is None else p.cache_read))
        - (usage.cache_write_5m or 0) * (write_5m - p.input)
        - (usage.cache_write_1h or 0) * (write_1h - p.input)
    )
    return NanoUsd(saved // 1000)


def usd(nano: int) -> str:
    """Write nano-USD as decimal USD, exactly, with at most nine places."""
    whole, rest = divmod(abs(nano), 1_000_000_000)
    sign = "-" if nano < 0 else ""
    return sign + (f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole))


def _tiered(price: Price, n_input: int) -> Price:
    tier = None
    for step in price.tiers:
        if n_input > step.above_input_tokens:
            tier = step
    if tier is None:
        return price
    return Price(
        input=tier.input,
        output=tier.output,
        cache_read=price.cache_read if tier.cache_read is None else tier.cache_read,
        cache_write_5m=price.cache_write_5m if tier.cache_write is None else tier.cache_write,
        cache_write_1h=price.cache_write_1h if tier.cache_write_1h is None else tier.cache_write_1h,
        reasoning=tier.reasoning or (None if price.reasoning == price.output else price.reasoning),
        audio_in=price.audio_in,
        audio_out=price.audio_out,
        image_in=price.image_in,
        image_out=price.image_out,
        per_image=price.per_image,
        per_request=price.per_request,
        per_search=price.per_search,
        per_character=price.per_character,
        per_second=price.per_second,
        source=price.source,
        as_of=price.as_of,
    )
