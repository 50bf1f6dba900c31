"""The script that writes models.json: reading the second source, merging, reporting."""

import sys
import zipfile
from pathlib import Path

import pytest

from turnout.types.deployment import Model
from turnout.types.usage import Price, Tier

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DATA = """
providers: list[Provider] = [
    Provider(
        id='x-ai',
        models=[
            ModelInfo(
                id='grok-a',
                match=ClauseOr(or_=[ClauseEquals(equals='grok-a'), ClauseStartsWith(starts_with='grok-a-')]),
                context_window=1000,
                prices=ModelPrice(
                    input_mtok=TieredPrices(base=Decimal('1'), tiers=[Tier(start=200, price=Decimal('2'))]),
                    output_mtok=Decimal('0.0375'),
                    requests_kcount=Decimal('5'),
                ),
            ),
            ModelInfo(
                id='grok-b',
                match=ClauseAnd(and_=[ClauseContains(contains='b'), ClauseRegex(regex='^grok')]),
                prices=[
                    ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('9'), output_mtok=Decimal('9'))),
                    ConditionalPrice(
                        constraint=StartDateConstraint(start_date=datetime.date(2026, 2, 1)),
                        prices=ModelPrice(input_mtok=Decimal('8'), output_mtok=Decimal('8')),
                    ),
                    ConditionalPrice(
                        constraint=StartDateConstraint(start_date=datetime.date(2026, 12, 1)),
                        prices=ModelPrice(input_mtok=Decimal('7'), output_mtok=Decimal('7')),
                    ),
                ],
            ),
        ],
    ),
    Provider(
        id='openrouter',
        models=[
            ModelInfo(id='m/one', match=ClauseEquals(equals='m/one'), context_window=5,
                prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('2'))),
            ModelInfo(id='m/free', match=ClauseEquals(equals='m/free'),
                prices=ModelPrice(input_mtok=Decimal('0'), output_mtok=Decimal('0'))),
            ModelInfo(id='m/old', match=ClauseEquals(equals='m/old'), deprecated=True, prices=ModelPrice()),
        ],
    ),
    Provider(id='a-vendor-nobody-knows', models=[]),
]
"""


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import build_catalog
    finally:
        sys.path.remove(str(SCRIPTS))
    return build_catalog


@pytest.fixture
def listings(script, tmp_path):
    wheel = tmp_path / "genai_prices-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("genai_prices/data.py", DATA)
    return script.read_wheel(wheel, "2026-03-04")


def xai(name, **price):
    return {f"xai/{name}": Model(id=f"xai/{name}", price=Price(**price, source="litellm"), source="litellm")}


def test_the_second_source_is_read_without_running_it(listings):
    assert listings.keys() == {"xai", "openrouter"}
    found = listings["xai"].find("grok-a")
    assert found.context_window == 1000
    assert found.price == Price(
        input=1_000_000, output=37_500, per_request=5_000_000_000, tiers=(Tier(200, 2_000_000, 37_500),)
    )


def test_the_price_in_force_on_the_day_is_taken(listings):
    assert listings["xai"].find("grok-b").price == Price(input=8_000_000, output=8_000_000)


@pytest.mark.parametrize(
    ("name", "expected"), [("grok-a-2", "grok-a"), ("grok-1b", "grok-b"), ("llama", None)]
)
def test_a_model_is_found_by_the_rules_of_the_list(listings, name, expected):
    found = listings["xai"].find(name)
    assert (found.name if found else None) == expected


def test_a_confirmed_price_is_marked_and_filled(script, listings):
    merged = script.merge(xai("grok-a", input=1_000_000, output=37_500, per_search=9), listings)
    assert merged.models["xai/grok-a"].price == Price(
        input=1_000_000, output=37_500, per_request=5_000_000_000, source="both"
    )
    assert (merged.n_confirmed, merged.disagreements) == (1, [])


def test_a_contradicted_price_is_kept_and_reported(script, listings):
    first = xai("grok-b", input=8_000_000, output=1_000_000)
    merged = script.merge(first, listings)
    assert merged.models["xai/grok-b"] == first["xai/grok-b"]
    assert merged.disagreements == [script.Disagreement("xai/grok-b", "output", 1_000_000, 8_000_000)]
    sources = {"litellm": "litellm 1", "genai-prices": "genai-prices 2"}
    assert "| `xai/grok-b` | output 1 | output 8 |\n" in script.report(merged, sources, "2026-03-04")


def test_prices_by_place_are_not_compared(script, listings):
    merged = script.merge(xai("grok-b@eu", input=1, output=1), listings)
    assert (merged.n_confirmed, merged.disagreements) == (0, [])


def test_a_vendor_that_only_the_second_source_lists_is_taken_from_it(script, listings):
    merged = script.merge(xai("grok-x", input=1, output=1), listings)
    added = {name: model for name, model in merged.models.items() if name.startswith("openrouter/")}
    price = Price(input=1_000_000, output=2_000_000, source="genai-prices")
    assert added == {
        "openrouter/m/one": Model(
            id="openrouter/m/one", context_window=5, price=price, source="genai-prices"
        ),
        "openrouter/m/free": Model(id="openrouter/m/free", source="genai-prices"),
    }
