"""Money as it is written."""

import pytest

from turnout.types.usage import usd


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
