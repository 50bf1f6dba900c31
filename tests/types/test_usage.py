"""Money as it is written."""

import pytest

from turnout.types.usage import PicoUsd, Price, Usage, cache_saved, usd


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (25 * 10**8, "2.5"),
        (10**18 + 1, f"{10**9}.000000001"),
    ],
)
def test_money_is_written_exactly(nano, said):
    assert usd(nano) == said


def test_what_a_prompt_cache_saved_is_its_reads_less_what_writing_cost_more():
    price = Price(
        input=PicoUsd(3_000_000),
        output=PicoUsd(15_000_000),
        cache_read=PicoUsd(300_000),
        cache_write_5m=PicoUsd(3_750_000),
    )
    assert cache_saved(Usage(input_uncached=5, cache_read=1_000), price) == 2_700_000
    assert cache_saved(Usage(cache_write_5m=1_000), price) == -750_000
    assert cache_saved(Usage(cache_read=1_000, cache_write_1h=1_000), price) == 1_950_000
