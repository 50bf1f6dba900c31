"""Published prices become exact ones, or are refused."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.catalog.prices import (
    InexactPriceError,
    UsdPrice,
    UsdTier,
    per_mtok,
    pico,
    usd_per_mtok,
    usd_price,
)
from turnout.types.usage import Price, Tier, Usage, cost


@pytest.mark.parametrize(
    ("usd", "expected"),
    [
        ("0", 0),
        ("1", 1_000_000_000_000),
        ("1.25E-6", 1_250_000),
        ("3.75e-08", 37_500),
        ("1E-12", 1),
        ("9.499999999999999E-7", 950_000),
        ("0.0000016000000000000001", 1_600_000),
        ("1.3200000000000002E-7", 132_000),
    ],
)
def test_usd_becomes_pico_usd_exactly(usd, expected):
    assert pico(Decimal(usd)) == expected


@pytest.mark.parametrize("usd", ["1E-13", "0.0000000000015", "-0.01", "NaN", "Infinity"])
def test_what_is_no_whole_number_of_pico_usd_is_refused(usd):
    with pytest.raises(InexactPriceError):
        pico(Decimal(usd))


def test_usd_per_million_tokens_becomes_pico_usd_per_token():
    assert per_mtok(Decimal("0.0375")) == 37_500


def test_pico_usd_is_shown_as_usd_per_million_tokens_without_zeros():
    assert [str(usd_per_mtok(value)) for value in (37_500, 2_500_000, 10_000_000, 0)] == [
        "0.0375",
        "2.5",
        "10",
        "0",
    ]


def test_a_written_price_becomes_an_exact_one():
    written = UsdPrice(
        input=Decimal("1.25"),
        output=Decimal(10),
        cache_read=Decimal("0.125"),
        per_search=Decimal("0.01"),
        batch_share=0.5,
        tiers=(UsdTier(above_input_tokens=200_000, input=Decimal("2.5"), output=Decimal(15)),),
    )
    assert written.exact() == Price(
        input=1_250_000,
        output=10_000_000,
        cache_read=125_000,
        per_search=10_000_000_000,
        batch_share=0.5,
        tiers=(Tier(200_000, 2_500_000, 15_000_000),),
    )


def test_numbers_in_json_and_yaml_are_read_as_they_are_written():
    expected = UsdPrice(input=Decimal("0.1"), output=Decimal("0.3"))
    assert msgspec.json.decode(b'{"input": 0.1, "output": 0.3}', type=UsdPrice) == expected
    assert msgspec.convert({"input": 0.1, "output": 0.3}, UsdPrice) == expected


amounts = st.integers(0, 10**15)
optional = st.none() | amounts


@given(
    st.builds(
        Price,
        input=amounts,
        output=amounts,
        cache_read=optional,
        cache_write_1h=optional,
        per_request=optional,
        tiers=st.tuples(st.builds(Tier, st.integers(1, 10**6), amounts, amounts, optional, optional))
        | st.just(()),
        source=st.just("somewhere"),
    )
)
def test_writing_a_price_in_usd_and_reading_it_back_changes_nothing(price):
    assert usd_price(price).exact() == price


def test_one_hour_cache_writes_and_reasoning_have_their_own_price_above_a_size():
    price = Price(
        input=1_000,
        output=2_000,
        cache_write_1h=3_000,
        reasoning=5_000,
        tiers=(Tier(100, 10_000, 20_000, None, None, 30_000, 50_000),),
    )
    small = Usage(input_uncached=90, cache_write_1h=10, reasoning=1)
    large = Usage(input_uncached=91, cache_write_1h=10, reasoning=1)
    assert (cost(small, price), cost(large, price)) == (90 + 30 + 5, 910 + 300 + 50)
