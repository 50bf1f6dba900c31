"""The filters that count tokens count them as each deployment does."""

import msgspec
import pytest

from tests.strategies.kit import candidate, context, price
from turnout.strategies.base import expected_nusd, n_tokens_in, worst_nusd
from turnout.strategies.filters import Allowed, Fits, Priced, Reach, reach_of
from turnout.strategies.filters import asked as filters_asked
from turnout.strategies.scorers.cost import Cost
from turnout.types.ask import Ask, Preferences

FEW, MANY = candidate("v/few"), candidate("v/many")


def sized(each, **limits):
    model = msgspec.structs.replace(each.deployment.model, **limits)
    deployment = msgspec.structs.replace(each.deployment, model=model)
    return msgspec.structs.replace(each, deployment=deployment)


def asked(**fields):
    """900 tokens to one, 1,200 to the other; 1,200 is what is reckoned where nobody knows better."""
    return context(n_tokens_in=1200, tokens_in={"v/few": 900, "v/many": 1200}, **fields)


def test_what_is_not_known_of_a_deployment_is_the_largest_estimate() -> None:
    other = candidate("v/other")
    assert [n_tokens_in(asked(), c.deployment) for c in (FEW, MANY, other)] == [900, 1200, 1200]


@pytest.mark.parametrize(
    ("limit", "word"), [("context_window", "window_too_small"), ("max_input", "input_too_long")]
)
def test_a_window_is_measured_in_the_deployments_own_tokens(limit, word) -> None:
    drops = [Fits().drop(asked(), sized(each, **{limit: 1000})) for each in (FEW, MANY)]
    assert drops == [None, word]


def test_a_cap_on_money_is_held_against_the_deployments_own_tokens() -> None:
    free_output = price(1.0, 0.0)
    drops = [Priced(max_cost_usd=0.001).drop(asked(), sized(each, price=free_output)) for each in (FEW, MANY)]
    assert drops == [None, "too_expensive"]


def test_a_cap_per_thousand_tokens_weighs_the_deployments_own_mix() -> None:
    dear_output = price(1.0, 10.0)
    ctx = asked(n_tokens_out=100)
    # (900 * 1 + 100 * 10) / 1000 = 1.9 USD per million, (1200 * 1 + 100 * 10) / 1300 = 1.69.
    drops = [Priced(max_cost_per_1k=0.0018).drop(ctx, sized(each, price=dear_output)) for each in (FEW, MANY)]
    assert drops == ["too_expensive_per_1k", None]


def test_scorer_and_estimates_agree_with_the_filter() -> None:
    ctx = asked(n_tokens_out=0, max_tokens_out=0)
    assert Cost().score(ctx, [FEW, MANY]) == pytest.approx([-0.0009, -0.0012])
    assert [expected_nusd(ctx, c.deployment) for c in (FEW, MANY)] == [900_000, 1_200_000]
    assert [worst_nusd(ctx, c.deployment) for c in (FEW, MANY)] == [900_000, 1_200_000]


@pytest.mark.parametrize(
    ("each", "wishes"),
    [
        (Priced(), Preferences()),
        (Priced(), Preferences(max_cost_nusd=1)),
        (Priced(), Preferences(max_price_output_nusd_per_mtok=1)),
        (Priced(require_known=True), Preferences()),
        (Priced(max_cost_usd=1e-9), Preferences()),
        (Allowed(), Preferences()),
        (Allowed(), Preferences(avoid=("v/*",))),
        (Allowed(), Preferences(only_providers=("w",))),
        (Allowed(deny=("v",)), Preferences()),
    ],
)
@pytest.mark.parametrize("left_nusd", [None, 0])
def test_a_filter_that_rests_drops_nobody_and_one_that_drops_does_not_rest(each, wishes, left_nusd) -> None:
    ask = Ask(request_id="req_1", prefer=wishes, left_nusd=left_nusd)
    ctx = msgspec.structs.replace(asked(), ask=ask)
    drops = [each.drop(ctx, c) for c in (sized(FEW, price=None), sized(MANY, price=price(1.0, 1.0)))]
    assert each.rests(ctx) == (drops == [None, None])


@pytest.mark.parametrize("n_in", [1, 40, 41, 80, 81, 101])
@pytest.mark.parametrize("wanted", [0, 20, 60, 61])
def test_a_filter_rests_within_the_reach_of_a_pool_only_where_it_drops_nobody(n_in, wanted) -> None:
    small, large = sized(FEW, context_window=100, max_input=80, max_output=60), sized(MANY)
    reach = reach_of([small.deployment, large.deployment])
    assert reach == Reach(chats=True, window=100, n_in=80, n_out=60)
    given = context(n_tokens_in=n_in, max_tokens_out=wanted or 512, explicit_max_tokens=bool(wanted))
    dropped = [Fits().drop(given, each) for each in (small, large)]
    rests = not filters_asked((Fits(),), given, reach, all_closed=True)
    assert rests == (dropped == [None, None])
