"""Published prices and exact ones: USD as people write it, pico-USD as it is computed with. Floor 1.

Decimal throughout: a price is exact or it is refused. One USD per million tokens is one million pico-USD per
token, so a `Price` also reads as micro-USD per million tokens.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from msgspec import Struct

from turnout.types.usage import PicoUsd, Price, Tier

PICO_PER_USD: Final = Decimal(10**12)
TOKENS_PER_MTOK: Final = Decimal(10**6)
_FLOAT_DIGITS: Final = 15
"""Decimal digits a binary double always carries; a published number with more is a float's shadow."""
_SHADOWLESS: Final = Context(prec=12, rounding=ROUND_HALF_EVEN)


class InexactPriceError(ValueError):
    """A price that is no whole number of pico-USD, or negative."""


class UsdTier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of calls whose input exceeds a size; USD per million tokens."""

    above_input_tokens: int
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None


class UsdPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price as users write it: USD per million tokens, and USD per unit where the name says `per_`."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_in: Decimal | None = None
    audio_out: Decimal | None = None
    image_in: Decimal | None = None
    image_out: Decimal | None = None
    per_image: Decimal | None = None
    per_request: Decimal | None = None
    per_search: Decimal | None = None
    per_character: Decimal | None = None
    per_second: Decimal | None = None
    batch_share: float | None = None
    """Price of a batch call as a share of this price."""
    tiers: tuple[UsdTier, ...] = ()
    source: str = ""
    as_of: str = ""

    def exact(self) -> Price:
        """Return the same price in pico-USD.

        Raises:
            InexactPriceError: A number has more places than a pico-USD, or is negative.
        """
        return Price(
            input=per_mtok(self.input),
            output=per_mtok(self.output),
            cache_read=_maybe_per_mtok(self.cache_read),
            cache_write_5m=_maybe_per_mtok(self.cache_write_5m),
            cache_write_1h=_maybe_per_mtok(self.cache_write_1h),
            reasoning=_maybe_per_mtok(self.reasoning),
            audio_in=_maybe_per_mtok(self.audio_in),
            audio_out=_maybe_per_mtok(self.audio_out),
            per_image=_maybe_pico(self.per_image),
            per_request=_maybe_pico(self.per_request),
            per_search=_maybe_pico(self.per_search),
            image_in=_maybe_per_mtok(self.image_in),
            image_out=_maybe_per_mtok(self.image_out),
            per_character=_maybe_pico(self.per_character),
            per_second=_maybe_pico(self.per_second),
            batch_share=self.batch_share,
            tiers=tuple(_exact_tier(tier) for tier in self.tiers),
            source=self.source,
            as_of=self.as_of,
        )


def pico(usd: Decimal) -> PicoUsd:
    """Convert USD to pico-USD exactly.

    A number with more than 15 digits is first read as the decimal its author meant (`9.499999999999999E-7` is
    0.00000095): price maps written by programs contain such shadows of binary floats.

    Raises:
        InexactPriceError: The number is no whole number of pico-USD, negative or not finite.
    """
    if not usd.is_finite() or usd < 0:
        raise InexactPriceError(f"{usd} USD is not a price")
    meant = _SHADOWLESS.create_decimal(usd) if len(usd.as_tuple().digits) > _FLOAT_DIGITS else usd
    value = meant * PICO_PER_USD
    if value != value.to_integral_value():
        raise InexactPriceError(f"{usd} USD has more than 12 decimal places")
    return PicoUsd(int(value))


def per_mtok(usd: Decimal) -> PicoUsd:
    """Convert USD per million tokens to pico-USD per token. Raises `InexactPriceError`."""
    return pico(usd / TOKENS_PER_MTOK)


def usd_per_mtok(price: PicoUsd) -> Decimal:
    """Convert pico-USD per token back to USD per million tokens, without trailing zeros."""
    return _plain(Decimal(price) * TOKENS_PER_MTOK / PICO_PER_USD)


def usd_price(price: Price) -> UsdPrice:
    """Return a price as users write it; `usd_price(p).exact() == p`."""
    return UsdPrice(
        input=usd_per_mtok(price.input),
        output=usd_per_mtok(price.output),
        cache_read=_maybe_usd_per_mtok(price.cache_read),
        cache_write_5m=_maybe_usd_per_mtok(price.cache_write_5m),
        cache_write_1h=_maybe_usd_per_mtok(price.cache_write_1h),
        reasoning=_maybe_usd_per_mtok(price.reasoning),
        audio_in=_maybe_usd_per_mtok(price.audio_in),
        audio_out=_maybe_usd_per_mtok(price.audio_out),
        per_image=_maybe_usd(price.per_image),
        per_request=_maybe_usd(price.per_request),
        per_search=_maybe_usd(price.per_search),
        image_in=_maybe_usd_per_mtok(price.image_in),
        image_out=_maybe_usd_per_mtok(price.image_out),
        per_character=_maybe_usd(price.per_character),
        per_second=_maybe_usd(price.per_second),
        batch_share=price.batch_share,
        tiers=tuple(_usd_tier(tier) for tier in price.tiers),
        source=price.source,
        as_of=price.as_of,
    )


def _exact_tier(tier: UsdTier) -> Tier:
    return Tier(
        tier.above_input_tokens,
        per_mtok(tier.input),
        per_mtok(tier.output),
        _maybe_per_mtok(tier.cache_read),
        _maybe_per_mtok(tier.cache_write),
        _maybe_per_mtok(tier.cache_write_1h),
        _maybe_per_mtok(tier.reasoning),
    )


def _usd_tier(tier: Tier) -> UsdTier:
    return UsdTier(
        above_input_tokens=tier.above_input_tokens,
        input=usd_per_mtok(tier.input),
        output=usd_per_mtok(tier.output),
        cache_read=_maybe_usd_per_mtok(tier.cache_read),
        cache_write=_maybe_usd_per_mtok(tier.cache_write),
        cache_write_1h=_maybe_usd_per_mtok(tier.cache_write_1h),
        reasoning=_maybe_usd_per_mtok(tier.reasoning),
    )


def _maybe_pico(usd: Decimal | None) -> PicoUsd | None:
    return None if usd is None else pico(usd)


def _maybe_per_mtok(usd: Decimal | None) -> PicoUsd | None:
    return None if usd is None else per_mtok(usd)


def _maybe_usd_per_mtok(price: PicoUsd | None) -> Decimal | None:
    return None if price is None else usd_per_mtok(price)


def _maybe_usd(price: PicoUsd | None) -> Decimal | None:
    return None if price is None else _plain(Decimal(price) / PICO_PER_USD)


def _plain(value: Decimal) -> Decimal:
    shortest = value.normalize()
    return shortest.quantize(Decimal(1)) if shortest == shortest.to_integral_value() else shortest
