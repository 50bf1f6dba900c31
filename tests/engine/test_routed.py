"""What is told of a decision."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.kit import candidate, context
from turnout.engine.routed import expected_cost, expected_costs
from turnout.strategies.base import expected_nusd, worst_nusd
from turnout.types.record import CostView
from turnout.types.usage import PicoUsd, Price, Tier

_PICO = st.integers(0, 10**9).map(PicoUsd)
_MAYBE = st.none() | _PICO
_TIERS = st.sampled_from([(), (Tier(above_input_tokens=900, input=PicoUsd(7), output=PicoUsd(9)),)])
_PRICES = st.builds(
    Price,
    input=_PICO,
    output=_PICO,
    cache_write_5m=_MAYBE,
    cache_write_1h=_MAYBE,
    reasoning=_MAYBE,
    per_request=_MAYBE,
    tiers=_TIERS,
    as_of=st.just("2026-11-22"),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.none() | _PRICES, min_size=1, max_size=4), st.integers(0, 2000), st.integers(0, 5000))
def test_costs_of_all_candidates_at_once_are_those_of_each(prices, n_in, most):
    candidates = [candidate(f"v/m{n}", price) for n, price in enumerate(prices)]
    ctx = context(n_tokens_in=n_in, max_tokens_out=most, tokens_in={"v/m0": 900}, tokens_out={"v/m1": 7})
    told = expected_costs(candidates, ctx)
    assert told == [expected_cost(each.deployment, ctx) for each in candidates]
    assert told == [
        CostView(expected_nusd(ctx, each.deployment), worst_nusd(ctx, each.deployment), "2026-11-22")
        if price is not None
        else CostView(None, None)
        for each, price in zip(candidates, prices, strict=True)
    ]
