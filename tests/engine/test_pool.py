"""Which deployments a request may go to, in which order: WIRE.md sections 7 and 8."""

import pytest

from tests.engine.kit import rig
from turnout.config import parse_config
from turnout.errors import ModelNotFound, NoEligibleModel
from turnout.types.ask import Preferences
from turnout.types.record import Attempt

HOSTS = ("a", "b", "c")
PRICES = {"a": 3, "b": 1, "c": 2}

CONFIG = (
    "providers:\n"
    + "".join(f"  {h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}\n" for h in HOSTS)
    + "egress: {allow_http: [a, b, c]}\nmodels:\n"
    + "".join(f"  - {{model: {h}/m, price: {{input: {p}, output: {p}}}}}\n" for h, p in PRICES.items())
    + "  - {model: a/wide, id: a-eu, region: eu, price: {input: 9, output: 9}}\n"
    + "  - {model: a/wide, id: a-us, region: us, price: {input: 8, output: 8}}\n"
    + "  - {model: 'a/tagged:8b', price: {input: 1, output: 1}}\n"
    + "routes:\n  - {name: r, models: [a/m, b/m, c/m]}\naliases: {best: turnout/r}\ndefault_route: r\n"
)


def engine():
    return rig(dict.fromkeys(HOSTS, ()), config=parse_config(CONFIG, env={}))


async def chosen(model, *, seen=(), **prefer):
    """The deployments a request would ask, in that order, with the warnings of the decision."""
    from tests.engine.kit import request

    made = await engine()
    for attempt in seen:
        for _ in range(30):
            made.engine.observe(attempt)
    decision = made.engine.select(request(model), made.ask(prefer=Preferences(**prefer)))
    return decision.chosen


def answered(host, *, ttft_s, total_s, n_out):
    from turnout.types.usage import Usage

    return Attempt(
        n=1,
        deployment=f"{host}/m",
        model=f"{host}/m",
        provider=host,
        start_s=0.0,
        ttft_s=ttft_s,
        duration_s=total_s,
        outcome="ok",
        usage=Usage(output_text=n_out),
    )


SEEN = (
    answered("a", ttft_s=0.2, total_s=10.2, n_out=100),
    answered("b", ttft_s=2.0, total_s=3.0, n_out=500),
    answered("c", ttft_s=0.9, total_s=1.9, n_out=50),
)


async def test_models_are_asked_in_the_order_written() -> None:
    assert await chosen("b/m", candidates=("c/m", "a/m")) == ("b/m", "c/m", "a/m")


async def test_models_alone_stand_in_for_auto() -> None:
    assert await chosen("auto", candidates=("c/m", "b/m")) == ("c/m", "b/m")


async def test_fallbacks_come_after_the_model() -> None:
    assert await chosen("c/m", fallbacks=("b/m",)) == ("c/m", "b/m")


async def test_order_puts_named_providers_first() -> None:
    assert await chosen("turnout/r", order_providers=("c", "b")) == ("c/m", "b/m", "a/m")


async def test_providers_named_for_a_model_serve_the_same_id() -> None:
    assert await chosen("a/m", order_providers=("b", "a")) == ("b/m", "a/m")


async def test_only_keeps_those_providers() -> None:
    assert await chosen("a/m", only_providers=("c",)) == ("c/m",)


async def test_ignored_providers_are_left_out() -> None:
    assert await chosen("turnout/r", avoid=("a", "b")) == ("c/m",)


async def test_without_fallbacks_only_the_first_is_asked() -> None:
    assert await chosen("turnout/r", order_providers=("c",), allow_fallbacks=False) == ("c/m",)
    assert await chosen("turnout/r", sort="price", allow_fallbacks=False) == ("b/m",)


async def test_sort_by_price_asks_the_cheapest_first() -> None:
    assert await chosen("turnout/r", sort="price") == ("b/m", "c/m", "a/m")


async def test_sort_by_latency_asks_the_soonest_first() -> None:
    assert await chosen("turnout/r", seen=SEEN, sort="latency") == ("a/m", "c/m", "b/m")


async def test_sort_by_throughput_asks_the_quickest_writer_first() -> None:
    assert await chosen("turnout/r", seen=SEEN, sort="throughput") == ("b/m", "c/m", "a/m")


async def test_order_wins_over_sort() -> None:
    assert await chosen("turnout/r", sort="price", order_providers=("a",)) == ("a/m", "b/m", "c/m")


async def test_a_price_cap_drops_the_dearer() -> None:
    cap = 2_000_000_000
    assert await chosen("turnout/r", max_price_input_nusd_per_mtok=cap) == ("b/m", "c/m")
    with pytest.raises(NoEligibleModel):
        await chosen("turnout/r", max_price_input_nusd_per_mtok=1)


async def test_floor_is_the_cheapest_endpoint_of_the_id() -> None:
    assert await chosen("m:floor") == ("b/m", "c/m", "a/m")
    assert await chosen("a/wide:floor") == ("a-us", "a-eu")
    assert await chosen("turnout/r:floor") == ("b/m", "c/m", "a/m")
    assert await chosen("best:floor") == ("b/m", "c/m", "a/m")


async def test_nitro_is_the_quickest_writer() -> None:
    assert (await chosen("m:nitro", seen=SEEN))[0] == "b/m"


async def test_a_model_that_is_called_so_is_not_a_variant() -> None:
    assert await chosen("a/tagged:8b") == ("a/tagged:8b",)


async def test_a_region_picks_its_endpoints() -> None:
    assert await chosen("a/wide@eu") == ("a-eu",)


@pytest.mark.parametrize("name", ["m:exacto", "a/m:online", "a/wide@asia", ":floor", "nobody:floor", "m"])
async def test_an_unknown_variant_region_or_shared_id_is_not_found(name) -> None:
    with pytest.raises(ModelNotFound):
        await chosen(name)


async def test_a_variant_inside_a_list_is_told_to_be_ignored() -> None:
    from tests.engine.kit import request

    made = await engine()
    exchange = made.engine.exchange(request("a/m:floor"), made.ask(prefer=Preferences(candidates=("b/m",))))
    made.engine._running.router.decide(exchange)
    assert exchange.warnings == ["variant_ignored"]


async def test_strategy_and_reason_say_what_was_sorted_by() -> None:
    from tests.engine.kit import request

    made = await engine()
    decision = made.engine.select(request("turnout/r"), made.ask(prefer=Preferences(sort="price")))
    assert (decision.strategy, decision.reason, decision.route) == ("price", "cheapest_above_floor", "r")
