"""Editions of the catalogue are read in either format, checked and written."""

import json
import re

import pytest

from turnout.catalog.catalog import Catalog
from turnout.catalog.edition import check, read_edition, render
from turnout.errors import ConfigError
from turnout.types.deployment import Model
from turnout.types.usage import Price, Tier

BASE = Catalog.parse(
    b'{"as_of":"2026-01-02","sources":{"map":"a map"},"models":{'
    b'"openai/gpt-x":{"price":{"input":1000000,"output":2000000,"cache_read":5,"per_search":7,"source":"map"},'
    b'"successors":["openai/gpt-y"],"source":"map"},'
    b'"groq/open":{"source":"map"}}}',
    "base.json",
)
ROW = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-06,
    "output_cost_per_token": 2e-06,
}


def read(data, where="new.json"):
    return read_edition(data, where, as_of="2026-03-04", base=BASE)


def problems(data):
    with pytest.raises(ConfigError) as caught:
        read(data)
    return caught.value.problems


def ours(row):
    return json.dumps({"as_of": "2026-03-04", "sources": {}, "models": {"openai/gpt-x": row}}).encode()


def test_a_rendered_catalogue_reads_back_equal_one_line_per_model():
    models = {
        "openai/b": Model(
            id="openai/b",
            context_window=10,
            price=Price(input=1, output=2, batch_share=0.5, tiers=(Tier(5, 3, 4),), source="map"),
            capabilities=frozenset({"tools", "json_schema"}),
            successors=("openai/a",),
            source="map",
        ),
        "openai/a": Model(id="openai/a", source="map"),
    }
    data = render(models, {"map": "map"}, "2026-03-04")
    assert data == (
        b'{"as_of":"2026-03-04","sources":{"map":"map"},"models":{\n'
        b'"openai/a":{"source":"map"},\n'
        b'"openai/b":{"context_window":10,"price":{"input":1,"output":2,"batch_share":0.5,'
        b'"tiers":[{"above_input_tokens":5,"input":3,"output":4}],"source":"map"},'
        b'"capabilities":["json_schema","tools"],"successors":["openai/a"],"source":"map"}\n'
        b"}}\n"
    )
    read_back = list(read(data).catalog)
    assert [model.id for model in read_back] == ["openai/a", "openai/b"]
    assert read_back[1].price.tiers == (Tier(5, 3, 4),)


def test_rendering_the_bundled_catalogue_again_gives_the_same_bytes():
    bundled = Catalog.load()
    again = render({model.id: model for model in bundled}, bundled.sources, bundled.as_of)
    assert {m.id: m for m in Catalog.parse(again, "again")} == {m.id: m for m in bundled}


def test_a_map_of_litellm_is_read_and_dated():
    edition = read(json.dumps({"gpt-new": ROW}).encode(), "map.json")
    expected = Price(input=1_000_000, output=2_000_000, source="litellm map map.json", as_of="2026-03-04")
    assert edition.catalog.get("openai/gpt-new").price == expected


def test_a_map_is_completed_with_what_it_never_says():
    catalog = read(json.dumps({"gpt-x": ROW}).encode()).catalog
    assert catalog.get("openai/gpt-x").successors == ("openai/gpt-y",)
    assert catalog.get("openai/gpt-x").price == BASE.get("openai/gpt-x").price
    assert catalog.get("groq/open") == BASE.get("groq/open")


def test_a_map_that_states_another_price_is_believed():
    catalog = read(json.dumps({"gpt-x": {**ROW, "output_cost_per_token": 3e-06}}).encode()).catalog
    assert catalog.get("openai/gpt-x").price.output == 3_000_000


def test_rows_of_a_map_that_cannot_be_used_are_told():
    rows = {"gpt-x": ROW, "gpt-bad": {**ROW, "input_cost_per_token": 1.5e-13}}
    assert read(json.dumps(rows).encode()).refused == (
        "gpt-bad: 1.5E-13 USD has more than 12 decimal places",
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            {"price": {"input": 1, "output": 1, "per_serch": 1}},
            "openai/gpt-x has an unknown field 'price.per_serch'; did you mean \"price.per_search\"?",
        ),
        (
            {"context_windw": 1},
            "openai/gpt-x has an unknown field 'context_windw'; did you mean \"context_window\"?",
        ),
        (
            {"context_window": -1},
            "openai/gpt-x: context_window is -1; expected a positive number, or nothing",
        ),
        ({"retires_on": "soon"}, "openai/gpt-x: retires_on is 'soon'; expected YYYY-MM-DD"),
        ({"price": {"input": -1, "output": 1}}, "openai/gpt-x: price: input is -1; expected zero or more"),
        (
            {"price": {"input": 1, "output": 1, "batch_share": 2}},
            "openai/gpt-x: price: batch_share is 2.0; expected 0-1",
        ),
        (
            {
                "price": {
                    "input": 1,
                    "output": 1,
                    "tiers": [
                        {"above_input_tokens": 9, "input": 1, "output": 1},
                        {"above_input_tokens": 5, "input": 1, "output": 1},
                    ],
                }
            },
            "openai/gpt-x: price: tiers begin above [9, 5]; expected rising sizes",
        ),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_place(row, problem):
    assert problems(ours(row)) == (f"new.json: {problem}",)


def test_a_row_of_the_wrong_type_is_refused_with_its_place():
    (line,) = problems(ours({"context_window": "big"}))
    assert line == (
        "new.json: catalogue: openai/gpt-x: Expected `int | null`, got `str` - at `$.context_window`"
    )


@pytest.mark.parametrize("data", [b"no json", b"[1]"])
def test_what_is_no_json_object_is_refused(data):
    (line,) = problems(data)
    assert re.match(r"new.json is not a JSON object: ", line)


def test_an_object_of_neither_format_is_refused():
    assert problems(b'{"a": {"b": 1}}') == (
        "new.json names no known model; expected a models.json or litellm's price map",
    )


def test_check_finds_nothing_wrong_in_a_good_catalogue():
    assert check(BASE) == ()
