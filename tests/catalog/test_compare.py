"""What differs between two catalogues, and the overlay that bridges them."""

from decimal import Decimal

from turnout.catalog.catalog import Catalog, Override
from turnout.catalog.compare import Change, Difference, as_overlay, compare, describe
from turnout.catalog.edition import render
from turnout.catalog.prices import UsdPrice
from turnout.types.deployment import Model
from turnout.types.usage import Price, Tier


def catalog(*models, as_of="2026-01-02"):
    return Catalog.parse(render({model.id: model for model in models}, {}, as_of), "test")


OLD = catalog(
    Model(id="a/same", context_window=5, source="s"),
    Model(id="a/gone", source="s"),
    Model(id="a/moved", max_output=3, price=Price(input=1_000_000, output=2_000_000, source="s"), source="s"),
)
NEW = catalog(
    Model(id="a/same", context_window=5, source="s"),
    Model(id="a/new", context_window=9, price=Price(input=37_500, output=1_000_000, source="t"), source="t"),
    Model(id="a/moved", max_output=4, price=Price(input=1_000_000, output=2_500_000, source="t"), source="t"),
    as_of="2026-03-04",
)


def test_a_difference_names_what_came_went_and_changed():
    assert compare(OLD, NEW) == Difference(
        added=("a/new",),
        removed=("a/gone",),
        changed=(Change("a/moved", "max_output", "3", "4"), Change("a/moved", "price.output", "2", "2.5")),
    )


def test_a_catalogue_does_not_differ_from_itself():
    assert compare(OLD, OLD) == Difference((), (), ())


def test_a_price_that_is_no_longer_known_is_a_change():
    unknown = catalog(Model(id="a/x", source="s"))
    known = catalog(Model(id="a/x", price=Price(input=1_000_000, output=0, source="s"), source="s"))
    assert compare(known, unknown).changed == (
        Change("a/x", "price.input", "1", ""),
        Change("a/x", "price.output", "0", ""),
    )


def test_an_overlay_says_only_what_differs():
    price = UsdPrice(input=Decimal(1), output=Decimal("2.5"), source="t", as_of="2026-03-04")
    new = UsdPrice(input=Decimal("0.0375"), output=Decimal(1), source="t", as_of="2026-03-04")
    assert as_overlay(compare(OLD, NEW), OLD, NEW) == {
        "a/moved": Override(max_output=4, price=price, source="t", as_of="2026-03-04"),
        "a/new": Override(context_window=9, price=new, source="t", as_of="2026-03-04"),
    }


def test_an_overlaid_catalogue_says_what_the_new_edition_says():
    over = OLD.overlay(as_overlay(compare(OLD, NEW), OLD, NEW))
    assert compare(over, NEW) == Difference(added=(), removed=("a/gone",), changed=())
    assert over.get("a/moved") == NEW.get("a/moved")


def test_an_overlay_can_take_a_price_away():
    known = catalog(Model(id="a/x", price=Price(input=1, output=1, source="s"), source="s"))
    unknown = catalog(Model(id="a/x", source="s"))
    overlay = as_overlay(compare(known, unknown), known, unknown)
    assert overlay == {"a/x": Override(price=None)}


def test_a_model_is_described_in_words():
    model = Model(
        id="a/x",
        context_window=1000,
        capabilities=frozenset({"tools", "json_schema"}),
        successors=("a/y", "a/z"),
        price=Price(
            input=2_500_000,
            output=10_000_000,
            per_request=5_000_000_000,
            tiers=(Tier(200, 5_000_000, 15_000_000),),
        ),
        benchmarks={"mmlu": 0.5},
    )
    assert describe(model) == {
        "context_window": "1000",
        "modalities_in": "text",
        "modalities_out": "text",
        "capabilities": "json_schema, tools",
        "kind": "chat",
        "successors": "a/y, a/z",
        "price.input": "2.5",
        "price.output": "10",
        "price.per_request": "0.005",
        "price.input above 200": "5",
        "price.output above 200": "15",
        "benchmarks.mmlu": "0.5",
    }
